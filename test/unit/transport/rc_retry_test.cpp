// SPDX-License-Identifier: Apache-2.0
// Loss, timers, hostile responses, states of the send queue.
#include "retry_fixture.hpp"

#include <boost/test/data/test_case.hpp>

using namespace tbib::sim;
namespace data = boost::unit_test::data;

BOOST_FIXTURE_TEST_SUITE(rc_retry, RetryFixture)

BOOST_DATA_TEST_CASE(one_lost_request_is_found_by_its_gap, data::xrange(9), n)
{
    a.post(rdma(TBIB_WR_WRITE, 1, 10 * 1024, 5));
    pump(lose(n, from_requester));
    BOOST_TEST(same(1, 5, 10 * 1024));
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(a.core.stats.retries == 1u);
    BOOST_TEST(a.core.stats.timeouts == 0u);
    // one gap, whatever came behind it
    BOOST_TEST(b.core.stats.out_of_seq == 1u);
    BOOST_TEST(b.core.stats.seq_naks_sent == 1u);
    BOOST_TEST(a.core.stats.seq_naks_recv == 1u);
    check_idle();
}

BOOST_AUTO_TEST_CASE(a_lost_tail_is_found_by_a_probe)
{
    a.post(rdma(TBIB_WR_WRITE, 1, 10 * 1024, 5));
    pump(lose(9, from_requester));
    BOOST_TEST(a.send_cqes.empty());
    next_timer();
    BOOST_TEST(a.core.stats.tail_probes == 1u);
    BOOST_TEST(a.core.stats.timeouts == 0u);
    // the lost packet itself was the probe: nothing had to be gone back for
    BOOST_TEST(a.core.stats.retries == 0u);
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(same(1, 5, 10 * 1024));
}

BOOST_AUTO_TEST_CASE(a_lost_ack_is_found_by_a_probe)
{
    recv(b, 0, 4096);
    recv(b, 0, 4096);
    a.post(send(0, 4000));
    pump(from_responder);
    next_timer();
    BOOST_TEST(a.core.stats.tail_probes == 1u);
    BOOST_TEST(a.core.stats.retries == 0u);
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(probe_comes_after_4_round_trips_and_at_least_1_ms)
{
    for (u64 rtt : {20000ull, 3 * kMs}) {
        RetryFixture f;
        for (int i = 0; i < 40; i++) {
            f.a.post(f.rdma(TBIB_WR_WRITE, 0, 10, 0));
            auto p = f.a.take(f.now);
            f.b.deliver(p[0], f.now);
            auto ack = f.b.take(f.now);
            f.now += rtt;
            f.a.deliver(ack[0], f.now);
        }
        f.a.post(f.rdma(TBIB_WR_WRITE, 0, 10, 0));
        f.a.take(f.now);
        u64 wait = tbib_qp_deadline(&f.a.core) - f.now;
        u64 want = std::max<u64>(4 * rtt, kMs);
        BOOST_TEST(wait >= want * 9 / 10);
        BOOST_TEST(wait <= want * 11 / 10);
    }
}

BOOST_AUTO_TEST_CASE(probes_do_not_use_up_retries)
{
    attr.retry_cnt = 1;
    attr.timeout = 0;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    pump(from_requester);
    for (int i = 0; i < 20; i++)
        next_timer(from_requester);
    BOOST_TEST(a.core.stats.tail_probes == 20u);
    BOOST_TEST(a.send_cqes.empty());
    next_timer();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_OK);
}

BOOST_AUTO_TEST_CASE(probe_of_a_read_asks_for_its_last_response_only)
{
    a.post(rdma(TBIB_WR_READ, 0, 100 * 1024, 0));
    pump(from_requester);
    u64 d = tbib_qp_deadline(&a.core);
    tbib_qp_timer(&a.core, d);
    auto p = a.take(d);
    BOOST_REQUIRE(p.size() == 1u);
    BOOST_TEST(p[0].bth().dma_len == 1024u);
    BOOST_TEST(p[0].bth().va == va(99 * 1024));
    b.deliver(p[0], now); // a gap for b
    pump();
    BOOST_TEST(same(0, 0, 100 * 1024));
}

BOOST_DATA_TEST_CASE(lost_read_response_is_asked_for_again, data::xrange(0, 10, 3), n)
{
    a.post(rdma(TBIB_WR_READ, 3, 10000, 70));
    a.post(rdma(TBIB_WR_READ, 20003, 10000, 30070));
    pump(lose(n, from_responder));
    BOOST_TEST(a.send_cqes.size() == 2u);
    BOOST_TEST(same(3, 70, 10000));
    BOOST_TEST(same(20003, 30070, 10000));
    BOOST_TEST(a.core.stats.retries == 1u);
    BOOST_TEST(a.last_flags == 2);
    check_idle();
}

