// SPDX-License-Identifier: Apache-2.0
// Frame header: every field survives, every bound and every bit is checked.
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

extern "C" {
#include "frame.h"
}

namespace {

struct Frame {
    std::vector<u8> buf = std::vector<u8>(TBIB_FRAME_SIZE, 0xaa);
    tbib_frame_hdr h{};
    std::array<u16, TBIB_MAX_RAW> raw{};
    u32 len = 0;

    Frame()
    {
        h.kind = TBIB_KIND_TRAIN;
        h.flags = TBIB_FF_LANE | TBIB_FF_ACK_REQ;
        h.dlid = 7;
        h.slid = 9;
        h.hop_limit = 16;
        h.n_raw = 3;
        h.dest_epoch = 0x11223344;
        h.cookie = 0x55667788;
        h.seq = 0xfffffffe;
        h.ack = 0x01020304;
        h.ring_frame = 0xa0b0c0d0;
        h.credit = 0xdeadbeef;
        h.pkt_len = 64;
        h.n_pkt = 2;
        raw = {4096, 1, 777};
        std::memset(buf.data() + TBIB_FRAME_HDR, 0x5a, h.pkt_len);
    }

    void encode() { len = tbib_frame_encode(buf.data(), &h, raw.data()); }

    tbib_frame_err decode(tbib_frame_hdr *out = nullptr)
    {
        tbib_frame_hdr scratch;
        std::array<u16, TBIB_MAX_RAW> lens{};
        auto err = tbib_frame_decode(buf.data(), len, out ? out : &scratch, lens.data());
        if (err == TBIB_FRAME_OK)
            BOOST_TEST(std::memcmp(lens.data(), raw.data(), 2 * h.n_raw) == 0);
        return err;
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(frame)

BOOST_AUTO_TEST_CASE(crc32c_check_value)
{
    // the check value of CRC-32C ("123456789"), and an odd split of the same
    BOOST_TEST(~tbib_crc32c(~0u, "123456789", 9) == 0xe3069283u);
    std::string_view s = "The quick brown fox jumps over the lazy dog";
    for (size_t cut = 0; cut <= s.size(); cut++) {
        u32 crc = tbib_crc32c(~0u, s.data(), cut);
        crc = tbib_crc32c(crc, s.data() + cut, s.size() - cut);
        BOOST_TEST(~crc == 0x22620404u);
    }
}

BOOST_AUTO_TEST_CASE(round_trip)
{
    Frame f;
    tbib_frame_hdr h;
    f.encode();
    BOOST_TEST(f.len == 40u + 64 + 6);
    BOOST_TEST(f.buf[f.len] == 0xaa); // nothing written behind
    BOOST_TEST(f.buf[0] == 0x11);
    BOOST_TEST(f.decode(&h) == TBIB_FRAME_OK);
    BOOST_TEST(h.kind == f.h.kind);
    BOOST_TEST(h.flags == f.h.flags);
    BOOST_TEST(h.dlid == f.h.dlid);
    BOOST_TEST(h.slid == f.h.slid);
    BOOST_TEST(h.hop_limit == f.h.hop_limit);
    BOOST_TEST(h.n_raw == f.h.n_raw);
    BOOST_TEST(h.dest_epoch == f.h.dest_epoch);
    BOOST_TEST(h.cookie == f.h.cookie);
    BOOST_TEST(h.seq == f.h.seq);
    BOOST_TEST(h.ack == f.h.ack);
    BOOST_TEST(h.ring_frame == f.h.ring_frame);
    BOOST_TEST(h.credit == f.h.credit);
    BOOST_TEST(h.pkt_len == f.h.pkt_len);
    BOOST_TEST(h.n_pkt == f.h.n_pkt);
}

BOOST_AUTO_TEST_CASE(every_bit_flip_is_found)
{
    Frame f;
    f.encode();
    for (u32 bit = 0; bit < f.len * 8; bit++) {
        f.buf[bit / 8] ^= 1u << bit % 8;
        BOOST_TEST(f.decode() != TBIB_FRAME_OK, "bit " << bit);
        f.buf[bit / 8] ^= 1u << bit % 8;
    }
    BOOST_TEST(f.decode() == TBIB_FRAME_OK);
}

BOOST_AUTO_TEST_CASE(every_other_length_is_refused)
{
    Frame f;
    f.encode();
    u32 good = f.len;
    for (f.len = 0; f.len <= TBIB_FRAME_SIZE; f.len++)
        BOOST_TEST((f.decode() == TBIB_FRAME_OK) == (f.len == good));
    f.len = TBIB_FRAME_SIZE + 1;
    BOOST_TEST(f.decode() == TBIB_FRAME_SHORT);
}

BOOST_AUTO_TEST_CASE(bounds)
{
    auto bad = [](auto change) {
        Frame f;
        change(f);
        f.encode(); // with a right CRC: the field itself must be refused
        return f.decode();
    };
    BOOST_TEST(bad([](Frame &) {}) == TBIB_FRAME_OK);
    BOOST_TEST(bad([](Frame &f) { f.h.n_pkt = 0; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.n_pkt = 8; }) == TBIB_FRAME_OK);
    BOOST_TEST(bad([](Frame &f) { f.h.n_pkt = 9; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.pkt_len = 2000, f.h.n_pkt = 250; }) == TBIB_FRAME_OK);
    BOOST_TEST(bad([](Frame &f) { f.h.pkt_len = 2008, f.h.n_pkt = 251; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.pkt_len = 63; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.pkt_len = TBIB_PKTS_MAX; }) == TBIB_FRAME_OK);
    BOOST_TEST(bad([](Frame &f) { f.h.pkt_len = TBIB_PKTS_MAX + 8; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.raw[1] = 0; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.raw[1] = 4097; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.kind = 3; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.flags = 0xc0; }) == TBIB_FRAME_OK);
    BOOST_TEST(bad([](Frame &f) { f.h.flags = 0xd0; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([](Frame &f) { f.h.kind = TBIB_KIND_CONTROL; }) == TBIB_FRAME_BAD);
    auto control = [](Frame &f) { f.h.kind = TBIB_KIND_CONTROL, f.h.n_raw = 0; };
    BOOST_TEST(bad(control) == TBIB_FRAME_OK);
    BOOST_TEST(bad([&](Frame &f) { control(f), f.h.n_pkt = 0; }) == TBIB_FRAME_BAD);
    BOOST_TEST(bad([&](Frame &f) { control(f), f.h.n_pkt = 5; }) == TBIB_FRAME_BAD);

    Frame f;
    f.encode();
    f.buf[7] = TBIB_MAX_RAW + 1;
    BOOST_TEST(f.decode() == TBIB_FRAME_BAD);
    f.buf[0] = 0x21;
    BOOST_TEST(f.decode() == TBIB_FRAME_VERSION);
}

BOOST_AUTO_TEST_CASE(full_frame_is_exactly_one_nhi_frame)
{
    Frame f;
    f.h.pkt_len = TBIB_PKTS_MAX;
    f.h.n_raw = TBIB_MAX_RAW;
    f.raw.fill(4096);
    f.encode();
    BOOST_TEST(f.len == TBIB_FRAME_SIZE);
    BOOST_TEST(f.decode() == TBIB_FRAME_OK);
}

BOOST_AUTO_TEST_SUITE_END()
