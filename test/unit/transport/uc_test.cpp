// SPDX-License-Identifier: Apache-2.0
// Unreliable connection: broken messages are dropped, WQEs complete by notes.
#include "fixture.hpp"

using namespace tbib::sim;

BOOST_FIXTURE_TEST_SUITE(uc, UcFixture)

BOOST_AUTO_TEST_CASE(send_and_write_arrive)
{
    recv(b, 0, 5000);
    recv(b, 8000, 0);
    a.post(send(100, 5000));
    a.post(rdma(TBIB_WR_WRITE_IMM, 6000, 3000, 20000));
    a.post(rdma(TBIB_WR_WRITE, 9000, 0, 30000));
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 2u);
    BOOST_TEST(b.recv_cqes[0].byte_len == 5000u);
    BOOST_TEST(b.recv_cqes[1].write_imm);
    BOOST_TEST(same(100, 0, 5000));
    BOOST_TEST(same(6000, 20000, 3000));
    BOOST_TEST(a.send_cqes.empty()); // the trunk has not acked yet
    a.ack_notes();
    BOOST_TEST(a.send_cqes.size() == 3u);
    check_idle();
}

BOOST_AUTO_TEST_CASE(nothing_is_answered)
{
    recv(b, 0, 100);
    a.post(send(0, 100));
    auto p = a.take(now);
    BOOST_TEST(!p[0].bth().ack_req);
    b.deliver(p[0], now);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
}

BOOST_AUTO_TEST_CASE(what_only_rc_has_is_refused)
{
    for (u8 op : {TBIB_WR_READ, TBIB_WR_CMP_SWAP, TBIB_WR_FETCH_ADD, TBIB_WR_SEND_INV}) {
        UcFixture f;
        f.a.post(f.rdma(op, 0, 8, 0));
        f.a.post(f.rdma(TBIB_WR_WRITE, 0, 8, 0));
        f.a.take(now);
        BOOST_REQUIRE(f.a.send_cqes.size() == 2u);
        BOOST_TEST(f.a.send_cqes[0].status == TBIB_LOC_QP_OP_ERR);
        BOOST_TEST(f.a.send_cqes[1].status == TBIB_FLUSH_ERR);
        BOOST_TEST(f.a.core.state == TBIB_QPS_SQE);
        // the send queue recovers, IBTA 10.3.1.6
        tbib_qp_modify(&f.a.core, TBIB_QPS_RTS, &f.a.core.attr);
        f.a.post(f.rdma(TBIB_WR_WRITE, 0, 8, 0));
        f.pump();
        f.a.ack_notes();
        BOOST_TEST(f.a.send_cqes.back().status == TBIB_OK);
    }
}

BOOST_AUTO_TEST_CASE(a_message_with_a_hole_is_dropped_and_its_receive_kept)
{
    for (u32 lost = 0; lost < 3; lost++) {
        UcFixture f;
        f.recv(f.b, 0, 3000);
        f.a.post(f.send(100, 3000));
        f.a.post(f.send(5000, 2500));
        auto p = f.a.take(now);
        BOOST_REQUIRE(p.size() == 6u);
        for (u32 i = 0; i < p.size(); i++)
            if (i != lost) f.b.deliver(p[i], now);
        BOOST_REQUIRE(f.b.recv_cqes.size() == 1u);
        BOOST_TEST(f.b.recv_cqes[0].byte_len == 2500u);
        BOOST_TEST(f.same(5000, 0, 2500));
    }
}

BOOST_AUTO_TEST_CASE(a_broken_write_holds_no_region)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 3000, 0));
    auto p = a.take(now);
    b.deliver(p[0], now);
    BOOST_TEST(nb.refs() == 1);
    b.deliver(p[2], now);
    BOOST_TEST(nb.refs() == 0);
    BOOST_TEST(b.core.state == TBIB_QPS_RTS);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_dropped_in_silence)
{
    recv(b, 0, 100);
    a.post(send(0, 200));                               // longer than the receive
    a.post(rdma(TBIB_WR_WRITE, 0, 100, kMem - 10));     // out of the region
    Send bad = rdma(TBIB_WR_WRITE, 0, 100, 0);
    bad.rkey = 12;
    a.post(bad);
    a.post(send(0, 100)); // fits
    a.post(send(0, 100)); // no receive left
    pump();
    BOOST_TEST(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.core.state == TBIB_QPS_RTS);
    BOOST_TEST(nb.refs() == 0);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
}

