// SPDX-License-Identifier: Apache-2.0
#include "nl/tbib.hpp"

#include "nl/attr.hpp"
#include "module/uapi/tbib_genl.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tbib::nl {

namespace {

template <typename T>
bool read(const nlattr* a, T& out)
{
    if (mnl_attr_get_payload_len(a) != sizeof(T))
        return false;
    memcpy(&out, mnl_attr_get_payload(a), sizeof(T));
    return true;
}

std::string text(const nlattr* a)
{
    const auto* p = static_cast<const char*>(mnl_attr_get_payload(a));
    return std::string(p, strnlen(p, mnl_attr_get_payload_len(a)));
}

template <typename F>
void each(const nlmsghdr* h, F f)
{
    each_attr(h, sizeof(genlmsghdr), f);
}

Node read_node(const nlattr* nest)
{
    Node n;
    each_nested(nest, [&](const nlattr* a) {
        switch (mnl_attr_get_type(a)) {
        case TBIB_NODE_A_GUID: read(a, n.guid.value); break;
        case TBIB_NODE_A_MAC: read(a, n.mac); break;
        case TBIB_NODE_A_LID: read(a, n.lid); break;
        case TBIB_NODE_A_EPOCH: read(a, n.epoch); break;
        case TBIB_NODE_A_PORT_STATE: read(a, n.port_state); break;
        case TBIB_NODE_A_SPEED: read(a, n.speed_mbps); break;
        case TBIB_NODE_A_IFINDEX: read(a, n.ifindex); break;
        case TBIB_NODE_A_IBDEV: n.ibdev = text(a); break;
        case TBIB_NODE_A_VERSION: n.version = text(a); break;
        case TBIB_NODE_A_DESC: n.desc = text(a); break;
        default: break;
        }
    });
    return n;
}

Link read_link(const nlattr* nest)
{
    Link l;
    each_nested(nest, [&](const nlattr* a) {
        uint8_t yes = 0;
        switch (mnl_attr_get_type(a)) {
        case TBIB_LINK_A_ID: read(a, l.id); break;
        case TBIB_LINK_A_STATE: read(a, l.state); break;
        case TBIB_LINK_A_REFUSED: read(a, l.refused); break;
        case TBIB_LINK_A_AUTHORISED: l.authorised = read(a, yes) && yes; break;
        case TBIB_LINK_A_PEER_GUID: read(a, l.peer.value); break;
        case TBIB_LINK_A_PEER_EPOCH: read(a, l.peer_epoch); break;
        case TBIB_LINK_A_PEER_NAME: l.peer_name = text(a); break;
        case TBIB_LINK_A_LOCAL_UUID: read(a, l.local_uuid); break;
        case TBIB_LINK_A_REMOTE_UUID: read(a, l.remote_uuid); break;
        case TBIB_LINK_A_ROUTE: read(a, l.route); break;
        case TBIB_LINK_A_DOMAIN: read(a, l.domain); break;
        case TBIB_LINK_A_SPEED: read(a, l.speed_gbps); break;
        case TBIB_LINK_A_WIDTH: read(a, l.width); break;
        case TBIB_LINK_A_RINGS: read(a, l.rings); break;
        case TBIB_LINK_A_MGMT_DROPS: read(a, l.mgmt_drops); break;
        default: break;
        }
    });
    return l;
}

Route read_route(const nlattr* nest)
{
    Route r;
    each_nested(nest, [&](const nlattr* a) {
        Guid child;
        switch (mnl_attr_get_type(a)) {
        case TBIB_ROUTE_A_GUID: read(a, r.guid.value); break;
        case TBIB_ROUTE_A_LID: read(a, r.lid); break;
        case TBIB_ROUTE_A_EPOCH: read(a, r.epoch); break;
        case TBIB_ROUTE_A_VIA: read(a, r.via.value); break;
        case TBIB_ROUTE_A_MCAST:
            if (read(a, child.value))
                r.mcast.push_back(child);
            break;
        default: break;
        }
    });
    std::sort(r.mcast.begin(), r.mcast.end());
    return r;
}

Request command(const Family& f, uint8_t cmd, uint16_t flags = 0, size_t size = 16384)
{
    Request r(f.id, flags, size);
    auto* g = r.extra<genlmsghdr>();
    g->cmd = cmd;
    g->version = TBIB_GENL_VERSION;
    return r;
}

Family require_family(Socket& s)
{
    const auto f = find_family(s);
    if (!f)
        throw Error(ENOENT, "kernel module tbib is not loaded");
    return *f;
}

}  // namespace

