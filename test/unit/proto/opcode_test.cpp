// SPDX-License-Identifier: Apache-2.0
// Opcode table and transport headers against the standard's layout.
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <random>
#include <vector>

extern "C" {
#include "opcode.h"
}

namespace {

constexpr int rc(int op) { return int(TBIB_RC) | op; }
constexpr int uc(int op) { return int(TBIB_UC) | op; }
constexpr int ud(int op) { return int(TBIB_UD) | op; }

} // namespace

BOOST_AUTO_TEST_SUITE(opcode)

BOOST_AUTO_TEST_CASE(header_lengths)
{
    struct Row {
        int opcode;
        u32 len;
    };
    // IBTA 9.2: BTH 12, RETH 16, AETH 4, DETH 8, ImmDt 4, IETH 4, AtomicETH 28, AtomicAckETH 8
    const Row rows[] = {
        {rc(TBIB_OP_SEND_FIRST), 12},      {rc(TBIB_OP_SEND_ONLY_IMM), 16},
        {rc(TBIB_OP_WRITE_FIRST), 28},     {rc(TBIB_OP_WRITE_MIDDLE), 12},
        {rc(TBIB_OP_WRITE_LAST_IMM), 16},  {rc(TBIB_OP_WRITE_ONLY), 28},
        {rc(TBIB_OP_WRITE_ONLY_IMM), 32},  {rc(TBIB_OP_READ_REQUEST), 28},
        {rc(TBIB_OP_READ_RESP_FIRST), 16}, {rc(TBIB_OP_READ_RESP_MIDDLE), 12},
        {rc(TBIB_OP_ACK), 16},             {rc(TBIB_OP_ATOMIC_ACK), 24},
        {rc(TBIB_OP_CMP_SWAP), 40},        {rc(TBIB_OP_SEND_LAST_INV), 16},
        {uc(TBIB_OP_WRITE_ONLY_IMM), 32},  {ud(TBIB_OP_SEND_ONLY), 20},
        {ud(TBIB_OP_SEND_ONLY_IMM), 24},   {uc(TBIB_OP_READ_REQUEST), 0},
        {uc(TBIB_OP_SEND_ONLY_INV), 0},    {ud(TBIB_OP_SEND_FIRST), 0},
        {rc(TBIB_OP_ATOMIC_WRITE), 28},    {uc(TBIB_OP_ATOMIC_WRITE), 0},
        {rc(0x15), 0},                     {rc(0x18), 0},
        {rc(TBIB_OP_FLUSH), 32},           {rc(0x1b), 0},
        {rc(0x1e), 0},
        {rc(0x1f), 0},                     {0x40 | int(TBIB_OP_SEND_ONLY), 0},
        {0xe0 | int(TBIB_OP_SEND_ONLY), 0},
    };
    for (auto &row : rows)
        BOOST_TEST(tbib_bth_len(static_cast<u8>(row.opcode)) == row.len, "opcode " << row.opcode);
}

BOOST_AUTO_TEST_CASE(wire_layout)
{
    tbib_bth b{};
    b.opcode = rc(TBIB_OP_WRITE_ONLY_IMM);
    b.solicited = true;
    b.ack_req = true;
    b.pkey = 0xffff;
    b.dqpn = 0x123456;
    b.psn = 0xabcdef;
    b.va = 0x0102030405060708;
    b.rkey = 0x11121314;
    b.dma_len = 0x21222324;
    b.imm = 0x31323334;
    const std::array<u8, 32> want = {
        0x0b, 0x80, 0xff, 0xff, 0x00, 0x12, 0x34, 0x56, 0x80, 0xab, 0xcd, 0xef,
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14,
        0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x33, 0x34,
    };
    std::array<u8, 64> buf{};
    BOOST_TEST(tbib_bth_encode(buf.data(), &b) == 32u);
    BOOST_TEST(std::memcmp(buf.data(), want.data(), 32) == 0);

    b = {};
    b.opcode = ud(TBIB_OP_SEND_ONLY);
    b.qkey = 0x80010000;
    b.sqpn = 0x000001;
    BOOST_TEST(tbib_bth_encode(buf.data(), &b) == 20u);
    const std::array<u8, 8> deth = {0x80, 0x01, 0, 0, 0, 0, 0, 1};
    BOOST_TEST(std::memcmp(buf.data() + 12, deth.data(), 8) == 0);
}

