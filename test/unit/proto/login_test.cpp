// SPDX-License-Identifier: Apache-2.0
// Login messages, the transition table, and two machines that must find together
// whatever is lost, restarted or replugged.
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "rng.hpp"

extern "C" {
#include "login.h"
}

namespace {

constexpr u64 ms = 1000000;

tbib_login example(u64 guid = 1)
{
    tbib_login l{};
    l.type = TBIB_LOGIN_REQUEST;
    l.version = TBIB_LOGIN_VERSION;
    l.node_guid = guid;
    l.boot_nonce = guid * 77;
    l.session = 5;
    l.peer_session = 6;
    l.cookie = 7;
    l.ready = true;
    l.n_ring = 2;
    for (int i = 0; i < 2; i++) {
        l.hopid[i] = static_cast<u16>(8 + i);
        l.limit[i] = static_cast<u16>(240 + i);
        l.lanes[i] = static_cast<u8>(1 + i);
    }
    for (u8 i = 0; i < 16; i++) {
        l.uuid[i] = i;
        l.peer_uuid[i] = static_cast<u8>(100 + i);
    }
    return l;
}

using Message = std::array<u8, TBIB_LOGIN_LEN>;

tbib_login_status over_the_wire(const tbib_login &in, tbib_login &out)
{
    Message m;
    tbib_login_encode(m.data(), &in);
    return tbib_login_decode(m.data(), m.size(), &out);
}

/// Status of the example with one thing changed.
template <typename Change> tbib_login_status status_with(Change change)
{
    tbib_login l = example(), out;
    change(l);
    return over_the_wire(l, out);
}

} // namespace

BOOST_AUTO_TEST_SUITE(login)

BOOST_AUTO_TEST_CASE(round_trip)
{
    tbib_login in = example(), out;
    BOOST_REQUIRE(over_the_wire(in, out) == TBIB_LOGIN_OK);
    BOOST_TEST(out.type == in.type);
    BOOST_TEST(out.node_guid == in.node_guid);
    BOOST_TEST(out.boot_nonce == in.boot_nonce);
    BOOST_TEST(out.session == in.session);
    BOOST_TEST(out.peer_session == in.peer_session);
    BOOST_TEST(out.cookie == in.cookie);
    BOOST_TEST(out.ready == in.ready);
    BOOST_TEST(out.n_ring == in.n_ring);
    BOOST_TEST(std::memcmp(out.uuid, in.uuid, 16) == 0);
    BOOST_TEST(std::memcmp(out.peer_uuid, in.peer_uuid, 16) == 0);
    BOOST_TEST(std::memcmp(out.hopid, in.hopid, sizeof(in.hopid)) == 0);
    BOOST_TEST(std::memcmp(out.limit, in.limit, sizeof(in.limit)) == 0);
    BOOST_TEST(std::memcmp(out.lanes, in.lanes, sizeof(in.lanes)) == 0);
}

BOOST_AUTO_TEST_CASE(damage_is_found)
{
    tbib_login in = example(), out;
    Message m;
    tbib_login_encode(m.data(), &in);
    for (u32 bit = 0; bit < m.size() * 8; bit++) {
        m[bit / 8] ^= 1u << bit % 8;
        BOOST_TEST(tbib_login_decode(m.data(), m.size(), &out) != TBIB_LOGIN_OK, "bit " << bit);
        m[bit / 8] ^= 1u << bit % 8;
    }
    for (u32 len = 0; len < m.size(); len++)
        BOOST_TEST(tbib_login_decode(m.data(), len, &out) == TBIB_LOGIN_BAD);
}

BOOST_AUTO_TEST_CASE(bounds)
{
    BOOST_TEST(status_with([](auto &) {}) == TBIB_LOGIN_OK);
    BOOST_TEST(status_with([](auto &l) { l.version = 2; }) == TBIB_LOGIN_BAD_VERSION);
    BOOST_TEST(status_with([](auto &l) { l.type = 0; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.type = 4; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.status = 5; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.session = 0; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.n_ring = 5; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.n_ring = 0; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.n_ring = 0, l.ready = false; }) == TBIB_LOGIN_OK);
    BOOST_TEST(status_with([](auto &l) { l.hopid[1] = 7; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.hopid[1] = 0x800; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.lanes[0] = 0; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.lanes[0] = 4; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.limit[0] = 40; }) == TBIB_LOGIN_BAD);
    BOOST_TEST(status_with([](auto &l) { l.limit[0] = 41; }) == TBIB_LOGIN_OK);
}