BOOST_AUTO_TEST_CASE(lost_read_answer_is_implied_by_a_later_ack)
{
    a.post(rdma(TBIB_WR_READ, 3, 100, 70));
    a.post(rdma(TBIB_WR_WRITE, 300, 100, 700));
    pump(lose(0, from_responder));
    BOOST_TEST(a.send_cqes.size() == 2u);
    BOOST_TEST(same(3, 70, 100));
    BOOST_TEST(a.core.stats.timeouts == 0u);
}

BOOST_AUTO_TEST_CASE(lost_atomic_answer_is_replayed)
{
    u64 v = 1;
    memcpy(&nb.memory[800], &v, 8);
    Send s = rdma(TBIB_WR_FETCH_ADD, 0, 8, 800);
    s.swap_add = 1;
    a.post(s);
    pump(from_responder);
    settle();
    BOOST_TEST(a.send_cqes.size() == 1u);
    memcpy(&v, &nb.memory[800], 8);
    BOOST_TEST(v == 2u);
    memcpy(&v, &na.memory[0], 8);
    BOOST_TEST(v == 1u);
}

BOOST_AUTO_TEST_CASE(silence_ends_in_retry_exceeded)
{
    attr.retry_cnt = 3;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    u64 start = now;
    pump(from_requester);
    settle(from_requester);
    BOOST_REQUIRE(a.send_cqes.size() == 2u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_RETRY_EXC_ERR);
    BOOST_TEST(a.send_cqes[1].status == TBIB_FLUSH_ERR);
    BOOST_TEST(a.core.stats.timeouts == 4u);
    u64 t = tbib_timeout_ns(attr.timeout);
    BOOST_TEST(now - start >= 4 * t);      // IBTA: between 1 and 4 times each
    BOOST_TEST(now - start <= 4 * 4 * t + 10 * kMs);
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
    check_idle();
}

BOOST_AUTO_TEST_CASE(progress_gives_the_retries_back)
{
    attr.retry_cnt = 1;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 100 * 1024, 0));
    int n = 0;
    pump([&](const Packet&, bool from_a) { return from_a && ++n % 5 == 0; });
    settle([&](const Packet&, bool from_a) { return from_a && ++n % 5 == 0; });
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_OK);
    BOOST_TEST(a.core.stats.retries > 5u);
    BOOST_TEST(same(0, 0, 100 * 1024));
}

BOOST_AUTO_TEST_CASE(the_timer_stands_still_while_the_trunk_is_full)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    auto p = a.take(now);
    u64 before = tbib_qp_deadline(&a.core);
    tbib_qp_stalled(&a.core, true, now);
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
    tbib_qp_timer(&a.core, now + 1000 * kMs);
    BOOST_TEST(a.core.stats.timeouts == 0u);
    tbib_qp_stalled(&a.core, false, now + 1000 * kMs);
    BOOST_TEST(tbib_qp_deadline(&a.core) == before + 1000 * kMs);
    // an answer while it is stalled starts the time anew
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.take(now);
    tbib_qp_stalled(&a.core, true, now);
    b.deliver(p[0], now);
    a.deliver(b.take(now)[0], now + 500 * kMs);
    tbib_qp_stalled(&a.core, false, now + 500 * kMs);
    BOOST_TEST(tbib_qp_deadline(&a.core) < now + 1500 * kMs);
    // a fill ends it, too
    tbib_qp_stalled(&a.core, true, now + 500 * kMs);
    a.take(now + 600 * kMs);
    BOOST_TEST(tbib_qp_deadline(&a.core) != 0u);
}

BOOST_AUTO_TEST_CASE(without_a_route_the_retries_run_out)
{
    attr.retry_cnt = 2;
    connect(a, b, attr);
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    int rounds = 0;
    while (a.send_cqes.empty() && rounds++ < 10) {
        BOOST_REQUIRE(tbib_qp_wants_tx(&a.core));
        tbib_qp_unroutable(&a.core, now);
        now = tbib_qp_deadline(&a.core);
        BOOST_REQUIRE(now != 0u);
        tbib_qp_timer(&a.core, now);
    }
    BOOST_TEST(rounds == 3);
    BOOST_TEST(a.send_cqes.at(0).status == TBIB_RETRY_EXC_ERR);
    check_idle();
}

BOOST_AUTO_TEST_CASE(a_route_in_time_saves_the_message)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    tbib_qp_unroutable(&a.core, now);
    tbib_qp_timer(&a.core, tbib_qp_deadline(&a.core));
    pump();
    BOOST_TEST(a.send_cqes.at(0).status == TBIB_OK);
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
}

