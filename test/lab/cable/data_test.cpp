// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <random>

#include "test/lab/cable/fixture.hpp"

using namespace tblab;
using namespace tblab::cable;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t e2e = nhi::option_enable | nhi::option_e2e;

/** Sends `count` frames 1, 2, ... and lets them move. */
void send(Tunnel& lab, unsigned count, unsigned first = 1, std::size_t size = 1000)
{
    for (unsigned i = 0; i < count; ++i)
        lab.a->send(1, pattern(size, first + i));
    lab.fabric.run();
}

/** Numbers of the undamaged frames that b has received; damaged ones are 0. */
std::vector<unsigned> numbers(Tunnel& lab, std::size_t size = 1000)
{
    std::vector<unsigned> list;
    for (const Received& frame : lab.b->receive(1)) {
        unsigned found = 0;
        for (unsigned n = 1; n < 300 && !found; ++n) {
            if (frame.data == pattern(size, n))
                found = n;
        }
        BOOST_TEST(frame.crc_error == (found == 0));
        list.push_back(found);
    }
    return list;
}

using Numbers = std::vector<unsigned>;

} // namespace

BOOST_AUTO_TEST_SUITE(data)

BOOST_AUTO_TEST_CASE(frames_cross_both_ways)
{
    Tunnel lab;
    lab.a->post(1, 8);
    lab.b->post(1, 8);
    lab.a->send(1, pattern(1, 1), 1, 2);
    lab.a->send(1, pattern(4096, 2), 3, 4);
    lab.b->send(1, pattern(77, 3), 5, 6);
    lab.fabric.run();
    const auto at_b = lab.b->receive(1);
    BOOST_REQUIRE(at_b.size() == 2u);
    BOOST_TEST((at_b[0].data == pattern(1, 1)));
    BOOST_TEST((at_b[1].data == pattern(4096, 2)));
    BOOST_TEST(at_b[1].sof == 3u);
    BOOST_TEST(at_b[1].eof == 4u);
    const auto at_a = lab.a->receive(1);
    BOOST_REQUIRE(at_a.size() == 1u);
    BOOST_TEST((at_a[0].data == pattern(77, 3)));
    BOOST_TEST(lab.a->completed(1) == 2u);
    const Stats stats = lab.fabric.stats();
    BOOST_TEST(stats.hosts[0].tx[1].frames == 2u);
    BOOST_TEST(stats.hosts[0].tx[1].bytes == 4097u);
    BOOST_TEST(stats.hosts[1].rx[1].frames == 2u);
    BOOST_TEST(stats.hosts[0].tx[1].doorbells == 2u);
    BOOST_TEST(stats.cables[0].direction[0].delivered == 2u);
    BOOST_TEST(stats.cables[0].direction[1].bytes == 77u);
}

BOOST_AUTO_TEST_CASE(many_frames_share_an_interrupt)
{
    Tunnel lab;
    lab.b->post(1, 15);
    lab.fabric.run();
    lab.b->irqs.take();
    send(lab, 10);
    BOOST_TEST(lab.b->irqs.take() == 1u);
}

BOOST_AUTO_TEST_CASE(waits_for_buffers_without_loss)
{
    Tunnel lab;
    lab.b->post(1, 2);
    send(lab, 10);
    BOOST_TEST((numbers(lab) == Numbers{1, 2}));
    BOOST_TEST(lab.a->completed(1) == 2u);
    lab.b->post(1, 3);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{3, 4, 5}));
    lab.b->post(1, 10);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{6, 7, 8, 9, 10}));
    BOOST_TEST(lab.fabric.stats().hosts[0].tx[1].stalls == 2u);
    BOOST_TEST(lab.wire().dropped == 0u);
}

