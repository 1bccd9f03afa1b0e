// SPDX-License-Identifier: Apache-2.0
/** More than one cable: a chain of three hosts, and two cables between two. */
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <thread>

#include <fmt/format.h>

#include "test/e2e/stock_network.hpp"
#include "test/e2e/tbib/fabric.hpp"

namespace {

using namespace e2e;
using namespace std::chrono_literals;

const std::string kCheck = "/opt/tbib/verbs_check -d tbib0 ";
const std::string kGroup = "/opt/tbib/verbs_group -d tbib0 -n 200";

/** What RDMA programs read of the port, in Gb/s. */
double rate(Fabric& f, unsigned host) {
    return std::stod(f.host(host).must("cat /sys/class/infiniband/tbib0/ports/1/rate"));
}

/** What the Thunderbolt core says of a host's cables to other hosts, summed, in Gb/s. */
double cables(Fabric& f, unsigned host) {
    return std::stod(f.host(host).must("cd /sys/bus/thunderbolt/devices; for d in *; do [ ! -e $d/rx_speed ] || "
                                       "[ ! -e $d/unique_id ] || cat $d/rx_speed $d/rx_lanes; done | "
                                       "awk '/Gb/ { speed = $1; next } { sum += speed * $1 } END { print sum }'"));
}

} // namespace

BOOST_AUTO_TEST_SUITE(tbib_topology)

// The router in the middle has twelve ring pairs, or three: then each cable gets one.
BOOST_DATA_TEST_CASE(ends_of_a_chain_of_three, boost::unit_test::data::make({"intel", "strix"}), preset) {
    FabricOptions o;
    o.hosts = 3;
    o.preset = preset;
    o.kernel = o.preset == "strix" ? "newest" : "stable";
    Fabric f(o);
    const auto far = f.address(2);
    BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(0), far, 3) == 0; }, 20s));
    const auto out = f.pair(kCheck + "-n 200 -q 2", kCheck + "-n 200 -q 2 @", 120s, 2, 0);
    BOOST_TEST(out.find("no difference") != std::string::npos, out);
    f.pair("ibv_rc_pingpong -d tbib0 -g 1 -n 100 -c", "ibv_rc_pingpong -d tbib0 -g 1 -n 100 -c @", 60s, 2, 0);
    BOOST_TEST(f.counter(1, "transit_trains") > 0U);
    BOOST_TEST(f.host(0).must("/opt/tbib/tbibctl status").find("via ") != std::string::npos);
    BOOST_TEST(f.complaints() == "");
}

// The first cable has both of three ring pairs that carry data, until the second comes.
BOOST_AUTO_TEST_CASE(a_second_cable_gets_a_ring_pair_of_the_first) {
    FabricOptions o;
    o.hosts = 3;
    o.preset = "strix";
    o.plugged = false;
    Fabric f(o);
    const auto links = [&](const char* pairs) {
        return f.host(1).must(fmt::format("/opt/tbib/tbibctl status | grep -c 'link .* up .* {} ring pair'; exit 0", pairs));
    };
    f.lab().plug(0);
    BOOST_REQUIRE(tblab::eventually([&] { return links("2") == "1\n"; }, 30s));
    BOOST_REQUIRE(tblab::eventually([&] { return lost_pings(f.host(0), f.address(1), 1) == 0; }, 20s));
    auto server = f.host(1).start(kCheck + "-n 1000 -q 2");
    auto client = f.host(0).start("sleep 1; " + kCheck + "-n 1000 -q 2 " + f.address(1));
    std::this_thread::sleep_for(2s);
    f.lab().plug(1);
    BOOST_TEST(tblab::eventually([&] { return links("1") == "2\n"; }, 30s));
    BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(0), f.address(2), 3) == 0; }, 20s));
    const auto c = client.wait(120s);
    BOOST_TEST(c.rc == 0, c.out + c.err);
    BOOST_TEST(server.wait(20s).rc == 0);
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_CASE(two_cables_between_two_hosts) {
    FabricOptions o;
    o.topology = "0:0-1:0,0:1-1:1";
    Fabric f(o);
    BOOST_TEST(tblab::eventually(
        [&] { return f.host(0).must("/opt/tbib/tbibctl status | grep -c 'link .* up '") == "2\n"; }, 30s));
    const auto out = f.pair(kCheck + "-n 200 -q 4", kCheck + "-n 200 -q 4 @", 120s);
    BOOST_TEST(out.find("no difference") != std::string::npos, out);
    const auto stats = f.lab().emulator().stats();
    for (const auto& cable : stats.cables) {
        BOOST_TEST(cable.direction[0].frames > 100U);
        BOOST_TEST(cable.direction[1].frames > 100U);
    }
    // Width times speed has 120 for 160 Gb/s.
    BOOST_TEST(cables(f, 0) == 160);
    BOOST_TEST(rate(f, 0) == 120);
    // Losing one of them loses nothing else.
    auto server = f.host(0).start(kCheck + "-n 800 -q 2" + kRepeated);
    auto client = f.host(1).start("sleep 1; " + kCheck + "-n 800 -q 2" + kRepeated + f.address(0));
    std::this_thread::sleep_for(2s);
    f.lab().unplug(0);
    std::this_thread::sleep_for(2s);
    BOOST_TEST(f.port_state(0) == "ACTIVE");
    const auto c = client.wait(90s);
    BOOST_TEST(c.rc == 0, c.out + c.err);
    BOOST_TEST(server.wait(20s).rc == 0);
    // The port is as fast as the cables that it has.
    BOOST_TEST(cables(f, 0) == 80);
    BOOST_TEST(rate(f, 0) == 80);
    BOOST_TEST(f.complaints() == "");
}

