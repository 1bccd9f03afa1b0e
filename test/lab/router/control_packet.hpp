// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

/**
 * Packets of the control channel (ring 0): big-endian dwords followed by their
 * CRC32C. The packet type travels in the frame's EOF PDF.
 */
namespace tblab::router {

enum class PacketType : std::uint8_t {
    read = 1,
    write = 2,
    error = 3,
    notify_ack = 4,
    event = 5,
    xdomain_request = 6,
    xdomain_response = 7,
    reset = 9,
};

/** Codes of ERROR packets. */
enum class ErrorCode : std::uint8_t {
    not_connected = 0,
    invalid_space = 2,
    no_such_adapter = 4,
    plug_acknowledged = 7, ///< sent by the connection manager
    enumeration = 8,
    locked = 15,
};

enum class Space : std::uint8_t { path = 0, adapter = 1, router = 2, counters = 3 };

/** Set in dword 0 of every packet to the connection manager. */
inline constexpr std::uint32_t to_manager = 1u << 31;

inline constexpr std::size_t max_packet = 256;       ///< bytes, CRC included
inline constexpr unsigned max_config_dwords = 60;

/** A packet in host byte order, without its CRC. */
struct ControlPacket {
    PacketType type{};
    std::vector<std::uint32_t> dwords;

    std::uint64_t route() const
    {
        return std::uint64_t{dwords[0] & 0x3fffff} << 32 | dwords[1];
    }
};

/** dword 2 of READ and WRITE. */
struct ConfigAddress {
    unsigned offset, length, adapter;
    Space space;

    static ConfigAddress decode(std::uint32_t dword);
};

/** Whether it is of the discovery protocol between hosts, not of a service. */
bool is_discovery(const ControlPacket& packet);

std::uint32_t crc32c(std::span<const std::byte> data);

/** @return the packet, unless size or CRC are wrong or it has no header */
std::optional<ControlPacket> decode(std::uint8_t type, std::span<const std::byte> bytes);
/** Appends the CRC. */
std::vector<std::byte> encode(const ControlPacket& packet);

ControlPacket make_error(std::uint64_t route, ErrorCode code, unsigned adapter);
ControlPacket make_plug_event(unsigned adapter, bool unplug);

} // namespace tblab::router