BOOST_AUTO_TEST_CASE(overrun_loses_and_tells)
{
    for (const bool by_fault : {false, true}) {
        Tunnel lab;
        if (by_fault) {
            FaultSpec spec;
            spec.overrun = true;
            lab.fault(spec);
        } else {
            HostOptions options;
            options.overrun = true;
            lab.fabric.set_option(1, options);
        }
        lab.b->post(1, 2);
        send(lab, 5);
        BOOST_TEST(lab.a->completed(1) == 5u);
        lab.b->post(1, 3);
        send(lab, 2, 6);
        const auto frames = lab.b->receive(1);
        BOOST_REQUIRE(frames.size() == 4u);
        BOOST_TEST(!frames[1].overrun);
        BOOST_TEST(frames[2].overrun);
        BOOST_TEST((frames[2].data == pattern(1000, 6)));
        BOOST_TEST(!frames[3].overrun);
        BOOST_TEST(lab.wire().overruns == 3u);
        BOOST_TEST(lab.fabric.stats().hosts[1].rx[1].overruns == 3u);
    }
}

BOOST_AUTO_TEST_CASE(e2e_is_never_overrun)
{
    Tunnel lab;
    HostOptions options;
    options.overrun = true;
    lab.fabric.set_option(1, options);
    lab.a->start_tx(1, e2e);
    lab.b->post(1, 1);
    send(lab, 3);
    lab.b->post(1, 2);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(without_a_receiver_frames_are_lost_or_held)
{
    Tunnel lab;
    lab.b->stop_rx(1);
    send(lab, 2);
    BOOST_TEST(lab.a->completed(1) == 2u); // a driver's teardown never hangs
    BOOST_TEST(lab.wire().dropped == 2u);

    lab.a->stop_tx(1);
    lab.a->start_tx(1, e2e); // no credits yet: held
    send(lab, 2, 3);
    lab.b->clear_path_in(0, 8);
    lab.b->start_rx(1);
    lab.b->post(1, 4);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{}));
    lab.b->path_in(0, 8, 1);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{3, 4}));
}

BOOST_AUTO_TEST_CASE(without_a_path_or_a_link_frames_are_lost)
{
    Tunnel lab;
    lab.b->post(1, 8);
    lab.cable().set_plugged(false);
    send(lab, 3);
    BOOST_TEST(lab.a->completed(1) == 3u);
    BOOST_TEST(lab.fabric.stats().hosts[0].tx[1].drops == 3u);
    lab.cable().set_plugged(true);
    lab.after(100ms);
    lab.a->write(router::Space::path, lab.a->self().router.host_adapter(), 2, 0);
    send(lab, 3);
    BOOST_TEST(lab.a->completed(1) == 6u);
    BOOST_TEST((numbers(lab) == Numbers{}));
}

BOOST_AUTO_TEST_CASE(a_stall_ends_with_the_link_or_the_ring)
{
    Tunnel lab;
    send(lab, 3);
    BOOST_TEST(lab.a->completed(1) == 0u);
    lab.cable().set_plugged(false);
    lab.fabric.run();
    BOOST_TEST(lab.a->completed(1) == 3u);

    Tunnel other;
    send(other, 3);
    other.b->stop_rx(1);
    other.fabric.run();
    BOOST_TEST(other.a->completed(1) == 3u);

    Tunnel third;
    send(third, 3);
    third.a->stop_tx(1);
    third.a->start_tx(1);
    third.b->post(1, 8);
    third.fabric.run();
    BOOST_TEST((numbers(third) == Numbers{})); // the stopped ring forgot its frames
    send(third, 1, 9);
    BOOST_TEST((numbers(third) == Numbers{9}));
}

BOOST_AUTO_TEST_CASE(dropped_damaged_and_duplicated_frames)
{
    Tunnel lab;
    FaultSpec spec;
    spec.drop_frames = {2};
    spec.crc_error_frames = {3};
    spec.duplicate_frames = {4};
    lab.fault(spec);
    lab.b->post(1, 15);
    send(lab, 5);
    BOOST_TEST((numbers(lab) == Numbers{1, 0, 4, 4, 5}));
    BOOST_TEST(lab.a->completed(1) == 5u);
    BOOST_TEST(lab.wire().frames == 5u);
    BOOST_TEST(lab.wire().dropped == 1u);
    BOOST_TEST(lab.wire().corrupted == 1u);
    BOOST_TEST(lab.wire().duplicated == 1u);
    // The other direction is not concerned.
    lab.a->post(1, 8);
    for (unsigned n = 1; n <= 4; ++n)
        lab.b->send(1, pattern(10, n));
    lab.fabric.run();
    BOOST_TEST(lab.a->receive(1).size() == 4u);
}

