// SPDX-License-Identifier: Apache-2.0
// IP addresses of tbib0: made of the configured prefixes, the LID and the GUID.
#pragma once

#include "nl/rtnl.hpp"
#include "tbibd/config.hpp"

#include <string>
#include <vector>

namespace tbib {

/// prefix + LID; none when the prefix is off, has no room, or there is no LID.
IpAddress ipv4_address(const Config& config, Lid lid);
/// prefix + EUI-64 of the MAC.
IpAddress ipv6_address(const Config& config, Guid guid);

/// A configured prefix that somebody else uses.
struct Collision {
    IpPrefix prefix;
    IpPrefix route;
    uint32_t ifindex;
    bool operator==(const Collision&) const = default;
};

/// Pure: collisions of the configured prefixes with @p routes of interfaces
/// other than @p own.
std::vector<Collision> find_collisions(const Config& config,
                                       const std::vector<nl::IpRoute>& routes, uint32_t own);

/// What to change so that an interface has just the wanted entries.
template <typename T>
struct Changes {
    std::vector<T> remove, add;
};

/// Pure set difference; nothing that is right already is touched.
template <typename T>
Changes<T> difference(const std::vector<T>& have, const std::vector<T>& want)
{
    Changes<T> c;
    auto in = [](const std::vector<T>& v, const T& x) {
        for (const T& y : v)
            if (x == y)
                return true;
        return false;
    };
    for (const T& x : have)
        if (!in(want, x))
            c.remove.push_back(x);
    for (const T& x : want)
        if (!in(have, x))
            c.add.push_back(x);
    return c;
}

}  // namespace tbib
