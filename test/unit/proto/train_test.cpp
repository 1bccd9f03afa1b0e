// SPDX-License-Identifier: Apache-2.0
// Building a train and walking through what arrives as one.
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

extern "C" {
#include "train.h"
}

namespace {

struct Train {
    std::vector<u8> frame = std::vector<u8>(TBIB_FRAME_SIZE, 0xee);
    tbib_train t{};

    Train()
    {
        t.hdr = frame.data();
        tbib_train_init(&t, 3, 1, 42, TBIB_LANE_BULK);
    }

    /// what a receiver would see
    tbib_rx_train received() const
    {
        tbib_rx_train r{};
        r.h.n_pkt = t.n_pkt;
        r.h.n_raw = t.n_raw;
        r.h.pkt_len = t.pkt_len;
        r.pkts = t.hdr + TBIB_FRAME_HDR;
        for (int i = 0; i < t.n_raw; i++)
            r.raw[i] = {static_cast<const u8 *>(t.raw[i].data), t.raw[i].len};
        return r;
    }
};

std::vector<u8> bytes(const tbib_payload &p)
{
    std::vector<u8> out;
    for (int i = 0; i < p.n; i++)
        out.insert(out.end(), p.piece[i].data, p.piece[i].data + p.piece[i].len);
    BOOST_TEST(out.size() == p.len);
    return out;
}

int count(const tbib_rx_train &r)
{
    tbib_pkt_iter it;
    tbib_pkt p;
    int n = 0, rc;
    tbib_pkt_iter_init(&it, &r);
    while ((rc = tbib_pkt_next(&it, &p)) == 1)
        n++;
    return rc ? rc : n;
}

} // namespace

BOOST_AUTO_TEST_SUITE(train)

BOOST_AUTO_TEST_CASE(room_is_what_add_accepts)
{
    Train a;
    BOOST_TEST(tbib_train_room(&a.t) == TBIB_PKTS_MAX - TBIB_PKT_HDR);
    BOOST_TEST(tbib_train_add(&a.t, 1, 0, tbib_train_room(&a.t) + 1, 0) == nullptr);
    BOOST_TEST(a.t.n_pkt == 0);
    while (u32 room = tbib_train_room(&a.t)) {
        BOOST_TEST(tbib_train_add(&a.t, 1, 0, room + 1, 0) == nullptr);
        BOOST_REQUIRE(tbib_train_add(&a.t, 1, 0, std::min(room, 100u), 0));
    }
    BOOST_TEST(a.t.pkt_len <= TBIB_PKTS_MAX);
    BOOST_TEST(tbib_train_add(&a.t, 1, 0, ~0u, 0) == nullptr);
    BOOST_TEST(tbib_train_add(&a.t, 1, 0, 0, ~0u) == nullptr);
}

BOOST_AUTO_TEST_CASE(packet_count_is_bounded)
{
    Train a;
    int n = 0;
    while (tbib_train_add(&a.t, 1, 0, 0, 0))
        n++;
    BOOST_TEST(n == TBIB_MAX_PACKETS);
    BOOST_TEST(count(a.received()) == n);
}

BOOST_AUTO_TEST_CASE(raw_frames_are_bounded)
{
    Train a;
    std::vector<u8> page(TBIB_FRAME_SIZE);
    tbib_raw raw{page.data(), nullptr, 0, 0, 0};
    BOOST_TEST(!tbib_train_add_raw(&a.t, &raw));
    raw.len = 4097;
    BOOST_TEST(!tbib_train_add_raw(&a.t, &raw));
    raw.len = 1;
    for (int i = 0; i < TBIB_MAX_RAW; i++)
        BOOST_TEST(tbib_train_add_raw(&a.t, &raw));
    BOOST_TEST(!tbib_train_add_raw(&a.t, &raw));
    BOOST_TEST(tbib_train_add(&a.t, 1, 0, 8, 1) == nullptr); // no frame left for it
    BOOST_TEST(a.t.raw_bytes == 32u);
}

BOOST_AUTO_TEST_CASE(padding_is_zeroed)
{
    Train a;
    for (u32 inl : {1u, 7u, 9u, 15u}) {
        u8 *p = tbib_train_add(&a.t, 1, 0, inl, 0);
        std::memset(p, 0xff, inl);
        for (u32 i = inl; i < (inl + 7) / 8 * 8; i++)
            BOOST_TEST(p[i] == 0);
    }
}

