// SPDX-License-Identifier: Apache-2.0
// Link-state advertisements: what each node says of itself to the fabric, and
// the datagrams in which neighbours exchange them.
#pragma once

#include "base/types.hpp"

#include <map>
#include <string>
#include <vector>

namespace tbib {

inline constexpr size_t kMaxNeighbours = 32;
inline constexpr size_t kMaxNodes = 255;
inline constexpr size_t kMaxDatagram = 3072;  // TBIB_MGMT_MAX

/// One node's state. A higher sequence replaces a lower one.
struct Lsa {
    Guid origin;
    uint64_t sequence = 0;
    uint32_t epoch = 0;
    Lid lid = kLidNone;
    std::string name;
    IpAddress ipv4, ipv6;
    std::map<Guid, uint32_t> neighbours;  ///< GUID -> sum of link rates, Gb/s
    bool operator==(const Lsa&) const = default;
    /// Equal but for the sequence: nothing new to tell.
    bool same_state(const Lsa& other) const;
};

/// A datagram between two neighbours.
struct Message {
    enum class Type { Lsa, Sync } type = Type::Sync;
    Lsa lsa;  ///< Type::Lsa; Sync asks for all that the neighbour knows
};

std::string encode(const Message& m);
/// Pure and total: nullopt for anything that is not a well-formed message
/// within all bounds.
std::optional<Message> decode(std::string_view data);

}  // namespace tbib
