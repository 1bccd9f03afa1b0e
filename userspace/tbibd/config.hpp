// SPDX-License-Identifier: Apache-2.0
// tbibd.conf(5): what the person decides. Everything has a default.
#pragma once

#include "base/types.hpp"

#include <set>
#include <stdexcept>
#include <string>

namespace tbib {

/// Who may be a peer.
enum class Policy { Any, Known };

struct Config {
    Policy policy = Policy::Any;
    std::set<Guid> known;  ///< peers of policy "known"
    std::optional<IpPrefix> ipv4;
    std::optional<IpPrefix> ipv6;
    std::string name;  ///< node description; empty = host name
    bool operator==(const Config&) const = default;
};

/// The defaults: policy any, 10.86.66.0/24, fd74:6269:6200::/64.
Config default_config();

/// what() is one line: "FILE:LINE: what is wrong".
class ConfigError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Pure: text of the file to values. @p name is for messages. Throws ConfigError.
Config parse_config(const std::string& text, const std::string& name);
/// Reads the file; when @p optional and it does not exist, the defaults.
Config load_config(const std::string& path, bool optional);

}  // namespace tbib
