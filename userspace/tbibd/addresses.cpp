// SPDX-License-Identifier: Apache-2.0
#include "tbibd/addresses.hpp"

namespace tbib {

IpAddress ipv4_address(const Config& config, Lid lid)
{
    if (!config.ipv4 || lid == kLidNone)
        return {};
    const unsigned host_bits = 32 - config.ipv4->length;
    // The last number of the prefix is its broadcast address.
    if (host_bits < 16 && lid >= (1u << host_bits) - 1)
        return {};
    IpAddress ip = config.ipv4->address;
    ip.bytes[2] = static_cast<uint8_t>(ip.bytes[2] | lid >> 8);
    ip.bytes[3] = static_cast<uint8_t>(ip.bytes[3] | (lid & 0xff));
    return ip;
}

IpAddress ipv6_address(const Config& config, Guid guid)
{
    if (!config.ipv6)
        return {};
    IpAddress ip = config.ipv6->address;
    for (int i = 0; i < 8; i++)
        ip.bytes[8 + i] = static_cast<uint8_t>(guid.value >> (56 - 8 * i));
    return ip;
}

std::vector<Collision> find_collisions(const Config& config,
                                       const std::vector<nl::IpRoute>& routes, uint32_t own)
{
    std::vector<Collision> out;
    for (const auto& prefix : {config.ipv4, config.ipv6}) {
        if (!prefix)
            continue;
        for (const auto& r : routes)
            if (r.ifindex != own && overlaps(*prefix, r.destination))
                out.push_back({*prefix, r.destination, r.ifindex});
    }
    return out;
}

}  // namespace tbib
