// SPDX-License-Identifier: Apache-2.0
// What an RC requester puts on the wire, and when.
#include "fixture.hpp"

#include <boost/test/data/test_case.hpp>

using namespace tbib::sim;
namespace data = boost::unit_test::data;

BOOST_FIXTURE_TEST_SUITE(rc_requester, RcFixture)

namespace {
struct Cut {
    u8 op;
    u32 len;
    std::vector<int> opcodes;
};
std::ostream& operator<<(std::ostream& o, const Cut& c)
{
    return o << int(c.op) << " of " << c.len;
}
const std::vector<Cut> cuts = {
    {TBIB_WR_SEND, 0, {TBIB_OP_SEND_ONLY}},
    {TBIB_WR_SEND, 1024, {TBIB_OP_SEND_ONLY}},
    {TBIB_WR_SEND, 1025, {TBIB_OP_SEND_FIRST, TBIB_OP_SEND_LAST}},
    {TBIB_WR_SEND, 3072, {TBIB_OP_SEND_FIRST, TBIB_OP_SEND_MIDDLE, TBIB_OP_SEND_LAST}},
    {TBIB_WR_SEND_IMM, 4, {TBIB_OP_SEND_ONLY_IMM}},
    {TBIB_WR_SEND_IMM, 2000, {TBIB_OP_SEND_FIRST, TBIB_OP_SEND_LAST_IMM}},
    {TBIB_WR_SEND_INV, 4, {TBIB_OP_SEND_ONLY_INV}},
    {TBIB_WR_SEND_INV, 2000, {TBIB_OP_SEND_FIRST, TBIB_OP_SEND_LAST_INV}},
    {TBIB_WR_WRITE, 0, {TBIB_OP_WRITE_ONLY}},
    {TBIB_WR_WRITE, 2049, {TBIB_OP_WRITE_FIRST, TBIB_OP_WRITE_MIDDLE, TBIB_OP_WRITE_LAST}},
    {TBIB_WR_WRITE_IMM, 1, {TBIB_OP_WRITE_ONLY_IMM}},
    {TBIB_WR_WRITE_IMM, 1025, {TBIB_OP_WRITE_FIRST, TBIB_OP_WRITE_LAST_IMM}},
    {TBIB_WR_READ, 100000, {TBIB_OP_READ_REQUEST}},
    {TBIB_WR_CMP_SWAP, 8, {TBIB_OP_CMP_SWAP}},
    {TBIB_WR_FETCH_ADD, 8, {TBIB_OP_FETCH_ADD}},
};
} // namespace

BOOST_DATA_TEST_CASE(messages_are_cut_into_packets, data::make(cuts), cut)
{
    Send s = rdma(cut.op, 0, cut.len, 4096);
    s.imm = 0x1234;
    BOOST_REQUIRE(a.post(s));
    auto packets = a.take(now);
    BOOST_TEST(ops(packets) == cut.opcodes, boost::test_tools::per_element());
    u32 psn = attr.sq_psn;
    for (const auto& p : packets) {
        auto b = p.bth();
        BOOST_TEST(b.psn == psn);
        BOOST_TEST(b.dqpn == 0x20u);
        BOOST_TEST(b.ack_req == (&p == &packets.back()));
        psn = tbib_psn_add(psn, 1);
    }
}

BOOST_AUTO_TEST_CASE(reth_tells_the_whole_write)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 5000, 777));
    auto b = a.take(now).front().bth();
    BOOST_TEST(b.va == va(777));
    BOOST_TEST(b.rkey == kb);
    BOOST_TEST(b.dma_len == 5000u);
}

BOOST_AUTO_TEST_CASE(payload_from_2_kib_on_goes_out_of_line)
{
    attr.mtu = 4096;
    for (u32 len : {TBIB_ZCOPY_MIN - 1, TBIB_ZCOPY_MIN, 4096}) {
        RcFixture f;
        connect(f.a, f.b, attr);
        f.a.post(f.rdma(TBIB_WR_WRITE, 5, len, 99));
        auto p = f.a.take(now).front();
        bool ool = len >= TBIB_ZCOPY_MIN;
        BOOST_TEST(p.ool.size() == (ool ? len : 0));
        BOOST_TEST(p.inl.size() == p.bth().hdr_len + (ool ? 0 : len));
        f.b.deliver(p, now);
        BOOST_TEST(f.same(5, 99, len));
    }
}

