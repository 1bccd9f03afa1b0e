// SPDX-License-Identifier: Apache-2.0
// A sample of seeds of the simulators; rc_sim and stack_sim run as many as one likes.
#include "rc_sim.hpp"
#include "stack_sim.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace tbib::sim;

BOOST_AUTO_TEST_SUITE(rc_sim)

BOOST_DATA_TEST_CASE(seeds_keep_every_promise, boost::unit_test::data::xrange(4), quarter)
{
    RcSimStats sum;
    for (u64 seed = 1; seed <= 25; seed++)
        sum += run_rc_sim(static_cast<u64>(quarter) * 25 + seed, 100);
    BOOST_TEST(sum.messages > 5000u);
    // the faults are there
    BOOST_TEST(sum.lost > 0u);
    BOOST_TEST(sum.retries > 0u);
    BOOST_TEST(sum.rnr_naks > 0u);
    BOOST_TEST(sum.duplicates > 0u);
}

BOOST_AUTO_TEST_CASE(a_seed_is_repeatable)
{
    RcSimStats a = run_rc_sim(7, 100), b = run_rc_sim(7, 100);
    BOOST_TEST(a.events == b.events);
    BOOST_TEST(a.virtual_ns == b.virtual_ns);
    BOOST_TEST(a.packets == b.packets);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(stack_sim)

BOOST_AUTO_TEST_CASE(qps_over_real_trunks)
{
    RcSimStats qp;
    TrunkSimStats trunk;
    for (u64 seed = 1; seed <= 40; seed++) {
        StackSimStats s = run_stack_sim(seed, 50);
        qp += s.qp;
        trunk += s.trunk;
    }
    BOOST_TEST(qp.messages > 5000u);
    BOOST_TEST(trunk.retries > 0u);
    BOOST_TEST(trunk.flaps > 0u);
    BOOST_TEST(trunk.resets > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