const char* name(PortState s)
{
    static constexpr const char* names[] = {"NONE", "DOWN", "INIT", "ARMED", "ACTIVE"};
    const auto i = static_cast<size_t>(s);
    return i < std::size(names) ? names[i] : "UNKNOWN";
}

const char* name(LinkState s)
{
    static constexpr const char* names[] = {"down", "login", "paths", "up", "refused"};
    const auto i = static_cast<size_t>(s);
    return i < std::size(names) ? names[i] : "unknown";
}

const char* refused_text(uint8_t code)
{
    static constexpr const char* texts[] = {
        "", "peer is not ready", "peer speaks another version of the tbib protocol",
        "peer has the same node GUID as this host", "peer sent a malformed login",
        "no ring pair of the host router is to be had"};
    return code < std::size(texts) ? texts[code] : "unknown reason";
}

Event parse_event(const nlmsghdr* h)
{
    Event e;
    if (mnl_nlmsg_get_payload_len(h) < sizeof(genlmsghdr))
        return e;
    const auto* g = static_cast<const genlmsghdr*>(mnl_nlmsg_get_payload(h));
    bool have_id = false, have_data = false, have_link = false, have_node = false;
    each(h, [&](const nlattr* a) {
        switch (mnl_attr_get_type(a)) {
        case TBIB_A_LINK: e.link = read_link(a); have_link = true; break;
        case TBIB_A_NODE: e.node = read_node(a); have_node = true; break;
        case TBIB_A_LINK_ID: have_id = read(a, e.link_id); break;
        case TBIB_A_DATA:
            e.data.assign(static_cast<const char*>(mnl_attr_get_payload(a)),
                          mnl_attr_get_payload_len(a));
            have_data = true;
            break;
        default: break;
        }
    });
    if (g->cmd == TBIB_CMD_LINK_EVENT && have_link)
        e.kind = Event::Kind::Link;
    else if (g->cmd == TBIB_CMD_LINK_GONE && have_id)
        e.kind = Event::Kind::LinkGone;
    else if (g->cmd == TBIB_CMD_NODE_EVENT && have_node)
        e.kind = Event::Kind::Node;
    else if (g->cmd == TBIB_CMD_MGMT_RECV && have_id && have_data)
        e.kind = Event::Kind::Mgmt;
    return e;
}

Node parse_node(const nlmsghdr* h)
{
    Node n;
    each(h, [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == TBIB_A_NODE)
            n = read_node(a);
    });
    return n;
}

Link parse_link(const nlmsghdr* h)
{
    Link l;
    each(h, [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == TBIB_A_LINK)
            l = read_link(a);
    });
    return l;
}

void parse_route(const nlmsghdr* h, RouteTable& table)
{
    each(h, [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == TBIB_A_GENERATION)
            read(a, table.generation);
        else if (mnl_attr_get_type(a) == TBIB_A_ROUTE)
            table.routes.push_back(read_route(a));
    });
}

std::optional<Family> find_family(Socket& socket)
{
    Request r(GENL_ID_CTRL, 0);
    auto* g = r.extra<genlmsghdr>();
    g->cmd = CTRL_CMD_GETFAMILY;
    g->version = 1;
    r.put_str(CTRL_ATTR_FAMILY_NAME, TBIB_GENL_NAME);
    Family f;
    try {
        socket.request(r, [&](const nlmsghdr* h) {
            each(h, [&](const nlattr* a) {
                if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
                    read(a, f.id);
                if (mnl_attr_get_type(a) != CTRL_ATTR_MCAST_GROUPS)
                    return;
                each_nested(a, [&](const nlattr* group) {
                    uint32_t id = 0;
                    std::string name;
                    each_nested(group, [&](const nlattr* x) {
                        if (mnl_attr_get_type(x) == CTRL_ATTR_MCAST_GRP_ID)
                            read(x, id);
                        if (mnl_attr_get_type(x) == CTRL_ATTR_MCAST_GRP_NAME)
                            name = text(x);
                    });
                    if (name == TBIB_GENL_MCGRP_EVENTS)
                        f.events_group = id;
                });
            });
        });
    } catch (const Error& e) {
        if (e.code() == ENOENT)
            return std::nullopt;
        throw;
    }
    return f.id ? std::optional(f) : std::nullopt;
}

TbibClient::TbibClient() : socket_(NETLINK_GENERIC), family_(require_family(socket_)) {}

Node TbibClient::node()
{
    Node n;
    auto r = command(family_, TBIB_CMD_NODE_GET);
    socket_.request(r, [&](const nlmsghdr* h) { n = parse_node(h); });
    return n;
}