BOOST_AUTO_TEST_CASE(without_remote_write_no_write)
{
    attr.access = 0;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 100, 4000));
    pump();
    BOOST_TEST(!same(0, 4000, 100));
    BOOST_TEST(nb.refs() == 0);
}

BOOST_AUTO_TEST_CASE(completes_when_all_of_its_trains_are_acked)
{
    attr.mtu = 4096;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 300 * 1024, 0)); // more than two trains
    TxTrain t[8];
    u32 n = 0;
    while (tbib_qp_fill(&a.core, &t[n].t, nullptr, now) == TBIB_FILL_MORE)
        BOOST_REQUIRE(++n < 8u);
    BOOST_TEST(n >= 2u);
    for (u32 i = 0; i <= n; i++) {
        BOOST_TEST(a.send_cqes.empty());
        BOOST_REQUIRE(t[i].t.n_note == 1);
        tbib_qp_note(&a.core, t[i].t.note[0].value, i != 1); // lost ones count, too
        t[i].release();
    }
    BOOST_TEST(a.send_cqes.size() == 1u);
    check_idle();
}

BOOST_AUTO_TEST_CASE(a_train_takes_so_many_notes)
{
    for (int i = 0; i < 64; i++)
        a.post(rdma(TBIB_WR_WRITE, 0, 1, 0));
    TxTrain t;
    t.t.n_note = TBIB_TRAIN_NOTES - 3;
    BOOST_TEST(tbib_qp_fill(&a.core, &t.t, nullptr, now) == TBIB_FILL_MORE);
    BOOST_TEST(t.t.n_pkt == 3);
}

BOOST_AUTO_TEST_CASE(notes_of_an_older_life_are_ignored)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 1, 0));
    TxTrain t;
    tbib_qp_fill(&a.core, &t.t, nullptr, now);
    tbib_qp_modify(&a.core, TBIB_QPS_RESET, &a.core.attr);
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 1, 0));
    a.take(now);
    tbib_qp_note(&a.core, t.t.note[0].value, true);
    BOOST_TEST(a.send_cqes.empty());
    a.ack_notes();
    BOOST_TEST(a.send_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(unroutable_messages_complete)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 300 * 1024, 0));
    a.post(rdma(TBIB_WR_WRITE, 0, 1, 0));
    TxTrain t;
    tbib_qp_fill(&a.core, &t.t, nullptr, now); // the beginning of the first
    tbib_qp_unroutable(&a.core, now);
    tbib_qp_unroutable(&a.core, now);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    BOOST_TEST(a.send_cqes.empty());
    tbib_qp_note(&a.core, t.t.note[0].value, true);
    t.release();
    BOOST_TEST(a.send_cqes.size() == 2u);
}

BOOST_AUTO_TEST_CASE(local_operations_want_no_route)
{
    Send inv;
    inv.op = TBIB_WR_LOCAL_INV;
    a.post(inv);
    BOOST_TEST(!tbib_qp_unroutable(&a.core, now));
    BOOST_TEST(a.local_ops.size() == 1u);
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_OK);
    // nor does what fails on the way count as not sent
    a.post(rdma(TBIB_WR_READ, 0, 8, 0));
    BOOST_TEST(!tbib_qp_unroutable(&a.core, now));
    BOOST_TEST(a.send_cqes.back().status == TBIB_LOC_QP_OP_ERR);
}

BOOST_AUTO_TEST_CASE(drains_by_notes)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    pump();
    tbib_qp_modify(&a.core, TBIB_QPS_SQD, &a.core.attr);
    BOOST_TEST(a.events.empty());
    a.ack_notes();
    BOOST_TEST(has_event(a, TBIB_EV_SQ_DRAINED));
}

BOOST_AUTO_TEST_CASE(a_bad_receive_ends_the_qp)
{
    recv(b, 0, 100);
    b.rq.front().get_status = TBIB_LOC_PROT_ERR;
    a.post(send(0, 10));
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].status == TBIB_LOC_PROT_ERR);
    BOOST_TEST(b.core.state == TBIB_QPS_ERR);
    BOOST_TEST(has_event(b, TBIB_EV_QP_FATAL));
}

BOOST_AUTO_TEST_SUITE_END()
