// SPDX-License-Identifier: Apache-2.0
/**
 * The lab's own proof: two guests with stock kernels and none of our code,
 * whose thunderbolt_net drivers talk over one emulated cable.
 */
#include "test/e2e/stock_network.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace {

using namespace std::chrono_literals;
using namespace e2e;
using tblab::Direction;
using tblab::Lab;

const char* const kernels[] = {"stable", "newest"};
const unsigned router_versions[] = {1, 2};

/** Two hosts with addresses on the interfaces of their common cable. */
void bring_up(Lab& lab)
{
    for (unsigned i = 0; i < 2; ++i) {
        auto& guest = lab.host(i);
        set_address(guest, wait_interface(guest), "10.0.0." + std::to_string(i + 1) + "/24");
    }
}

/** Copies random bytes over TCP and compares their digests at both ends. */
void check_bytes(Lab& lab)
{
    auto receiver = lab.host(1).start("nc -d -l -p 7000 >/tmp/in");
    const auto sent =
        lab.host(0).must("head -c 4000000 /dev/urandom >/tmp/out; md5sum </tmp/out");
    BOOST_TEST(tblab::eventually(
        [&] { return lab.host(0).run("nc -N 10.0.0.2 7000 </tmp/out").ok(); }, 5s));
    receiver.wait(10s);
    BOOST_TEST(lab.host(1).must("md5sum </tmp/in") == sent);
}

std::uint64_t frames_sent(Lab& lab)
{
    const auto stats = lab.emulator().stats();
    return stats.cables.at(lab.cable(0))
        .direction.at(static_cast<unsigned>(Direction::a_to_b))
        .frames;
}

} // namespace

BOOST_AUTO_TEST_SUITE(stock_net)

BOOST_DATA_TEST_CASE(ping_tcp_and_replug_under_load,
                     boost::unit_test::data::make(kernels) *
                         boost::unit_test::data::make(router_versions),
                     kernel, version)
{
    Lab lab({.preset = "strix",
             .router_version = version,
             .kernel = kernel,
             .modules = {"thunderbolt", "thunderbolt_net"}});
    const ReportOnFailure report(lab);
    lab.wait_ready();
    bring_up(lab);
    BOOST_REQUIRE(wait_ping(lab.host(0), "10.0.0.2"));
    BOOST_TEST(lost_pings(lab.host(0), "10.0.0.2", 20) == 0U);

    const double there = tcp_mbits(lab.host(0), lab.host(1), "10.0.0.2", 2);
    const double back = tcp_mbits(lab.host(1), lab.host(0), "10.0.0.1", 2);
    BOOST_TEST_MESSAGE("kernel " << kernel << ", USB4 v" << version << ": TCP " << there
                                 << " and " << back << " Mb/s");
    BOOST_TEST(there > 30.0);
    BOOST_TEST(back > 30.0);
    check_bytes(lab);

    lab.host(1).must("iperf3 -s -1 -D");
    auto load = lab.host(0).start("iperf3 -c 10.0.0.2 -t 60");
    const auto before = frames_sent(lab);
    BOOST_REQUIRE(tblab::eventually([&] { return frames_sent(lab) > before + 1000; }, 10s));
    lab.unplug(0);
    BOOST_TEST(lab.wait_link(0, false, 1s));
    for (unsigned i = 0; i < 2; ++i) {
        BOOST_TEST(wait_no_interface(lab.host(i), 5s));
    }
    lab.plug(0);
    load.kill();
    lab.host(1).run("pkill iperf3");
    bring_up(lab);
    BOOST_TEST(wait_ping(lab.host(0), "10.0.0.2"));
    BOOST_TEST(lost_pings(lab.host(0), "10.0.0.2", 20) == 0U);
    for (unsigned i = 0; i < 2; ++i) {
        BOOST_TEST(kernel_complaints(lab.host(i)) == "");
    }
}

BOOST_AUTO_TEST_SUITE_END()
