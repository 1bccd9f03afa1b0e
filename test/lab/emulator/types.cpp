// SPDX-License-Identifier: Apache-2.0
#include "test/lab/emulator/types.hpp"

#include <stdexcept>

namespace tblab {

HostConfig preset(std::string_view name, unsigned router_version)
{
    if (router_version != 1 && router_version != 2)
        throw std::invalid_argument("router version must be 1 or 2");
    HostConfig config;
    config.router_version = router_version;
    if (name == "strix") {
        config.hops = 3;
    } else if (name == "intel") {
        config.hops = 12;
        config.intel_vendor = true;
    } else {
        throw std::invalid_argument("unknown preset: " + std::string(name));
    }
    return config;
}

} // namespace tblab