BOOST_AUTO_TEST_CASE(refusals_are_loud_once)
{
    tbib_link_fsm f;
    tbib_link_fsm_init(&f);
    f.mine = example(1);
    BOOST_TEST(tbib_link_event(&f, TBIB_LE_PEER, nullptr, 0) ==
               (TBIB_LA_NEW_SESSION | TBIB_LA_REQUEST));
    tbib_login same = example(1);
    BOOST_TEST((tbib_link_event(&f, TBIB_LE_REQUEST, &same, ms) & TBIB_LA_REFUSE));
    BOOST_TEST(f.state == TBIB_LINK_REFUSED);
    BOOST_TEST(f.refused == TBIB_LOGIN_SAME_GUID);
    BOOST_TEST(!(tbib_link_event(&f, TBIB_LE_REQUEST, &same, ms) & TBIB_LA_REFUSE));
    tbib_login answer;
    tbib_link_answer(&f, &answer);
    BOOST_TEST(answer.status == TBIB_LOGIN_SAME_GUID);
    tbib_login newer = example(2);
    newer.version = 2;
    BOOST_TEST((tbib_link_event(&f, TBIB_LE_REQUEST, &newer, ms) & TBIB_LA_REFUSE));
    BOOST_TEST(f.deadline != 0u); // it goes on asking: the peer may be upgraded
    tbib_login good = example(2);
    good.peer_session = f.mine.session;
    BOOST_TEST((tbib_link_event(&f, TBIB_LE_REQUEST, &good, ms) & TBIB_LA_PATHS_UP));
    BOOST_TEST(f.state == TBIB_LINK_PATHS);
}

BOOST_AUTO_TEST_CASE(a_new_session_takes_the_link_down_first)
{
    tbib_link_fsm f;
    tbib_link_fsm_init(&f);
    f.mine = example(1);
    tbib_link_event(&f, TBIB_LE_PEER, nullptr, 0);
    tbib_login peer = example(2);
    peer.peer_session = f.mine.session;
    tbib_link_event(&f, TBIB_LE_RESPONSE, &peer, 0);
    BOOST_TEST(tbib_link_event(&f, TBIB_LE_PATHS_OK, nullptr, 0) == TBIB_LA_REPORT_UP);
    BOOST_TEST(tbib_link_event(&f, TBIB_LE_REQUEST, &peer, 0) == 0u); // a repetition
    peer.session++;
    u32 todo = tbib_link_event(&f, TBIB_LE_REQUEST, &peer, 0);
    BOOST_TEST(todo == (TBIB_LA_REPORT_DOWN | TBIB_LA_PATHS_DOWN | TBIB_LA_NEW_SESSION |
                        TBIB_LA_REQUEST));
}

BOOST_AUTO_TEST_CASE(asks_for_ever_with_back_off)
{
    tbib_link_fsm f;
    tbib_link_fsm_init(&f);
    f.mine = example(1);
    tbib_link_event(&f, TBIB_LE_PEER, nullptr, 0);
    u64 now = 0, wait = 0;
    for (int i = 0; i < 20; i++) {
        tbib_link_event(&f, TBIB_LE_NO_ANSWER, nullptr, now);
        BOOST_REQUIRE(f.deadline > now);
        BOOST_TEST(f.deadline - now >= wait);
        wait = f.deadline - now;
        BOOST_TEST((i || wait == 100 * ms));
        now = f.deadline;
        BOOST_TEST((tbib_link_event(&f, TBIB_LE_TIMER, nullptr, now) & TBIB_LA_REQUEST));
    }
    BOOST_TEST(wait == 5000 * ms);
}

BOOST_AUTO_TEST_CASE(no_event_harms_any_state)
{
    for (int s = 0; s <= TBIB_LINK_STATES; s++)
        for (int e = 0; e <= TBIB_LE_EVENTS; e++) {
            tbib_link_fsm f;
            tbib_link_fsm_init(&f);
            f.mine = example(1);
            f.state = static_cast<u8>(s);
            tbib_link_event(&f, static_cast<enum tbib_link_event>(e), nullptr, ms);
            BOOST_TEST((f.state < TBIB_LINK_STATES || f.state == s));
            BOOST_TEST(std::strlen(tbib_link_state_name(f.state)) > 0u);
        }
}

namespace {

/// Two hosts as module/ring does it: one request at a time, answered by state.
struct Pair {
    struct Host {
        tbib_link_fsm f;
        bool asking = false, ask_again = false;
        u32 up_session = 0, up_cookie = 0; ///< the peer's, while paths are up
        bool up = false;
    };

    explicit Pair(u64 seed) : rng(seed)
    {
        for (u64 n = 0; n < 2; n++) {
            tbib_link_fsm_init(&host[n].f);
            host[n].f.mine = example(n + 1);
        }
    }

    void at(u64 t, std::function<void()> what) { events.emplace(t, std::move(what)); }

    void event(int n, int ev, const tbib_login *msg = nullptr)
    {
        Host &h = host[n];
        u32 todo = tbib_link_event(&h.f, static_cast<enum tbib_link_event>(ev), msg, now);
        if (todo & TBIB_LA_REPORT_DOWN)
            h.up = false;
        if (todo & TBIB_LA_PATHS_DOWN)
            h.up_session = 0;
        if (todo & TBIB_LA_NEW_SESSION) {
            h.f.mine.session = static_cast<u32>(rng()) | 1;
            h.f.mine.cookie = static_cast<u32>(rng()) | 1;
            h.f.mine.ready = !faults || rng.chance(0.8);
            h.f.mine.n_ring = h.f.mine.ready ? 2 : 0;
        }
        if (todo & TBIB_LA_REQUEST)
            ask(n);
        if (todo & TBIB_LA_PATHS_UP) {
            h.up_session = h.f.peer.session;
            h.up_cookie = h.f.peer.cookie;
            event(n, faults && rng.chance(0.2) ? TBIB_LE_PATHS_FAIL : TBIB_LE_PATHS_OK);
        }
        if (todo & TBIB_LA_REPORT_UP)
            h.up = true;
        if (u64 t = h.f.deadline)
            at(t, [=, this] {
                if (host[n].f.deadline == t)
                    event(n, TBIB_LE_TIMER);
            });
    }

