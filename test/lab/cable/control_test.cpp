// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include "test/lab/cable/fixture.hpp"

using namespace tblab;
using namespace tblab::cable;
using namespace std::chrono_literals;
using router::ControlPacket;
using router::PacketType;
using router::Space;

namespace {

constexpr int not_connected = 0, no_such_adapter = 4, enumeration = 8, locked = 15;

ControlPacket xdomain(PacketType type, std::uint32_t route, std::uint32_t payload)
{
    return {type, {0, route, 0x08000004, payload, 1, 2, 3}};
}

} // namespace

BOOST_AUTO_TEST_SUITE(control)

BOOST_AUTO_TEST_CASE(local_configuration_with_interrupts)
{
    TwoHosts lab;
    lab.a->probe();
    BOOST_TEST(lab.a->read(Space::router, 0, 7) ==
               static_cast<std::uint32_t>(lab.a->self().config.uid));
    BOOST_TEST(lab.a->irqs.take() >= 2u); // one for TX, one for RX
    BOOST_TEST(lab.a->completed(0) == 1u);
}

BOOST_AUTO_TEST_CASE(packets_to_the_manager_have_sof_zero)
{
    TwoHosts lab;
    lab.a->probe();
    lab.a->send_control({PacketType::reset, {0, 0}});
    lab.fabric.run();
    const auto frames = lab.a->receive(0);
    BOOST_REQUIRE(frames.size() == 1u);
    BOOST_TEST(frames[0].sof == 0u);
    BOOST_TEST(frames[0].eof == 9u);
    BOOST_TEST(frames[0].data.size() == 12u);
}

BOOST_AUTO_TEST_CASE(broken_packets_are_dropped)
{
    TwoHosts lab;
    lab.a->probe();
    lab.a->send_control({PacketType::read, {0, 0, 1u << 13 | 2u << 25}}, true);
    BOOST_TEST(!lab.a->answer().has_value());
    lab.a->send(0, pattern(7, 0), 1, 1);
    lab.a->send(0, pattern(4096, 0), 1, 1);
    BOOST_TEST(!lab.a->answer().has_value());
    BOOST_TEST(lab.fabric.stats().hosts[0].control_drops == 3u);
    BOOST_TEST(lab.a->completed(0) == 3u);
}

BOOST_AUTO_TEST_CASE(errors_by_what_is_at_the_port)
{
    TwoHosts lab;
    lab.a->probe();
    lab.b->probe();
    BOOST_TEST(lab.a->read_error(2, Space::router, 0, 0) == no_such_adapter); // lane 1
    BOOST_TEST(lab.a->read_error(5, Space::router, 0, 0) == no_such_adapter); // NHI
    BOOST_TEST(lab.a->read_error(0xff, Space::router, 0, 0) == no_such_adapter);
    BOOST_TEST(lab.a->read_error(1, Space::router, 0, 0) == not_connected);
    BOOST_TEST(lab.a->read_error(3, Space::router, 0, 0) == not_connected);
    lab.cable().set_plugged(true);
    lab.after(100ms);
    BOOST_TEST(lab.a->read_error(1, Space::router, 0, 0) == locked);
    lab.a->write(Space::adapter, 1, router::adp_cs_4, 0);
    BOOST_TEST(lab.a->read_error(1, Space::router, 0, 0) == enumeration);
    BOOST_TEST(lab.a->read_error(0x301, Space::router, 0, 0) == enumeration);
}

BOOST_AUTO_TEST_CASE(xdomain_packets_cross_the_cable)
{
    TwoHosts lab;
    const CableId second = lab.fabric.add_cable(0, 1, 1, 1);
    lab.bring_up();
    lab.fabric.cable(second).set_plugged(true);
    lab.after(100ms);
    for (const PacketType type : {PacketType::xdomain_request, PacketType::xdomain_response}) {
        for (const std::uint32_t adapter : {1u, 3u}) {
            lab.a->send_control(xdomain(type, adapter, 0xabcd));
            lab.fabric.run();
            const auto got = lab.b->answer();
            BOOST_REQUIRE(got.has_value());
            BOOST_TEST((got->type == type));
            BOOST_TEST(got->dwords[0] == router::to_manager);
            BOOST_TEST(got->dwords[1] == adapter); // where it came in
            BOOST_TEST(got->dwords[3] == 0xabcdu);
        }
    }
    BOOST_TEST(lab.b->bad_crcs() == 0u);
    BOOST_TEST(lab.wire().control == 2u);
    lab.a->send_control(xdomain(PacketType::xdomain_request, 0x301, 1)); // beyond the peer
    lab.fabric.run();
    BOOST_TEST(!lab.b->answer().has_value());
}

BOOST_AUTO_TEST_CASE(a_dead_link_answers_with_errors)
{
    TwoHosts lab;
    lab.a->probe();
    for (const PacketType type : {PacketType::xdomain_request, PacketType::xdomain_response}) {
        lab.a->send_control(xdomain(type, 1, 0));
        const auto got = lab.a->answer();
        BOOST_REQUIRE(got.has_value());
        BOOST_TEST((got->type == PacketType::error));
        BOOST_TEST((got->dwords[2] & 0xff) == 0u);
    }
    lab.a->self().config.error_dead_response = false;
    lab.a->send_control(xdomain(PacketType::xdomain_response, 1, 0));
    BOOST_TEST(!lab.a->answer().has_value());
}

