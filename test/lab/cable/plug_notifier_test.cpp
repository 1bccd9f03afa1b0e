// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include "test/lab/cable/plug_notifier.hpp"

using namespace tblab;
using namespace tblab::cable;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    Clock clock;
    bool ring = true;
    std::string sent; ///< p and u
    PlugNotifier notifier{clock, [this](bool unplug) {
                              if (ring)
                                  sent += unplug ? 'u' : 'p';
                              return ring;
                          }};

    std::string take() { return std::exchange(sent, {}); }
    void after(Time time)
    {
        const Time until = clock.now + time;
        while (clock.timers.next() <= until) {
            clock.now = clock.timers.next();
            clock.timers.run(clock.now);
        }
        clock.now = until;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(plug_notifier, Fixture)

BOOST_AUTO_TEST_CASE(repeats_until_acknowledged)
{
    notifier.update(true, true);
    after(500ms);
    BOOST_TEST(take() == "ppp");
    notifier.acknowledged(true); // of something else
    after(200ms);
    BOOST_TEST(take() == "p");
    notifier.acknowledged(false);
    after(10s);
    BOOST_TEST(take() == "");
}

BOOST_AUTO_TEST_CASE(gives_up)
{
    notifier.update(true, true);
    after(1h);
    BOOST_TEST(take().size() == 20u);
    notifier.update(false, true);
    BOOST_TEST(take() == "u");
}

BOOST_AUTO_TEST_CASE(tells_once)
{
    notifier.update(true, false);
    BOOST_TEST(take() == "");
    notifier.update(true, true);
    notifier.update(true, true);
    BOOST_TEST(take() == "p");
    notifier.update(true, false);
    notifier.update(true, true);
    BOOST_TEST(take() == "");
}

BOOST_AUTO_TEST_CASE(keeps_order)
{
    notifier.update(true, true);
    notifier.update(false, true);
    notifier.update(true, true);
    BOOST_TEST(take() == "p"); // one at a time
    notifier.acknowledged(false);
    BOOST_TEST(take() == "u");
    notifier.acknowledged(true);
    BOOST_TEST(take() == "p");
    notifier.acknowledged(false);
    after(1s);
    BOOST_TEST(take() == "");
}

BOOST_AUTO_TEST_CASE(an_untold_plug_is_forgotten)
{
    notifier.update(true, true);
    for (int i = 0; i < 1000; ++i) { // the link flaps, nobody acknowledges
        notifier.update(false, true);
        notifier.update(true, true);
    }
    BOOST_TEST(take() == "p");
    notifier.acknowledged(false);
    notifier.acknowledged(true);
    notifier.acknowledged(false);
    BOOST_TEST(take() == "up");
    after(1s);
    BOOST_TEST(take() == "");
}

BOOST_AUTO_TEST_CASE(waits_for_the_control_ring)
{
    ring = false;
    notifier.update(true, true);
    after(1h);
    ring = true;
    notifier.control_ring_ready();
    BOOST_TEST(take() == "p");
    notifier.reset();
    after(1h);
    BOOST_TEST(take() == "");
    notifier.update(false, true);
    BOOST_TEST(take() == ""); // nothing was plugged since the reset
}

BOOST_AUTO_TEST_SUITE_END()
