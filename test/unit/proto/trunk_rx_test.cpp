// SPDX-License-Identifier: Apache-2.0
// Trunk receiver: whole trains only, in order, and the truth about them.
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <deque>
#include <set>
#include <vector>

extern "C" {
#include "trunk.h"
}

namespace {

constexpr u32 cookie = 0xfeed;

/// A host that hands frames to the receiver and remembers what came of it.
struct Host {
    tbib_rx rx; // first: the callbacks find the host by it
    std::vector<tbib_rx_slot> slots = std::vector<tbib_rx_slot>(TBIB_RX_SLOTS);
    std::deque<std::vector<u8>> memory;
    std::set<void *> out; ///< pages that the receiver has
    std::vector<u32> delivered[TBIB_LANES];
    std::vector<tbib_rx_train *> kept;
    std::vector<tbib_ack> acks;
    int byes = 0;
    bool keep = false;

    static Host &of(tbib_rx *rx) { return *reinterpret_cast<Host *>(rx); }

    static const tbib_rx_ops ops;

    Host()
    {
        tbib_rx_init(&rx, &ops, slots.data(), static_cast<u32>(slots.size()));
        tbib_rx_ring_up(&rx, 0, cookie, 0, 216);
        tbib_rx_ring_up(&rx, 1, cookie, 1, 216);
    }

    ~Host()
    {
        for (auto *t : kept)
            tbib_rx_train_free(&rx, t);
        tbib_rx_reset(&rx);
        BOOST_TEST(out.empty(), "pages have leaked");
        size_t n = 0;
        for (auto *s = rx.free; s; s = s->next_free)
            n++;
        BOOST_TEST(n == TBIB_RX_SLOTS);
    }

    void deliver(tbib_rx_train *t)
    {
        delivered[t->h.flags & TBIB_FF_LANE].push_back(t->h.seq);
        if (keep)
            kept.push_back(t);
        else
            tbib_rx_train_free(&rx, t);
    }

    u32 give(unsigned ring, std::vector<u8> bytes, u8 eof, bool bad = false)
    {
        auto &m = memory.emplace_back(std::move(bytes));
        out.insert(m.data());
        tbib_rx_buf buf{m.data(), m.data(), static_cast<u16>(m.size()), eof, bad};
        return tbib_rx_frame(&rx, ring, &buf);
    }

    static tbib_frame_hdr train(u32 seq, u32 ring_frame, u8 raws = 0, u8 lane = 0, u8 tag = 4)
    {
        tbib_frame_hdr h{};
        h.kind = TBIB_KIND_TRAIN;
        h.flags = static_cast<u8>(lane | tag << TBIB_FF_TAG_SHIFT);
        h.cookie = cookie;
        h.seq = seq;
        h.ring_frame = ring_frame;
        h.n_raw = raws;
        h.n_pkt = 1;
        h.pkt_len = 8;
        return h;
    }

    u32 header(const tbib_frame_hdr &h, unsigned ring = 0, u16 raw_len = 100, bool bad = false)
    {
        std::vector<u8> f(TBIB_FRAME_SIZE);
        std::array<u16, TBIB_MAX_RAW> lens;
        lens.fill(raw_len);
        f.resize(tbib_frame_encode(f.data(), &h, lens.data()));
        return give(ring, f, TBIB_PDF_HEADER, bad);
    }

    u32 raw(unsigned ring = 0, u8 tag = 4, u16 len = 100, bool bad = false)
    {
        return give(ring, std::vector<u8>(len), static_cast<u8>(TBIB_PDF_RAW(tag)), bad);
    }

