// SPDX-License-Identifier: Apache-2.0
// Receiver not ready: RNR NAKs, their timer and retries, and what crosses them.
#include "retry_fixture.hpp"

using namespace tbib::sim;

namespace {

struct RnrFixture : RetryFixture {
    /// The one message is complete, and to wait for a receive was no retry.
    void check_not_retried()
    {
        BOOST_REQUIRE(a.send_cqes.size() == 1u);
        BOOST_TEST(a.send_cqes[0].status == TBIB_OK);
        BOOST_TEST(a.core.stats.retries == 0u);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(rc_rnr, RnrFixture)

BOOST_AUTO_TEST_CASE(rnr_waits_as_long_as_it_is_told)
{
    a.post(send(0, 100));
    pump();
    BOOST_TEST(b.core.stats.rnr_naks_sent == 1u);
    BOOST_TEST(tbib_qp_deadline(&a.core) - now <= tbib_rnr_ns(attr.min_rnr_timer));
    BOOST_TEST(tbib_qp_deadline(&a.core) > now);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    next_timer(); // still no receive
    BOOST_TEST(b.core.stats.rnr_naks_sent == 2u);
    b.rq.push_back({55, {sge_b(0, 100)}, TBIB_OK});
    next_timer();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes.at(0).wr_id == 55u);
}

BOOST_AUTO_TEST_CASE(a_receive_that_is_posted_ends_the_wait)
{
    a.post(send(0, 100));
    pump();
    recv(b, 0, 100);
    pump(); // no timer
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(a.core.stats.retries == 0u);
    // the NAK that ended it tells of no gap
    BOOST_TEST(a.core.stats.seq_naks_recv == 0u);
    BOOST_TEST(b.core.stats.seq_naks_sent == 0u);
}

// nothing was lost, so none of these may count as a retry

BOOST_AUTO_TEST_CASE(a_receive_is_posted_before_the_rnr_nak_is_sent)
{
    attr.retry_cnt = 0;
    connect(a, b, attr);
    a.post(send(0, 100));
    carry(a, b);
    recv(b, 0, 100);
    carry(b, a);
    BOOST_TEST(tbib_qp_deadline(&a.core) - now == 10000u);
    next_timer();
    check_not_retried();
    BOOST_TEST(a.core.stats.seq_naks_recv == 0u);
}

BOOST_AUTO_TEST_CASE(a_receive_is_posted_when_the_rnr_timer_has_run_out)
{
    attr.retry_cnt = 0;
    connect(a, b, attr);
    a.post(send(0, 100));
    pump();
    for (int round = 0; round < 3; round++) { // the receive is another one's
        now = tbib_qp_deadline(&a.core);
        tbib_qp_timer(&a.core, now);
        const auto again = a.take(now);
        BOOST_TEST(again.size() == 1u);
        recv(b, 0, 100);
        if (round < 2) b.rq.clear();
        carry(b, a); // crosses what was sent again
        for (const auto& p : again)
            b.deliver(p, now);
        pump();
    }
    check_not_retried();
    BOOST_TEST(a.core.stats.seq_naks_recv == 0u);
}

BOOST_AUTO_TEST_CASE(a_peer_that_only_sends_naks_is_a_lost_one)
{
    attr.retry_cnt = 1;
    connect(a, b, attr);
    a.post(send(0, 100));
    pump();
    tbib_bth nak = response(TBIB_OP_ACK, a.core.req.una_psn);
    nak.syndrome = TBIB_NAK_PSN_SEQ;
    for (int i = 0; i < 4 && a.send_cqes.empty(); i++) {
        a.deliver(make_packet(nak), now);
        a.take(now);
    }
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_RETRY_EXC_ERR);
}

BOOST_AUTO_TEST_CASE(rnr_retries_run_out)
{
    attr.rnr_retry = 2;
    connect(a, b, attr);
    a.post(send(0, 100));
    pump();
    settle();
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_RNR_RETRY_EXC_ERR);
    BOOST_TEST(b.core.stats.rnr_naks_sent == 3u);
}

BOOST_AUTO_TEST_CASE(rnr_retry_7_is_for_ever)
{
    a.post(send(0, 100));
    pump();
    for (int i = 0; i < 50; i++)
        next_timer();
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(b.core.stats.rnr_naks_sent == 51u);
}

BOOST_AUTO_TEST_CASE(rnr_does_not_execute_and_what_follows_is_resent)
{
    a.post(send(0, 100));
    a.post(rdma(TBIB_WR_WRITE, 500, 100, 9000));
    pump();
    BOOST_TEST(!same(500, 9000, 100));
    BOOST_TEST(b.core.stats.naks_sent == 0u);
    recv(b, 0, 100);
    pump();
    BOOST_TEST(same(500, 9000, 100));
    BOOST_TEST(a.send_cqes.size() == 2u);
}

// The responder is slow, so the requester probes before it hears that there was no receive.

BOOST_AUTO_TEST_CASE(a_probe_comes_before_the_rnr_nak_is_sent)
{
    attr.retry_cnt = 0;
    connect(a, b, attr);
    a.post(send(0, 5000));
    carry(a, b);
    probe();
    pump();
    BOOST_TEST(b.core.stats.seq_naks_sent == 0u);
    BOOST_TEST(a.core.stats.rnr_naks_recv == 1u);
    BOOST_TEST(a.send_cqes.empty());
    recv(b, 0, 5000);
    pump();
    check_not_retried();
}

BOOST_AUTO_TEST_CASE(a_probe_crosses_the_rnr_nak)
{
    attr.rnr_retry = 1;
    connect(a, b, attr);
    a.post(send(0, 5000));
    carry(a, b);
    const auto rnr = b.take(now);
    probe();
    for (const auto& p : rnr)
        a.deliver(p, now);
    pump();
    // it waits for as long as it was told, which was once
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    BOOST_TEST(tbib_qp_deadline(&a.core) > now + tbib_rnr_ns(attr.min_rnr_timer) / 2);
    recv(b, 0, 5000);
    next_timer();
    check_not_retried();
}

BOOST_AUTO_TEST_CASE(write_with_immediate_waits_for_a_receive_too)
{
    a.post(rdma(TBIB_WR_WRITE_IMM, 0, 3000, 100));
    pump();
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(b.core.stats.rnr_naks_sent == 1u);
    recv(b, 0, 0);
    pump();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes.at(0).byte_len == 3000u);
}

BOOST_AUTO_TEST_CASE(a_lost_rnr_nak)
{
    a.post(send(0, 100));
    pump(from_responder);
    recv(b, 0, 100);
    settle();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