BOOST_AUTO_TEST_CASE(an_ack_that_comes_after_going_back_saves_the_rest)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10 * 1024, 0));
    a.post(rdma(TBIB_WR_READ, 20000, 1024, 20000));
    a.post(rdma(TBIB_WR_WRITE, 30000, 10, 30000));
    for (const auto& p : a.take(now))
        b.deliver(p, now);
    auto answers = b.take(now);
    BOOST_REQUIRE(answers.size() == 2u);
    now += 1000 * kMs;
    tbib_qp_timer(&a.core, now); // the transport timer: back to the first packet
    BOOST_TEST(a.core.stats.timeouts == 1u);
    BOOST_TEST(tbib_qp_wants_tx(&a.core));
    for (const auto& p : answers)
        a.deliver(p, now);
    BOOST_TEST(a.send_cqes.size() == 3u);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
    a.post(rdma(TBIB_WR_READ, 20000, 1024, 20000));
    pump();
    BOOST_TEST(a.send_cqes.size() == 4u);
}

// --- responses that must not be believed ------------------------------------------

BOOST_AUTO_TEST_CASE(acks_for_what_was_not_sent_are_dropped)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.take(now);
    for (u32 ahead : {1u, 2u, 1000u, 0x7fffffu, 0x800000u, 0xffffffu}) {
        a.deliver(make_packet(response(TBIB_OP_ACK, tbib_psn_add(attr.sq_psn, ahead))), now);
        BOOST_TEST(a.send_cqes.empty());
    }
    a.deliver(make_packet(response(TBIB_OP_ACK, attr.sq_psn)), now);
    BOOST_TEST(a.send_cqes.size() == 1u);
    a.deliver(make_packet(response(TBIB_OP_ACK, attr.sq_psn)), now);
    BOOST_TEST(a.send_cqes.size() == 1u);
}

BOOST_AUTO_TEST_CASE(nak_codes_become_completion_states)
{
    const std::pair<int, int> codes[] = {{TBIB_NAK_INV_REQ, TBIB_REM_INV_REQ_ERR},
                                         {TBIB_NAK_REM_ACC, TBIB_REM_ACCESS_ERR},
                                         {TBIB_NAK_REM_OP, TBIB_REM_OP_ERR}};
    for (auto [nak, status] : codes) {
        RetryFixture f;
        f.a.post(f.rdma(TBIB_WR_WRITE, 0, 10, 0));
        f.a.post(f.rdma(TBIB_WR_WRITE, 0, 10, 0));
        f.a.take(now);
        auto r = response(TBIB_OP_ACK, tbib_psn_add(attr.sq_psn, 1));
        r.syndrome = static_cast<u8>(nak);
        f.a.deliver(make_packet(r), now);
        BOOST_REQUIRE(f.a.send_cqes.size() == 2u);
        BOOST_TEST(f.a.send_cqes[0].status == TBIB_OK); // the NAK acks what is before it
        BOOST_TEST(int(f.a.send_cqes[1].status) == status);
        BOOST_TEST(f.a.core.state == TBIB_QPS_ERR);
        BOOST_TEST(f.a.core.stats.naks_recv == 1u);
        BOOST_TEST(f.a.core.stats.seq_naks_recv == 0u);
    }
}

BOOST_AUTO_TEST_CASE(reserved_syndromes_are_dropped)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.take(now);
    for (int s : {0x40, 0x5f, 0x64, 0x7f, 0x80, 0xff}) {
        auto r = response(TBIB_OP_ACK, attr.sq_psn);
        r.syndrome = static_cast<u8>(s);
        a.deliver(make_packet(r), now);
    }
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(a.core.state == TBIB_QPS_RTS);
}

namespace {
struct BadResponse {
    const char* name;
    int op;
    u32 payload;
};
std::ostream& operator<<(std::ostream& o, const BadResponse& h)
{
    return o << h.name;
}
} // namespace

BOOST_DATA_TEST_CASE(wrong_read_responses_are_fatal,
                     data::make(std::vector<BadResponse>{
                         {"short", TBIB_OP_READ_RESP_FIRST, 1023},
                         {"long", TBIB_OP_READ_RESP_FIRST, 1025},
                         {"last too early", TBIB_OP_READ_RESP_LAST, 1024},
                         {"only of many", TBIB_OP_READ_RESP_ONLY, 1024},
                         {"atomic for a read", TBIB_OP_ATOMIC_ACK, 0},
                     }),
                     h)
{
    a.post(rdma(TBIB_WR_READ, 0, 3000, 0));
    a.take(now);
    a.deliver(make_packet(response(h.op, attr.sq_psn), std::vector<u8>(h.payload, 0xee)), now);
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(a.send_cqes[0].status == TBIB_BAD_RESP_ERR);
    check_idle();
}

BOOST_AUTO_TEST_CASE(data_for_a_write_is_fatal)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    a.take(now);
    a.deliver(make_packet(response(TBIB_OP_READ_RESP_ONLY, attr.sq_psn), {1, 2, 3}), now);
    BOOST_TEST(a.send_cqes.at(0).status == TBIB_BAD_RESP_ERR);
}

