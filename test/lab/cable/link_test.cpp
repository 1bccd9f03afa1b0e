// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <boost/test/data/test_case.hpp>

#include "test/lab/cable/fixture.hpp"

using namespace tblab;
using namespace tblab::cable;
using namespace std::chrono_literals;
using router::Space;

namespace {

/** State, width and lock of port 0 as the connection manager reads them. */
struct PortView {
    unsigned state, state1, width, speed;
    bool locked;

    bool operator==(const PortView&) const = default;
};

PortView view(MiniDriver& driver)
{
    const std::uint32_t lane0 = driver.read(Space::adapter, 1, router::lane_cs_1);
    const std::uint32_t lane1 = driver.read(Space::adapter, 2, router::lane_cs_1);
    const std::uint32_t cs4 = driver.read(Space::adapter, 1, router::adp_cs_4);
    return {lane0 >> router::lane_state_shift & 0xf, lane1 >> router::lane_state_shift & 0xf,
            lane0 >> router::lane_current_width_shift & 0x3f,
            lane0 >> router::lane_speed_shift & 0xf, (cs4 & router::cs_4_locked) != 0};
}

using Events = std::vector<int>;

const Events none, plug{1}, unplug{-1}, both{-1, 1};

} // namespace

BOOST_AUTO_TEST_SUITE(link_state)

BOOST_DATA_TEST_CASE(trains_then_comes_up_on_both_sides, boost::unit_test::data::make({1u, 2u}),
                     version)
{
    TwoHosts lab(version);
    lab.a->probe();
    lab.b->probe();
    lab.a->enumerate();
    lab.b->enumerate();
    BOOST_TEST(view(*lab.a).state == router::state_unplugged);
    lab.cable().set_plugged(true);
    lab.after(50ms);
    BOOST_TEST(view(*lab.a).state == router::state_training);
    BOOST_TEST(view(*lab.b).state == router::state_training);
    BOOST_TEST(lab.a->plug_events() == none);
    lab.after(50ms);
    const PortView expected{router::state_cl0, router::state_cl0, version == 2 ? 2u : 1u,
                            version == 2 ? router::speed_gen4 : router::speed_gen3, true};
    BOOST_TEST((view(*lab.a) == expected));
    BOOST_TEST((view(*lab.b) == expected));
    BOOST_TEST(lab.a->plug_events() == plug);
    BOOST_TEST(lab.b->plug_events() == plug);
}

BOOST_AUTO_TEST_CASE(mixed_versions_run_at_the_older_speed)
{
    TwoHosts lab(1, 2);
    lab.bring_up();
    BOOST_TEST(view(*lab.a).speed == router::speed_gen3);
    BOOST_TEST(view(*lab.b).speed == router::speed_gen3);
    BOOST_TEST(view(*lab.b).width == 1u);
}

BOOST_AUTO_TEST_CASE(needs_both_guests)
{
    TwoHosts lab;
    lab.cable().set_plugged(true);
    lab.a->probe();
    lab.after(1s);
    BOOST_TEST(!lab.cable().up());
    lab.b->probe();
    lab.after(1s);
    BOOST_TEST(lab.cable().up());
}

/** Whatever takes the link down takes it down at both ends, and back. */
struct Cause {
    const char* name;
    void (*down)(TwoHosts&);
    void (*up)(TwoHosts&); ///< nullptr: comes back by itself
    bool resets_a;         ///< host a forgets its own state
};

std::ostream& operator<<(std::ostream& out, const Cause& cause)
{
    return out << cause.name;
}

const Cause causes[] = {
    {"cable", [](TwoHosts& lab) { lab.cable().set_plugged(false); },
     [](TwoHosts& lab) { lab.cable().set_plugged(true); }, false},
    {"port reset",
     [](TwoHosts& lab) {
         lab.a->write(Space::adapter, 1, router::port_cs_19, router::port_cs_19_reset);
     },
     [](TwoHosts& lab) { lab.a->write(Space::adapter, 1, router::port_cs_19, 0); }, false},
    {"lane disable",
     [](TwoHosts& lab) {
         lab.a->write(Space::adapter, 1, router::lane_cs_1, router::lane_disable);
     },
     [](TwoHosts& lab) { lab.a->write(Space::adapter, 1, router::lane_cs_1, 0); }, false},
    {"host router reset",
     [](TwoHosts& lab) { lab.a->nhi().write(nhi::reset, nhi::reset_host_router); }, nullptr,
     true},
    {"device reset", [](TwoHosts& lab) { lab.a->self().pci.reset(); }, nullptr, true},
    {"guest killed", [](TwoHosts& lab) { lab.a->disconnect(); },
     [](TwoHosts& lab) { lab.a->probe(); }, true},
};

BOOST_DATA_TEST_CASE(goes_down_and_up_at_both_ends, boost::unit_test::data::make(causes), cause)
{
    for (const unsigned version : {1u, 2u}) {
        TwoHosts lab(version);
        lab.bring_up();
        const std::uint64_t session = lab.cable().session;
        cause.down(lab);
        lab.fabric.run();
        BOOST_TEST(!lab.cable().up());
        for (const unsigned side : {0u, 1u}) {
            const Host& host = *lab.cable().end(side).host;
            BOOST_TEST(host.router.width(0) == 1u);
        }
        BOOST_TEST(view(*lab.b).state != router::state_cl0);
        BOOST_TEST(lab.b->plug_events() == unplug);
        if (!cause.resets_a)
            BOOST_TEST(lab.a->plug_events() == unplug);
        if (cause.up) {
            lab.after(1s);
            BOOST_TEST(!lab.cable().up());
            cause.up(lab);
        }
        if (cause.resets_a) {
            lab.a->probe();
            lab.a->enumerate();
        }
        lab.after(100ms);
        BOOST_TEST(lab.cable().up());
        BOOST_TEST(lab.cable().session > session);
        BOOST_TEST((view(*lab.a) == view(*lab.b)));
        BOOST_TEST(view(*lab.b).state == router::state_cl0);
        BOOST_TEST(lab.b->plug_events() == plug);
        BOOST_TEST(lab.a->plug_events() == plug);
    }
}

