// SPDX-License-Identifier: Apache-2.0
// A few hundred seeds of the trunk simulator; more by `trunk_sim --seeds A..B`.
#include <boost/test/unit_test.hpp>

#include "trunk_sim.hpp"

#include <exception>

using namespace tbib::sim;

BOOST_AUTO_TEST_SUITE(trunk_sim)

BOOST_AUTO_TEST_CASE(seeds)
{
    TrunkSimStats sum;
    for (std::uint64_t seed = 0; seed < 60; seed++)
        try {
            sum += run_trunk_sim(seed);
        } catch (const std::exception &e) {
            BOOST_ERROR(describe_trunk_sim(seed) << "\n" << e.what());
        }
    // the faults have really happened
    BOOST_TEST(sum.trains > 50000u);
    BOOST_TEST(sum.retries > 1000u);
    BOOST_TEST(sum.probes > 100u);
    BOOST_TEST(sum.torn > 1000u);
    BOOST_TEST(sum.crc > 1000u);
    BOOST_TEST(sum.stale > 10u);
    BOOST_TEST(sum.flaps > 30u);
    BOOST_TEST(sum.resets > 10u);
}

BOOST_AUTO_TEST_CASE(without_faults_nothing_is_sent_twice)
{
    TrunkSimOptions options;
    options.faults = false;
    TrunkSimStats sum;
    for (std::uint64_t seed = 1000; seed < 1030; seed++)
        sum += run_trunk_sim(seed, options);
    BOOST_TEST(sum.retries == 0u);
    BOOST_TEST(sum.torn == 0u);
    BOOST_TEST(sum.gaps == 0u);
    BOOST_TEST(sum.overruns == 0u);
    // acks are a small part of the traffic
    BOOST_TEST(sum.control < sum.frames / 4);
}

BOOST_AUTO_TEST_CASE(same_seed_same_story)
{
    auto a = run_trunk_sim(7), b = run_trunk_sim(7);
    BOOST_TEST(a.frames == b.frames);
    BOOST_TEST(a.control == b.control);
    BOOST_TEST(a.virtual_ns == b.virtual_ns);
}

BOOST_AUTO_TEST_SUITE_END()
