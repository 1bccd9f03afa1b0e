// SPDX-License-Identifier: Apache-2.0
// The module's generic netlink family as C++ values (module/uapi/tbib_genl.h).
#pragma once

#include "base/types.hpp"
#include "nl/socket.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tbib::nl {

enum class PortState : uint8_t { None = 0, Down = 1, Init = 2, Armed = 3, Active = 4 };
const char* name(PortState s);

/// This host's node.
struct Node {
    Guid guid;
    Mac mac{};
    Lid lid = 0;
    uint32_t epoch = 0;
    PortState port_state = PortState::None;
    uint32_t speed_mbps = 0;
    uint32_t ifindex = 0;
    std::string ibdev;
    std::string version;
    std::string desc;
    bool operator==(const Node&) const = default;
};

enum class LinkState : uint8_t { Down = 0, Login = 1, Paths = 2, Up = 3, Refused = 4 };
const char* name(LinkState s);
/// Why a link is refused or does not come up; empty for 0.
const char* refused_text(uint8_t code);

/// One cable.
struct Link {
    uint32_t id = 0;
    LinkState state = LinkState::Down;
    uint8_t refused = 0;
    bool authorised = false;
    Guid peer;
    uint32_t peer_epoch = 0;
    std::string peer_name;
    Uuid local_uuid{}, remote_uuid{};
    uint64_t route = 0;
    uint32_t domain = 0;
    uint32_t speed_gbps = 0;
    uint32_t width = 0;
    uint32_t rings = 0;
    uint64_t mgmt_drops = 0;
    bool operator==(const Link&) const = default;
};

/// One row of the forwarding table.
struct Route {
    Guid guid;
    Lid lid = 0;
    uint32_t epoch = 0;
    Guid via;
    std::vector<Guid> mcast;  ///< neighbours that get this node's multicast
    bool operator==(const Route&) const = default;
};

struct RouteTable {
    uint32_t generation = 0;
    std::vector<Route> routes;  ///< sorted by GUID
    bool operator==(const RouteTable&) const = default;
};

/// What came by itself from the module.
struct Event {
    enum class Kind { None, Link, LinkGone, Node, Mgmt } kind = Kind::None;
    Link link;
    Node node;
    uint32_t link_id = 0;
    std::string data;
};

/// Pure: bytes of a netlink message to values; malformed attributes are left out.
Event parse_event(const nlmsghdr* h);
Node parse_node(const nlmsghdr* h);
Link parse_link(const nlmsghdr* h);
/// Adds the route of a dump message to @p table.
void parse_route(const nlmsghdr* h, RouteTable& table);

/// Numbers that genetlink gave the family.
struct Family {
    uint16_t id = 0;
    uint32_t events_group = 0;
};
/// Return: nullopt when the module is not loaded.
std::optional<Family> find_family(Socket& socket);

/// Requests to the module. Throws nl::Error.
class TbibClient {
public:
    /// Throws nl::Error(ENOENT) when the module is not loaded.
    TbibClient();
    Node node();
    std::vector<Link> links();
    RouteTable routes();
    std::vector<std::pair<std::string, uint64_t>> stats();
    void set_guid(Guid guid);
    void set_lid(Lid lid);
    void set_desc(const std::string& desc);
    void authorise(uint32_t link, bool yes);
    void set_routes(const RouteTable& table);

private:
    Socket socket_;
    Family family_;
};

/// The manager's socket: events, and management datagrams both ways.
class TbibManager {
public:
    TbibManager();
    int fd() const { return socket_.fd(); }
    void send(uint32_t link, const std::string& data);
    /// Return: false when events were lost.
    bool drain(const std::function<void(const Event&)>& on);

private:
    Socket socket_;
    Socket sender_;
    Family family_;
};

}  // namespace tbib::nl
