// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include "test/lab/cable/rate_limit.hpp"

using namespace tblab;
using namespace tblab::cable;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(rate_limit)

BOOST_AUTO_TEST_CASE(unlimited_takes_no_time)
{
    RateLimit limit;
    for (int i = 0; i < 1000; ++i) {
        BOOST_TEST(limit.ready(5us));
        BOOST_TEST((limit.take(5us, 1'000'000) == Time(5us)));
    }
}

BOOST_AUTO_TEST_CASE(spaces_units)
{
    RateLimit limit;
    limit.set(1000);
    Time now = 1s;
    BOOST_TEST(limit.ready(now));
    limit.take(now, 1000);
    BOOST_TEST(!limit.ready(now));
    BOOST_TEST((limit.wait() == now + 1s));
}

BOOST_AUTO_TEST_CASE(a_late_caller_keeps_the_average)
{
    RateLimit limit;
    limit.set(100'000); // one unit in 10 us, but the caller looks every 70 us
    std::uint64_t taken = 0;
    for (Time now = 1s; now < 2s; now += 70us) {
        while (limit.ready(now)) {
            limit.take(now, 1);
            ++taken;
        }
        limit.wait();
    }
    BOOST_TEST(taken > 99'000u);
    BOOST_TEST(taken < 101'000u);
}

BOOST_AUTO_TEST_CASE(idle_time_saves_up_nothing)
{
    RateLimit limit;
    limit.set(1000);
    limit.take(1s, 1);
    BOOST_TEST((limit.wait() == Time(1s + 1ms)));
    limit.take(1s + 1ms, 1); // on time: nothing is left to catch up
    BOOST_TEST((limit.take(5s, 1) == Time(5s + 1ms)));
    BOOST_TEST(!limit.ready(5s));
}

BOOST_AUTO_TEST_SUITE_END()