BOOST_AUTO_TEST_CASE(inline_data_leaves_without_a_region)
{
    Send s;
    s.flags = TBIB_WF_SIGNALED | TBIB_WF_INLINE;
    s.inl = {1, 2, 3, 4, 5};
    recv(b, 64, 100);
    a.post(s);
    pump();
    BOOST_TEST(std::vector<int>(&nb.memory[64], &nb.memory[69]) == (std::vector<int>{1, 2, 3, 4, 5}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(too_much_inline_data_is_refused)
{
    Send s;
    s.flags = TBIB_WF_INLINE;
    s.inl.resize(TBIB_MAX_INLINE);
    recv(b, 0, 4096);
    a.post(s);
    pump();
    BOOST_TEST(b.recv_cqes.size() == 1u);
    tbib_wqe* w = tbib_sq_slot(&a.core);
    a.post(s);
    w->length = TBIB_MAX_INLINE + 1;
    pump();
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_LOC_LEN_ERR);
}

BOOST_AUTO_TEST_CASE(a_packet_of_many_pieces)
{
    attr.mtu = 4096;
    connect(a, b, attr);
    Send s = rdma(TBIB_WR_WRITE, 0, 0, 8192);
    s.sges.clear();
    std::vector<u8> want;
    for (u32 i = 0; i < TBIB_MAX_SGE; i++) {
        u32 len = 10 + 17 * i;
        s.sges.push_back(sge_a(i * 3000 + i, len));
        want.insert(want.end(), &na.memory[i * 3000 + i], &na.memory[i * 3000 + i + len]);
    }
    a.post(s);
    pump();
    BOOST_TEST(!memcmp(want.data(), &nb.memory[8192], want.size()));
    check_idle();
}

BOOST_AUTO_TEST_CASE(ack_is_asked_for_every_64_packets)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 200 * 1024, 0));
    u32 n = 0, since = 0;
    for (const auto& p : a.take(now)) {
        since++;
        if (p.bth().ack_req) {
            BOOST_TEST(since <= 64u);
            since = 0;
            n++;
        }
    }
    BOOST_TEST(n == 4u);
}

BOOST_AUTO_TEST_CASE(window_bounds_what_is_unacked)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 2000 * 1024, 0));
    auto first = a.take(now);
    BOOST_TEST(first.size() == TBIB_PSN_WINDOW);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    for (const auto& p : first)
        b.deliver(p, now);
    pump();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(same(0, 0, 2000 * 1024));
}

BOOST_AUTO_TEST_CASE(reads_in_flight_are_bounded)
{
    for (u32 i = 0; i < 10; i++)
        a.post(rdma(TBIB_WR_READ, i * 4096, 4096, i * 8192));
    auto sent = a.take(now);
    BOOST_TEST(sent.size() == attr.max_rd_atomic);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    for (const auto& p : sent)
        b.deliver(p, now);
    pump();
    BOOST_TEST(a.send_cqes.size() == 10u);
    check_idle();
}

BOOST_AUTO_TEST_CASE(a_long_read_is_asked_for_in_chunks)
{
    u32 len = 600 * 1024 + 5;
    a.post(rdma(TBIB_WR_READ, 3, len, 70000));
    auto sent = a.take(now);
    BOOST_TEST(sent.size() == 2u); // what the window holds
    BOOST_TEST(sent[0].bth().dma_len == 256u * 1024);
    BOOST_TEST(sent[1].bth().va == va(70000 + 256 * 1024));
    for (const auto& p : sent)
        b.deliver(p, now);
    pump();
    BOOST_TEST(same(3, 70000, len));
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].byte_len == len);
    BOOST_TEST(a.last_flags == 1); // the end of the message is told once
}

BOOST_AUTO_TEST_CASE(without_max_rd_atomic_a_read_is_an_error)
{
    attr.max_rd_atomic = 0;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_READ, 0, 8, 0));
    a.take(now);
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_LOC_QP_OP_ERR);
}

