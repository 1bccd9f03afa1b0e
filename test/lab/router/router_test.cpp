// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <random>

#include "test/lab/router/router.hpp"

using namespace tblab::router;

namespace {

struct Fixture : Events {
    Router router{2, 12, 1, 0x1122334455667788, *this};
    int configs = 0, path_writes = 0;

    void config_changed() override { ++configs; }
    void paths_changed() override { ++path_writes; }

    static std::uint32_t address(Space space, unsigned adapter, unsigned offset,
                                 unsigned length)
    {
        return offset | length << 13 | adapter << 19 | static_cast<unsigned>(space) << 25 |
               1u << 27;
    }
    ControlPacket ask(PacketType type, std::uint32_t addr,
                      std::vector<std::uint32_t> data = {})
    {
        ControlPacket packet{type, {0, 0, addr}};
        packet.dwords.insert(packet.dwords.end(), data.begin(), data.end());
        const auto answer = router.handle(packet);
        BOOST_REQUIRE(answer.has_value());
        BOOST_TEST(answer->dwords[0] == to_manager);
        return *answer;
    }
    std::uint32_t read(Space space, unsigned adapter, unsigned offset)
    {
        const auto answer = ask(PacketType::read, address(space, adapter, offset, 1));
        BOOST_REQUIRE((answer.type == PacketType::read));
        return answer.dwords.at(3);
    }
    void write(Space space, unsigned adapter, unsigned offset, std::uint32_t value)
    {
        const auto answer = ask(PacketType::write, address(space, adapter, offset, 1), {value});
        BOOST_TEST((answer.type == PacketType::write));
    }
    int error(PacketType type, std::uint32_t addr, std::vector<std::uint32_t> data = {})
    {
        const auto answer = ask(type, addr, std::move(data));
        return answer.type == PacketType::error ? static_cast<int>(answer.dwords[2] & 0xff)
                                                : -1;
    }
};

/** Follows the capability list as the driver does. */
std::vector<unsigned> capabilities(Fixture& f, Space space, unsigned adapter)
{
    std::vector<unsigned> ids;
    unsigned at = f.read(space, adapter, 1) & 0xff;
    while (at && ids.size() < 10) {
        const std::uint32_t header = f.read(space, adapter, at);
        ids.push_back(header >> 8 & 0xff);
        at = header & 0xff;
    }
    return ids;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(router, Fixture)

BOOST_AUTO_TEST_CASE(identifies_itself)
{
    const std::uint32_t cs1 = read(Space::router, 0, 1);
    BOOST_TEST((cs1 >> 8 & 0x3f) == 5u);  // upstream adapter: the host interface
    BOOST_TEST((cs1 >> 14 & 0x3f) == 5u); // highest adapter
    BOOST_TEST(read(Space::router, 0, 4) >> 24 == 0x20u);
    BOOST_TEST(read(Space::router, 0, 7) == 0x55667788u);
    BOOST_TEST(read(Space::router, 0, 8) == 0x11223344u);
    Router v2(2, 12, 2, 1, *this);
    BOOST_TEST(v2.handle({PacketType::read, {0, 0, address(Space::router, 0, 4, 1)}})
                       ->dwords[3] >> 24 == 0x40u);
}

BOOST_AUTO_TEST_CASE(read_answers_echo_the_address)
{
    const auto adapter = ask(PacketType::read, address(Space::adapter, 3, 2, 4));
    BOOST_TEST(adapter.dwords[2] == address(Space::adapter, 3, 2, 4));
    BOOST_TEST(adapter.dwords.size() == 7u);
    // In router space the answer names the upstream adapter.
    const auto router_space = ask(PacketType::read, address(Space::router, 0, 0, 5));
    BOOST_TEST(router_space.dwords[2] == address(Space::router, 5, 0, 5));
}

BOOST_AUTO_TEST_CASE(capability_lists)
{
    const std::vector<unsigned> lane0{3, 1, 6}, lane1{3, 1}, none, tmu{3};
    BOOST_TEST(capabilities(*this, Space::adapter, 1) == lane0);
    BOOST_TEST(capabilities(*this, Space::adapter, 2) == lane1);
    BOOST_TEST(capabilities(*this, Space::adapter, 3) == lane0);
    BOOST_TEST(capabilities(*this, Space::adapter, 5) == none);
    BOOST_TEST(capabilities(*this, Space::router, 0) == tmu);
}

BOOST_AUTO_TEST_CASE(adapters)
{
    for (unsigned adapter = 1; adapter <= 5; ++adapter) {
        const bool host = adapter == 5;
        BOOST_TEST((read(Space::adapter, adapter, adp_cs_2) & 0xffffff) == (host ? 2u : 1u));
        BOOST_TEST(read(Space::adapter, adapter, adp_cs_3) >> 20 == adapter);
        const std::uint32_t hops = read(Space::adapter, adapter, adp_cs_5);
        BOOST_TEST((hops & 0x7ff) == (host ? 11u : 63u));
        BOOST_TEST((hops >> 11 & 0x7ff) == (host ? 11u : 63u));
        BOOST_TEST((hops & cs_5_no_hot_plug) != 0u);
    }
}

BOOST_AUTO_TEST_CASE(addresses_outside_are_errors)
{
    constexpr int invalid = 2, no_adapter = 4;
    const auto rd = PacketType::read;
    BOOST_TEST(error(rd, address(Space::router, 0, router_size, 1)) == invalid);
    BOOST_TEST(error(rd, address(Space::router, 0, router_size - 1, 2)) == invalid);
    BOOST_TEST(error(rd, address(Space::router, 0, 0, 0)) == invalid);
    BOOST_TEST(error(rd, address(Space::router, 0, 0, 61)) == invalid);
    BOOST_TEST(error(rd, address(Space::adapter, 0, 0, 1)) == invalid);
    BOOST_TEST(error(rd, address(Space::adapter, 1, adapter_size, 1)) == invalid);
    BOOST_TEST(error(rd, address(Space::adapter, 6, 0, 1)) == no_adapter);
    BOOST_TEST(error(rd, address(Space::path, 63, 0, 2)) == no_adapter);
    BOOST_TEST(error(rd, address(Space::path, 1, 2 * 64, 2)) == invalid);
    BOOST_TEST(error(rd, address(Space::path, 1, 2 * 63, 2)) == -1);
    BOOST_TEST(error(rd, address(Space::path, 5, 2 * 12, 2)) == invalid);
    BOOST_TEST(error(rd, address(Space::counters, 1, 0, 1)) == invalid);
    BOOST_TEST(error(PacketType::write, address(Space::path, 5, 2 * 12, 2), {1, 2}) == invalid);
}

BOOST_AUTO_TEST_CASE(short_packets_have_no_answer)
{
    BOOST_TEST(!router.handle({PacketType::read, {0, 0}}).has_value());
    BOOST_TEST(!router.handle({PacketType::write, {0, 0, address(Space::router, 0, 2, 2), 1}})
                    .has_value());
    BOOST_TEST(!router.handle({PacketType::xdomain_request, {0, 0}}).has_value());
    BOOST_TEST((router.handle({PacketType::reset, {0, 0}})->type == PacketType::reset));
}

BOOST_AUTO_TEST_CASE(read_only_bits_stay)
{
    const std::uint32_t before[] = {read(Space::router, 0, 0), read(Space::router, 0, 7),
                                    read(Space::adapter, 1, 0), read(Space::adapter, 5, 2)};
    write(Space::router, 0, 0, ~0u);
    write(Space::router, 0, 7, ~0u);
    write(Space::adapter, 1, 0, ~0u);
    write(Space::adapter, 5, 2, ~0u);
    BOOST_TEST(read(Space::router, 0, 0) == before[0]);
    BOOST_TEST(read(Space::router, 0, 7) == before[1]);
    BOOST_TEST(read(Space::adapter, 1, 0) == before[2]);
    BOOST_TEST(read(Space::adapter, 5, 2) == before[3]);
    write(Space::adapter, 1, lane_cs_1, 0);
    BOOST_TEST(read(Space::adapter, 1, lane_cs_1) >> lane_state_shift == state_unplugged);
}

BOOST_AUTO_TEST_CASE(sleep_ready_follows_sleep)
{
    write(Space::router, 0, router_cs_5, cs_5_slp);
    BOOST_TEST((read(Space::router, 0, router_cs_6) & cs_6_slpr) != 0u);
    write(Space::router, 0, router_cs_5, 0);
    BOOST_TEST((read(Space::router, 0, router_cs_6) & cs_6_slpr) == 0u);
    BOOST_TEST((read(Space::router, 0, router_cs_6) & cs_6_cr) != 0u);
}

BOOST_AUTO_TEST_CASE(router_operations)
{
    write(Space::router, 0, router_cs_26, cs_26_operation_valid | op_buffer_allocation);
    BOOST_TEST(read(Space::router, 0, router_cs_26) == op_buffer_allocation);
    BOOST_TEST(read(Space::router, 0, router_cs_25) == 5u);
    BOOST_TEST(read(Space::router, 0, router_cs_9 + 4) == (5u | 14u << 16));
    write(Space::router, 0, router_cs_26, cs_26_operation_valid | 0x24); // read DROM
    BOOST_TEST((read(Space::router, 0, router_cs_26) & cs_26_not_supported) != 0u);
    BOOST_TEST((read(Space::router, 0, router_cs_26) & cs_26_operation_valid) == 0u);
}

BOOST_AUTO_TEST_CASE(no_retimers_and_no_pending_commands)
{
    write(Space::adapter, 1, port_cs_1, port_cs_1_pending | 2u << 16);
    const std::uint32_t answer = read(Space::adapter, 1, port_cs_1);
    BOOST_TEST((answer & port_cs_1_pending) == 0u);
    BOOST_TEST((answer & port_cs_1_no_response) != 0u);
    write(Space::adapter, 1, port_cs_1, port_cs_1_pending | 1u << 16);
    BOOST_TEST((read(Space::adapter, 1, port_cs_1) & port_cs_1_no_response) == 0u);
}

BOOST_AUTO_TEST_CASE(paths)
{
    BOOST_TEST(!router.path(5, 1).has_value());
    write(Space::path, 5, 2, path_valid | 1u << 11 | 8u); // ring 1 -> adapter 1, HopID 8
    BOOST_TEST(path_writes == 1);
    BOOST_REQUIRE(router.path(5, 1).has_value());
    BOOST_TEST(router.path(5, 1)->adapter == 1u);
    BOOST_TEST(router.path(5, 1)->hop == 8u);
    write(Space::path, 5, 3, ~0u);
    BOOST_TEST((read(Space::path, 5, 3) & path_pending) == 0u);
    BOOST_TEST(!router.path(5, 12).has_value());
    BOOST_TEST(!router.path(99, 0).has_value());
    BOOST_TEST(router.path(1, 0).has_value()); // the control path
}

BOOST_AUTO_TEST_CASE(connection_manager_requests)
{
    BOOST_TEST(!router.enumerated());
    write(Space::router, 0, router_cs_3, cs_3_valid);
    BOOST_TEST(router.enumerated());
    BOOST_TEST(!router.hot_plug_enabled(1));
    write(Space::adapter, 3, adp_cs_5, 0);
    BOOST_TEST(router.hot_plug_enabled(1));
    BOOST_TEST(!router.hot_plug_enabled(0));
    write(Space::adapter, 1, port_cs_19, port_cs_19_reset);
    BOOST_TEST(router.port_in_reset(0));
    write(Space::adapter, 2, lane_cs_1, lane_disable);
    BOOST_TEST(router.lane_disabled(0, 1));
    BOOST_TEST(!router.lane_disabled(0, 0));
    BOOST_TEST(configs == 4);
    write(Space::adapter, 1, lane_cs_1, lane_width_dual | lane_bonding);
    BOOST_TEST(router.bonding_requested(0));
    BOOST_TEST(!router.both_lanes_target_dual(0));
    BOOST_TEST((read(Space::adapter, 1, lane_cs_1) & lane_bonding) == 0u); // self-clearing
    write(Space::adapter, 2, lane_cs_1, lane_width_dual);
    BOOST_TEST(router.both_lanes_target_dual(0));
    router.reset();
    BOOST_TEST(!router.enumerated());
    BOOST_TEST(!router.bonding_requested(0));
    BOOST_TEST(!router.port_in_reset(0));
}

BOOST_AUTO_TEST_CASE(lane_states)
{
    router.set_link_up(0, false);
    std::uint32_t lane = read(Space::adapter, 1, lane_cs_1);
    BOOST_TEST((lane >> lane_state_shift & 0xf) == state_cl0);
    BOOST_TEST((lane >> lane_speed_shift & 0xf) == speed_gen3);
    BOOST_TEST((lane >> lane_current_width_shift & 0x3f) == 1u);
    BOOST_TEST(router.locked(0));
    router.set_link_up(1, true);
    lane = read(Space::adapter, 4, lane_cs_1);
    BOOST_TEST((lane >> lane_speed_shift & 0xf) == speed_gen4);
    BOOST_TEST((lane >> lane_current_width_shift & 0x3f) == 2u);
    router.set_lanes(1, state_unplugged);
    BOOST_TEST(router.width(1) == 1u);
    BOOST_TEST((read(Space::adapter, 4, lane_cs_1) >> lane_state_shift & 0xf) ==
               state_unplugged);
}

BOOST_AUTO_TEST_CASE(random_packets_do_no_harm)
{
    std::mt19937 random(1);
    const PacketType types[] = {PacketType::read, PacketType::write, PacketType::reset,
                                PacketType::error};
    for (int i = 0; i < 200'000; ++i) {
        ControlPacket packet{types[random() % 4], {}};
        packet.dwords.resize(2 + random() % 62);
        for (std::uint32_t& dword : packet.dwords)
            dword = random();
        if (const auto answer = router.handle(packet))
            BOOST_REQUIRE(answer->dwords.size() <= 3 + max_config_dwords);
        router.path(random() % 64, random() % 0x800);
    }
    BOOST_TEST(read(Space::router, 0, 7) == 0x55667788u);
}

BOOST_AUTO_TEST_SUITE_END()