BOOST_AUTO_TEST_CASE(packets_wait_for_buffers_in_order)
{
    TwoHosts lab;
    lab.bring_up();
    // b's driver sleeps: its 10 buffers fill up and the rest waits.
    for (unsigned i = 0; i < 50; ++i) {
        lab.a->send_control(xdomain(PacketType::xdomain_request, 1, i));
        lab.fabric.run();
    }
    for (unsigned i = 0; i < 50; ++i) {
        const auto got = lab.b->answer();
        BOOST_REQUIRE(got.has_value());
        BOOST_TEST(got->dwords[3] == i);
    }
    for (unsigned i = 0; i < 1000; ++i) { // bounded
        lab.a->send_control(xdomain(PacketType::xdomain_request, 1, i));
        lab.fabric.run();
    }
    BOOST_TEST(lab.fabric.stats().hosts[1].control_drops == 1000u - 256u - 10u);
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_to_a_stopped_control_ring)
{
    TwoHosts lab;
    lab.bring_up();
    lab.b->stop_rx(0);
    lab.a->send_control(xdomain(PacketType::xdomain_request, 1, 7));
    lab.fabric.run();
    lab.cable().set_plugged(false);
    lab.after(10s);
    lab.b->start_rx(0, nhi::option_enable | nhi::option_raw, 0, 0);
    lab.b->post(0, 10);
    BOOST_TEST(lab.b->plug_events() == std::vector<int>{-1}); // told now, and only this
    BOOST_TEST(!lab.b->receive_control().has_value());
}

BOOST_AUTO_TEST_CASE(lost_and_damaged_packets)
{
    TwoHosts lab;
    lab.bring_up();
    FaultSpec spec;
    spec.control_drop_next = 1;
    spec.control_crc_error_next = 1;
    lab.fabric.set_fault(lab.cable_id, Direction::a_to_b, spec);
    for (unsigned i = 0; i < 3; ++i)
        lab.a->send_control(xdomain(PacketType::xdomain_request, 1, i));
    lab.fabric.run();
    const auto got = lab.b->answer();
    BOOST_REQUIRE(got.has_value());
    BOOST_TEST(got->dwords[3] == 2u);
    BOOST_TEST(lab.b->bad_crcs() == 1u);
    BOOST_TEST(lab.wire().control_dropped == 1u);
    BOOST_TEST(lab.wire().control_corrupted == 1u);
    lab.b->send_control(xdomain(PacketType::xdomain_response, 1, 9)); // the other direction
    lab.fabric.run();
    BOOST_TEST(lab.a->answer().has_value());
}

BOOST_AUTO_TEST_CASE(repeated_packets_of_services)
{
    TwoHosts lab;
    lab.bring_up();
    FaultSpec spec;
    spec.service_repeat = 2;
    lab.fabric.set_fault(lab.cable_id, Direction::a_to_b, spec);
    ControlPacket discovery = xdomain(PacketType::xdomain_request, 1, 0);
    discovery.dwords.resize(3);
    discovery.dwords.insert(discovery.dwords.end(),
                            {0x0ed738b6, 0xbb40ff42, 0xe290c297, 0x07ffb2c0, 4});
    const auto arrived = [&lab](const ControlPacket& packet) {
        lab.a->send_control(packet);
        lab.after(5ms);
        unsigned n = 0;
        while (lab.b->answer())
            ++n;
        return n;
    };
    BOOST_TEST(arrived(xdomain(PacketType::xdomain_response, 1, 7)) == 3u);
    BOOST_TEST(arrived(discovery) == 1u);
    lab.fabric.clear_faults();
    BOOST_TEST(arrived(xdomain(PacketType::xdomain_response, 1, 7)) == 1u);
}

BOOST_AUTO_TEST_CASE(delayed_packets_die_with_the_link)
{
    TwoHosts lab;
    lab.bring_up();
    FaultSpec spec;
    spec.delay = 1ms;
    lab.fabric.set_fault(lab.cable_id, Direction::a_to_b, spec);
    lab.a->send_control(xdomain(PacketType::xdomain_request, 1, 1));
    lab.after(999us);
    BOOST_TEST(!lab.b->answer().has_value());
    lab.after(1us);
    BOOST_TEST(lab.b->answer().has_value());

    spec.delay = 1s;
    lab.fabric.set_fault(lab.cable_id, Direction::a_to_b, spec);
    lab.a->send_control(xdomain(PacketType::xdomain_request, 1, 2));
    lab.fabric.run();
    lab.cable().set_plugged(false);
    lab.cable().set_plugged(true);
    lab.after(2s);
    lab.b->plug_events();
    BOOST_TEST(!lab.b->answer().has_value());
}

BOOST_AUTO_TEST_CASE(a_dead_peer_is_silent_but_plugged)
{
    TwoHosts lab;
    lab.bring_up();
    FaultSpec spec;
    spec.dead = true;
    lab.fabric.set_fault(lab.cable_id, Direction::a_to_b, spec);
    lab.a->send_control(xdomain(PacketType::xdomain_request, 1, 1));
    lab.after(10s);
    BOOST_TEST(!lab.b->answer().has_value());
    BOOST_TEST(!lab.a->answer().has_value());
    BOOST_TEST(lab.cable().up());
    BOOST_TEST(lab.b->plug_events().empty());
    lab.fabric.clear_faults();
    lab.a->send_control(xdomain(PacketType::xdomain_request, 1, 1));
    lab.fabric.run();
    BOOST_TEST(lab.b->answer().has_value());
}

BOOST_AUTO_TEST_SUITE_END()