BOOST_AUTO_TEST_CASE(a_stalled_frame_keeps_its_fate)
{
    Tunnel lab;
    FaultSpec spec;
    spec.crc_error_frames = {1};
    spec.drop_frames = {3};
    lab.fault(spec);
    send(lab, 3);
    for (int i = 0; i < 3; ++i) {
        lab.a->path_in(1, 20, 5); // unrelated writes wake the sender
        lab.fabric.run();
    }
    lab.b->post(1, 1);
    lab.fabric.run();
    lab.b->post(1, 1);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{0, 2}));
    BOOST_TEST(lab.a->completed(1) == 3u);
}

BOOST_AUTO_TEST_CASE(delay_keeps_order_and_contents)
{
    Tunnel lab;
    FaultSpec spec;
    spec.delay = 1ms;
    lab.fault(spec);
    lab.b->post(1, 15);
    send(lab, 2);
    BOOST_TEST(lab.a->completed(1) == 2u); // on the wire: the buffers are free again
    lab.after(400us);
    send(lab, 2, 3);
    lab.after(599us);
    BOOST_TEST((numbers(lab) == Numbers{}));
    lab.after(1us);
    BOOST_TEST((numbers(lab) == Numbers{1, 2}));
    spec.delay = 0ms;
    lab.fault(spec); // what is on the wire is not overtaken
    send(lab, 2, 5);
    BOOST_TEST((numbers(lab) == Numbers{}));
    lab.after(400us);
    BOOST_TEST((numbers(lab) == Numbers{3, 4, 5, 6}));
    send(lab, 1, 7);
    BOOST_TEST((numbers(lab) == Numbers{7}));
}

BOOST_AUTO_TEST_CASE(delayed_frames_wait_for_buffers)
{
    Tunnel lab;
    FaultSpec spec;
    spec.delay = 1ms;
    lab.fault(spec);
    send(lab, 4);
    lab.after(10ms);
    lab.b->post(1, 1);
    BOOST_TEST((numbers(lab) == Numbers{1}));
    lab.fabric.clear_faults();
    send(lab, 1, 5); // behind those that wait
    lab.b->post(1, 10);
    lab.fabric.run();
    BOOST_TEST((numbers(lab) == Numbers{2, 3, 4, 5}));
}

BOOST_AUTO_TEST_CASE(frames_on_the_wire_die_with_the_link)
{
    Tunnel lab;
    FaultSpec spec;
    spec.delay = 1s;
    lab.fault(spec);
    lab.b->post(1, 8);
    send(lab, 4);
    lab.cable().set_plugged(false);
    lab.after(10s);
    BOOST_TEST((numbers(lab) == Numbers{}));
    BOOST_TEST(lab.wire().dropped == 4u);
    BOOST_TEST(lab.a->self().tx[1].in_flight == 0u);
}

BOOST_AUTO_TEST_CASE(a_slow_wire_spaces_frames)
{
    Tunnel lab;
    FaultSpec spec;
    spec.rate = 8'000'000; // a frame of 1000 bytes takes 1 ms
    lab.fault(spec);
    lab.b->post(1, 15);
    send(lab, 12);
    lab.after(5ms);
    const std::size_t first = numbers(lab).size();
    BOOST_TEST(first >= 5u);
    BOOST_TEST(first <= 6u);
    lab.after(20ms);
    BOOST_TEST(first + numbers(lab).size() == 12u);
}

