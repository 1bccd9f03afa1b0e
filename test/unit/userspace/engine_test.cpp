// SPDX-License-Identifier: Apache-2.0
// Many daemons in one process: engines joined by a queue of datagrams.
#include "tbibd/engine.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <set>

using namespace tbib;

namespace {

class Fabric;

struct Host : World {
    Fabric* fabric = nullptr;
    size_t index = 0;
    nl::Node node;
    std::map<uint32_t, nl::Link> links;
    std::map<uint32_t, std::pair<size_t, uint32_t>> far;  // link -> (host, link)
    nl::RouteTable table;
    NetworkPlan plan;
    unsigned programmed = 0;
    std::unique_ptr<Engine> engine;

    void send(uint32_t link, const std::string& datagram) override;
    void authorise(uint32_t link, bool yes) override { links[link].authorised = yes; }
    void set_lid(Lid lid) override { node.lid = lid; }
    void set_routes(const nl::RouteTable& t) override
    {
        table = t;
        programmed++;
    }
    void set_network(const NetworkPlan& p) override { plan = p; }
};

class Fabric {
public:
    explicit Fabric(size_t n, uint64_t salt = 0, Config config = default_config())
        : config_(std::move(config))
    {
        for (size_t i = 0; i < n; i++) {
            auto h = std::make_unique<Host>();
            h->fabric = this;
            h->index = i;
            Mac mac{0x02, 0, 0, 0, static_cast<uint8_t>(salt), static_cast<uint8_t>(i + 1)};
            h->node.guid = guid_from_mac(mac);
            h->node.mac = mac;
            h->node.epoch = static_cast<uint32_t>(1000 + i);
            h->node.ifindex = 3;
            hosts.push_back(std::move(h));
            boot(i);
        }
    }

    void boot(size_t i)
    {
        Host& h = *hosts[i];
        h.engine = std::make_unique<Engine>(config_, h, "h" + std::to_string(i), ++clock_);
        std::vector<nl::Link> links;
        for (auto& [id, l] : h.links)
            links.push_back(l);
        h.engine->start(h.node, links, h.table, now);
    }

    /// The daemon ends; what it programmed stays.
    void stop(size_t i) { hosts[i]->engine.reset(); }

    void cable(size_t a, size_t b)
    {
        add_end(a, b, next_link_);
        add_end(b, a, next_link_);
        hosts[a]->far[next_link_] = {b, next_link_};
        hosts[b]->far[next_link_] = {a, next_link_};
        next_link_++;
    }

    void cut(uint32_t link)
    {
        for (auto& h : hosts)
            if (h->links.erase(link)) {
                h->far.erase(link);
                if (h->engine)
                    h->engine->on_link_gone(link);
            }
    }

    /// Runs until nothing is on its way.
    void run(unsigned seconds = 1)
    {
        for (unsigned s = 0; s < seconds; s++) {
            for (auto& h : hosts)
                if (h->engine)
                    h->engine->settle(now);
            while (!queue.empty()) {
                auto [to, link, data] = queue.front();
                queue.pop_front();
                if (hosts[to]->engine && hosts[to]->far.count(link) &&
                    random_() % 1000 >= loss_permille) {
                    hosts[to]->engine->on_datagram(link, data);
                    hosts[to]->engine->settle(now);
                }
                BOOST_REQUIRE(++delivered < 1000000);
            }
            now += Millis(1000);
        }
    }

    Guid guid(size_t i) const { return hosts[i]->node.guid; }

    const nl::Route* route(size_t from, size_t to) const
    {
        for (const auto& r : hosts[from]->table.routes)
            if (r.guid == guid(to))
                return &r;
        return nullptr;
    }

    /// Follows next hops; -1 when the way does not lead there.
    int hops(size_t from, size_t to) const
    {
        for (int n = 0; n <= static_cast<int>(hosts.size()); n++) {
            if (from == to)
                return n;
            const auto* r = route(from, to);
            if (!r)
                return -1;
            size_t next = hosts.size();
            for (size_t i = 0; i < hosts.size(); i++)
                if (guid(i) == r->via)
                    next = i;
            if (next == hosts.size())
                return -1;
            from = next;
        }
        return -1;
    }

    std::vector<std::unique_ptr<Host>> hosts;
    std::deque<std::tuple<size_t, uint32_t, std::string>> queue;
    Millis now{1000};
    unsigned loss_permille = 0;
    size_t delivered = 0;

private:
    void add_end(size_t host, size_t peer, uint32_t id)
    {
        nl::Link l;
        l.id = id;
        l.state = nl::LinkState::Up;
        l.peer = guid(peer);
        l.peer_epoch = hosts[peer]->node.epoch;
        l.speed_gbps = 20;
        l.width = 2;
        hosts[host]->links[id] = l;
        hosts[host]->engine->on_link(l);
    }