BOOST_AUTO_TEST_CASE(v1_driver_start_looks_like_a_replug_to_the_peer)
{
    TwoHosts lab(1);
    lab.bring_up();
    lab.a->reset_ports();
    lab.after(100ms);
    BOOST_TEST(lab.a->plug_events() == both);
    BOOST_TEST(lab.b->plug_events() == both);
}

BOOST_AUTO_TEST_CASE(short_bounces_leave_a_consistent_state)
{
    TwoHosts lab;
    lab.bring_up();
    for (int i = 0; i < 6; ++i) {
        lab.cable().set_plugged(false);
        lab.after(20ms);
        lab.cable().set_plugged(true);
        lab.after(30ms);
    }
    lab.after(100ms);
    BOOST_TEST(lab.cable().up());
    for (MiniDriver* driver : {lab.a.get(), lab.b.get()}) {
        Events events = driver->plug_events(); // some were repeated meanwhile
        events.erase(std::unique(events.begin(), events.end()), events.end());
        BOOST_TEST(events == both); // the bounces in between never trained
    }
}

BOOST_AUTO_TEST_CASE(lane_1_follows_its_disable_bit)
{
    TwoHosts lab(1);
    lab.bring_up();
    lab.a->write(Space::adapter, 2, router::lane_cs_1, router::lane_disable);
    BOOST_TEST(lab.cable().up());
    BOOST_TEST(view(*lab.a).state1 == router::state_disabled);
    lab.a->write(Space::adapter, 2, router::lane_cs_1, 0);
    BOOST_TEST(view(*lab.a).state1 == router::state_cl0);
}

BOOST_DATA_TEST_CASE(lanes_bond_when_both_managers_want, boost::unit_test::data::make({0, 1}),
                     requester)
{
    TwoHosts lab(1);
    lab.bring_up();
    MiniDriver& first = requester == 0 ? *lab.a : *lab.b;
    MiniDriver& second = requester == 0 ? *lab.b : *lab.a;
    const std::uint32_t dual = router::lane_width_dual;
    first.write(Space::adapter, 1, router::lane_cs_1, dual);
    first.write(Space::adapter, 2, router::lane_cs_1, dual);
    first.write(Space::adapter, 1, router::lane_cs_1, dual | router::lane_bonding);
    BOOST_TEST(view(first).width == 1u);
    second.write(Space::adapter, 1, router::lane_cs_1, dual);
    BOOST_TEST(view(first).width == 1u);
    second.write(Space::adapter, 2, router::lane_cs_1, dual);
    BOOST_TEST(view(first).width == 2u);
    BOOST_TEST(view(second).width == 2u);
    BOOST_TEST(lab.fabric.stats().cables[0].width == 2u);

    // A new link begins with one lane, and the old request is void.
    lab.cable().set_plugged(false);
    lab.cable().set_plugged(true);
    lab.after(100ms);
    BOOST_TEST(view(first).width == 1u);
    BOOST_TEST(view(second).width == 1u);
}

BOOST_AUTO_TEST_CASE(no_plug_event_before_enumeration)
{
    TwoHosts lab;
    lab.a->probe();
    lab.b->probe();
    lab.cable().set_plugged(true);
    lab.after(1s);
    BOOST_TEST(lab.cable().up());
    BOOST_TEST(lab.a->plug_events() == none);
    lab.a->write(Space::router, 0, router::router_cs_3, router::cs_3_valid);
    BOOST_TEST(lab.a->plug_events() == none);
    lab.a->write(Space::adapter, 1, router::adp_cs_5, 0);
    BOOST_TEST(lab.a->plug_events() == plug);
}

BOOST_AUTO_TEST_CASE(two_cables_are_two_links)
{
    TwoHosts lab;
    const CableId second = lab.fabric.add_cable(0, 1, 1, 1);
    lab.bring_up();
    lab.fabric.cable(second).set_plugged(true);
    lab.after(100ms);
    BOOST_TEST(lab.a->plug_events() == Events{3});
    lab.cable().set_plugged(false);
    BOOST_TEST(lab.fabric.cable(second).up());
    BOOST_TEST(lab.a->plug_events() == unplug);
}

BOOST_AUTO_TEST_CASE(refuses_impossible_cables)
{
    TwoHosts lab;
    BOOST_CHECK_THROW(lab.fabric.add_cable(0, 0, 1, 1), std::invalid_argument);
    BOOST_CHECK_THROW(lab.fabric.add_cable(0, 2, 1, 1), std::invalid_argument);
    BOOST_CHECK_THROW(lab.fabric.add_cable(0, 1, 0, 1), std::invalid_argument);
    BOOST_CHECK_THROW(lab.fabric.add_cable(0, 1, 9, 1), std::out_of_range);
    HostConfig twin;
    twin.uid = lab.fabric.host(0).config.uid;
    BOOST_CHECK_THROW(lab.fabric.add_host(twin), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
