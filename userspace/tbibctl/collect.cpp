// SPDX-License-Identifier: Apache-2.0
// What doctor looks at on the host.
#include "tbibctl/doctor.hpp"
#include "tbibctl/varlink_client.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <filesystem>
#include <fstream>

namespace tbib {

namespace {

namespace fs = std::filesystem;

bool any_entry(const fs::path& dir, const std::string& prefix)
{
    std::error_code ec;
    for (const auto& e : fs::directory_iterator(dir, ec))
        if (e.path().filename().string().rfind(prefix, 0) == 0)
            return true;
    return false;
}

bool module_installed(const std::string& release)
{
    std::ifstream dep("/lib/modules/" + release + "/modules.dep");
    std::string line;
    while (std::getline(dep, line))
        if (line.find("/tbib.ko") != std::string::npos && line.find("/tbib.ko") < line.find(':'))
            return true;
    return false;
}

/// The last byte of the EFI variable is 1 when Secure Boot is on.
bool secure_boot()
{
    std::ifstream in("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                     std::ios::binary);
    char data[5] = {};
    return in.read(data, sizeof data) && data[4] == 1;
}

/// Intel's firmware connection manager shows a boot ACL; the software one has none.
bool firmware_cm()
{
    std::error_code ec;
    for (const auto& e : fs::directory_iterator("/sys/bus/thunderbolt/devices", ec))
        if (fs::exists(e.path() / "boot_acl", ec))
            return true;
    return false;
}

/// Without IFF_UP. A device that is not there is not down.
bool set_down(const std::string& device)
{
    std::ifstream in(device + "/flags");
    unsigned flags = 0;
    return in >> std::hex >> flags && !(flags & 1);
}

bool provider_rxe()
{
    for (const char* dir : {"/usr/lib/x86_64-linux-gnu/libibverbs", "/usr/lib64/libibverbs",
                            "/usr/lib/aarch64-linux-gnu/libibverbs", "/usr/lib/libibverbs"})
        if (any_entry(dir, "librxe-rdmav"))
            return true;
    return false;
}

}  // namespace

Facts collect(const std::string& socket_path)
{
    Facts f;
    utsname u{};
    uname(&u);
    f.kernel = u.release;
    f.thunderbolt_module = fs::exists("/sys/bus/thunderbolt");
    f.thunderbolt_host = any_entry("/sys/bus/thunderbolt/devices", "domain");
    f.module_loaded = fs::exists("/sys/module/tbib");
    f.module_installed = module_installed(f.kernel);
    f.secure_boot = secure_boot();
    f.firmware_cm = firmware_cm();
    f.thunderbolt_net = fs::exists("/sys/module/thunderbolt_net");
    rlimit limit{};
    f.memlock_low = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < (64u << 20);
    if (fs::exists("/sys/class/infiniband/tbib0"))
        f.ibdevs.push_back("tbib0");
    f.interface_down = set_down("/sys/class/net/tbib0");
    f.uverbs = any_entry("/dev/infiniband", "uverbs");
    f.librxe = provider_rxe();
    try {
        f.status = varlink_call(socket_path, "io.tbib.GetStatus");
    } catch (const CallError& e) {
        f.daemon_error = e.what();
    }
    return f;
}

}  // namespace tbib
