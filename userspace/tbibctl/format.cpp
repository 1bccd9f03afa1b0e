// SPDX-License-Identifier: Apache-2.0
#include "tbibctl/format.hpp"

#include <fmt/format.h>

namespace tbib {

namespace {

using nlohmann::json;

std::string join(const json& list)
{
    std::string out;
    for (const auto& x : list)
        out += (out.empty() ? "" : ", ") + x.get<std::string>();
    return out.empty() ? "none" : out;
}

std::string link_line(const json& l)
{
    std::string state = l.value("state", "");
    if (const std::string why = l.value("refused", ""); !why.empty())
        state += ": " + why;
    else if (state == "up" && !l.value("authorised", false))
        state += ", not authorised";
    const uint64_t mbps = l.value("speed_gbps", 0ull) * l.value("width", 0ull) * 1000;
    return fmt::format("  link {:<3} domain {} route {:<4} {:<12} {:<10} {} ring pair(s), peer {} {}\n",
                       l.value("id", 0), l.value("domain", 0), l.value("route", ""), state,
                       format_speed(mbps), l.value("rings", 0), l.value("peer", ""),
                       l.value("peer_name", ""));
}

std::string peer_line(const json& p)
{
    const std::string via = p.value("via", "");
    const std::string way = !p.value("reachable", false) ? "not reachable"
                            : via == p.value("guid", "") ? "direct"
                                                         : "via " + via;
    return fmt::format("  node {} LID {:<3} {:<20} {:<15} {:<28} {}\n", p.value("guid", ""),
                       p.value("lid", 0), p.value("name", ""), p.value("ipv4", ""),
                       p.value("ipv6", ""), way);
}

}  // namespace

std::string format_speed(uint64_t mbps)
{
    if (mbps == 0)
        return "no speed";
    return mbps % 1000 ? fmt::format("{:.1f} Gb/s", static_cast<double>(mbps) / 1000)
                       : fmt::format("{} Gb/s", mbps / 1000);
}

std::string format_status(const json& s)
{
    if (!s.value("module", false))
        return fmt::format("tbibd {}: kernel module tbib is not loaded\n", s.value("version", ""));
    const json& n = s.at("node");
    std::string out = fmt::format(
        "tbib0: port {}, {}, LID {}, GUID {}, RDMA device {}\n", n.value("port_state", ""),
        format_speed(n.value("speed_mbps", 0ull)), n.value("lid", 0), n.value("guid", ""),
        n.value("ibdev", "").empty() ? "none" : n.value("ibdev", ""));
    out += fmt::format("  name {}, addresses {}\n", n.value("name", ""), join(n.at("addresses")));
    out += fmt::format("  tbibd {}, module {}, policy {}, routes generation {}\n",
                       s.value("version", ""), n.value("module_version", ""),
                       s.value("policy", ""), s.value("route_generation", 0));
    for (const auto& l : s.at("links"))
        out += link_line(l);
    if (s.at("links").empty())
        out += "  no cable to another tbib host\n";
    for (const auto& p : s.at("peers"))
        out += peer_line(p);
    for (const auto& c : s.at("collisions"))
        out += fmt::format("  prefix {} is not used: collides with route {} of interface {}\n",
                           c.value("prefix", ""), c.value("route", ""), c.value("ifindex", 0));
    return out;
}

}  // namespace tbib