std::vector<Link> TbibClient::links()
{
    std::vector<Link> out;
    auto r = command(family_, TBIB_CMD_LINK_GET, NLM_F_DUMP);
    socket_.request(r, [&](const nlmsghdr* h) { out.push_back(parse_link(h)); });
    return out;
}

RouteTable TbibClient::routes()
{
    RouteTable t;
    auto r = command(family_, TBIB_CMD_ROUTE_GET, NLM_F_DUMP);
    socket_.request(r, [&](const nlmsghdr* h) { parse_route(h, t); });
    std::sort(t.routes.begin(), t.routes.end(),
              [](const Route& a, const Route& b) { return a.guid < b.guid; });
    return t;
}

std::vector<std::pair<std::string, uint64_t>> TbibClient::stats()
{
    std::vector<std::pair<std::string, uint64_t>> out;
    auto r = command(family_, TBIB_CMD_STATS_GET);
    socket_.request(r, [&](const nlmsghdr* h) {
        each(h, [&](const nlattr* a) {
            if (mnl_attr_get_type(a) != TBIB_A_STATS)
                return;
            std::string key;
            uint64_t value = 0;
            each_nested(a, [&](const nlattr* x) {
                if (mnl_attr_get_type(x) == TBIB_STAT_A_NAME)
                    key = text(x);
                if (mnl_attr_get_type(x) == TBIB_STAT_A_VALUE)
                    read(x, value);
            });
            out.emplace_back(key, value);
        });
    });
    return out;
}

void TbibClient::set_guid(Guid guid)
{
    auto r = command(family_, TBIB_CMD_NODE_SET);
    auto* n = r.nest(TBIB_A_NODE);
    r.put_u64(TBIB_NODE_A_GUID, guid.value);
    r.end(n);
    socket_.request(r);
}

void TbibClient::set_lid(Lid lid)
{
    auto r = command(family_, TBIB_CMD_NODE_SET);
    auto* n = r.nest(TBIB_A_NODE);
    r.put_u16(TBIB_NODE_A_LID, lid);
    r.end(n);
    socket_.request(r);
}

void TbibClient::set_desc(const std::string& desc)
{
    auto r = command(family_, TBIB_CMD_NODE_SET);
    auto* n = r.nest(TBIB_A_NODE);
    r.put_str(TBIB_NODE_A_DESC, desc);
    r.end(n);
    socket_.request(r);
}

void TbibClient::authorise(uint32_t link, bool yes)
{
    auto r = command(family_, TBIB_CMD_LINK_AUTH);
    auto* n = r.nest(TBIB_A_LINK);
    r.put_u32(TBIB_LINK_A_ID, link);
    r.put_u8(TBIB_LINK_A_AUTHORISED, yes);
    r.end(n);
    socket_.request(r);
}

void TbibClient::set_routes(const RouteTable& table)
{
    auto r = command(family_, TBIB_CMD_ROUTE_SET, 0, 1 << 18);
    r.put_u32(TBIB_A_GENERATION, table.generation);
    for (const Route& route : table.routes) {
        auto* n = r.nest(TBIB_A_ROUTE);
        r.put_u64(TBIB_ROUTE_A_GUID, route.guid.value);
        r.put_u16(TBIB_ROUTE_A_LID, route.lid);
        r.put_u32(TBIB_ROUTE_A_EPOCH, route.epoch);
        r.put_u64(TBIB_ROUTE_A_VIA, route.via.value);
        for (Guid child : route.mcast)
            r.put_u64(TBIB_ROUTE_A_MCAST, child.value);
        r.end(n);
    }
    socket_.request(r);
}

TbibManager::TbibManager()
    : socket_(NETLINK_GENERIC), sender_(NETLINK_GENERIC), family_(require_family(sender_))
{
    socket_.join(family_.events_group);
    auto r = command(family_, TBIB_CMD_MANAGER);
    socket_.request(r);
}

void TbibManager::send(uint32_t link, const std::string& data)
{
    auto r = command(family_, TBIB_CMD_MGMT_SEND);
    r.put_u32(TBIB_A_LINK_ID, link);
    r.put(TBIB_A_DATA, data.data(), data.size());
    sender_.request(r);
}

bool TbibManager::drain(const std::function<void(const Event&)>& on)
{
    return socket_.drain([&](const nlmsghdr* h) {
        if (h->nlmsg_type != family_.id)
            return;
        const Event e = parse_event(h);
        if (e.kind != Event::Kind::None)
            on(e);
    });
}

}  // namespace tbib::nl
