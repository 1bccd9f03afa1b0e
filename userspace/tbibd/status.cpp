// SPDX-License-Identifier: Apache-2.0
#include "tbibd/status.hpp"

#include "tbib_version.h"

#include <fmt/format.h>

namespace tbib {

using nlohmann::json;

const char* const kVersion = TBIB_VERSION;

const char* const kInterface = R"(# tbibd: the fabric as this host sees it
interface io.tbib

type Node (guid: string, mac: string, lid: int, port_state: string, speed_mbps: int,
           ifindex: int, ibdev: string, name: string, module_version: string,
           addresses: []string)
type Link (id: int, state: string, refused: string, authorised: bool, peer: string,
           peer_name: string, domain: int, route: string, local_uuid: string,
           remote_uuid: string, speed_gbps: int, width: int, rings: int, mgmt_drops: int)
type Peer (guid: string, name: string, lid: int, reachable: bool, via: string,
           ipv4: string, ipv6: string)
type Collision (prefix: string, route: string, ifindex: int)

# Everything at once; module is false while the kernel module is not loaded.
method GetStatus() -> (version: string, module: bool, policy: string, node: Node,
                       links: []Link, peers: []Peer, collisions: []Collision,
                       route_generation: int, bad_datagrams: int)
)";

namespace {

json node_json(const Engine& e)
{
    const nl::Node& n = e.node();
    json addresses = json::array();
    for (const auto& a : e.network().addresses)
        addresses.push_back(to_string(a));
    return {{"guid", to_string(n.guid)},   {"mac", to_string(n.mac)},
            {"lid", n.lid},                {"port_state", nl::name(n.port_state)},
            {"speed_mbps", n.speed_mbps},  {"ifindex", n.ifindex},
            {"ibdev", n.ibdev},            {"name", n.desc},
            {"module_version", n.version}, {"addresses", addresses}};
}

json link_json(const nl::Link& l)
{
    return {{"id", l.id},
            {"state", nl::name(l.state)},
            {"refused", nl::refused_text(l.refused)},
            {"authorised", l.authorised},
            {"peer", to_string(l.peer)},
            {"peer_name", l.peer_name},
            {"domain", l.domain},
            {"route", fmt::format("{:x}", l.route)},
            {"local_uuid", to_string(l.local_uuid)},
            {"remote_uuid", to_string(l.remote_uuid)},
            {"speed_gbps", l.speed_gbps},
            {"width", l.width},
            {"rings", l.rings},
            {"mgmt_drops", l.mgmt_drops}};
}

json peer_json(const PeerStatus& p)
{
    return {{"guid", to_string(p.lsa.origin)},
            {"name", p.lsa.name},
            {"lid", p.lsa.lid},
            {"reachable", p.reachable},
            {"via", p.reachable ? to_string(p.via) : ""},
            {"ipv4", to_string(p.lsa.ipv4)},
            {"ipv6", to_string(p.lsa.ipv6)}};
}

}  // namespace

json status_json(const Engine& e, bool module_loaded, const std::vector<Collision>& collisions)
{
    json links = json::array(), peers = json::array(), clashes = json::array();
    for (const auto& [id, l] : e.links())
        links.push_back(link_json(l));
    for (const auto& p : e.peers())
        peers.push_back(peer_json(p));
    for (const auto& c : collisions)
        clashes.push_back({{"prefix", to_string(c.prefix)},
                           {"route", to_string(c.route)},
                           {"ifindex", c.ifindex}});
    return {{"version", kVersion},
            {"module", module_loaded},
            {"policy", e.config().policy == Policy::Any ? "any" : "known"},
            {"node", node_json(e)},
            {"links", links},
            {"peers", peers},
            {"collisions", clashes},
            {"route_generation", e.routes().generation},
            {"bad_datagrams", e.bad_datagrams()}};
}

}  // namespace tbib
