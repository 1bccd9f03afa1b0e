// SPDX-License-Identifier: Apache-2.0
/**
 * Cold boots in a row: races between two hosts that start at once show only by
 * repetition. Three by default, twenty with TBIB_TEST_ALL=1, or as many as
 * TBIB_TEST_BOOTS says.
 */
#include "test/e2e/stock_network.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>

namespace {

unsigned boots()
{
    if (const char* number = std::getenv("TBIB_TEST_BOOTS");
        number != nullptr && *number != '\0') {
        return static_cast<unsigned>(std::strtoul(number, nullptr, 10));
    }
    const char* all = std::getenv("TBIB_TEST_ALL");
    return all != nullptr && *all == '1' ? 20 : 3;
}

} // namespace

BOOST_AUTO_TEST_SUITE(stock_boot)

BOOST_AUTO_TEST_CASE(every_cold_boot_ends_in_a_ping)
{
    using namespace e2e;
    using Clock = std::chrono::steady_clock;
    const unsigned count = boots();
    BOOST_REQUIRE(count > 0U);
    for (unsigned n = 1; n <= count; ++n) {
        BOOST_TEST_CONTEXT("boot " << n << " of " << count)
        {
            const auto start = Clock::now();
            tblab::Lab lab({.modules = {"thunderbolt", "thunderbolt_net"}});
            const ReportOnFailure report(lab);
            lab.wait_ready();
            for (unsigned i = 0; i < 2; ++i) {
                set_address(lab.host(i), wait_interface(lab.host(i)),
                            "10.0.0." + std::to_string(i + 1) + "/24");
            }
            BOOST_REQUIRE(wait_ping(lab.host(0), "10.0.0.2"));
            BOOST_TEST(lab.emulator().link_up(lab.cable(0)));
            for (unsigned i = 0; i < 2; ++i) {
                BOOST_TEST(kernel_complaints(lab.host(i)) == "");
            }
            BOOST_TEST_MESSAGE(
                "boot " << n << ": ping after "
                        << std::chrono::duration<double>(Clock::now() - start).count() << " s");
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
