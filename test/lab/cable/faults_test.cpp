// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include "test/lab/cable/faults.hpp"

using namespace tblab;
using namespace tblab::cable;

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(does_nothing_unless_told)
{
    Faults faults;
    BOOST_TEST(!faults.touches_frames());
    FaultSpec harmless;
    harmless.delay = std::chrono::seconds(1);
    harmless.rate = 1000;
    harmless.control_drop = 1;
    faults.set(harmless);
    BOOST_TEST(!faults.touches_frames());
    BOOST_TEST(!faults.next_frame().drop);
    BOOST_TEST(faults.next_control().drop);
}

BOOST_AUTO_TEST_CASE(exact_frames)
{
    Faults faults;
    FaultSpec spec;
    spec.drop_frames = {5, 2}; // any order
    spec.crc_error_frames = {3};
    spec.duplicate_frames = {4};
    spec.unplug_at = 6;
    faults.set(spec);
    BOOST_TEST(faults.touches_frames());
    for (int n = 1; n <= 10; ++n) {
        const FrameFate fate = faults.next_frame();
        BOOST_TEST(fate.drop == (n == 2 || n == 5));
        BOOST_TEST(fate.corrupt == (n == 3));
        BOOST_TEST(fate.duplicate == (n == 4));
        BOOST_TEST(fate.unplug == (n == 6));
    }
    faults.set(spec); // counts anew
    faults.next_frame();
    BOOST_TEST(faults.next_frame().drop);
}

BOOST_AUTO_TEST_CASE(probabilities_are_seeded)
{
    const auto run = [](std::uint64_t seed) {
        Faults faults;
        FaultSpec spec;
        spec.drop = 0.01;
        spec.seed = seed;
        faults.set(spec);
        std::vector<int> dropped;
        for (int n = 0; n < 100'000; ++n) {
            if (faults.next_frame().drop)
                dropped.push_back(n);
        }
        return dropped;
    };
    const auto one = run(1);
    BOOST_TEST(one.size() > 850u);
    BOOST_TEST(one.size() < 1150u);
    BOOST_TEST((one == run(1)));
    BOOST_TEST((one != run(2)));
}

BOOST_AUTO_TEST_CASE(next_control_packets)
{
    Faults faults;
    FaultSpec spec;
    spec.control_drop_next = 2;
    spec.control_crc_error_next = 1;
    faults.set(spec);
    BOOST_TEST(faults.next_control().drop);
    BOOST_TEST(faults.next_control().drop);
    const ControlFate third = faults.next_control();
    BOOST_TEST(!third.drop);
    BOOST_TEST(third.corrupt);
    const ControlFate fourth = faults.next_control();
    BOOST_TEST((!fourth.drop && !fourth.corrupt));
}

BOOST_AUTO_TEST_SUITE_END()
