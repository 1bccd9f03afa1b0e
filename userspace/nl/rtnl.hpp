// SPDX-License-Identifier: Apache-2.0
// The part of rtnetlink that the daemon needs: addresses, neighbours, routes
// and the flags of one interface.
#pragma once

#include "base/types.hpp"
#include "nl/socket.hpp"

#include <vector>

namespace tbib::nl {

/// Who an address or neighbour entry is of: `ip address` shows it as "proto 0x74". What administrators
/// give an interface has another one, and is left alone.
constexpr uint8_t kProtocol = 't';

/// A permanent neighbour entry.
struct Neighbour {
    IpAddress address;
    Mac mac{};
    auto operator<=>(const Neighbour&) const = default;
};

/// A route of the main table: destination and outgoing interface.
struct IpRoute {
    IpPrefix destination;
    uint32_t ifindex = 0;
};

/// An interface is there, perhaps changed, or gone: removed, or moved to another namespace.
struct InterfaceChange {
    uint32_t ifindex = 0;
    bool gone = false;
    bool up = false;  ///< by whoever administers it
};

/// Requests throw nl::Error.
class Rtnl {
public:
    Rtnl();
    void set_up(uint32_t ifindex);
    /// Addresses that this class gave the interface.
    std::vector<IpPrefix> addresses(uint32_t ifindex);
    void add_address(uint32_t ifindex, const IpPrefix& address);
    void delete_address(uint32_t ifindex, const IpPrefix& address);
    /// Permanent entries that this class gave the interface.
    std::vector<Neighbour> neighbours(uint32_t ifindex);
    void replace_neighbour(uint32_t ifindex, const Neighbour& n);
    void delete_neighbour(uint32_t ifindex, const Neighbour& n);
    /// Unicast routes of the main table, default routes left out.
    std::vector<IpRoute> routes();

private:
    void address(uint16_t type, uint16_t flags, uint32_t ifindex, const IpPrefix& a);
    Socket socket_;
};

/// Pure parsers; nullopt when the message is of another kind or malformed, or the address or
/// neighbour not ours.
std::optional<std::pair<uint32_t, IpPrefix>> parse_address(const nlmsghdr* h);
std::optional<std::pair<uint32_t, Neighbour>> parse_neighbour(const nlmsghdr* h);
std::optional<IpRoute> parse_route(const nlmsghdr* h);
std::optional<InterfaceChange> parse_interface(const nlmsghdr* h);

}  // namespace tbib::nl
