// SPDX-License-Identifier: Apache-2.0
// Trunk sender: what it sends, when, where, and what acks do to it.
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <vector>

extern "C" {
#include "trunk.h"
}

namespace {

constexpr u64 ms = 1000000;
constexpr u32 cookie = 0xc00c1e, my_cookie = 0x3eca11;

struct Sent {
    unsigned ring;
    tbib_train *t;
    tbib_frame_hdr h;
    u8 tag;
};

/// A host whose rings take frames and give them back when told.
struct Host {
    tbib_tx tx; // first: the callbacks find the host by it
    std::array<u32, TBIB_RINGS> room;
    std::array<u32, TBIB_LANES> sources{}; ///< trains that pull() still gives
    u8 raws = 0, notes = 0;
    bool keep_posted = false;
    std::deque<tbib_train> trains;
    std::deque<std::vector<u8>> frames;
    std::vector<Sent> sent;
    std::vector<std::pair<tbib_train *, bool>> released;
    static inline u8 page[TBIB_FRAME_SIZE];

    static Host &of(tbib_tx *tx) { return *reinterpret_cast<Host *>(tx); }

    static const tbib_tx_ops ops;

    Host()
    {
        room.fill(1000);
        tbib_tx_init(&tx, &ops);
    }

    void up(unsigned ring, u8 lanes = 3, u32 limit = 200, u32 weight = 100)
    {
        tbib_tx_ring_up(&tx, ring, cookie, my_cookie, static_cast<u8>(ring), lanes, limit, weight);
    }

    tbib_train *pull(unsigned lane)
    {
        if (!sources[lane])
            return nullptr;
        sources[lane]--;
        auto &t = trains.emplace_back();
        t.hdr = frames.emplace_back(TBIB_FRAME_SIZE).data();
        tbib_train_init(&t, 5, 6, 7, static_cast<u8>(lane));
        tbib_train_add(&t, TBIB_PKT_TRANSPORT, 0, 16, raws);
        for (u8 i = 0; i < raws; i++) {
            tbib_raw raw{page, nullptr, 0, 1, 0};
            tbib_train_add_raw(&t, &raw);
        }
        t.n_note = notes;
        return &t;
    }

    void xmit(unsigned ring, tbib_train *t, u32 len)
    {
        Sent s{ring, t, {}, t->tag};
        u16 lens[TBIB_MAX_RAW];
        BOOST_REQUIRE(tbib_frame_decode(t->hdr, len, &s.h, lens) == TBIB_FRAME_OK);
        sent.push_back(s);
        if (!keep_posted)
            back(t);
    }

    void back(tbib_train *t)
    {
        for (int n = t->posted; n; n--)
            tbib_tx_frame_done(&tx, t);
    }

    /// full ack of one lane; the other lane stays where it is
    tbib_ack ack(unsigned lane, u32 next) const
    {
        tbib_ack a{};
        a.full = true;
        a.lanes = 3;
        for (unsigned i = 0; i < TBIB_LANES; i++)
            a.next[i] = tx.lane[i].una;
        a.next[lane] = next;
        return a;
    }

    static void add_ring(tbib_ack &a, u8 index, u32 seen, u32 limit)
    {
        a.ring[a.n_ring++] = {cookie, index, seen, limit};
    }