    void ask(int n)
    {
        Host &h = host[n];
        if (h.asking) {
            h.ask_again = true;
            return;
        }
        h.asking = true;
        tbib_login q = h.f.mine;
        q.type = TBIB_LOGIN_REQUEST;
        q.peer_session = h.f.peer.session;
        u64 delay = rng.range(1, 30) * ms;
        bool lost = faults && rng.chance(0.3);
        at(now + delay, [=, this] {
            tbib_login m;
            if (lost || !host[1 - n].f.have_peer ||
                over_the_wire(q, m) != TBIB_LOGIN_OK)
                return answered(n, nullptr);
            event(1 - n, TBIB_LE_REQUEST, &m);
            tbib_login a;
            tbib_link_answer(&host[1 - n].f, &a);
            bool answer_lost = faults && rng.chance(0.3);
            at(now + rng.range(1, 30) * ms, [=, this] { answered(n, answer_lost ? nullptr : &a); });
        });
    }

    void answered(int n, const tbib_login *a)
    {
        host[n].asking = false;
        tbib_login m;
        if (a && over_the_wire(*a, m) == TBIB_LOGIN_OK)
            event(n, TBIB_LE_RESPONSE, &m);
        else
            event(n, TBIB_LE_NO_ANSWER);
        if (host[n].ask_again) {
            host[n].ask_again = false;
            ask(n);
        }
    }

    void disturb()
    {
        int n = static_cast<int>(rng.below(2));
        switch (rng.below(5)) {
        case 0:
            event(n, TBIB_LE_SILENT);
            break;
        case 1: { // rmmod: the peer is told
            tbib_login bye = host[n].f.mine;
            bye.type = TBIB_LOGOUT;
            event(1 - n, TBIB_LE_LOGOUT, &bye);
            event(n, TBIB_LE_GONE);
            at(now + rng.range(0, 300) * ms, [=, this] { event(n, TBIB_LE_PEER); });
            break;
        }
        case 2: // reboot
            host[n].f.mine.boot_nonce++;
            event(n, TBIB_LE_GONE);
            event(n, TBIB_LE_PEER);
            break;
        case 3: // replug
            event(0, TBIB_LE_GONE);
            event(1, TBIB_LE_GONE);
            at(now + rng.range(0, 300) * ms, [this] { event(0, TBIB_LE_PEER); });
            at(now + rng.range(0, 300) * ms, [this] { event(1, TBIB_LE_PEER); });
            break;
        default:
            event(n, TBIB_LE_PATHS_FAIL);
        }
    }

    void run_until(u64 end)
    {
        while (!events.empty() && events.begin()->first <= end) {
            now = std::max(now, events.begin()->first);
            auto what = std::move(events.begin()->second);
            events.erase(events.begin());
            what();
        }
        now = end;
    }

    bool together() const
    {
        for (int n = 0; n < 2; n++) {
            const Host &h = host[n], &p = host[1 - n];
            if (h.f.state != TBIB_LINK_UP || !h.up || h.up_session != p.f.mine.session ||
                h.up_cookie != p.f.mine.cookie)
                return false;
        }
        return true;
    }

    tbib::sim::Rng rng;
    Host host[2];
    std::multimap<u64, std::function<void()>> events;
    u64 now = 0;
    bool faults = true;
};

} // namespace

BOOST_AUTO_TEST_CASE(two_ends_always_find_together)
{
    u64 slowest = 0;
    for (u64 seed = 0; seed < 2000; seed++) {
        Pair p(seed);
        p.event(0, TBIB_LE_PEER);
        p.event(1, TBIB_LE_PEER);
        for (int i = 0; i < 20; i++) {
            p.run_until(p.now + p.rng.range(1, 500) * ms);
            p.disturb();
        }
        p.faults = false;
        u64 healed = p.now;
        while (!p.together() && p.now < healed + 30000 * ms)
            p.run_until(p.now + 10 * ms);
        BOOST_TEST(p.together(), "seed " << seed << ": " << tbib_link_state_name(p.host[0].f.state)
                                         << ", " << tbib_link_state_name(p.host[1].f.state));
        slowest = std::max(slowest, p.now - healed);
        u32 session = p.host[0].f.mine.session;
        p.run_until(p.now + 20000 * ms);
        BOOST_TEST(p.together(), "seed " << seed << " does not stay up");
        BOOST_TEST(session == p.host[0].f.mine.session);
    }
    BOOST_TEST(slowest <= 11000 * ms);
}

BOOST_AUTO_TEST_SUITE_END()