// --- states -----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(drain_finishes_what_was_begun)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 600 * 1024, 0)); // more than a window
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 900000));
    auto sent = a.take(now);
    tbib_qp_modify(&a.core, TBIB_QPS_SQD, &a.core.attr);
    BOOST_TEST(a.events.empty());
    for (const auto& p : sent)
        b.deliver(p, now);
    pump();
    BOOST_TEST(has_event(a, TBIB_EV_SQ_DRAINED));
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    tbib_qp_modify(&a.core, TBIB_QPS_RTS, &a.core.attr);
    pump();
    BOOST_TEST(a.send_cqes.size() == 2u);
}

BOOST_AUTO_TEST_CASE(drain_with_nothing_to_do_is_told_at_once)
{
    tbib_qp_modify(&a.core, TBIB_QPS_SQD, &a.core.attr);
    BOOST_TEST(has_event(a, TBIB_EV_SQ_DRAINED));
}

BOOST_AUTO_TEST_CASE(drain_survives_loss)
{
    a.post(rdma(TBIB_WR_READ, 0, 100 * 1024, 0));
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    auto sent = a.take(now);
    tbib_qp_modify(&a.core, TBIB_QPS_SQD, &a.core.attr);
    for (int i = 0; i < 5 && a.events.empty(); i++)
        next_timer();
    BOOST_TEST(has_event(a, TBIB_EV_SQ_DRAINED));
    BOOST_TEST(a.send_cqes.size() == 2u);
}

BOOST_AUTO_TEST_CASE(error_flushes_everything)
{
    recv(b, 0, 4096);
    a.post(send(0, 3000));
    a.post(rdma(TBIB_WR_READ, 0, 100, 0));
    Send quiet = rdma(TBIB_WR_WRITE, 0, 100, 0);
    quiet.flags = 0;
    a.post(quiet);
    auto sent = a.take(now);
    b.deliver(sent[0], now);
    tbib_qp_modify(&a.core, TBIB_QPS_ERR, &a.core.attr);
    BOOST_REQUIRE(a.send_cqes.size() == 3u);
    for (const auto& c : a.send_cqes)
        BOOST_TEST(c.status == TBIB_FLUSH_ERR);
    a.post(quiet);
    BOOST_TEST(a.send_cqes.size() == 4u);
    BOOST_TEST(has_event(a, TBIB_EV_LAST_WQE));
    BOOST_TEST(tbib_qp_deadline(&a.core) == 0u);
    BOOST_TEST(!tbib_qp_wants_tx(&a.core));
    tbib_qp_modify(&b.core, TBIB_QPS_ERR, &b.core.attr); // in the middle of a SEND
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].status == TBIB_FLUSH_ERR);
    BOOST_TEST(b.recv_refs == 0);
    check_idle();
}

BOOST_AUTO_TEST_CASE(reset_forgets_without_completions)
{
    recv(b, 0, 4096);
    a.post(send(0, 3000));
    a.post(rdma(TBIB_WR_READ, 0, 100, 0));
    auto sent = a.take(now);
    b.deliver(sent[0], now);
    b.deliver(sent[1], now);
    tbib_qp_modify(&a.core, TBIB_QPS_RESET, &a.core.attr);
    tbib_qp_modify(&b.core, TBIB_QPS_RESET, &b.core.attr);
    BOOST_TEST(a.send_cqes.empty());
    BOOST_TEST(b.recv_cqes.empty());
    BOOST_TEST(b.recv_refs == 0);
    check_idle();
    connect(a, b, attr);
    recv(b, 0, 4096);
    a.post(send(7, 3000));
    pump();
    BOOST_TEST(a.send_cqes.size() == 1u);
    BOOST_TEST(same(7, 0, 3000));
}

BOOST_AUTO_TEST_CASE(a_read_in_progress_is_stopped_by_error)
{
    a.post(rdma(TBIB_WR_READ, 0, 100 * 1024, 0));
    b.deliver(a.take(now)[0], now);
    BOOST_TEST(nb.refs() == 1);
    tbib_qp_modify(&b.core, TBIB_QPS_ERR, &b.core.attr);
    BOOST_TEST(nb.refs() == 0);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
}

BOOST_AUTO_TEST_CASE(names_of_steps)
{
    a.post(rdma(TBIB_WR_WRITE, 0, 10, 0));
    pump();
    BOOST_TEST(std::string(tbib_resp_step_name(b.core.resp.step)) == "accept");
    BOOST_TEST(std::string(tbib_comp_step_name(a.core.comp.step)) == "ack");
    BOOST_TEST(std::string(tbib_comp_step_name(255)) == "?");
    BOOST_TEST(std::string(tbib_resp_step_name(255)) == "?");
}

BOOST_AUTO_TEST_SUITE_END()