BOOST_AUTO_TEST_CASE(undo_restores)
{
    Train a;
    std::vector<u8> page(TBIB_FRAME_SIZE);
    tbib_raw raw{page.data(), nullptr, 0, 100, 0};
    tbib_train_add(&a.t, 1, 0, 20, 0);
    auto mark = tbib_train_mark(&a.t);
    tbib_train_add(&a.t, 1, 0, 20, 100);
    tbib_train_add_raw(&a.t, &raw);
    tbib_train_undo(&a.t, &mark);
    BOOST_TEST(a.t.n_pkt == 1);
    BOOST_TEST(a.t.n_raw == 0);
    BOOST_TEST(a.t.raw_bytes == 0u);
    BOOST_TEST(a.t.ool_bytes == 0u);
    BOOST_TEST(count(a.received()) == 1);
}

BOOST_AUTO_TEST_CASE(random_trains_come_back)
{
    std::mt19937 rng(1);
    std::vector<u8> pages(TBIB_MAX_RAW * TBIB_FRAME_SIZE);
    std::iota(pages.begin(), pages.end(), 0);
    for (auto &b : pages)
        b = static_cast<u8>(rng());
    for (int round = 0; round < 3000; round++) {
        Train a;
        std::vector<std::vector<u8>> want;
        size_t used = 0;
        for (int i = 0; i < 40; i++) {
            u32 inl = rng() % 200, ool = rng() % 3 ? 0 : rng() % 8192;
            auto mark = tbib_train_mark(&a.t);
            u8 *p = tbib_train_add(&a.t, TBIB_PKT_TRANSPORT, i & 3, inl, ool);
            if (!p)
                break;
            std::vector<u8> content(inl);
            for (auto &b : content)
                b = static_cast<u8>(rng());
            std::copy(content.begin(), content.end(), p);
            bool full = false;
            for (u32 left = ool; left && !full;) {
                u32 n = std::min<u32>(left, 1 + rng() % TBIB_FRAME_SIZE);
                tbib_raw raw{&pages[used], nullptr, 0, static_cast<u16>(n), 0};
                full = !tbib_train_add_raw(&a.t, &raw);
                if (full)
                    break;
                content.insert(content.end(), &pages[used], &pages[used] + n);
                used += n;
                left -= n;
            }
            if (full) {
                tbib_train_undo(&a.t, &mark);
                break;
            }
            want.push_back(content);
        }
        BOOST_REQUIRE(a.t.raw_bytes == a.t.ool_bytes);
        auto r = a.received();
        tbib_pkt_iter it;
        tbib_pkt p;
        tbib_pkt_iter_init(&it, &r);
        for (auto &content : want) {
            tbib_payload out;
            BOOST_REQUIRE(tbib_pkt_next(&it, &p) == 1);
            tbib_pkt_payload(&p, 0, &out);
            BOOST_REQUIRE(bytes(out) == content);
            u32 skip = p.inl_len / 2;
            tbib_pkt_payload(&p, skip, &out);
            BOOST_REQUIRE(bytes(out) == std::vector<u8>(content.begin() + skip, content.end()));
        }
        BOOST_REQUIRE(tbib_pkt_next(&it, &p) == 0);
    }
}

BOOST_AUTO_TEST_CASE(malformed_trains_stop_the_walk)
{
    std::vector<u8> page(TBIB_FRAME_SIZE);
    tbib_raw raw{page.data(), nullptr, 0, 100, 0};
    Train a;
    u8 *p = tbib_train_add(&a.t, 1, 0, 20, 100);
    tbib_train_add_raw(&a.t, &raw);
    auto good = a.received();
    BOOST_TEST(count(good) == 1);

    auto r = good;
    r.h.n_pkt = 2; // more packets than bytes
    BOOST_TEST(count(r) == -1);
    r = good;
    r.h.pkt_len += 8; // bytes left over
    BOOST_TEST(count(r) == -1);
    r = good;
    r.raw[0].len = 99; // too few raw bytes
    BOOST_TEST(count(r) == -1);
    r.raw[0].len = 101; // too many
    BOOST_TEST(count(r) == -1);
    r = good;
    r.h.n_raw = 0;
    BOOST_TEST(count(r) == -1);
    tbib_put16(p - 6, 25); // inline bytes beyond the area
    BOOST_TEST(count(good) == -1);
    tbib_put16(p - 6, 0xffff);
    BOOST_TEST(count(good) == -1);
    tbib_put16(p - 6, 20);
    tbib_put16(p - 2, 1); // reserved
    BOOST_TEST(count(good) == -1);
}

BOOST_AUTO_TEST_SUITE_END()
