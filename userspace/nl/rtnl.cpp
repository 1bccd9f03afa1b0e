// SPDX-License-Identifier: Apache-2.0
#include "nl/rtnl.hpp"

#include "nl/attr.hpp"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

namespace tbib::nl {

namespace {

IpAddress read_ip(const nlattr* a)
{
    IpAddress ip;
    const size_t n = mnl_attr_get_payload_len(a);
    if (n != 4 && n != 16)
        return ip;
    ip.family = n == 4 ? 4 : 6;
    memcpy(ip.bytes.data(), mnl_attr_get_payload(a), n);
    return ip;
}

uint8_t family_of(const IpAddress& ip)
{
    return ip.family == 4 ? AF_INET : AF_INET6;
}

template <typename T>
const T* body(const nlmsghdr* h, uint16_t type)
{
    if (h->nlmsg_type != type || mnl_nlmsg_get_payload_len(h) < sizeof(T))
        return nullptr;
    return static_cast<const T*>(mnl_nlmsg_get_payload(h));
}

bool says_ours(const nlattr* protocol)
{
    return mnl_attr_get_payload_len(protocol) == 1 && mnl_attr_get_u8(protocol) == kProtocol;
}

}  // namespace

std::optional<std::pair<uint32_t, IpPrefix>> parse_address(const nlmsghdr* h)
{
    const auto* ifa = body<ifaddrmsg>(h, RTM_NEWADDR);
    if (!ifa)
        return std::nullopt;
    IpAddress local, address;
    bool ours = false;
    each_attr(h, sizeof(*ifa), [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == IFA_LOCAL)
            local = read_ip(a);
        if (mnl_attr_get_type(a) == IFA_ADDRESS)
            address = read_ip(a);
        ours |= mnl_attr_get_type(a) == IFA_PROTO && says_ours(a);
    });
    const IpAddress ip = local ? local : address;
    if (!ip || !ours)
        return std::nullopt;
    return std::pair(ifa->ifa_index, IpPrefix{ip, ifa->ifa_prefixlen});
}

std::optional<std::pair<uint32_t, Neighbour>> parse_neighbour(const nlmsghdr* h)
{
    const auto* nd = body<ndmsg>(h, RTM_NEWNEIGH);
    if (!nd || !(nd->ndm_state & NUD_PERMANENT))
        return std::nullopt;
    Neighbour n;
    bool have_mac = false, ours = false;
    each_attr(h, sizeof(*nd), [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == NDA_DST)
            n.address = read_ip(a);
        if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == n.mac.size()) {
            memcpy(n.mac.data(), mnl_attr_get_payload(a), n.mac.size());
            have_mac = true;
        }
        ours |= mnl_attr_get_type(a) == NDA_PROTOCOL && says_ours(a);
    });
    if (!have_mac || !n.address || !ours)
        return std::nullopt;
    return std::pair(static_cast<uint32_t>(nd->ndm_ifindex), n);
}

std::optional<IpRoute> parse_route(const nlmsghdr* h)
{
    const auto* rt = body<rtmsg>(h, RTM_NEWROUTE);
    if (!rt || rt->rtm_table != RT_TABLE_MAIN || rt->rtm_type != RTN_UNICAST || !rt->rtm_dst_len)
        return std::nullopt;
    IpRoute r;
    each_attr(h, sizeof(*rt), [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == RTA_DST)
            r.destination.address = read_ip(a);
        if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_get_payload_len(a) == 4)
            r.ifindex = mnl_attr_get_u32(a);
    });
    r.destination.length = rt->rtm_dst_len;
    if (!r.destination.address || r.destination.length > r.destination.address.size() * 8)
        return std::nullopt;
    return r;
}

std::optional<InterfaceChange> parse_interface(const nlmsghdr* h)
{
    const bool gone = h->nlmsg_type == RTM_DELLINK;
    const auto* m = body<ifinfomsg>(h, gone ? RTM_DELLINK : RTM_NEWLINK);
    // A bridge tells of its ports by messages of the same type.
    if (!m || m->ifi_family != AF_UNSPEC)
        return std::nullopt;
    return InterfaceChange{static_cast<uint32_t>(m->ifi_index), gone,
                           !gone && (m->ifi_flags & IFF_UP)};
}

