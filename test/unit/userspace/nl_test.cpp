// SPDX-License-Identifier: Apache-2.0
// Parsers of netlink bytes: hostile sizes first.
#include "nl/rtnl.hpp"
#include "nl/tbib.hpp"

#include "module/uapi/tbib_genl.h"

#include <boost/test/unit_test.hpp>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <random>

using namespace tbib;
using namespace tbib::nl;

namespace {

Request link_event()
{
    Request r(100, 0);
    auto* g = r.extra<genlmsghdr>();
    g->cmd = TBIB_CMD_LINK_EVENT;
    auto* n = r.nest(TBIB_A_LINK);
    r.put_u32(TBIB_LINK_A_ID, 7);
    r.put_u8(TBIB_LINK_A_STATE, 3);
    r.put_u8(TBIB_LINK_A_AUTHORISED, 1);
    r.put_u64(TBIB_LINK_A_PEER_GUID, 0x1122);
    r.put_str(TBIB_LINK_A_PEER_NAME, "right");
    r.end(n);
    return r;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(netlink)

BOOST_AUTO_TEST_CASE(link_event_is_read)
{
    auto r = link_event();
    const Event e = parse_event(r.header());
    BOOST_TEST((e.kind == Event::Kind::Link));
    BOOST_TEST(e.link.id == 7u);
    BOOST_TEST((e.link.state == LinkState::Up));
    BOOST_TEST(e.link.authorised);
    BOOST_TEST(e.link.peer.value == 0x1122u);
    BOOST_TEST(e.link.peer_name == "right");
}

BOOST_AUTO_TEST_CASE(attributes_of_a_wrong_size_are_left_out)
{
    Request r(100, 0);
    auto* g = r.extra<genlmsghdr>();
    g->cmd = TBIB_CMD_LINK_EVENT;
    auto* n = r.nest(TBIB_A_LINK);
    r.put_u8(TBIB_LINK_A_ID, 7);
    r.put_u64(TBIB_LINK_A_STATE, 3);
    r.end(n);
    const Event e = parse_event(r.header());
    BOOST_TEST(e.link.id == 0u);
    BOOST_TEST((e.link.state == LinkState::Down));
}

BOOST_AUTO_TEST_CASE(truncated_and_changed_messages_do_no_harm)
{
    std::mt19937 random(3);
    unsigned whole = 0;
    for (int i = 0; i < 20000; i++) {
        auto r = link_event();
        nlmsghdr* h = r.header();
        const uint32_t full = h->nlmsg_len;
        auto* bytes = reinterpret_cast<uint8_t*>(h);
        h->nlmsg_len = sizeof(nlmsghdr) + random() % (full - sizeof(nlmsghdr) + 1);
        if (h->nlmsg_len > sizeof(nlmsghdr))
            bytes[sizeof(nlmsghdr) + random() % (h->nlmsg_len - sizeof(nlmsghdr))] =
                static_cast<uint8_t>(random());
        whole += parse_event(h).kind == Event::Kind::Link;
        RouteTable t;
        parse_route(h, t);
        h->nlmsg_type = RTM_NEWROUTE;
        parse_route(h);
        h->nlmsg_type = RTM_NEWADDR;
        parse_address(h);
        h->nlmsg_type = RTM_NEWNEIGH;
        parse_neighbour(h);
        h->nlmsg_type = RTM_DELLINK;
        parse_interface(h);
    }
    BOOST_TEST(whole > 0);
    BOOST_TEST(whole < 20000);
}

BOOST_AUTO_TEST_CASE(addresses_and_neighbours_of_others_are_not_seen)
{
    const uint8_t ip[] = {10, 86, 66, 1}, mac[] = {2, 0, 0, 0, 0, 1};
    for (const int protocol : {-1, 0, 3, int{kProtocol}}) {
        Request a(RTM_NEWADDR, 0);
        a.extra<ifaddrmsg>()->ifa_index = 5;
        a.put(IFA_LOCAL, ip, sizeof ip);
        Request n(RTM_NEWNEIGH, 0);
        n.extra<ndmsg>()->ndm_state = NUD_PERMANENT;
        n.put(NDA_DST, ip, sizeof ip);
        n.put(NDA_LLADDR, mac, sizeof mac);
        if (protocol >= 0) {
            a.put_u8(IFA_PROTO, static_cast<uint8_t>(protocol));
            n.put_u8(NDA_PROTOCOL, static_cast<uint8_t>(protocol));
        }
        BOOST_TEST(parse_address(a.header()).has_value() == (protocol == kProtocol));
        BOOST_TEST(parse_neighbour(n.header()).has_value() == (protocol == kProtocol));
    }
}

BOOST_AUTO_TEST_CASE(routes_of_the_main_table_only)
{
    Request r(RTM_NEWROUTE, 0);
    auto* m = r.extra<rtmsg>();
    m->rtm_family = AF_INET;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_type = RTN_UNICAST;
    m->rtm_dst_len = 24;
    const uint8_t dst[4] = {10, 1, 2, 0};
    r.put(RTA_DST, dst, 4);
    r.put_u32(RTA_OIF, 4);
    const auto route = nl::parse_route(r.header());
    BOOST_REQUIRE(route);
    BOOST_TEST(to_string(route->destination) == "10.1.2.0/24");
    BOOST_TEST(route->ifindex == 4u);
    m->rtm_table = RT_TABLE_LOCAL;
    BOOST_TEST(!nl::parse_route(r.header()));
}

BOOST_AUTO_TEST_CASE(interfaces_that_come_and_go)
{
    Request r(RTM_NEWLINK, 0);
    auto* m = r.extra<ifinfomsg>();
    m->ifi_index = 7;
    auto change = nl::parse_interface(r.header());
    BOOST_REQUIRE(change);
    BOOST_TEST(change->ifindex == 7u);
    BOOST_TEST(!change->gone);
    BOOST_TEST(!change->up);
    m->ifi_flags = IFF_UP | IFF_BROADCAST;
    change = nl::parse_interface(r.header());
    BOOST_REQUIRE(change);
    BOOST_TEST(change->up);
    r.header()->nlmsg_type = RTM_DELLINK;
    change = nl::parse_interface(r.header());
    BOOST_REQUIRE(change);
    BOOST_TEST(change->gone);
    BOOST_TEST(!change->up);
    m->ifi_family = AF_BRIDGE; // it left a bridge
    BOOST_TEST(!nl::parse_interface(r.header()));
    r.header()->nlmsg_type = RTM_NEWADDR;
    m->ifi_family = AF_UNSPEC;
    BOOST_TEST(!nl::parse_interface(r.header()));
}

BOOST_AUTO_TEST_SUITE_END()