// Two ways lead to each member, and one of them is taken.
BOOST_AUTO_TEST_CASE(multicast_comes_once_on_a_ring) {
    FabricOptions o;
    o.hosts = 3;
    o.topology = "0:0-1:0,1:1-2:0,2:1-0:1";
    Fabric f(o);
    for (unsigned from = 0; from < 3; ++from) {
        std::vector<tblab::Job> members;
        for (unsigned i = 0; i < 3; ++i) {
            members.push_back(f.host(i).start(kGroup + " >/run/member"));
        }
        for (unsigned i = 0; i < 3; ++i) {
            BOOST_REQUIRE(tblab::eventually([&] { return f.host(i).run("grep -q joined /run/member").rc == 0; }, 20s));
        }
        f.host(from).must(kGroup + " -s", 30s);
        for (unsigned i = 0; i < 3; ++i) {
            const auto rc = members[i].wait(50s).rc;
            BOOST_TEST(rc == 0, fmt::format("host {} of a group that host {} sends to: {}", i, from,
                                            f.host(i).must("cat /run/member")));
        }
    }
    BOOST_TEST(f.complaints() == "");
}

// A machine that was cloned with its disk has the machine-id of the other one.
BOOST_AUTO_TEST_CASE(clones_are_refused_until_one_is_renamed) {
    FabricOptions o;
    o.plugged = false;
    o.daemon = false;
    Fabric f(o);
    const auto id = f.host(0).must("cat /etc/machine-id");
    f.host(1).must("echo " + id.substr(0, 32) + " >/etc/machine-id");
    f.start_daemon(0);
    f.start_daemon(1);
    f.lab().plug(0);
    const auto refused = [&](unsigned host) {
        return f.host(host).must("/opt/tbib/tbibctl status").find("refused: peer has the same node GUID") != std::string::npos;
    };
    BOOST_TEST(tblab::eventually([&] { return refused(0) && refused(1); }, 30s));
    for (unsigned host = 0; host < 2; ++host) {
        BOOST_TEST(f.port_state(host) != "ACTIVE");
        const auto doctor = f.host(host).run("/opt/tbib/tbibctl doctor");
        BOOST_TEST(doctor.rc != 0);
        BOOST_TEST(doctor.out.find("same node GUID") != std::string::npos, doctor.out);
        BOOST_TEST(f.host(host).must("dmesg").find("has our own node GUID") != std::string::npos);
        BOOST_TEST(f.host(host).must("cat /run/tbib/log").find("same node GUID") != std::string::npos);
    }
    // What a reboot does: a new identity is for a module that nobody uses yet.
    f.host(1).must("kill $(cat /run/tbib/pid); head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' >/etc/machine-id; "
                   "ip link set tbib0 down; rmmod tbib");
    f.load_module(1);
    f.start_daemon(1);
    BOOST_TEST(f.wait_active());
    BOOST_TEST(lost_pings(f.host(0), f.address(1), 3) == 0);
    BOOST_TEST(f.complaints() == "");
}

// What is on its way through a host that does nothing for a while goes on with it: UC repairs nothing (ADR 6).
BOOST_AUTO_TEST_CASE(the_middle_stands_still) {
    FabricOptions o;
    o.hosts = 3;
    Fabric f(o);
    const std::string pingpong = "ibv_uc_pingpong -d tbib0 -g 1 -c -n 5000 ";
    auto server = f.host(0).start(pingpong);
    auto client = f.host(2).start("sleep 1; " + pingpong + f.address(0));
    int stops = 0;
    for (; (stops < 5 || client.running()) && stops < 60; ++stops) {
        std::this_thread::sleep_for(1s);
        f.host(1).stand_still(400ms);
    }
    BOOST_TEST(client.wait(30s).rc == 0);
    BOOST_TEST(server.wait(30s).rc == 0);
    BOOST_TEST_MESSAGE(stops << " stops");
    BOOST_TEST(f.counter(1, "transit_drops") == 0U);
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_SUITE_END()