Rtnl::Rtnl() : socket_(NETLINK_ROUTE) {}

void Rtnl::set_up(uint32_t ifindex)
{
    Request r(RTM_NEWLINK, 0);
    auto* m = r.extra<ifinfomsg>();
    m->ifi_index = static_cast<int>(ifindex);
    m->ifi_flags = IFF_UP;
    m->ifi_change = IFF_UP;
    socket_.request(r);
}

std::vector<IpPrefix> Rtnl::addresses(uint32_t ifindex)
{
    std::vector<IpPrefix> out;
    Request r(RTM_GETADDR, NLM_F_DUMP);
    r.extra<ifaddrmsg>();
    socket_.request(r, [&](const nlmsghdr* h) {
        const auto a = parse_address(h);
        if (a && a->first == ifindex)
            out.push_back(a->second);
    });
    return out;
}

void Rtnl::address(uint16_t type, uint16_t flags, uint32_t ifindex, const IpPrefix& a)
{
    Request r(type, flags);
    auto* m = r.extra<ifaddrmsg>();
    m->ifa_family = family_of(a.address);
    m->ifa_prefixlen = static_cast<uint8_t>(a.length);
    m->ifa_index = ifindex;
    // Our addresses are unique by construction: no duplicate address detection,
    // which would keep them (and the GIDs) unusable for a second.
    m->ifa_flags = a.address.family == 6 ? IFA_F_NODAD : 0;
    r.put(IFA_LOCAL, a.address.bytes.data(), a.address.size());
    r.put(IFA_ADDRESS, a.address.bytes.data(), a.address.size());
    r.put_u8(IFA_PROTO, kProtocol);
    socket_.request(r);
}

void Rtnl::add_address(uint32_t ifindex, const IpPrefix& a)
{
    address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, a);
}

void Rtnl::delete_address(uint32_t ifindex, const IpPrefix& a)
{
    address(RTM_DELADDR, 0, ifindex, a);
}

std::vector<Neighbour> Rtnl::neighbours(uint32_t ifindex)
{
    std::vector<Neighbour> out;
    Request r(RTM_GETNEIGH, NLM_F_DUMP);
    r.extra<ndmsg>();
    socket_.request(r, [&](const nlmsghdr* h) {
        const auto n = parse_neighbour(h);
        if (n && n->first == ifindex)
            out.push_back(n->second);
    });
    return out;
}

void Rtnl::replace_neighbour(uint32_t ifindex, const Neighbour& n)
{
    Request r(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    auto* m = r.extra<ndmsg>();
    m->ndm_family = family_of(n.address);
    m->ndm_ifindex = static_cast<int>(ifindex);
    m->ndm_state = NUD_PERMANENT;
    r.put(NDA_DST, n.address.bytes.data(), n.address.size());
    r.put(NDA_LLADDR, n.mac.data(), n.mac.size());
    r.put_u8(NDA_PROTOCOL, kProtocol);
    socket_.request(r);
}

void Rtnl::delete_neighbour(uint32_t ifindex, const Neighbour& n)
{
    Request r(RTM_DELNEIGH, 0);
    auto* m = r.extra<ndmsg>();
    m->ndm_family = family_of(n.address);
    m->ndm_ifindex = static_cast<int>(ifindex);
    r.put(NDA_DST, n.address.bytes.data(), n.address.size());
    socket_.request(r);
}

std::vector<IpRoute> Rtnl::routes()
{
    std::vector<IpRoute> out;
    Request r(RTM_GETROUTE, NLM_F_DUMP);
    r.extra<rtmsg>();
    socket_.request(r, [&](const nlmsghdr* h) {
        if (const auto route = parse_route(h))
            out.push_back(*route);
    });
    return out;
}

}  // namespace tbib::nl
