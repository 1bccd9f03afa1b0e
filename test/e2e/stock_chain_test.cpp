// SPDX-License-Identifier: Apache-2.0
/** Three stock guests in a chain; the ends reach each other through the middle one, which
 * routes. */
#include "test/e2e/stock_network.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(stock_chain)

BOOST_AUTO_TEST_CASE(ends_ping_each_other_through_the_middle)
{
    using namespace e2e;
    tblab::Lab lab({.hosts = 3, .modules = {"thunderbolt", "thunderbolt_net"}});
    const ReportOnFailure report(lab);
    lab.wait_ready();
    // Each cable is a network: 10.0.0.0/24 between h0 and h1, 10.0.1.0/24 between h1 and h2.
    for (unsigned k = 0; k < lab.cables(); ++k) {
        const auto& cable = lab.cable_plan(k);
        const auto network = "10.0." + std::to_string(k) + ".";
        set_address(lab.host(cable.host_a),
                    wait_interface(lab.host(cable.host_a), cable.port_a), network + "1/24");
        set_address(lab.host(cable.host_b),
                    wait_interface(lab.host(cable.host_b), cable.port_b), network + "2/24");
    }
    lab.host(1).must("echo 1 >/proc/sys/net/ipv4/ip_forward");
    lab.host(0).must("ip route add 10.0.1.0/24 via 10.0.0.2");
    lab.host(2).must("ip route add 10.0.0.0/24 via 10.0.1.1");

    BOOST_TEST(wait_ping(lab.host(0), "10.0.1.2"));
    // What a host sends while its neighbour's driver still enables its end is lost.
    const auto before = lab.emulator().stats();
    BOOST_TEST(lost_pings(lab.host(0), "10.0.1.2", 20) == 0U);
    BOOST_TEST(lost_pings(lab.host(2), "10.0.0.1", 20) == 0U);
    for (unsigned i = 0; i < lab.hosts(); ++i) {
        BOOST_TEST(kernel_complaints(lab.host(i)) == "");
    }

    // The wire agrees: what the ends exchanged has crossed both cables.
    const auto stats = lab.emulator().stats();
    for (unsigned k = 0; k < lab.cables(); ++k) {
        for (unsigned d = 0; d < 2; ++d) {
            const auto& then = before.cables.at(lab.cable(k)).direction[d];
            const auto& now = stats.cables.at(lab.cable(k)).direction[d];
            BOOST_TEST(now.delivered - then.delivered >= 40U);
            BOOST_TEST(now.dropped == then.dropped);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
