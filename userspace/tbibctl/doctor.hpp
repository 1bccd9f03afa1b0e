// SPDX-License-Identifier: Apache-2.0
// "Why does RDMA not work?": findings from facts. Pure but for collect().
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace tbib {

/// What was looked at on this host.
struct Facts {
    std::string kernel;             ///< release
    bool thunderbolt_host = false;  ///< a host interface is there
    bool thunderbolt_module = false;
    bool module_loaded = false;
    bool module_installed = false;  ///< tbib.ko exists for this kernel
    bool secure_boot = false;
    bool firmware_cm = false;       ///< connection manager in firmware
    bool thunderbolt_net = false;
    bool memlock_low = false;       ///< RLIMIT_MEMLOCK below 64 MiB
    std::vector<std::string> ibdevs;
    bool interface_down = false;    ///< network device tbib0 is set down
    bool uverbs = false;            ///< /dev/infiniband/uverbs* exists
    bool librxe = false;            ///< ibverbs-providers has librxe
    std::string daemon_error;       ///< why the daemon did not answer
    std::optional<nlohmann::json> status;
};

struct Finding {
    enum class Level { Ok, Note, Problem } level;
    std::string text;
    std::string remedy;
    bool operator==(const Finding&) const = default;
};

/// Looks at sysfs, /lib/modules and the daemon.
Facts collect(const std::string& socket_path);
/// Pure: facts to findings, most fundamental first.
std::vector<Finding> diagnose(const Facts& facts);
/// Text for people; one line a finding, remedies indented.
std::string format_findings(const std::vector<Finding>& findings);

}  // namespace tbib