BOOST_AUTO_TEST_CASE(fence_waits_for_reads)
{
    a.post(rdma(TBIB_WR_READ, 0, 100, 0));
    Send w = rdma(TBIB_WR_WRITE, 0, 100, 1000);
    w.flags |= TBIB_WF_FENCE;
    a.post(w);
    auto sent = a.take(now);
    BOOST_TEST(ops(sent) == std::vector<int>{TBIB_OP_READ_REQUEST}, boost::test_tools::per_element());
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    b.deliver(sent[0], now);
    for (const auto& p : b.take(now))
        a.deliver(p, now);
    BOOST_TEST(tbib_qp_wants_tx(&a.core));
    BOOST_TEST(ops(a.take(now)) == std::vector<int>{TBIB_OP_WRITE_ONLY}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_fenced_read_of_many_chunks_does_not_wait_for_itself)
{
    Send r = rdma(TBIB_WR_READ, 0, 600 * 1024, 0);
    r.flags |= TBIB_WF_FENCE;
    a.post(r);
    BOOST_TEST(a.take(now).size() == 2u);
}

BOOST_AUTO_TEST_CASE(local_operations_run_in_order)
{
    Send inv, reg;
    inv.op = TBIB_WR_LOCAL_INV;
    inv.imm = 0;
    reg.op = TBIB_WR_REG_MR;
    a.post(reg);
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    inv.flags |= TBIB_WF_FENCE;
    a.post(inv);
    auto sent = a.take(now);
    BOOST_TEST(sent.size() == 1u);
    BOOST_TEST(a.local_ops == std::vector<u8>{TBIB_WR_REG_MR}, boost::test_tools::per_element());
    BOOST_TEST(a.send_cqes.size() == 1u); // REG_MR, at once
    b.deliver(sent[0], now);
    pump();
    BOOST_TEST(a.local_ops == (std::vector<u8>{TBIB_WR_REG_MR, TBIB_WR_LOCAL_INV}),
               boost::test_tools::per_element());
    BOOST_TEST(a.send_cqes.size() == 3u);
    BOOST_TEST(a.wqe_refs == 0);
}

BOOST_AUTO_TEST_CASE(local_operation_behind_a_write_completes_behind_it)
{
    Send reg;
    reg.op = TBIB_WR_REG_MR;
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.post(reg);
    auto sent = a.take(now);
    BOOST_TEST(a.local_ops.size() == 1u);
    BOOST_TEST(a.send_cqes.empty());
    b.deliver(sent[0], now);
    pump();
    BOOST_REQUIRE(a.send_cqes.size() == 2u);
    BOOST_TEST(a.send_cqes[0].op == TBIB_WR_WRITE);
    BOOST_TEST(a.send_cqes[1].op == TBIB_WR_REG_MR);
}

BOOST_AUTO_TEST_CASE(solicited_stands_on_the_last_packet)
{
    Send s = send(0, 2000);
    s.flags |= TBIB_WF_SOLICITED;
    recv(b, 0, 4096);
    a.post(s);
    auto sent = a.take(now);
    BOOST_TEST(!sent[0].bth().solicited);
    BOOST_TEST(sent[1].bth().solicited);
    for (const auto& p : sent)
        b.deliver(p, now);
    BOOST_TEST(b.recv_cqes.at(0).solicited);
}

BOOST_AUTO_TEST_CASE(unsignalled_completes_without_a_cqe)
{
    Send s = rdma(TBIB_WR_WRITE, 0, 10, 0);
    s.flags = 0;
    a.post(s);
    pump();
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(a.core.req.cons == 1u);
    check_idle();
    a.core.sq_sig_all = true;
    a.post(s);
    pump();
    BOOST_TEST(a.send_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(sends_are_counted_signalled_or_not)
{
    for (int flags : {0, int(TBIB_WF_SIGNALED)}) {
        Send s = send(0, 10);
        s.flags = static_cast<u8>(flags);
        recv(b, 0, 4096);
        a.post(s);
        a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
        a.post(rdma(TBIB_WR_READ, 0, 10, 0));
    }
    pump();
    BOOST_TEST(a.core.stats.sends == 2u);
    Send bad = send(0, 10);
    bad.sges[0].lkey ^= 0x100;
    a.post(bad); // never sent, and the next one is flushed
    a.post(send(0, 10));
    pump();
    BOOST_TEST(a.send_cqes.size() == 7u);
    BOOST_TEST(a.core.stats.sends == 2u);
    BOOST_TEST(b.core.stats.sends == 0u);
}

BOOST_AUTO_TEST_CASE(consumer_index_advances_at_completion_only)
{
    for (u32 i = 0; i < 64; i++)
        BOOST_TEST(a.post(rdma(TBIB_WR_WRITE, 0, 10, 0)));
    BOOST_TEST(!a.post(rdma(TBIB_WR_WRITE, 0, 10, 0)));
    auto sent = a.take(now);
    BOOST_TEST(!a.post(rdma(TBIB_WR_WRITE, 0, 10, 0)));
    for (const auto& p : sent)
        b.deliver(p, now);
    auto acks = b.take(now);
    BOOST_TEST(acks.size() == 1u); // one for all
    a.deliver(acks[0], now);
    BOOST_TEST(a.core.req.cons == 64u);
    BOOST_TEST(a.post(rdma(TBIB_WR_WRITE, 0, 10, 0)));
}

BOOST_AUTO_TEST_CASE(without_a_page_the_packet_is_tried_again)
{
    attr.mtu = 4096;
    connect(a, b, attr);
    a.pages_missing = 2;
    a.post(rdma(TBIB_WR_WRITE, 0, 8192, 0));
    BOOST_TEST(a.take(now).empty());
    BOOST_TEST(!tbib_qp_wants_tx(&a.core)); // no busy loop
    u64 at = tbib_qp_deadline(&a.core);
    BOOST_TEST(at > now);
    tbib_qp_timer(&a.core, at);
    BOOST_TEST(tbib_qp_wants_tx(&a.core));
    BOOST_TEST(a.take(at).empty());
    tbib_qp_timer(&a.core, tbib_qp_deadline(&a.core));
    pump();
    BOOST_TEST(same(0, 0, 8192));
    check_idle();
}

BOOST_AUTO_TEST_CASE(responder_without_a_page_tries_again)
{
    attr.mtu = 4096;
    connect(a, b, attr);
    b.pages_missing = 1;
    a.post(rdma(TBIB_WR_READ, 0, 8192, 0));
    pump();
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(next_timer());
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(same(0, 0, 8192));
    check_idle();
}

BOOST_AUTO_TEST_CASE(bad_lkey_fails_behind_what_was_sent_before)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    Send bad = rdma(TBIB_WR_WRITE, 0, 10, 0);
    bad.sges[0].lkey ^= 0x100;
    a.post(bad);
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    auto sent = a.take(now);
    BOOST_TEST(sent.size() == 1u);
    BOOST_TEST(a.send_cqes.empty());
    b.deliver(sent[0], now);
    pump();
    BOOST_REQUIRE(a.send_cqes.size() == 3u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_OK);
    BOOST_TEST(a.send_cqes[1].status == TBIB_LOC_PROT_ERR);
    BOOST_TEST(a.send_cqes[2].status == TBIB_FLUSH_ERR);
    BOOST_TEST(a.core.state == TBIB_QPS_ERR);
    check_idle();
}

BOOST_AUTO_TEST_CASE(unknown_operation_is_refused)
{
    Send s = send(0, 10);
    s.op = TBIB_WR_OPS;
    a.post(s);
    a.take(now);
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_LOC_QP_OP_ERR);
}

BOOST_AUTO_TEST_CASE(atomics_move_eight_bytes)
{
    u64 v = 40, r;
    memcpy(&nb.memory[800], &v, 8);
    Send s = rdma(TBIB_WR_FETCH_ADD, 0, 8, 800);
    s.swap_add = 2;
    a.post(s);
    s.op = TBIB_WR_CMP_SWAP;
    s.sges = {sge_a(8, 8)};
    s.compare = 42;
    s.swap_add = 7;
    a.post(s);
    s.sges = {sge_a(16, 8)};
    a.post(s); // compares with 42 again and fails
    pump();
    BOOST_TEST(a.send_cqes.size() == 3u);
    memcpy(&r, &na.memory[0], 8);
    BOOST_TEST(r == 40u);
    memcpy(&r, &na.memory[8], 8);
    BOOST_TEST(r == 42u);
    memcpy(&r, &na.memory[16], 8);
    BOOST_TEST(r == 7u);
    memcpy(&r, &nb.memory[800], 8);
    BOOST_TEST(r == 7u);
    check_idle();
    s.sges = {sge_a(0, 4)};
    a.post(s);
    a.take(now);
    BOOST_TEST(a.send_cqes.back().status == TBIB_LOC_LEN_ERR);
}

BOOST_AUTO_TEST_SUITE_END()