    tbib_ack ack()
    {
        tbib_ack a;
        tbib_rx_ack(&rx, &a);
        return a;
    }
};

const tbib_rx_ops Host::ops = {
    [](tbib_rx *rx, tbib_rx_train *t) { of(rx).deliver(t); },
    [](tbib_rx *rx, const tbib_ack *ack) { of(rx).acks.push_back(*ack); },
    [](tbib_rx *rx, void *page) { BOOST_REQUIRE(of(rx).out.erase(page) == 1u); },
    [](tbib_rx *rx, unsigned) { of(rx).byes++; },
};

using List = std::vector<u32>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(trunk_rx, Host)

BOOST_AUTO_TEST_CASE(whole_trains_are_delivered)
{
    BOOST_TEST(header(train(0, 0)) == TBIB_RX_ACK_SOON);
    BOOST_TEST(header(train(1, 1, 2)) == 0u);
    BOOST_TEST(raw() == 0u);
    BOOST_TEST(delivered[0] == List({0}));
    BOOST_TEST(raw() == TBIB_RX_ACK_SOON);
    BOOST_TEST(delivered[0] == List({0, 1}));
    auto a = ack();
    BOOST_TEST(a.next[0] == 2u);
    BOOST_TEST(a.n_ring == 2);
    BOOST_TEST(a.ring[0].seen == 4u);
    BOOST_TEST(a.ring[0].limit == 204u); // 216 - 16 + 4
    BOOST_TEST(tbib_rx_limit(&rx, 1) == 200u);
}

BOOST_AUTO_TEST_CASE(early_trains_are_held_and_sacked)
{
    header(train(2, 0), 1);
    header(train(127, 1), 1);
    header(train(65, 2), 1);
    BOOST_TEST(delivered[0].empty());
    auto a = ack();
    BOOST_TEST(a.next[0] == 0u);
    BOOST_TEST(a.sack[0][0] == 1ull << 1); // bit i is next + 1 + i
    BOOST_TEST(a.sack[0][1] == (1ull << 62 | 1ull));
    header(train(0, 0));
    header(train(1, 1));
    BOOST_TEST(delivered[0] == List({0, 1, 2}));
    a = ack();
    BOOST_TEST(a.next[0] == 3u);
    BOOST_TEST(a.sack[0][0] == 1ull << 61); // 65
    BOOST_TEST(a.sack[0][1] == 1ull << 59); // 127
}

BOOST_AUTO_TEST_CASE(lanes_are_apart)
{
    header(train(0, 0, 0, TBIB_LANE_BULK));
    header(train(1, 1, 0, TBIB_LANE_EXPRESS));
    BOOST_TEST(delivered[1] == List({0}));
    BOOST_TEST(delivered[0].empty());
}

BOOST_AUTO_TEST_CASE(what_is_torn_is_dropped_whole)
{
    // a raw frame of another train
    header(train(0, 0, 2));
    raw();
    BOOST_TEST(raw(0, 5) == TBIB_RX_ACK_NOW);
    // of another length
    header(train(0, 3, 2));
    BOOST_TEST(raw(0, 4, 101) == TBIB_RX_ACK_NOW);
    // flagged by the NHI
    header(train(0, 5, 1));
    BOOST_TEST(raw(0, 4, 100, true) == TBIB_RX_ACK_NOW);
    // cut by the next header
    header(train(0, 7, 2));
    raw();
    BOOST_TEST((header(train(1, 10)) & TBIB_RX_ACK_GAP));
    BOOST_TEST(rx.stats.torn == 4u);
    BOOST_TEST(delivered[0].empty());
    BOOST_TEST(out.size() == 1u); // the held train 1
    BOOST_TEST(ack().ring[0].seen == 11u);
    header(train(0, 11));
    BOOST_TEST(delivered[0] == List({0, 1}));
}

BOOST_AUTO_TEST_CASE(burst_over_two_trains_is_noticed)
{
    // tail of one train and header of the next are gone, lengths are the same
    header(train(0, 0, 2, 0, 4));
    raw(0, 4);
    BOOST_TEST(raw(0, 5) == TBIB_RX_ACK_NOW);
    raw(0, 5);
    BOOST_TEST(delivered[0].empty());
    BOOST_TEST(out.empty());
}

BOOST_AUTO_TEST_CASE(lost_frames_do_not_leak_credit)
{
    header(train(0, 0));
    u32 limit = tbib_rx_limit(&rx, 0);
    BOOST_TEST((header(train(1, 50)) & TBIB_RX_ACK_GAP)); // 49 frames lost
    BOOST_TEST(tbib_rx_limit(&rx, 0) == limit + 50);
    BOOST_TEST(rx.stats.gaps == 1u);
    BOOST_TEST(delivered[0] == List({0, 1}));
}

BOOST_AUTO_TEST_CASE(bad_headers_are_counted_as_frames)
{
    std::vector<u8> f(60, 0x33);
    BOOST_TEST(give(0, f, TBIB_PDF_HEADER) == TBIB_RX_ACK_NOW);
    header(train(0, 1), 0, 100, true);
    BOOST_TEST(ack().ring[0].seen == 2u);
    BOOST_TEST(rx.stats.crc == 1u);
    BOOST_TEST(rx.stats.bad_header == 1u);
    raw();
    BOOST_TEST(ack().ring[0].seen == 3u);
    BOOST_TEST(out.empty());
}

BOOST_AUTO_TEST_CASE(duplicates_are_dropped_and_acked)
{
    header(train(0, 0));
    BOOST_TEST(header(train(0, 1, 2)) == TBIB_RX_ACK_NOW);
    BOOST_TEST(raw() == 0u); // its raw frames are nothing new
    BOOST_TEST(raw() == 0u);
    header(train(2, 4));
    BOOST_TEST(header(train(2, 5)) == TBIB_RX_ACK_NOW); // held already
    BOOST_TEST(rx.stats.duplicate == 2u);
    BOOST_TEST(rx.stats.torn == 0u);
    BOOST_TEST(delivered[0] == List({0}));
}

BOOST_AUTO_TEST_CASE(two_copies_at_once_become_one)
{
    header(train(0, 0, 1), 0);
    header(train(0, 0, 1), 1);
    raw(0);
    BOOST_TEST(raw(1) == TBIB_RX_ACK_NOW);
    BOOST_TEST(delivered[0] == List({0}));
    header(train(3, 2, 1), 0);
    header(train(3, 2, 1), 1);
    raw(0);
    raw(1);
    BOOST_TEST(rx.stats.duplicate == 2u);
    BOOST_TEST(out.size() == 2u);
}

BOOST_AUTO_TEST_CASE(nothing_beyond_the_window)
{
    header(train(TBIB_WINDOW - 1, 0));
    header(train(TBIB_WINDOW, 1));
    header(train(0x80000000, 2));
    header(train(0xffffffff, 3));
    BOOST_TEST(out.size() == 1u);
    BOOST_TEST(rx.stats.bad_header + rx.stats.duplicate == 3u);
}

BOOST_AUTO_TEST_CASE(sequence_numbers_wrap)
{
    rx.lane[0].next = 0xfffffffe;
    header(train(0, 0));
    header(train(0xffffffff, 1));
    BOOST_TEST(ack().sack[0][0] == 3u);
    header(train(0xfffffffe, 2));
    BOOST_TEST(delivered[0] == List({0xfffffffe, 0xffffffff, 0}));
}

BOOST_AUTO_TEST_CASE(stale_sessions_are_ignored)
{
    auto h = train(0, 77);
    h.cookie++;
    BOOST_TEST(header(h) == 0u);
    BOOST_TEST(rx.stats.stale_cookie == 1u);
    BOOST_TEST(ack().ring[0].seen == 0u);
    tbib_rx_ring_down(&rx, 0);
    BOOST_TEST(header(train(0, 0)) == 0u);
    BOOST_TEST(ack().n_ring == 1);
    BOOST_TEST(out.empty());
}

BOOST_AUTO_TEST_CASE(no_ack_is_due_for_trains_that_headers_have_told)
{
    for (u32 i = 0; i < 15; i++)
        BOOST_TEST(header(train(i, i)) == TBIB_RX_ACK_SOON);
    tbib_rx_told(&rx);
    for (u32 i = 15; i < 30; i++)
        BOOST_TEST(header(train(i, i)) == TBIB_RX_ACK_SOON);
    BOOST_TEST(header(train(30, 30)) == TBIB_RX_ACK_NOW);
}

BOOST_AUTO_TEST_CASE(acks_when_due)
{
    auto h = train(0, 0);
    h.flags |= TBIB_FF_ACK_REQ;
    BOOST_TEST(header(h) == TBIB_RX_ACK_NOW);
    ack();
    for (u32 i = 1; i < 16; i++)
        BOOST_TEST(header(train(i, i)) == TBIB_RX_ACK_SOON);
    BOOST_TEST(header(train(16, 16)) == TBIB_RX_ACK_NOW);
    ack();
    header(train(17, 17, 32)); // a quarter of the buffers
    for (int i = 0; i < 31; i++)
        raw();
    BOOST_TEST(raw() == TBIB_RX_ACK_SOON);
    header(train(18, 50, 32));
    for (int i = 0; i < 31; i++)
        raw();
    BOOST_TEST(raw() == TBIB_RX_ACK_NOW);
}

BOOST_AUTO_TEST_CASE(headers_bring_acks_once)
{
    auto h = train(0, 0);
    h.ack = 5;
    h.credit = 300;
    header(h);
    BOOST_REQUIRE(acks.size() == 1u);
    BOOST_TEST(!acks[0].full);
    BOOST_TEST(acks[0].lanes == 1);
    BOOST_TEST(acks[0].next[0] == 5u);
    BOOST_TEST(acks[0].n_ring == 1);
    BOOST_TEST(acks[0].ring[0].cookie == cookie);
    BOOST_TEST(acks[0].ring[0].limit == 300u);
    h.seq = h.ring_frame = 1;
    header(h);
    BOOST_TEST(acks.size() == 1u);
    h.seq = h.ring_frame = 2;
    h.ack = 6;
    header(h);
    BOOST_TEST(acks.size() == 2u);
}

BOOST_AUTO_TEST_CASE(control_frames)
{
    std::vector<u8> f(TBIB_FRAME_SIZE);
    tbib_ack a{};
    a.full = true;
    a.lanes = 3;
    a.next[1] = 9;
    tbib_frame_hdr h{};
    h.kind = TBIB_KIND_CONTROL;
    h.cookie = cookie;
    h.n_pkt = TBIB_CTRL_PROBE;
    h.pkt_len = static_cast<u16>(tbib_ack_encode(f.data() + TBIB_FRAME_HDR, &a));
    f.resize(tbib_frame_encode(f.data(), &h, nullptr));
    BOOST_TEST(give(0, f, TBIB_PDF_HEADER) == TBIB_RX_ACK_NOW);
    BOOST_REQUIRE(acks.size() == 1u);
    BOOST_TEST(acks[0].next[1] == 9u);
    BOOST_TEST(ack().ring[0].seen == 1u);

    auto control = [&](tbib_ctrl_type type, u32 ring_frame) {
        std::vector<u8> g(TBIB_FRAME_SIZE);
        h.n_pkt = static_cast<u16>(type);
        h.pkt_len = 0;
        h.ring_frame = ring_frame;
        g.resize(tbib_frame_encode(g.data(), &h, nullptr));
        return give(0, g, TBIB_PDF_HEADER);
    };
    BOOST_TEST(control(TBIB_CTRL_BYE, 1) == 0u);
    BOOST_TEST(byes == 1);
    BOOST_TEST(control(TBIB_CTRL_ACK, 2) == 0u); // no payload: malformed
    BOOST_TEST(rx.stats.bad_header == 1u);
    BOOST_TEST(control(TBIB_CTRL_MGMT, 999) == 0u); // not of this counter
    BOOST_TEST(ack().ring[0].seen == 3u);
    BOOST_TEST(acks.size() == 1u);
    BOOST_TEST(out.empty());
}

BOOST_AUTO_TEST_CASE(held_pages_are_bounded)
{
    u32 frame = 0;
    for (u32 seq = 1; seq < TBIB_WINDOW; seq++) {
        header(train(seq, frame, 32), 0);
        for (int i = 0; i < 32; i++)
            raw();
        frame += 33;
        BOOST_REQUIRE(out.size() <= TBIB_WINDOW_FRAMES);
    }
    BOOST_TEST(rx.stats.no_slot > 0u);
    header(train(0, frame, 32)); // what is due always gets in
    for (int i = 0; i < 32; i++)
        raw();
    BOOST_TEST(delivered[0].size() == 1 + TBIB_WINDOW_FRAMES / 33);
}

BOOST_AUTO_TEST_CASE(out_of_slots_is_survived)
{
    keep = true;
    for (u32 i = 0; i < TBIB_RX_SLOTS + 10; i++)
        header(train(i, i));
    BOOST_TEST(kept.size() == TBIB_RX_SLOTS);
    BOOST_TEST(rx.stats.no_slot == 10u);
    for (auto *t : kept)
        tbib_rx_train_free(&rx, t);
    kept.clear();
    header(train(TBIB_RX_SLOTS, TBIB_RX_SLOTS + 10));
    BOOST_TEST(kept.size() == 1u);
}

BOOST_AUTO_TEST_CASE(reset_forgets)
{
    header(train(0, 0));
    header(train(5, 1, 1));
    raw();
    header(train(6, 3, 2));
    tbib_rx_reset(&rx);
    BOOST_TEST(out.empty());
    BOOST_TEST(ack().next[0] == 0u);
    BOOST_TEST(ack().sack[0][0] == 0u);
    header(train(0, 4));
    BOOST_TEST(delivered[0] == List({0, 0}));
}

BOOST_AUTO_TEST_CASE(buffers_may_change)
{
    tbib_rx_ring_buffers(&rx, 0, 100);
    BOOST_TEST(tbib_rx_limit(&rx, 0) == 84u);
    tbib_rx_ring_buffers(&rx, 0, 10);
    BOOST_TEST(tbib_rx_limit(&rx, 0) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
