// SPDX-License-Identifier: Apache-2.0
/** tbib0 as a network device. */
#include <boost/test/unit_test.hpp>

#include "test/e2e/stock_network.hpp"
#include "test/e2e/tbib/fabric.hpp"

BOOST_AUTO_TEST_SUITE(tbib_netdev)

BOOST_AUTO_TEST_CASE(ping_tcp_and_jumbo_beside_thunderbolt_net) {
    using namespace e2e;
    FabricOptions o;
    o.stock_net = true;
    Fabric f(o);
    const auto peer4 = f.address(1, 4), peer6 = f.address(1, 6);
    BOOST_TEST(lost_pings(f.host(0), peer4, 20) == 0U);
    BOOST_TEST(lost_pings(f.host(0), peer6, 20) == 0U);
    BOOST_TEST(f.host(0).must("cat /sys/class/net/tbib0/carrier") == "1\n");
    BOOST_TEST(tcp_mbits(f.host(0), f.host(1), peer4, 3) > 50);
    BOOST_TEST(tcp_mbits(f.host(1), f.host(0), f.address(0), 3) > 50);
    for (unsigned i = 0; i < 2; ++i) {
        f.host(i).must("ip link set tbib0 mtu 65520");
    }
    f.host(0).must("ping -c 5 -i 0.2 -W 5 -M do -s 65492 " + peer4);
    BOOST_TEST(tcp_mbits(f.host(0), f.host(1), peer4, 3) > 50);
    // The stock network on the same cable, at the same time.
    for (unsigned i = 0; i < 2; ++i) {
        set_address(f.host(i), wait_interface(f.host(i)), "10.9.0." + std::to_string(i + 1) + "/24");
    }
    BOOST_TEST(wait_ping(f.host(0), "10.9.0.2"));
    auto load = f.host(0).start("ping -q -i 0.02 -c 200 -W 5 " + peer4);
    BOOST_TEST(tcp_mbits(f.host(0), f.host(1), "10.9.0.2", 3) > 20);
    BOOST_TEST(load.wait(std::chrono::seconds(30)).rc == 0);
    BOOST_TEST(f.complaints() == "");
}

// The daemon plans anew when a neighbour goes and comes; what is not its own is not its business.
BOOST_AUTO_TEST_CASE(what_an_administrator_set_stays) {
    using namespace e2e;
    FabricOptions o;
    o.router_version = 1;
    Fabric f(o);
    // What RDMA programs read of the commonest cable.
    BOOST_TEST(f.host(0).must("cat /sys/class/infiniband/tbib0/ports/1/rate") == "40 Gb/sec (4X QDR)\n");
    const auto peer = f.address(1);
    f.host(0).must("ip address add 10.99.0.1/24 dev tbib0 && ip -6 address add fd99::1/64 dev tbib0 nodad && "
                   "ip neighbour add 10.99.0.2 lladdr 02:00:00:00:00:99 nud permanent dev tbib0");
    const auto shown = [&] { return f.host(0).must("ip -br address show tbib0; ip neighbour show nud permanent dev tbib0"); };
    const auto others = [](const std::string& text) {
        return text.find("10.99.0.1/24") != std::string::npos && text.find("fd99::1/64") != std::string::npos &&
               text.find("10.99.0.2 lladdr 02:00:00:00:00:99") != std::string::npos;
    };
    const auto neighbour = [&] { return shown().find(peer + " lladdr") != std::string::npos; };
    BOOST_TEST(others(shown()), shown());
    BOOST_REQUIRE(neighbour());
    f.lab().unplug(0);
    BOOST_TEST(tblab::eventually([&] { return !neighbour(); }, std::chrono::seconds(60)));
    BOOST_TEST(others(shown()), shown());
    f.lab().plug(0);
    BOOST_TEST(tblab::eventually(neighbour, std::chrono::seconds(30)));
    BOOST_TEST(others(shown()), shown());
    BOOST_TEST(wait_ping(f.host(0), peer));
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_SUITE_END()