BOOST_AUTO_TEST_CASE(a_wire_holds_a_bounded_number_of_frames)
{
    Tunnel lab;
    FaultSpec spec;
    spec.delay = 1h;
    lab.fault(spec);
    for (unsigned i = 0; i < 2000; ++i) {
        if (lab.a->completed(1) == i)
            send(lab, 1);
    }
    const unsigned held = lab.a->self().tx[1].in_flight;
    BOOST_TEST(held == 512u);
    lab.cable().set_plugged(false);
    lab.fabric.run();
    BOOST_TEST(lab.a->self().tx[1].in_flight == 0u);
    BOOST_TEST(lab.a->completed(1) > held);
}

BOOST_AUTO_TEST_CASE(the_transmit_engine_has_a_rate)
{
    Tunnel lab;
    HostOptions options;
    options.frame_rate = 1000;
    lab.fabric.set_option(0, options);
    lab.b->post(1, 15);
    send(lab, 12);
    lab.after(5ms);
    const std::size_t first = numbers(lab).size();
    BOOST_TEST(first >= 5u);
    BOOST_TEST(first <= 6u);
    lab.after(20ms);
    BOOST_TEST(first + numbers(lab).size() == 12u);
}

BOOST_AUTO_TEST_CASE(unplug_at_a_frame)
{
    for (const auto delay : {0ms, 1ms}) {
        Tunnel lab;
        FaultSpec spec;
        spec.unplug_at = 3;
        spec.delay = delay;
        lab.fault(spec);
        lab.b->post(1, 15);
        send(lab, 2);
        lab.after(10ms);
        send(lab, 3, 3);
        lab.after(10ms);
        BOOST_TEST(!lab.cable().plugged());
        BOOST_TEST((numbers(lab) == Numbers{1, 2}));
        BOOST_TEST(lab.a->completed(1) == 5u);
        BOOST_TEST(lab.a->plug_events() == std::vector<int>{-1});
        BOOST_TEST(lab.b->plug_events() == std::vector<int>{-1});
    }
}

BOOST_AUTO_TEST_CASE(rings_share_a_cable_fairly)
{
    Tunnel lab;
    lab.b->path_in(0, 9, 2);
    lab.a->path_out(2, 0, 9);
    lab.b->start_rx(2);
    lab.a->start_tx(2);
    FaultSpec spec;
    spec.rate = 8'000'000;
    lab.fault(spec);
    lab.b->post(1, 15);
    lab.b->post(2, 15);
    for (unsigned i = 0; i < 12; ++i) {
        lab.a->send(1, pattern(1000, i));
        lab.a->send(2, pattern(1000, i));
    }
    lab.after(12ms);
    const auto one = static_cast<int>(lab.b->receive(1).size());
    const auto two = static_cast<int>(lab.b->receive(2).size());
    BOOST_TEST(one + two >= 11);
    BOOST_TEST(std::abs(one - two) <= 3);
}

BOOST_AUTO_TEST_CASE(two_cables_and_a_chain)
{
    Fabric fabric;
    for (int i = 0; i < 3; ++i)
        fabric.add_host({});
    fabric.cable(fabric.add_cable(0, 0, 1, 0)).set_plugged(true);
    fabric.cable(fabric.add_cable(1, 1, 2, 0)).set_plugged(true);
    fabric.cable(fabric.add_cable(0, 1, 2, 1)).set_plugged(true);
    std::vector<std::unique_ptr<MiniDriver>> hosts;
    for (HostId i = 0; i < 3; ++i) {
        hosts.push_back(std::make_unique<MiniDriver>(fabric, i));
        hosts[i]->probe();
        hosts[i]->enumerate();
    }
    fabric.run_until(100ms);
    // Host 1 sends out of both ports; ring 2 of host 2 hears both of its neighbours.
    hosts[1]->start_tx(1);
    hosts[1]->start_tx(2);
    hosts[0]->start_tx(1);
    hosts[1]->path_out(1, 0, 8);
    hosts[1]->path_out(2, 1, 8);
    hosts[0]->path_out(1, 1, 9);
    hosts[0]->path_in(0, 8, 3);
    hosts[2]->path_in(0, 8, 2);
    hosts[2]->path_in(1, 9, 2);
    hosts[0]->start_rx(3);
    hosts[2]->start_rx(2);
    hosts[0]->post(3, 4);
    hosts[2]->post(2, 4);
    hosts[1]->send(1, pattern(100, 1));
    hosts[1]->send(2, pattern(100, 2));
    hosts[0]->send(1, pattern(100, 3));
    fabric.run();
    BOOST_TEST((hosts[0]->receive(3).at(0).data == pattern(100, 1)));
    const auto heard = hosts[2]->receive(2);
    BOOST_REQUIRE(heard.size() == 2u);
    BOOST_TEST(((heard[0].data == pattern(100, 2)) != (heard[1].data == pattern(100, 2))));
    BOOST_TEST(((heard[0].data == pattern(100, 3)) != (heard[1].data == pattern(100, 3))));
}