    u32 run(u64 now = ms, u32 budget = 1000) { return tbib_tx_run(&tx, now, budget); }
};

const tbib_tx_ops Host::ops = {
    [](tbib_tx *tx, unsigned ring) { return of(tx).room[ring]; },
    [](tbib_tx *tx, unsigned ring, tbib_train *t, u32 len) { of(tx).xmit(ring, t, len); },
    [](tbib_tx *tx, unsigned lane) { return of(tx).pull(lane); },
    [](tbib_tx *tx, tbib_train *t, bool delivered) {
        of(tx).released.emplace_back(t, delivered);
    },
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(trunk_tx, Host)

BOOST_AUTO_TEST_CASE(header_of_a_train)
{
    up(2);
    sources[TBIB_LANE_BULK] = 2;
    raws = 3;
    tx.ack_next[TBIB_LANE_BULK] = 99;
    tx.ack_limit[2] = 1234;
    BOOST_TEST(run() == 2u);
    BOOST_REQUIRE(sent.size() == 2u);
    const auto &h = sent[1].h;
    BOOST_TEST(sent[1].ring == 2u);
    BOOST_TEST(h.kind == TBIB_KIND_TRAIN);
    BOOST_TEST((h.flags & TBIB_FF_LANE) == TBIB_LANE_BULK);
    BOOST_TEST(h.flags >> TBIB_FF_TAG_SHIFT == sent[1].tag);
    BOOST_TEST(sent[1].tag != sent[0].tag);
    BOOST_TEST(h.dlid == 5);
    BOOST_TEST(h.slid == 6);
    BOOST_TEST(h.dest_epoch == 7u);
    BOOST_TEST(h.hop_limit == TBIB_HOP_LIMIT);
    BOOST_TEST(h.cookie == cookie);
    BOOST_TEST(h.seq == 1u);
    BOOST_TEST(h.ack == 99u);
    BOOST_TEST(h.credit == 1234u);
    BOOST_TEST(h.ring_frame == 4u); // the first train was four frames
    BOOST_TEST(h.n_raw == 3);
    BOOST_TEST(tbib_tx_busy(&tx));
}

BOOST_AUTO_TEST_CASE(nothing_goes_without_a_ring)
{
    sources = {1, 1};
    BOOST_TEST(run() == 0u);
    up(0);
    BOOST_TEST(run() == 2u);
    BOOST_TEST(sent[0].t->lane == TBIB_LANE_EXPRESS); // express first
}

BOOST_AUTO_TEST_CASE(ack_is_asked_for_when_nothing_follows_a_note)
{
    up(0);
    sources[0] = 3;
    notes = 1;
    run();
    BOOST_TEST(!(sent[0].h.flags & TBIB_FF_ACK_REQ));
    BOOST_TEST(!(sent[1].h.flags & TBIB_FF_ACK_REQ));
    BOOST_TEST((sent[2].h.flags & TBIB_FF_ACK_REQ));
    notes = 0;
    sources[0] = 1;
    run();
    BOOST_TEST(!(sent[3].h.flags & TBIB_FF_ACK_REQ)); // nobody waits for it
}

BOOST_AUTO_TEST_CASE(ack_is_asked_for_before_the_window_closes)
{
    up(0, 3, 10000);
    sources[0] = 1000;
    BOOST_TEST(run() == TBIB_WINDOW);
    auto asked = std::count_if(sent.begin(), sent.end(),
                               [](auto &s) { return s.h.flags & TBIB_FF_ACK_REQ; });
    BOOST_TEST(asked >= 2);
    BOOST_TEST(asked <= 8);
    BOOST_TEST(tx.stats.no_window == 1u);
}

BOOST_AUTO_TEST_CASE(ack_is_asked_for_before_credit_ends)
{
    up(0, 3, 100);
    sources[0] = 1000;
    BOOST_TEST(run() == 100u - TBIB_TRAIN_FRAMES + 1);
    auto asked = std::count_if(sent.begin(), sent.end(),
                               [](auto &s) { return s.h.flags & TBIB_FF_ACK_REQ; });
    BOOST_TEST(asked >= 1);
    BOOST_TEST(asked <= 4);
}

BOOST_AUTO_TEST_CASE(cumulative_ack_releases)
{
    up(0);
    sources[0] = 3;
    run();
    auto a = ack(0, 2);
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_REQUIRE(released.size() == 2u);
    BOOST_TEST(released[0].first == sent[0].t);
    BOOST_TEST(released[1].second);
    BOOST_TEST(tbib_tx_busy(&tx));
    a = ack(0, 3);
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(released.size() == 3u);
    BOOST_TEST(!tbib_tx_busy(&tx));
    BOOST_TEST(tbib_tx_deadline(&tx) == 0u);
    BOOST_TEST(tx.n_out == 0u);
}

BOOST_AUTO_TEST_CASE(release_waits_for_the_ring)
{
    up(0);
    sources[0] = 1;
    raws = 2;
    keep_posted = true;
    run();
    auto a = ack(0, 1);
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(released.empty());
    BOOST_TEST(!tbib_tx_busy(&tx));
    BOOST_TEST(tx.n_out == 1u);
    tbib_tx_frame_done(&tx, sent[0].t);
    tbib_tx_frame_done(&tx, sent[0].t);
    BOOST_TEST(released.empty());
    tbib_tx_frame_done(&tx, sent[0].t);
    BOOST_TEST(released.size() == 1u);
}

BOOST_AUTO_TEST_CASE(loss_is_what_the_ring_has_got_past)
{
    up(0);
    sources[0] = 4;
    raws = 1;
    run(); // places 0..1, 2..3, 4..5, 6..7
    auto a = ack(0, 1);
    a.sack[0][0] = 0x2; // next is 1, so this is train 3
    add_ring(a, 0, 3, 300);
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(released.size() == 2u);
    BOOST_TEST(run(2 * ms) == 0u); // train 1 ends at 4: its last frame may be on its way
    a.ring[0].seen = 4;
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(run(2 * ms) == 1u);
    BOOST_TEST(sent.back().h.seq == 1u);
    BOOST_TEST(sent.back().h.ring_frame == 8u);
    BOOST_TEST(sent.back().t->tries == 2);
    BOOST_TEST(tx.stats.retries == 1u);
    BOOST_TEST(tx.stats.trains == 4u);
    tbib_tx_ack(&tx, &a, 2 * ms); // the same ack again: the retry is not lost
    BOOST_TEST(run(2 * ms) == 0u);
}

BOOST_AUTO_TEST_CASE(overtaken_acks_lose_nothing)
{
    up(0);
    sources[0] = 4;
    run();
    auto old = ack(0, 0);
    old.sack[0][0] = 0x4; // train 3
    add_ring(old, 0, 4, 300);
    tbib_ack newer{}; // from a train header on another ring
    newer.lanes = 1;
    newer.next[0] = 2;
    tbib_tx_ack(&tx, &newer, 2 * ms);
    tbib_tx_ack(&tx, &old, 2 * ms);
    BOOST_TEST(released.size() == 3u);
    BOOST_TEST(run(2 * ms) == 1u);
    BOOST_TEST(sent.back().h.seq == 2u);
}

BOOST_AUTO_TEST_CASE(lost_trains_wait_for_their_buffers)
{
    up(0);
    sources[0] = 2;
    keep_posted = true;
    run();
    auto a = ack(0, 0);
    add_ring(a, 0, 2, 300);
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(run(2 * ms) == 0u);
    back(sent[1].t);
    BOOST_TEST(run(2 * ms) == 1u); // the second one's are back
    BOOST_TEST(sent.back().h.seq == 1u);
    back(sent[0].t);
    BOOST_TEST(run(2 * ms) == 1u);
    BOOST_TEST(sent.back().h.seq == 0u);
}

BOOST_AUTO_TEST_CASE(trains_of_a_dead_ring_go_elsewhere_in_order)
{
    up(0);
    sources[0] = 3;
    sources[1] = 1;
    run();
    tbib_tx_ring_down(&tx, 0);
    BOOST_TEST(run() == 0u);
    BOOST_TEST(tbib_tx_deadline(&tx) == 0u); // nobody to ask
    up(3);
    BOOST_TEST(run() == 4u);
    for (u32 i = 0; i < 3; i++) {
        BOOST_TEST(sent[4 + i].ring == 3u);
        BOOST_TEST(sent[4 + i].h.seq == i);
        BOOST_TEST(sent[4 + i].h.ring_frame == i);
    }
}

BOOST_AUTO_TEST_CASE(lost_credit_is_asked_for)
{
    up(0, 3, 40);
    sources[0] = 100;
    u32 n = run();
    BOOST_TEST(n == 8u);
    auto a = ack(0, n); // all arrived, but the word of new credit was lost
    tbib_tx_ack(&tx, &a, 2 * ms);
    BOOST_TEST(!tbib_tx_busy(&tx));
    BOOST_TEST(run(2 * ms) == 0u);
    u64 at = tbib_tx_deadline(&tx);
    BOOST_TEST(at > 2 * ms);
    BOOST_TEST(at <= 12 * ms);
    BOOST_TEST(tbib_tx_timer(&tx, at - 1) == 0u);
    BOOST_TEST(tbib_tx_timer(&tx, at) == 1u);
    a = ack(0, n);
    add_ring(a, 0, n + 1, 48);
    tbib_tx_ack(&tx, &a, at);
    BOOST_TEST(run(at) > 0u);
}

BOOST_AUTO_TEST_CASE(header_acks_bring_credit_by_our_own_cookie)
{
    up(1, 3, 40);
    tbib_ack a{};
    a.lanes = 1;
    a.n_ring = 1;
    a.ring[0] = {cookie, 1, 0, 90};
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(tx.ring[1].limit == 40u);
    a.ring[0].cookie = my_cookie;
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(tx.ring[1].limit == 90u);
    a.ring[0].limit = 80; // an older one
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(tx.ring[1].limit == 90u);
}

BOOST_AUTO_TEST_CASE(tail_probe_backs_off)
{
    up(0);
    sources[0] = 1;
    run(ms);
    u64 now = tbib_tx_deadline(&tx);
    BOOST_TEST(now == 3 * ms); // 2 ms without any measurement
    u64 last = 0;
    for (int i = 0; i < 8; i++) {
        std::array<u8, TBIB_CTRL_MAX> buf;
        BOOST_TEST(tbib_tx_timer(&tx, now) == 1u);
        tbib_tx_control(&tx, 0, TBIB_CTRL_PROBE, nullptr, buf.data());
        u64 wait = tbib_tx_deadline(&tx) - now;
        BOOST_TEST(wait >= last);
        BOOST_TEST(wait <= 50 * ms);
        last = wait;
        now += wait;
    }
    BOOST_TEST(last == 50 * ms);
    auto a = ack(0, 0);
    add_ring(a, 0, tx.ring[0].sent, 300); // a probe arrived, the train did not
    tbib_tx_ack(&tx, &a, now);
    BOOST_TEST(run(now) == 1u);
    BOOST_TEST(tbib_tx_deadline(&tx) - now == 2 * ms);
}

BOOST_AUTO_TEST_CASE(lost_tail_does_not_hide_behind_others)
{
    up(0);
    sources = {1, 0};
    run(ms); // lost
    u64 at = tbib_tx_deadline(&tx);
    for (u32 i = 0; i < 5; i++) {
        sources[1] = 1;
        run(ms + 100000 * i);
        tbib_ack a{}; // header acks speak of one lane only
        a.lanes = 2;
        a.next[1] = i + 1;
        tbib_tx_ack(&tx, &a, ms + 100000 * i);
    }
    BOOST_TEST(tbib_tx_deadline(&tx) == at);
}

BOOST_AUTO_TEST_CASE(round_trip_time_is_measured)
{
    up(0);
    for (u32 i = 0; i < 50; i++) {
        sources[0] = 1;
        run(i * 10 * ms);
        auto a = ack(0, i + 1);
        tbib_tx_ack(&tx, &a, i * 10 * ms + 5 * ms);
    }
    BOOST_TEST(tx.srtt > 5 * ms - 1000);
    BOOST_TEST(tx.srtt < 5 * ms + 1000);
    BOOST_TEST(tx.rttvar < ms);
    sources[0] = 1;
    run(ms);
    BOOST_TEST(tbib_tx_deadline(&tx) - ms >= 6 * ms);
}

BOOST_AUTO_TEST_CASE(unacked_raw_trains_never_share_a_tag)
{
    up(0, 3, 1000);
    sources[0] = 100;
    raws = 1;
    BOOST_TEST(run() == TBIB_RAW_TAGS);
    std::vector<bool> used(TBIB_RAW_TAGS);
    for (auto &s : sent) {
        BOOST_TEST(!used[s.tag]);
        used[s.tag] = true;
    }
    auto a = ack(0, 0);
    a.sack[0][0] = 1; // train 1
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(run() == 1u);
    BOOST_TEST(sent.back().tag == sent[1].tag);
    up(1, 3, 1000); // another ring has tags of its own
    BOOST_TEST(run() == TBIB_RAW_TAGS);
}

BOOST_AUTO_TEST_CASE(lies_do_no_harm)
{
    up(0);
    sources[0] = 4;
    raws = 1;
    run();
    auto a = ack(0, 5); // trains that do not exist
    a.sack[0][0] = a.sack[0][1] = ~0ull;
    add_ring(a, 0, 9, 300); // nor frames
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(released.empty());
    BOOST_TEST(run() == 0u);
    a = ack(0, ~0u);
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(released.empty());
    a = ack(0, 0);
    a.sack[0][0] = a.sack[0][1] = ~0ull;
    tbib_tx_ack(&tx, &a, ms);
    BOOST_TEST(released.size() == 3u); // 1, 2, 3: its own loss
    a.n_ring = 200;
    tbib_tx_ack(&tx, &a, ms);
}

BOOST_AUTO_TEST_CASE(reset_drops_everything)
{
    up(0);
    sources = {5, 5};
    raws = 1;
    run();
    keep_posted = true;
    sources[0] = 1;
    run();
    auto a = ack(0, 0);
    add_ring(a, 0, 2, 300);
    tbib_tx_ack(&tx, &a, ms); // one is queued
    tbib_tx_reset(&tx);
    BOOST_TEST(released.size() == 10u);
    for (auto &[t, delivered] : released)
        BOOST_TEST(!delivered);
    back(sent.back().t);
    BOOST_TEST(released.size() == 11u);
    BOOST_TEST(!released.back().second);
    BOOST_TEST(tx.n_out == 0u);
    BOOST_TEST(!tbib_tx_busy(&tx));
    BOOST_TEST(tbib_tx_deadline(&tx) == 0u);
    sources[0] = 1;
    up(0);
    run();
    BOOST_TEST(sent.back().h.seq == 0u);
    BOOST_TEST(sent.back().h.ring_frame == 0u);
}

BOOST_AUTO_TEST_CASE(stripes_by_rate)
{
    up(0, 3, 1000, 400);
    up(1, 3, 1000, 100);
    sources[0] = 100;
    run();
    auto fast = std::count_if(sent.begin(), sent.end(), [](auto &s) { return s.ring == 0; });
    BOOST_TEST(fast == 80);
}

BOOST_AUTO_TEST_CASE(lanes_have_their_rings)
{
    up(0, 1);
    up(1, 2);
    sources = {10, 10};
    run();
    for (auto &s : sent)
        BOOST_TEST(s.ring == s.t->lane);
    tbib_tx_ring_down(&tx, 1); // the only one of bulk
    BOOST_TEST(run() == 10u);
    BOOST_TEST(sent.back().ring == 0u);
}

BOOST_AUTO_TEST_CASE(express_does_not_starve_bulk)
{
    up(0, 3, 10000);
    sources = {100000, 100000};
    for (u32 i = 0; i < 3000; i++) {
        run(i * 1000, 1);
        for (unsigned lane = 0; lane < TBIB_LANES; lane++) {
            auto a = ack(lane, tx.lane[lane].next_seq);
            add_ring(a, 0, tx.ring[0].sent, tx.ring[0].sent + 1000);
            tbib_tx_ack(&tx, &a, i * 1000);
        }
    }
    auto bulk = std::count_if(sent.begin(), sent.end(), [](auto &s) { return s.t->lane == 1; });
    BOOST_TEST(bulk >= 20);
    BOOST_TEST(bulk <= 60);
}

BOOST_AUTO_TEST_CASE(unacked_frames_are_bounded)
{
    up(0, 3, 100000);
    up(1, 3, 100000);
    up(2, 3, 100000);
    up(3, 3, 100000);
    sources[1] = 1000;
    raws = TBIB_MAX_RAW;
    run();
    BOOST_TEST(sent.size() == TBIB_WINDOW_FRAMES / TBIB_TRAIN_FRAMES);
}

BOOST_AUTO_TEST_CASE(control_frames_are_counted)
{
    std::array<u8, TBIB_CTRL_MAX> buf;
    tbib_ack in = ack(0, 0), out{};
    BOOST_TEST(tbib_tx_control(&tx, 0, TBIB_CTRL_ACK, &in, buf.data()) == 0u);
    up(0, 3, 0); // no credit needed
    for (u8 i = 0; i < TBIB_RINGS; i++)
        add_ring(in, i, i, i);
    in.sack[1][0] = 0x0123456789abcdef;
    u32 len = tbib_tx_control(&tx, 0, TBIB_CTRL_PROBE, &in, buf.data());
    BOOST_TEST(len == TBIB_CTRL_MAX);
    BOOST_TEST(tx.ring[0].sent == 1u);
    tbib_frame_hdr h;
    u16 lens[TBIB_MAX_RAW];
    BOOST_REQUIRE(tbib_frame_decode(buf.data(), len, &h, lens) == TBIB_FRAME_OK);
    BOOST_TEST(h.kind == TBIB_KIND_CONTROL);
    BOOST_TEST(h.n_pkt == TBIB_CTRL_PROBE);
    BOOST_REQUIRE(tbib_ack_decode(buf.data() + TBIB_FRAME_HDR, h.pkt_len, &out));
    BOOST_TEST(out.full);
    BOOST_TEST(out.sack[1][0] == in.sack[1][0]);
    BOOST_TEST(out.ring[7].seen == 7u);
    for (u32 n = 0; n < h.pkt_len; n++)
        BOOST_TEST(!tbib_ack_decode(buf.data() + TBIB_FRAME_HDR, n, &out));
    len = tbib_tx_control(&tx, 0, TBIB_CTRL_BYE, nullptr, buf.data());
    BOOST_TEST(len == TBIB_FRAME_HDR);
}

BOOST_AUTO_TEST_SUITE_END()