BOOST_AUTO_TEST_CASE(all_opcodes_round_trip)
{
    std::mt19937_64 rng(7);
    int valid = 0;
    for (int op = 0; op < 256; op++)
        for (bool grh : {false, true}) {
            tbib_bth b{}, r{};
            std::array<u8, TBIB_XHDR_MAX> buf{};
            b.opcode = static_cast<u8>(op);
            b.solicited = rng() & 1;
            b.ack_req = rng() & 1;
            b.pkey = static_cast<u16>(rng());
            b.dqpn = rng() & 0xffffff;
            b.psn = rng() & 0xffffff;
            b.qkey = static_cast<u32>(rng());
            b.sqpn = rng() & 0xffffff;
            b.va = rng();
            b.rkey = static_cast<u32>(rng());
            b.dma_len = static_cast<u32>(rng());
            b.syndrome = static_cast<u8>(rng());
            b.msn = rng() & 0xffffff;
            b.imm = static_cast<u32>(rng());
            b.swap_add = rng();
            b.compare = rng();
            b.orig = rng();
            u32 front = grh ? TBIB_GRH_LEN : 0;
            u32 n = tbib_bth_encode(buf.data() + front, &b);
            BOOST_TEST(n == tbib_bth_len(b.opcode));
            if (!n) {
                buf[front] = b.opcode;
                BOOST_TEST(tbib_bth_decode(buf.data(), buf.size(), grh, &r) == -1);
                continue;
            }
            valid++;
            for (u32 len = 0; len < front + n; len++) {
                std::vector<u8> exact(buf.begin(), buf.begin() + len); // for the sanitizer
                BOOST_TEST(tbib_bth_decode(exact.data(), len, grh, &r) == -1);
            }
            BOOST_REQUIRE(tbib_bth_decode(buf.data(), front + n, grh, &r) == 0);
            BOOST_TEST(r.hdr_len == front + n);
            BOOST_TEST((r.grh == buf.data()) == grh);
            BOOST_TEST(r.solicited == b.solicited);
            BOOST_TEST(r.ack_req == b.ack_req);
            BOOST_TEST(r.pkey == b.pkey);
            BOOST_TEST(r.dqpn == b.dqpn);
            BOOST_TEST(r.psn == b.psn);
            u32 f = r.info->flags;
            if ((op & 0xe0) == TBIB_UD)
                BOOST_TEST((r.qkey == b.qkey && r.sqpn == b.sqpn));
            if (f & (TBIB_OI_RETH | TBIB_OI_ATOMICETH))
                BOOST_TEST((r.va == b.va && r.rkey == b.rkey));
            if (f & TBIB_OI_RETH)
                BOOST_TEST(r.dma_len == b.dma_len);
            if (f & TBIB_OI_ATOMICETH)
                BOOST_TEST((r.swap_add == b.swap_add && r.compare == b.compare));
            if (f & TBIB_OI_AETH)
                BOOST_TEST((r.syndrome == b.syndrome && r.msn == b.msn));
            if (f & TBIB_OI_ATOMICACK)
                BOOST_TEST(r.orig == b.orig);
            if (f & TBIB_OI_IMM)
                BOOST_TEST(r.imm == b.imm);
            if (f & TBIB_OI_IETH)
                BOOST_TEST(r.rkey == b.rkey);
        }
    BOOST_TEST(valid == 2 * (25 + 12 + 2)); // RC, UC, UD
}

BOOST_AUTO_TEST_CASE(pad_count_and_version_must_be_zero)
{
    std::array<u8, 12> buf{};
    tbib_bth b;
    for (int v = 0; v < 256; v++) {
        buf[1] = static_cast<u8>(v);
        BOOST_TEST((tbib_bth_decode(buf.data(), 12, false, &b) == 0) == !(v & 0x3f));
    }
}

BOOST_AUTO_TEST_CASE(timers)
{
    BOOST_TEST(tbib_rnr_ns(0) == 655360000u);
    BOOST_TEST(tbib_rnr_ns(1) == 10000u);
    BOOST_TEST(tbib_rnr_ns(12) == 640000u);
    BOOST_TEST(tbib_rnr_ns(31) == 491520000u);
    BOOST_TEST(tbib_timeout_ns(0) == 0u);
    BOOST_TEST(tbib_timeout_ns(14) == 67108864u);
    BOOST_TEST(tbib_timeout_ns(31) == 4096ull << 31);
    for (u8 c = 2; c < 32; c++)
        BOOST_TEST(tbib_rnr_ns(c) > tbib_rnr_ns(c - 1));
    BOOST_TEST(tbib_psn_diff(0, 0xffffff) == 1);
    BOOST_TEST(tbib_psn_diff(0xffffff, 0) == -1);
    BOOST_TEST(tbib_psn_add(0xffffff, 2) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