    Config config_;
    uint32_t next_link_ = 1;
    uint64_t clock_ = 100;
    std::mt19937 random_{7};
};

void Host::send(uint32_t link, const std::string& datagram)
{
    const auto it = far.find(link);
    if (it != far.end())
        fabric->queue.emplace_back(it->second.first, it->second.second, datagram);
}

void check_full_mesh(const Fabric& f)
{
    std::set<Lid> lids;
    for (size_t a = 0; a < f.hosts.size(); a++) {
        lids.insert(f.hosts[a]->node.lid);
        for (size_t b = 0; b < f.hosts.size(); b++) {
            BOOST_TEST(f.hops(a, b) >= 0, "no way from " << a << " to " << b);
            const auto* r = f.route(a, b);
            BOOST_REQUIRE(r);
            BOOST_TEST(r->lid == f.hosts[b]->node.lid);
            BOOST_TEST(r->epoch == f.hosts[b]->node.epoch);
        }
    }
    BOOST_TEST(lids.size() == f.hosts.size());
    BOOST_TEST(!lids.count(kLidNone));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(engine)

BOOST_AUTO_TEST_CASE(two_hosts_one_cable)
{
    Fabric f(2);
    f.cable(0, 1);
    f.run(2);
    check_full_mesh(f);
    const auto& plan = f.hosts[0]->plan;
    BOOST_TEST(plan.addresses.size() == 2);
    BOOST_TEST(plan.neighbours.size() == 2);
    BOOST_TEST((plan.neighbours[0].mac == f.hosts[1]->node.mac));
    BOOST_TEST(to_string(plan.neighbours[0].address) ==
               "10.86.66." + std::to_string(f.hosts[1]->node.lid));
}

BOOST_AUTO_TEST_CASE(alone_a_host_routes_to_itself)
{
    Fabric f(1);
    f.run(1);
    BOOST_REQUIRE(f.route(0, 0));
    BOOST_TEST((f.route(0, 0)->via == f.guid(0)));
}

// The kernel tells that a link is gone only if the fabric had it; of others it tells the state.
BOOST_AUTO_TEST_CASE(a_cable_that_was_never_up_is_forgotten_when_it_goes)
{
    Fabric f(1);
    nl::Link l;
    l.id = 9;
    l.state = nl::LinkState::Login;
    f.hosts[0]->engine->on_link(l);
    BOOST_TEST(f.hosts[0]->engine->links().size() == 1u);
    l.state = nl::LinkState::Down;
    f.hosts[0]->engine->on_link(l);
    BOOST_TEST(f.hosts[0]->engine->links().empty());
}

BOOST_AUTO_TEST_CASE(chain_star_and_ring_of_eight)
{
    Fabric chain(8), star(8, 1), ring(8, 2);
    for (size_t i = 0; i + 1 < 8; i++) {
        chain.cable(i, i + 1);
        star.cable(0, i + 1);
        ring.cable(i, i + 1);
    }
    ring.cable(7, 0);
    for (Fabric* f : {&chain, &star, &ring}) {
        f->run(2);
        check_full_mesh(*f);
    }
    BOOST_TEST(chain.hops(0, 7) == 7);
    BOOST_TEST(star.hops(3, 5) == 2);
    BOOST_TEST(ring.hops(0, 4) == 4);
}

BOOST_AUTO_TEST_CASE(ways_are_symmetric_in_a_ring)
{
    // What comes from a node must come over the trunk that leads to it.
    for (uint64_t salt = 0; salt < 20; salt++) {
        Fabric f(6, salt);
        for (size_t i = 0; i < 6; i++)
            f.cable(i, (i + 1) % 6);
        f.run(2);
        for (size_t a = 0; a < 6; a++) {
            const size_t b = (a + 3) % 6;
            std::vector<size_t> there, back;
            auto walk = [&](size_t from, size_t to, std::vector<size_t>& way) {
                while (from != to) {
                    way.push_back(from);
                    const Guid via = f.route(from, to)->via;
                    for (size_t i = 0; i < 6; i++)
                        if (f.guid(i) == via)
                            from = i;
                }
                way.push_back(to);
            };
            walk(a, b, there);
            walk(b, a, back);
            BOOST_TEST(there == std::vector<size_t>(back.rbegin(), back.rend()));
        }
    }
}

BOOST_AUTO_TEST_CASE(multicast_tree_reaches_everybody_once)
{
    Fabric f(6);
    for (size_t i = 0; i < 6; i++)
        f.cable(i, (i + 1) % 6);
    f.cable(0, 3);
    f.run(2);
    for (size_t source = 0; source < 6; source++) {
        std::map<size_t, int> seen;
        std::deque<size_t> open{source};
        while (!open.empty()) {
            const size_t at = open.front();
            open.pop_front();
            BOOST_REQUIRE(++seen[at] == 1);
            for (Guid g : f.route(at, source)->mcast)
                for (size_t i = 0; i < 6; i++)
                    if (f.guid(i) == g)
                        open.push_back(i);
        }
        BOOST_TEST(seen.size() == 6);
    }
}

BOOST_AUTO_TEST_CASE(a_cut_cable_changes_the_way_and_a_replug_changes_it_back)
{
    Fabric f(4);
    f.cable(0, 1);  // link 1
    f.cable(1, 2);
    f.cable(2, 3);
    f.cable(3, 0);
    f.run(2);
    BOOST_TEST(f.hops(0, 1) == 1);
    f.cut(1);
    f.run(2);
    check_full_mesh(f);
    BOOST_TEST(f.hops(0, 1) == 3);
    f.cable(0, 1);
    f.run(2);
    BOOST_TEST(f.hops(0, 1) == 1);
}

BOOST_AUTO_TEST_CASE(equal_lid_claims_are_settled_lowest_guid_wins)
{
    Fabric f(3);
    for (auto& h : f.hosts)
        h->node.lid = 5;
    for (size_t i = 0; i < 3; i++)
        f.boot(i);
    f.cable(0, 1);
    f.cable(1, 2);
    f.run(4);
    check_full_mesh(f);
    BOOST_TEST(f.hosts[0]->node.lid == 5);
}

BOOST_AUTO_TEST_CASE(a_restarted_daemon_changes_nothing)
{
    Fabric f(3);
    f.cable(0, 1);
    f.cable(1, 2);
    f.run(2);
    const auto before = f.hosts[1]->programmed;
    const auto table = f.hosts[1]->table;
    const Lid lid = f.hosts[1]->node.lid;
    f.boot(1);
    f.run(3);
    BOOST_TEST(f.hosts[1]->programmed == before);
    BOOST_TEST((f.hosts[1]->table == table));
    BOOST_TEST(f.hosts[1]->node.lid == lid);
    check_full_mesh(f);
}

BOOST_AUTO_TEST_CASE(daemons_that_come_back_late_change_nothing)
{
    // All end at once and start seconds apart, in every order of four.
    std::vector<size_t> order{0, 1, 2, 3};
    do {
        Fabric f(4);
        for (size_t i = 0; i < 3; i++)
            f.cable(i, i + 1);
        f.run(2);
        std::vector<nl::RouteTable> tables;
        std::vector<unsigned> programmed;
        for (size_t i = 0; i < 4; i++) {
            tables.push_back(f.hosts[i]->table);
            programmed.push_back(f.hosts[i]->programmed);
            f.stop(i);
        }
        for (size_t i : order) {
            f.boot(i);
            f.run(7);
            BOOST_TEST(f.hosts[i]->plan.neighbours.size() == 6);
        }
        f.run(30);
        for (size_t i = 0; i < 4; i++) {
            BOOST_TEST(f.hosts[i]->programmed == programmed[i]);
            BOOST_TEST((f.hosts[i]->table == tables[i]));
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

BOOST_AUTO_TEST_CASE(a_neighbour_without_its_daemon_keeps_its_routes_while_it_is_linked)
{
    Fabric f(3);
    f.cable(0, 1);  // link 1
    f.cable(1, 2);
    f.run(2);
    f.stop(1);
    f.boot(0);
    f.run(200);
    BOOST_TEST(f.hops(0, 2) == 2);
    f.cut(1);
    f.run(1);
    BOOST_TEST(!f.route(0, 1));
    BOOST_TEST(!f.route(0, 2));
}

BOOST_AUTO_TEST_CASE(a_silent_node_does_not_hold_others_to_old_ways)
{
    Fabric f(5);
    for (size_t i = 0; i < 4; i++)
        f.cable(i, (i + 1) % 4);  // links 1 to 4, a ring
    f.cable(0, 4);
    f.run(2);
    f.stop(4);
    f.boot(0);
    f.run(12);
    f.cut(1);
    f.run(2);
    BOOST_TEST(f.hops(0, 1) == 3);
    f.cable(0, 1);
    f.run(2);
    f.cut(2);
    f.run(2);
    BOOST_TEST(f.hops(0, 2) == 2);
    BOOST_TEST(f.hops(0, 4) == 1);
}

BOOST_AUTO_TEST_CASE(what_went_while_the_daemon_was_away_is_forgotten)
{
    Fabric f(3);
    f.cable(0, 1);
    f.cable(1, 2);  // link 2
    f.run(2);
    f.stop(0);
    f.cut(2);
    f.run(2);
    f.boot(0);
    f.run(2);
    BOOST_TEST(f.hops(0, 1) == 1);
    BOOST_TEST(!f.route(0, 2));
}

BOOST_AUTO_TEST_CASE(a_daemon_whose_clock_went_back_is_still_heard)
{
    Fabric f(2);
    f.cable(0, 1);
    f.run(2);
    auto& h = *f.hosts[1];
    h.engine = std::make_unique<Engine>(default_config(), h, "renamed", 1);
    std::vector<nl::Link> links;
    for (auto& [id, l] : h.links)
        links.push_back(l);
    h.engine->start(h.node, links, h.table, f.now);
    f.run(3);
    BOOST_TEST(f.hosts[0]->engine->peers().at(0).lsa.name == "renamed");
}

BOOST_AUTO_TEST_CASE(lost_datagrams_only_delay)
{
    Fabric f(5);
    f.loss_permille = 300;
    for (size_t i = 0; i < 5; i++)
        f.cable(i, (i + 1) % 5);
    f.run(120);
    f.loss_permille = 0;
    f.run(12);
    check_full_mesh(f);
}

BOOST_AUTO_TEST_CASE(policy_known_authorises_only_the_known)
{
    Config c = default_config();
    c.policy = Policy::Known;
    Fabric f(2, 0, c);
    f.cable(0, 1);
    f.run(2);
    BOOST_TEST(!f.hosts[0]->links.begin()->second.authorised);
    BOOST_TEST(!f.route(0, 1));
    for (size_t i = 0; i < 2; i++) {
        c.known.insert(f.guid(1 - i));
        f.hosts[i]->engine->reload(c);
    }
    f.run(2);
    check_full_mesh(f);
    // And taken back again.
    Config none = c;
    none.known.clear();
    f.hosts[0]->engine->reload(none);
    f.run(2);
    BOOST_TEST(!f.hosts[0]->links.begin()->second.authorised);
    BOOST_TEST(!f.route(0, 1));
}

BOOST_AUTO_TEST_CASE(a_rebooted_neighbour_gets_its_new_epoch_at_once)
{
    Fabric f(2);
    f.cable(0, 1);
    f.run(2);
    auto link = f.hosts[0]->links.begin()->second;
    link.authorised = true;
    link.peer_epoch = 4242;
    f.hosts[0]->engine->on_link(link);
    f.hosts[0]->engine->settle(f.now);
    BOOST_TEST(f.route(0, 1)->epoch == 4242u);
}

BOOST_AUTO_TEST_CASE(datagrams_of_an_unauthorised_link_are_not_read)
{
    Config c = default_config();
    c.policy = Policy::Known;
    Fabric f(2, 0, c);
    f.cable(0, 1);
    f.run(1);
    Lsa l;
    l.origin = Guid{99};
    l.name = "forged";
    l.sequence = 1;
    f.hosts[0]->engine->on_datagram(1, encode({Message::Type::Lsa, l}));
    BOOST_TEST(f.hosts[0]->engine->peers().empty());
}

BOOST_AUTO_TEST_CASE(addresses_outside_the_prefix_are_not_installed)
{
    Fabric f(2);
    f.cable(0, 1);
    f.run(2);
    Lsa l = f.hosts[0]->engine->peers().at(0).lsa;
    l.sequence += 10;
    l.ipv4 = *parse_ip("8.8.8.8");
    f.hosts[0]->engine->on_datagram(1, encode({Message::Type::Lsa, l}));
    f.hosts[0]->engine->settle(f.now);
    for (const auto& n : f.hosts[0]->plan.neighbours)
        BOOST_TEST(to_string(n.address) != "8.8.8.8");
}

BOOST_AUTO_TEST_CASE(the_number_of_nodes_is_bounded)
{
    Fabric f(2);
    f.cable(0, 1);
    f.run(2);
    for (uint64_t i = 1; i <= 1000; i++) {
        Lsa l;
        l.origin = Guid{0xff00000000000000 + i};
        l.sequence = 1;
        f.hosts[0]->engine->on_datagram(1, encode({Message::Type::Lsa, l}));
    }
    BOOST_TEST(f.hosts[0]->engine->peers().size() < kMaxNodes);
    f.queue.clear();
    f.now += Millis(70000);
    f.hosts[0]->engine->settle(f.now);
    f.now += Millis(70000);
    f.hosts[0]->engine->settle(f.now);
    BOOST_TEST(f.hosts[0]->engine->peers().size() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
