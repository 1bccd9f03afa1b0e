// SPDX-License-Identifier: Apache-2.0
#include "test/lab/router/control_packet.hpp"

#include <algorithm>
#include <array>

namespace tblab::router {

namespace {

constexpr std::array<std::uint32_t, 256> crc_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int k = 0; k < 8; ++k)
            value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0); // 0x1edc6f41 reflected
        table[i] = value;
    }
    return table;
}();

std::uint32_t load_be(const std::byte* at)
{
    return std::to_integer<std::uint32_t>(at[0]) << 24 |
           std::to_integer<std::uint32_t>(at[1]) << 16 |
           std::to_integer<std::uint32_t>(at[2]) << 8 | std::to_integer<std::uint32_t>(at[3]);
}

void append_be(std::vector<std::byte>& out, std::uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::byte>(value >> shift));
}

/** b638d70e-42ff-40bb-97c2-90e2c0b2ff07, as dwords 3 to 6 have it. */
constexpr std::array<std::uint32_t, 4> discovery_uuid{0x0ed738b6, 0xbb40ff42, 0xe290c297,
                                                      0x07ffb2c0};

} // namespace

bool is_discovery(const ControlPacket& packet)
{
    return packet.dwords.size() >= 7 &&
           std::equal(discovery_uuid.begin(), discovery_uuid.end(), packet.dwords.begin() + 3);
}

ConfigAddress ConfigAddress::decode(std::uint32_t dword)
{
    return {dword & 0x1fff, dword >> 13 & 0x3f, dword >> 19 & 0x3f,
            static_cast<Space>(dword >> 25 & 3)};
}

std::uint32_t crc32c(std::span<const std::byte> data)
{
    std::uint32_t crc = ~0u;
    for (const std::byte value : data)
        crc = crc >> 8 ^ crc_table[(crc ^ std::to_integer<std::uint32_t>(value)) & 0xff];
    return ~crc;
}

std::optional<ControlPacket> decode(std::uint8_t type, std::span<const std::byte> bytes)
{
    constexpr std::size_t least = 12; // route and CRC
    if (bytes.size() < least || bytes.size() > max_packet || bytes.size() % 4 != 0)
        return std::nullopt;
    const auto payload = bytes.first(bytes.size() - 4);
    if (crc32c(payload) != load_be(bytes.data() + payload.size()))
        return std::nullopt;
    ControlPacket packet{static_cast<PacketType>(type), {}};
    packet.dwords.reserve(payload.size() / 4);
    for (std::size_t at = 0; at < payload.size(); at += 4)
        packet.dwords.push_back(load_be(payload.data() + at));
    return packet;
}

std::vector<std::byte> encode(const ControlPacket& packet)
{
    std::vector<std::byte> out;
    out.reserve(packet.dwords.size() * 4 + 4);
    for (const std::uint32_t dword : packet.dwords)
        append_be(out, dword);
    append_be(out, crc32c(out));
    return out;
}

ControlPacket make_error(std::uint64_t route, ErrorCode code, unsigned adapter)
{
    return {PacketType::error,
            {to_manager | static_cast<std::uint32_t>(route >> 32),
             static_cast<std::uint32_t>(route),
             static_cast<std::uint32_t>(code) | (adapter & 0x3f) << 8}};
}

ControlPacket make_plug_event(unsigned adapter, bool unplug)
{
    return {PacketType::event, {to_manager, 0, (adapter & 0x3f) | (unplug ? 1u << 31 : 0)}};
}

} // namespace tblab::router
