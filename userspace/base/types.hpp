// SPDX-License-Identifier: Apache-2.0
// Value types of the fabric: GUID, MAC, LID, UUID, IP prefixes; text and back.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tbib {

/// Link-layer address of tbib0.
using Mac = std::array<uint8_t, 6>;
/// Thunderbolt router UUID, in the order in which it is printed.
using Uuid = std::array<uint8_t, 16>;
using Lid = uint16_t;

inline constexpr Lid kLidNone = 0;
inline constexpr Lid kLidMax = 255;

/// Node GUID: the EUI-64 of the MAC of tbib0.
struct Guid {
    uint64_t value = 0;
    auto operator<=>(const Guid&) const = default;
};

/// EUI-64 of a MAC, universal/local bit flipped (RFC 4291, appendix A).
Guid guid_from_mac(const Mac& mac);
/// Inverse; meaningful only for GUIDs that came from a MAC.
Mac mac_from_guid(Guid guid);

/// "0011:2233:4455:6677", as ibstat prints it.
std::string to_string(Guid guid);
std::string to_string(const Mac& mac);
std::string to_string(const Uuid& uuid);

/// Accepts to_string()'s form, and plain hex with or without 0x.
std::optional<Guid> parse_guid(std::string_view text);

/// An IPv4 (family 4) or IPv6 (family 6) address.
struct IpAddress {
    int family = 0;  ///< 4, 6, or 0 = none
    std::array<uint8_t, 16> bytes{};
    auto operator<=>(const IpAddress&) const = default;
    explicit operator bool() const { return family != 0; }
    size_t size() const { return family == 4 ? 4 : family == 6 ? 16 : 0; }
};

std::string to_string(const IpAddress& ip);
std::optional<IpAddress> parse_ip(std::string_view text);

/// An address with a prefix length.
struct IpPrefix {
    IpAddress address;
    unsigned length = 0;
    auto operator<=>(const IpPrefix&) const = default;
};

std::string to_string(const IpPrefix& prefix);
/// "10.0.0.0/24"; nullopt when malformed or when host bits are set.
std::optional<IpPrefix> parse_prefix(std::string_view text);
/// Do the two share an address?
bool overlaps(const IpPrefix& a, const IpPrefix& b);

}  // namespace tbib