BOOST_AUTO_TEST_CASE(a_cable_from_a_host_to_itself)
{
    Fabric fabric;
    fabric.add_host({});
    fabric.cable(fabric.add_cable(0, 0, 0, 1)).set_plugged(true);
    MiniDriver host(fabric, 0);
    host.probe();
    host.enumerate();
    fabric.run_until(100ms);
    BOOST_TEST(host.plug_events().size() == 2u);
    host.path_out(1, 0, 8);
    host.path_in(1, 8, 1);
    host.start_rx(1);
    host.start_tx(1);
    host.post(1, 1);
    host.send(1, pattern(100, 1));
    fabric.run();
    BOOST_TEST(host.receive(1).size() == 1u);
}

BOOST_AUTO_TEST_CASE(paths_never_reach_the_control_ring)
{
    Tunnel lab;
    lab.b->path_in(0, 8, 0);
    send(lab, 2);
    BOOST_TEST(!lab.b->receive_control().has_value());
    BOOST_TEST(lab.b->bad_crcs() == 0u);
    BOOST_TEST(lab.wire().dropped == 2u);
}

BOOST_AUTO_TEST_CASE(random_registers_and_events_do_no_harm)
{
    std::mt19937 random(7);
    Tunnel lab;
    lab.fabric.add_cable(0, 1, 1, 1);
    const std::uint32_t areas[] = {nhi::tx_ring, nhi::rx_ring, nhi::tx_options, nhi::rx_options,
                                   nhi::status,  nhi::enable,  nhi::throttle,   nhi::vector_map,
                                   nhi::dma_misc, nhi::reset};
    for (int i = 0; i < 100'000; ++i) {
        MiniDriver& driver = random() % 2 ? *lab.a : *lab.b;
        std::uint32_t value = random();
        if (random() % 2) // addresses that exist
            value = FakeMemory::base + random() % (1u << 20);
        const std::uint32_t offset = areas[random() % 10] + random() % 256;
        if (offset / 4 * 4 != nhi::reset || random() % 50 == 0)
            driver.nhi().write(offset, value);
        driver.memory.at(FakeMemory::base)[random() % (1u << 20)] =
            static_cast<std::byte>(random());
        switch (random() % 200) {
        case 0:
            lab.cable().set_plugged(random() % 2);
            break;
        case 1:
            driver.disconnect();
            break;
        case 2:
        case 3:
            driver.probe();
            break;
        case 4: {
            FaultSpec spec;
            spec.drop = 0.1;
            spec.duplicate = 0.1;
            spec.crc_error = 0.1;
            spec.delay = Time(random() % 1000);
            spec.rate = random() % 2 ? random() : 0;
            spec.unplug_at = random() % 100;
            lab.fault(spec);
            break;
        }
        default:
            break;
        }
        lab.after(Time(random() % 1'000'000));
    }
    // And it still works.
    lab.fabric.clear_faults();
    lab.cable().set_plugged(true);
    lab.a->probe();
    lab.b->probe();
    lab.after(1s);
    lab.b->path_in(0, 8, 1);
    lab.a->path_out(1, 0, 8);
    lab.b->start_rx(1);
    lab.a->start_tx(1);
    lab.b->post(1, 8);
    send(lab, 5);
    BOOST_TEST((numbers(lab) == Numbers{1, 2, 3, 4, 5}));
}

BOOST_AUTO_TEST_SUITE_END()
