// SPDX-License-Identifier: Apache-2.0
#include "tbibctl/doctor.hpp"

#include <fmt/format.h>

namespace tbib {

namespace {

using nlohmann::json;
using Level = Finding::Level;
using Findings = std::vector<Finding>;

void check_module(const Facts& f, Findings& out)
{
    if (!f.thunderbolt_module)
        out.push_back({Level::Problem, "the kernel's thunderbolt driver is not loaded",
                       "modprobe thunderbolt; no effect? then the kernel has no USB4 support"});
    else if (!f.thunderbolt_host)
        out.push_back({Level::Problem, "no Thunderbolt or USB4 host interface was found",
                       "enable Thunderbolt/USB4 in the firmware; some laptops power it off until "
                       "a cable is plugged"});
    if (f.module_loaded) {
        out.push_back({Level::Ok, "kernel module tbib is loaded", ""});
        return;
    }
    if (!f.module_installed)
        out.push_back({Level::Problem,
                       fmt::format("kernel module tbib is not built for kernel {}", f.kernel),
                       "install tbib-dkms and the kernel's headers; see: dkms status tbib"});
    else if (f.secure_boot)
        out.push_back({Level::Problem,
                       "kernel module tbib is built but not loaded, and Secure Boot is on",
                       "enrol the DKMS key: mokutil --import /var/lib/dkms/mok.pub, reboot, enrol"});
    else
        out.push_back({Level::Problem, "kernel module tbib is built but not loaded",
                       "systemctl enable --now tbibd"});
}

void check_link(const json& l, const std::string& policy, Findings& out)
{
    const std::string state = l.value("state", "");
    const std::string why = l.value("refused", "");
    const auto what = fmt::format("link {} to {} ({})", l.value("id", 0), l.value("peer_name", ""),
                                  l.value("peer", ""));
    if (state == "refused")
        out.push_back({Level::Problem, what + " is refused: " + why,
                       "both hosts need the same version of tbib; a cloned host needs a machine-id of its own: "
                       "rm /etc/machine-id && systemd-machine-id-setup, then reboot it"});
    else if (state != "up" && why.find("ring pair") != std::string::npos)
        out.push_back({Level::Problem, what + " is not up: " + why,
                       "other cables of this host router, or thunderbolt_net, have them all: unplug one, or "
                       "modprobe -r thunderbolt_net"});
    else if (state != "up")
        out.push_back({Level::Problem, what + " is not up yet: " + state + (why.empty() ? "" : ", " + why),
                       "wait a few seconds; else look at the peer: is tbibd running there?"});
    else if (!l.value("authorised", false))
        out.push_back({Level::Problem, what + " is not authorised (policy " + policy + ")",
                       "add its GUID to 'known' in /etc/tbib/tbibd.conf, then systemctl reload tbibd"});
    else
        out.push_back({Level::Ok, what + " is up", ""});
}

void check_fabric(const Facts& f, const json& s, Findings& out)
{
    for (const auto& l : s.at("links"))
        check_link(l, s.value("policy", ""), out);
    if (s.at("links").empty())
        out.push_back({Level::Problem, "no cable to another host that runs tbib",
                       "plug a Thunderbolt/USB4 cable to a host where tbibd runs"});
    for (const auto& c : s.at("collisions"))
        out.push_back({Level::Problem,
                       fmt::format("prefix {} is not used: it collides with the route {}",
                                   c.value("prefix", ""), c.value("route", "")),
                       "choose another prefix in [addresses] of /etc/tbib/tbibd.conf on every host"});
    for (const auto& p : s.at("peers"))
        if (!p.value("reachable", false))
            out.push_back({Level::Note,
                           fmt::format("node {} ({}) is known but not reachable",
                                       p.value("guid", ""), p.value("name", "")),
                           ""});
    const json& n = s.at("node");
    const std::string state = n.value("port_state", "");
    if (state == "ACTIVE")
        out.push_back({Level::Ok, "port tbib0/1 is ACTIVE", ""});
    else
        out.push_back({Level::Problem, "port tbib0/1 is " + state + ", not ACTIVE",
                       "see the lines above; RDMA programs will not use this port"});
    if (f.firmware_cm && f.thunderbolt_net)
        out.push_back({Level::Note,
                       "the connection manager is firmware and allows one tunnel a peer: "
                       "thunderbolt_net and tbib exclude each other",
                       "modprobe -r thunderbolt_net, and keep it from loading"});
}

void check_rdma(const Facts& f, Findings& out)
{
    if (f.ibdevs.empty() && f.module_loaded)
        out.push_back({Level::Problem, "there is no RDMA device tbib0",
                       "see: journalctl -k -g tbib"});
    if (f.interface_down)
        out.push_back({Level::Problem, "network device tbib0 is set down, and so port tbib0/1 is DOWN",
                       "ip link set tbib0 up"});
    if (!f.ibdevs.empty() && !f.uverbs)
        out.push_back({Level::Problem, "/dev/infiniband/uverbs* is missing: programs cannot use RDMA",
                       "install rdma-core, or modprobe ib_uverbs"});
    if (!f.librxe)
        out.push_back({Level::Problem, "libibverbs has no rxe provider: programs will not see tbib0",
                       "install ibverbs-providers"});
    if (f.memlock_low)
        out.push_back({Level::Note, "the limit of locked memory is low: large buffers cannot be registered",
                       "raise 'memlock' (ulimit -l; limits.conf; LimitMEMLOCK=; --ulimit memlock=-1)"});
}

}  // namespace

Findings diagnose(const Facts& f)
{
    Findings out;
    check_module(f, out);
    if (!f.status)
        out.push_back({Level::Problem, "tbibd does not answer: " + f.daemon_error,
                       "systemctl enable --now tbibd; journalctl -u tbibd"});
    else if (f.status->value("module", false))
        check_fabric(f, *f.status, out);
    check_rdma(f, out);
    return out;
}

std::string format_findings(const Findings& findings)
{
    static constexpr const char* marks[] = {"ok", "note", "PROBLEM"};
    std::string out;
    unsigned problems = 0;
    for (const auto& x : findings) {
        problems += x.level == Level::Problem;
        out += fmt::format("{:<8} {}\n", marks[static_cast<int>(x.level)], x.text);
        if (!x.remedy.empty())
            out += fmt::format("{:<8}   -> {}\n", "", x.remedy);
    }
    out += problems ? fmt::format("{} problem(s)\n", problems) : "RDMA over tbib0 is usable\n";
    return out;
}

}  // namespace tbib
