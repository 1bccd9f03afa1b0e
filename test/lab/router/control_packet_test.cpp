// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <string_view>

#include "test/lab/router/control_packet.hpp"

using namespace tblab::router;

BOOST_AUTO_TEST_SUITE(control_packet)

BOOST_AUTO_TEST_CASE(crc_is_crc32c)
{
    // The check value of CRC-32C (Castagnoli).
    const std::string_view digits = "123456789";
    BOOST_TEST(crc32c(std::as_bytes(std::span(digits))) == 0xe3069283u);
}

BOOST_AUTO_TEST_CASE(encodes_big_endian_with_crc)
{
    const auto bytes = encode(make_plug_event(3, true));
    BOOST_REQUIRE(bytes.size() == 16u);
    BOOST_TEST((bytes[0] == std::byte{0x80}));
    BOOST_TEST((bytes[8] == std::byte{0x80}));
    BOOST_TEST((bytes[11] == std::byte{3}));
    const auto back = decode(5, bytes);
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((back->type == PacketType::event));
    BOOST_TEST((back->dwords == make_plug_event(3, true).dwords));
}

BOOST_AUTO_TEST_CASE(refuses_damage_and_odd_sizes)
{
    auto bytes = encode(make_error(0x301, ErrorCode::locked, 5));
    BOOST_TEST(decode(3, bytes)->route() == 0x301u);
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        if (size != bytes.size())
            BOOST_TEST(!decode(3, std::span(bytes).first(size)).has_value());
    }
    for (std::byte& b : bytes) {
        b ^= std::byte{1};
        BOOST_TEST(!decode(3, bytes).has_value());
        b ^= std::byte{1};
    }
    const std::vector<std::byte> large(max_packet + 4);
    BOOST_TEST(!decode(3, large).has_value());
}

BOOST_AUTO_TEST_CASE(route_keeps_22_high_bits)
{
    const ControlPacket packet{PacketType::read, {0xffffffff, 0x01020304}};
    BOOST_TEST(packet.route() == 0x3fffff01020304u);
}

BOOST_AUTO_TEST_CASE(config_address_fields)
{
    const auto a = ConfigAddress::decode(0x1234u | 60u << 13 | 5u << 19 | 2u << 25 | 3u << 27);
    BOOST_TEST(a.offset == 0x1234u);
    BOOST_TEST(a.length == 60u);
    BOOST_TEST(a.adapter == 5u);
    BOOST_TEST((a.space == Space::router));
}

BOOST_AUTO_TEST_SUITE_END()
