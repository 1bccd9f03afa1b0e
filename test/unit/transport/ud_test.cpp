// SPDX-License-Identifier: Apache-2.0
// Unreliable datagram and GSI.
#include "fixture.hpp"

using namespace tbib::sim;

namespace {

struct DatagramFixture : UdFixture {
    Send dgram(u32 off, u32 len, uintptr_t ah = 1)
    {
        Send s = send(off, len);
        s.ah = reinterpret_cast<void*>(ah);
        s.qpn = 0x20;
        s.qkey = attr.qkey;
        return s;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(ud, DatagramFixture)

BOOST_AUTO_TEST_CASE(payload_stands_behind_the_grh)
{
    recv(b, 0, 1000);
    Send s = dgram(500, 300);
    s.op = TBIB_WR_SEND_IMM;
    s.imm = 99;
    a.post(s);
    auto p = a.take(now);
    BOOST_REQUIRE(p.size() == 1u);
    BOOST_TEST(p[0].flags == TBIB_PF_GRH);
    b.deliver(p[0], now, 7);
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    const auto& c = b.recv_cqes[0];
    BOOST_TEST(c.byte_len == 340u);
    BOOST_TEST(c.grh_valid);
    BOOST_TEST(c.imm == 99u);
    BOOST_TEST(c.src_qp == 0x10u);
    BOOST_TEST(c.slid == 7);
    BOOST_TEST(same(500, 40, 300));
    for (u32 i = 0; i < 40; i++)
        BOOST_TEST(nb.memory[i] == static_cast<u8>(s.wr_id + 300 + i));
    BOOST_TEST(a.send_cqes.empty());
    a.ack_notes();
    BOOST_TEST(a.send_cqes.size() == 1u);
    check_idle();
}

// A GRH's or IPv6 header's version is 6; an IPv4 header stands behind twenty bytes that say nothing.
BOOST_AUTO_TEST_CASE(which_header_has_come_is_told)
{
    for (const auto& [first, version] : {std::pair{0x60, 6}, std::pair{0x6f, 6}, std::pair{0, 4}}) {
        recv(b, 0, 1000);
        a.post(dgram(0, 10));
        auto p = a.take(now);
        BOOST_REQUIRE(p.size() == 1u);
        p[0].inl.at(0) = static_cast<u8>(first);
        b.deliver(p[0], now);
        BOOST_REQUIRE(b.recv_cqes.size() == 1u);
        BOOST_TEST(b.recv_cqes[0].ip_version == version);
        b.recv_cqes.clear();
        a.ack_notes();
        a.send_cqes.clear();
    }
    check_idle();
}

// The one that failed was found only when the one before it was through.
BOOST_AUTO_TEST_CASE(a_failure_ends_the_draining)
{
    recv(b, 0, 1000);
    a.post(dgram(0, 10));
    a.post(dgram(0, attr.mtu + 1));
    a.take(now);
    tbib_qp_modify(&a.core, TBIB_QPS_SQD, &a.core.attr);
    BOOST_TEST(a.core.req.draining);
    a.ack_notes();
    BOOST_TEST(a.core.state == TBIB_QPS_SQE);
    BOOST_TEST(!a.core.req.draining);
}

BOOST_AUTO_TEST_CASE(without_a_grh_there_are_zeros)
{
    recv(b, 0, 1000);
    tbib_bth r{};
    r.opcode = int(TBIB_UD) | int(TBIB_OP_SEND_ONLY);
    r.pkey = 0xffff;
    r.dqpn = 0x20;
    r.qkey = attr.qkey;
    b.deliver(make_packet(r, {1, 2, 3}), now);
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(!b.recv_cqes[0].grh_valid);
    BOOST_TEST(b.recv_cqes[0].ip_version == 0);
    BOOST_TEST(b.recv_cqes[0].byte_len == 43u);
    BOOST_TEST(nb.memory[39] == 0);
    BOOST_TEST(nb.memory[40] == 1);
}

BOOST_AUTO_TEST_CASE(all_lengths_up_to_the_mtu)
{
    attr.mtu = 4096;
    for (u32 len : {0u, 1u, TBIB_ZCOPY_MIN - 1u, u32(TBIB_ZCOPY_MIN), 4096u}) {
        DatagramFixture f;
        tbib_qp_modify(&f.a.core, TBIB_QPS_RTS, &attr);
        tbib_qp_modify(&f.b.core, TBIB_QPS_RTS, &attr);
        f.recv(f.b, 0, 40 + len);
        f.a.post(f.dgram(3, len));
        f.pump();
        BOOST_REQUIRE(f.b.recv_cqes.size() == 1u);
        BOOST_TEST(f.same(3, 40, len));
        BOOST_TEST(f.b.last_flags == 1);
    }
}

BOOST_AUTO_TEST_CASE(longer_than_the_mtu_stops_the_send_queue)
{
    a.post(dgram(0, 1025));
    a.post(dgram(0, 10));
    a.take(now);
    BOOST_REQUIRE(a.send_cqes.size() == 2u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_LOC_LEN_ERR);
    BOOST_TEST(a.send_cqes[1].status == TBIB_FLUSH_ERR);
    BOOST_TEST(a.core.state == TBIB_QPS_SQE);
    recv(a, 0, 100); // the receive side goes on
    Send s = send(0, 10);
    s.sges = {sge_b(0, 10)};
    s.ah = &s;
    s.qpn = 0x10;
    s.qkey = attr.qkey;
    b.post(s);
    pump();
    BOOST_TEST(a.recv_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(q_key_must_fit)
{
    recv(b, 0, 1000);
    Send s = dgram(0, 10);
    s.qkey ^= 1;
    a.post(s);
    pump();
    BOOST_TEST(b.recv_cqes.empty());
    BOOST_TEST(b.rq.size() == 1u);
    s.qkey = 0x80000000; // the QP's own, which is the right one
    a.post(s);
    pump();
    BOOST_TEST(b.recv_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(an_unprivileged_q_key_cannot_reach_gsi)
{
    Qp gsi{nb, 1, TBIB_UD};
    to_rts(gsi, attr);
    Recv r;
    r.sges = {sge_b(0, 1000)};
    gsi.rq.push_back(r);
    Send s = dgram(0, 256);
    s.qpn = 1;
    s.qkey = 0x80010000; // high bit: the sender's own Q_Key is used instead
    a.post(s);
    gsi.deliver(a.take(now)[0], now);
    BOOST_TEST(gsi.recv_cqes.empty());
    Qp other{na, 1, TBIB_UD};
    to_rts(other, attr);
    other.post(s);
    gsi.deliver(other.take(now)[0], now);
    BOOST_TEST(gsi.recv_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(too_short_a_receive_is_kept)
{
    recv(b, 0, 49);
    a.post(dgram(0, 10));
    pump();
    BOOST_TEST(b.recv_cqes.empty());
    a.post(dgram(0, 9));
    pump();
    BOOST_TEST(b.recv_cqes.size() == 1u);
    a.post(dgram(0, 9)); // no receive: dropped
    pump();
    BOOST_TEST(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.core.state == TBIB_QPS_RTS);
}

BOOST_AUTO_TEST_CASE(another_destination_wants_another_train)
{
    a.post(dgram(0, 10, 1));
    a.post(dgram(0, 10, 1));
    a.post(dgram(0, 10, 2));
    TxTrain t;
    void* ah = tbib_qp_next_ah(&a.core);
    BOOST_TEST(ah == reinterpret_cast<void*>(1));
    BOOST_TEST(tbib_qp_fill(&a.core, &t.t, ah, now) == TBIB_FILL_MORE);
    BOOST_TEST(t.t.n_pkt == 2);
    ah = tbib_qp_next_ah(&a.core);
    BOOST_TEST(ah == reinterpret_cast<void*>(2));
    t.open();
    BOOST_TEST(tbib_qp_fill(&a.core, &t.t, ah, now) == TBIB_FILL_IDLE);
    BOOST_TEST(t.t.n_pkt == 1);
    BOOST_TEST(tbib_qp_next_ah(&a.core) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_bad_address_is_told_without_a_packet)
{
    a.prepare_status = TBIB_LOC_QP_OP_ERR;
    a.post(dgram(0, 10, 0));
    BOOST_TEST(tbib_qp_next_ah(&a.core) == nullptr);
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_LOC_QP_OP_ERR);
    BOOST_TEST(a.wqe_refs == 0);
}

BOOST_AUTO_TEST_CASE(unroutable_datagrams_complete)
{
    a.post(dgram(0, 10, 1));
    a.post(dgram(0, 10, 2));
    BOOST_TEST(tbib_qp_drop_ud(&a.core));
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(tbib_qp_unroutable(&a.core, now));
    BOOST_TEST(a.send_cqes.size() == 2u);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    BOOST_TEST(!tbib_qp_drop_ud(&a.core)); // nothing there
    check_idle();
}

BOOST_AUTO_TEST_CASE(only_sends)
{
    for (u8 op : {TBIB_WR_WRITE, TBIB_WR_READ, TBIB_WR_LOCAL_INV, TBIB_WR_SEND_INV}) {
        DatagramFixture f;
        Send s = f.dgram(0, 8);
        s.op = op;
        f.a.post(s);
        f.a.take(now);
        BOOST_REQUIRE(f.a.send_cqes.size() == 1u);
        BOOST_TEST(f.a.send_cqes[0].status == TBIB_LOC_QP_OP_ERR);
    }
}

BOOST_AUTO_TEST_SUITE_END()
