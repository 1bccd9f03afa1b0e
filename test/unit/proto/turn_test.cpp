// SPDX-License-Identifier: Apache-2.0
// When interrupts stay masked until a program has answered.
#include <boost/test/unit_test.hpp>

extern "C" {
#include "turn.h"
}

namespace {

constexpr u64 kThink = 5000;

struct Fixture {
    tbib_turn turn{};
    u64 now = 1000000;

    /// frames come and wake a program. True: interrupts stay masked.
    bool came(bool woke = true) { return tbib_turn_poll(&turn, true, woke, now); }
    /// a poll that finds nothing
    bool idle() { return tbib_turn_poll(&turn, false, false, now); }
    /// the program answers after @p think. True: unmask now.
    bool answer(u64 think = kThink)
    {
        now += think;
        const bool unmask = tbib_turn_sent(&turn, now);
        now += 20000;
        return unmask;
    }
    void learn()
    {
        came();
        answer();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(turns, Fixture)

BOOST_AUTO_TEST_CASE(wait_from_the_second_turn_on)
{
    BOOST_TEST(!came());
    BOOST_TEST(!answer());
    for (int i = 0; i < 3; i++) {
        BOOST_TEST(came());
        BOOST_TEST(answer());
    }
}

BOOST_AUTO_TEST_CASE(nobody_woken_means_no_wait)
{
    learn();
    BOOST_TEST(!came(false));
    BOOST_TEST(!answer());
    BOOST_TEST(came());
}

BOOST_AUTO_TEST_CASE(wait_is_bounded_by_twice_the_time_to_think)
{
    learn();
    BOOST_TEST(came());
    BOOST_TEST(turn.due == now + 2 * kThink);
    BOOST_TEST(turn.late == now + 4 * kThink);
    now += 2 * kThink - 1;
    BOOST_TEST(idle()); // polled for another reason
    now++;
    BOOST_TEST(!idle());
    BOOST_TEST(turn.due == 0u);
    // it was in vain: the next one is not waited for
    BOOST_TEST(!answer(0));
    BOOST_TEST(came()); // yet it did answer
    now += 2 * turn.think;
    BOOST_TEST(!idle());
    BOOST_TEST(!came());
}

BOOST_AUTO_TEST_CASE(frames_without_an_answer_in_between_end_it)
{
    learn();
    BOOST_TEST(came());
    BOOST_TEST(!came());
    BOOST_TEST(!answer()); // unmasked already
    BOOST_TEST(came());
}

BOOST_AUTO_TEST_CASE(who_thinks_for_long_takes_no_turns)
{
    learn();
    came();
    BOOST_TEST(answer(TBIB_THINK_MAX));
    BOOST_TEST(!came());
    BOOST_TEST(turn.think == kThink); // and it is no measure
    BOOST_TEST(!answer());
    BOOST_TEST(came());
}

BOOST_AUTO_TEST_CASE(time_to_think_is_smoothed)
{
    learn();
    came();
    answer(9 * kThink);
    BOOST_TEST(turn.think == 2 * kThink);
}

BOOST_AUTO_TEST_CASE(sending_unasked_changes_nothing)
{
    learn();
    BOOST_TEST(!answer());
    BOOST_TEST(turn.on);
    BOOST_TEST(turn.think == kThink);
}

BOOST_AUTO_TEST_SUITE_END()
