// SPDX-License-Identifier: Apache-2.0
// What an RC responder does with request packets, good, repeated and hostile.
#include "responder_fixture.hpp"

#include <boost/test/data/test_case.hpp>

using namespace tbib::sim;
namespace data = boost::unit_test::data;

BOOST_FIXTURE_TEST_SUITE(rc_responder, ResponderFixture)

BOOST_AUTO_TEST_CASE(send_lands_in_the_receive)
{
    recv(b, 500, 3000);
    Send s = send(0, 2500);
    s.op = TBIB_WR_SEND_IMM;
    s.imm = 0xabcdef01;
    a.post(s);
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    const auto& c = b.recv_cqes[0];
    BOOST_TEST(c.byte_len == 2500u);
    BOOST_TEST(c.imm_valid);
    BOOST_TEST(c.imm == 0xabcdef01u);
    BOOST_TEST(!c.inv_valid);
    BOOST_TEST(!c.write_imm);
    BOOST_TEST(same(0, 500, 2500));
    BOOST_TEST(b.recv_refs == 0);
    check_idle();
}

BOOST_AUTO_TEST_CASE(empty_messages)
{
    recv(b, 0, 0);
    a.post(send(0, 0));
    a.post(rdma(TBIB_WR_WRITE, 0, 0, 0));
    a.post(rdma(TBIB_WR_READ, 0, 0, 0));
    pump();
    BOOST_TEST(a.send_cqes.size() == 3u);
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].byte_len == 0u);
}

BOOST_AUTO_TEST_CASE(nothing_is_checked_when_nothing_moves)
{
    Send s = rdma(TBIB_WR_WRITE, 0, 0, 0);
    s.rkey = 1;
    a.post(s);
    s.op = TBIB_WR_READ;
    a.post(s);
    pump();
    BOOST_TEST(a.send_cqes.size() == 2u);
    BOOST_TEST(a.send_cqes[1].status == TBIB_OK);
}

BOOST_AUTO_TEST_CASE(write_with_immediate_takes_a_receive)
{
    recv(b, 0, 0);
    Send s = rdma(TBIB_WR_WRITE_IMM, 0, 3000, 100);
    s.imm = 77;
    a.post(s);
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].write_imm);
    BOOST_TEST(b.recv_cqes[0].byte_len == 3000u);
    BOOST_TEST(b.recv_cqes[0].imm == 77u);
    BOOST_TEST(same(0, 100, 3000));
    BOOST_TEST(b.last_flags == 1);
}

BOOST_AUTO_TEST_CASE(send_with_invalidate)
{
    u32 key = nb.reg(0, 100, kAllAccess);
    recv(b, 0, 10);
    Send s = send(0, 4);
    s.op = TBIB_WR_SEND_INV;
    s.imm = key;
    a.post(s);
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].inv_valid);
    BOOST_TEST(b.recv_cqes[0].imm == key);
    BOOST_TEST(nb.by_key(key) == nullptr);
    recv(b, 0, 10);
    a.post(s); // a second time: no such key
    pump();
    BOOST_TEST(a.send_cqes.back().status == TBIB_REM_ACCESS_ERR);
    BOOST_TEST(b.recv_cqes.back().status == TBIB_LOC_ACCESS_ERR);
}

BOOST_AUTO_TEST_CASE(message_is_placed_before_its_region_is_invalidated)
{
    recv(b, 0, 3000);
    Send s = send(0, 2900);
    s.op = TBIB_WR_SEND_INV;
    s.imm = kb; // where the message goes
    a.post(s);
    pump();
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.recv_cqes[0].status == TBIB_OK);
    BOOST_TEST(same(0, 0, 2900));
    BOOST_TEST(nb.by_key(kb) == nullptr);
}

BOOST_AUTO_TEST_CASE(ack_speaks_for_all_and_is_sent_once)
{
    for (u32 i = 0; i < 5; i++)
        b.deliver(make_packet(req(TBIB_OP_WRITE_ONLY)), now);
    auto answer = b.take(now);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].bth().psn == tbib_psn_add(attr.rq_psn, 4));
    BOOST_TEST(answer[0].bth().msn == 5u);
    BOOST_TEST(int(answer[0].bth().syndrome) == TBIB_AETH_ACK_UNLIM);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
}

BOOST_AUTO_TEST_CASE(without_ack_request_no_ack)
{
    auto r = req(TBIB_OP_WRITE_ONLY);
    r.ack_req = false;
    BOOST_TEST(ask(r).empty());
    BOOST_TEST(b.core.resp.epsn == tbib_psn_add(attr.rq_psn, 1));
}

BOOST_AUTO_TEST_CASE(a_gap_is_nakked_once)
{
    auto answer = ask(req(TBIB_OP_WRITE_ONLY, 3));
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].syndrome) == TBIB_NAK_PSN_SEQ);
    BOOST_TEST(answer[0].psn == b.core.resp.epsn);
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY, 4)).empty());
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY, 9)).empty());
    // the peer goes back and loses the first packet again
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY, 1)).size() == 1u);
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY, 2)).empty());
    // a probe that finds us still waiting
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY, 2)).size() == 1u);
    BOOST_TEST(b.core.resp.msn == 0u);
}

BOOST_AUTO_TEST_CASE(a_nak_that_is_out_of_date_is_not_sent)
{
    b.deliver(make_packet(req(TBIB_OP_WRITE_ONLY, 1)), now);
    auto answer = ask(req(TBIB_OP_WRITE_ONLY));
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].syndrome) == TBIB_AETH_ACK_UNLIM);
}

BOOST_AUTO_TEST_CASE(repeated_send_is_acked_and_not_executed)
{
    recv(b, 0, 100);
    recv(b, 200, 100);
    auto r = req(TBIB_OP_SEND_ONLY);
    ask(r, 8);
    BOOST_TEST(b.recv_cqes.size() == 1u);
    auto answer = ask(r, 8);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].psn == r.psn);
    BOOST_TEST(b.recv_cqes.size() == 1u);
    BOOST_TEST(b.core.stats.duplicate == 1u);
}

BOOST_AUTO_TEST_CASE(repeated_write_does_not_write)
{
    auto r = req(TBIB_OP_WRITE_ONLY);
    r.dma_len = 4;
    ask(r, 4);
    BOOST_TEST(int(nb.memory[4096]) == 0xcc);
    nb.memory[4096] = 1;
    BOOST_TEST(ask(r, 4).size() == 1u);
    BOOST_TEST(int(nb.memory[4096]) == 1);
}

BOOST_AUTO_TEST_CASE(ack_of_a_repetition_does_not_speak_for_a_later_read)
{
    auto w = req(TBIB_OP_WRITE_ONLY);
    ask(w);
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 100;
    ask(r);
    ask(req(TBIB_OP_WRITE_ONLY));
    auto answer = ask(w);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].psn == w.psn); // the response to the READ may be lost
}

BOOST_AUTO_TEST_CASE(read_answers_with_first_middle_last)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 2500;
    u32 psn = r.psn;
    auto answer = ask(r);
    BOOST_REQUIRE(answer.size() == 3u);
    int want[] = {TBIB_OP_READ_RESP_FIRST, TBIB_OP_READ_RESP_MIDDLE, TBIB_OP_READ_RESP_LAST};
    for (u32 i = 0; i < 3; i++) {
        BOOST_TEST(int(answer[i].opcode) == want[i]);
        BOOST_TEST(answer[i].psn == tbib_psn_add(psn, i));
    }
    BOOST_TEST(b.core.resp.epsn == tbib_psn_add(psn, 3));
    BOOST_TEST(b.core.resp.msn == 1u);
    BOOST_TEST(nb.refs() == 0);
}

BOOST_AUTO_TEST_CASE(repeated_read_is_executed_again_in_part)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 2500;
    ask(r);
    nb.memory[4096 + 2048] ^= 0xff;
    r.psn = tbib_psn_add(r.psn, 2);
    r.va += 2048;
    r.dma_len = 452;
    b.deliver(make_packet(r), now);
    auto p = b.take(now);
    BOOST_REQUIRE(p.size() == 1u);
    BOOST_TEST(p[0].op() == TBIB_OP_READ_RESP_ONLY);
    BOOST_TEST(p[0].bth().psn == r.psn);
    BOOST_TEST(!memcmp(p[0].inl.data() + 16, &nb.memory[4096 + 2048], 452));
    BOOST_TEST(b.core.resp.msn == 1u);
}

BOOST_AUTO_TEST_CASE(repeated_read_may_not_grow)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 2500;
    ask(r);
    r.dma_len = 3073;
    BOOST_TEST(ask(r).empty());
    r.psn = tbib_psn_add(r.psn, 1);
    r.dma_len = 2500;
    BOOST_TEST(ask(r).empty());
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_RTS));
}

BOOST_AUTO_TEST_CASE(repeated_read_whose_key_is_gone_is_not_an_error)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 100;
    ask(r);
    nb.invalidate(kb);
    BOOST_TEST(ask(r).empty());
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_RTS));
}

BOOST_AUTO_TEST_CASE(read_that_was_not_answered_yet_is_not_answered_twice)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 2500;
    b.deliver(make_packet(r), now);
    r.psn = tbib_psn_add(r.psn, 2); // a tail probe
    r.va += 2048;
    r.dma_len = 452;
    BOOST_TEST(ask(r).size() == 3u);
}

BOOST_AUTO_TEST_CASE(going_back_to_a_read_stops_the_newer_ones)
{
    auto r1 = req(TBIB_OP_READ_REQUEST);
    r1.dma_len = 100;
    ask(r1);
    auto r2 = req(TBIB_OP_READ_REQUEST);
    r2.dma_len = 100;
    b.deliver(make_packet(r2), now); // not answered yet
    auto answer = ask(r1);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].psn == r1.psn);
    answer = ask(r2);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].psn == r2.psn);
    BOOST_TEST(nb.refs() == 0);
}

BOOST_AUTO_TEST_CASE(atomic_is_executed_once_and_replayed)
{
    u64 v = 5;
    memcpy(&nb.memory[4096], &v, 8);
    auto r = req(TBIB_OP_FETCH_ADD);
    r.swap_add = 3;
    auto first = ask(r);
    auto again = ask(r);
    BOOST_REQUIRE(first.size() == 1u);
    BOOST_REQUIRE(again.size() == 1u);
    BOOST_TEST(int(again[0].opcode) == TBIB_OP_ATOMIC_ACK);
    BOOST_TEST(first[0].orig == 5u);
    BOOST_TEST(again[0].orig == 5u);
    BOOST_TEST(again[0].psn == r.psn);
    memcpy(&v, &nb.memory[4096], 8);
    BOOST_TEST(v == 8u);
}

BOOST_AUTO_TEST_CASE(new_read_takes_the_place_of_one_that_is_repeated)
{
    attr.max_dest_rd_atomic = TBIB_MAX_RD_ATOMIC;
    connect(a, b, attr);
    tbib_bth oldest{};
    for (u32 i = 0; i < TBIB_MAX_RD_ATOMIC; i++) {
        auto r = req(TBIB_OP_READ_REQUEST);
        r.dma_len = 100;
        if (!i) oldest = r;
        BOOST_TEST(ask(r).size() == 1u);
    }
    // the peer goes back to the oldest, then its answer comes after all, and it goes on
    b.deliver(make_packet(oldest), now);
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 100;
    auto answer = ask(r);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(answer[0].psn == r.psn);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
    BOOST_TEST(int(b.core.resp.rd_active) == 0);
    check_idle();
}

BOOST_AUTO_TEST_CASE(too_many_reads_at_once)
{
    for (u32 i = 0; i < attr.max_dest_rd_atomic; i++) {
        auto r = req(TBIB_OP_READ_REQUEST);
        r.dma_len = 10;
        b.deliver(make_packet(r), now);
    }
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 10;
    u32 epsn = b.core.resp.epsn;
    auto answer = ask(r);
    // those before are still answered, then comes the NAK
    BOOST_REQUIRE(answer.size() == attr.max_dest_rd_atomic + 1u);
    BOOST_TEST(int(answer.back().syndrome) == TBIB_NAK_INV_REQ);
    BOOST_TEST(answer.back().psn == epsn);
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_ERR));
    BOOST_TEST(nb.refs() == 0);
}

// the simulator's seed 289: a repetition that is still being answered is not in flight
// for a peer that has had its answer and asks for more
BOOST_AUTO_TEST_CASE(a_late_repetition_does_not_count_as_in_flight)
{
    attr.max_dest_rd_atomic = 1;
    connect(a, b, attr);
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 10;
    ask(r);
    b.deliver(make_packet(r), now); // again, and the answer has to wait
    auto next = req(TBIB_OP_READ_REQUEST);
    next.dma_len = 10;
    auto answer = ask(next);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].opcode) == TBIB_OP_READ_RESP_ONLY);
    BOOST_TEST(answer[0].psn == next.psn);
    BOOST_TEST(nb.refs() == 0);
}

BOOST_AUTO_TEST_CASE(acks_wait_for_reads_before_them)
{
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 10;
    b.deliver(make_packet(r), now);
    auto answer = ask(req(TBIB_OP_WRITE_ONLY));
    BOOST_REQUIRE(answer.size() == 2u);
    BOOST_TEST(int(answer[0].opcode) == TBIB_OP_READ_RESP_ONLY);
    BOOST_TEST(int(answer[1].opcode) == TBIB_OP_ACK);
}

BOOST_AUTO_TEST_CASE(acks_wait_for_reads_that_have_to_wait_themselves)
{
    attr.mtu = 4096;
    connect(a, b, attr);
    auto r = req(TBIB_OP_READ_REQUEST);
    r.dma_len = 8192;
    b.deliver(make_packet(r), now);
    b.pages_missing = 1;
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY)).empty()); // an ACK would imply a NAK
    tbib_qp_timer(&b.core, tbib_qp_deadline(&b.core));
    auto p = b.take(now);
    BOOST_REQUIRE(p.size() == 3u);
    BOOST_TEST(p[2].op() == TBIB_OP_ACK);
}

// --- refused ------------------------------------------------------------------

namespace {
struct Hostile {
    const char* name;
    int op;
    u32 payload, dma_len;
    int before; // opcode of a full packet that begins a message, or -1
    u8 nak;
};
std::ostream& operator<<(std::ostream& o, const Hostile& h)
{
    return o << h.name;
}
const std::vector<Hostile> hostile = {
    {"middle of nothing", TBIB_OP_SEND_MIDDLE, 1024, 0, -1, TBIB_NAK_INV_REQ},
    {"last of nothing", TBIB_OP_WRITE_LAST, 5, 0, -1, TBIB_NAK_INV_REQ},
    {"first within a message", TBIB_OP_SEND_FIRST, 1024, 0, TBIB_OP_SEND_FIRST, TBIB_NAK_INV_REQ},
    {"only within a message", TBIB_OP_SEND_ONLY, 1, 0, TBIB_OP_SEND_FIRST, TBIB_NAK_INV_REQ},
    {"write within a send", TBIB_OP_WRITE_LAST, 5, 0, TBIB_OP_SEND_FIRST, TBIB_NAK_INV_REQ},
    {"send within a write", TBIB_OP_SEND_LAST, 5, 0, TBIB_OP_WRITE_FIRST, TBIB_NAK_INV_REQ},
    {"read within a send", TBIB_OP_READ_REQUEST, 0, 8, TBIB_OP_SEND_FIRST, TBIB_NAK_INV_REQ},
    {"short first", TBIB_OP_SEND_FIRST, 1023, 0, -1, TBIB_NAK_INV_REQ},
    {"long only", TBIB_OP_SEND_ONLY, 1025, 0, -1, TBIB_NAK_INV_REQ},
    {"empty last", TBIB_OP_SEND_LAST, 0, 0, TBIB_OP_SEND_FIRST, TBIB_NAK_INV_REQ},
    {"write shorter than said", TBIB_OP_WRITE_ONLY, 5, 6, -1, TBIB_NAK_INV_REQ},
    {"write longer than said", TBIB_OP_WRITE_ONLY, 6, 5, -1, TBIB_NAK_INV_REQ},
    {"first write of one packet", TBIB_OP_WRITE_FIRST, 1024, 1024, -1, TBIB_NAK_INV_REQ},
    {"write beyond 2 GiB", TBIB_OP_WRITE_FIRST, 1024, 0x80000001, -1, TBIB_NAK_INV_REQ},
    {"middle where last is due", TBIB_OP_WRITE_MIDDLE, 1024, 0, TBIB_OP_WRITE_FIRST, TBIB_NAK_INV_REQ},
    {"last that does not end it", TBIB_OP_WRITE_LAST, 10, 0, TBIB_OP_WRITE_FIRST, TBIB_NAK_INV_REQ},
    {"read beyond 2 GiB", TBIB_OP_READ_REQUEST, 0, 0x80000001, -1, TBIB_NAK_INV_REQ},
    {"read with payload", TBIB_OP_READ_REQUEST, 8, 8, -1, TBIB_NAK_INV_REQ},
    {"write out of the region", TBIB_OP_WRITE_FIRST, 1024, kMem, -1, TBIB_NAK_REM_ACC},
    {"read out of the region", TBIB_OP_READ_REQUEST, 0, kMem, -1, TBIB_NAK_REM_ACC},
};
} // namespace

BOOST_DATA_TEST_CASE(hostile_requests_end_in_a_nak, data::make(hostile), h)
{
    recv(b, 0, 8192);
    if (h.before >= 0) {
        auto first = req(h.before);
        first.dma_len = 2048;
        BOOST_TEST(ask(first, 1024).size() == 1u);
    }
    auto r = req(h.op);
    r.dma_len = h.dma_len;
    check_refused(r, h.payload, h.nak,
                  h.nak == TBIB_NAK_INV_REQ ? TBIB_EV_REQ_ERR : TBIB_EV_ACCESS_ERR);
}

BOOST_AUTO_TEST_CASE(unaligned_atomic)
{
    auto r = req(TBIB_OP_CMP_SWAP);
    r.va += 4;
    check_refused(r, 0, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_DATA_TEST_CASE(what_the_qp_does_not_allow_is_refused,
                     data::make({TBIB_OP_WRITE_ONLY, TBIB_OP_READ_REQUEST, TBIB_OP_CMP_SWAP,
                                 TBIB_OP_FETCH_ADD}),
                     op)
{
    attr.access = TBIB_ACC_LOCAL_WRITE;
    connect(a, b, attr);
    check_refused(req(op), 0, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_AUTO_TEST_CASE(what_the_region_does_not_allow_is_refused)
{
    u32 ro = nb.reg(0, kMem, TBIB_ACC_LOCAL_WRITE | TBIB_ACC_REMOTE_READ);
    auto r = req(TBIB_OP_WRITE_ONLY);
    r.rkey = ro;
    r.dma_len = 4;
    check_refused(r, 4, TBIB_NAK_REM_ACC, TBIB_EV_ACCESS_ERR);
}

BOOST_AUTO_TEST_CASE(send_longer_than_the_receive)
{
    recv(b, 0, 1500);
    BOOST_TEST(ask(req(TBIB_OP_SEND_FIRST), 1024).size() == 1u);
    check_refused(req(TBIB_OP_SEND_LAST), 500, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(int(b.recv_cqes[0].status) == int(TBIB_LOC_LEN_ERR));
}

BOOST_AUTO_TEST_CASE(bad_receive_is_told_on_both_sides)
{
    recv(b, 0, 100);
    b.rq.front().sges[0].lkey = 1;
    u64 id = b.rq.front().wr_id;
    check_refused(req(TBIB_OP_SEND_ONLY), 4, TBIB_NAK_REM_OP, TBIB_EV_QP_FATAL);
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(int(b.recv_cqes[0].status) == int(TBIB_LOC_PROT_ERR));
    BOOST_TEST(b.recv_cqes[0].wr_id == id);
}

BOOST_AUTO_TEST_CASE(strangers_are_dropped)
{
    auto r = req(TBIB_OP_WRITE_ONLY);
    r.pkey = 0x1234;
    BOOST_TEST(ask(r).empty());
    r = req(int(TBIB_UC) | int(TBIB_OP_WRITE_ONLY));
    BOOST_TEST(ask(r).empty());
    BOOST_TEST(b.core.resp.epsn == attr.rq_psn);
}

BOOST_DATA_TEST_CASE(states_that_do_not_receive,
                     data::make({TBIB_QPS_RESET, TBIB_QPS_INIT, TBIB_QPS_ERR}), state)
{
    tbib_qp_modify(&b.core, TBIB_QPS_RESET, &attr);
    tbib_qp_modify(&b.core, static_cast<tbib_qp_state>(state), &attr);
    auto r = req(TBIB_OP_WRITE_ONLY);
    BOOST_TEST(ask(r).empty());
}

BOOST_AUTO_TEST_CASE(ready_to_receive_answers_and_tells_that_it_is_connected)
{
    tbib_qp_modify(&b.core, TBIB_QPS_RESET, &attr);
    tbib_qp_modify(&b.core, TBIB_QPS_INIT, &attr);
    tbib_qp_modify(&b.core, TBIB_QPS_RTR, &attr);
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY)).size() == 1u);
    BOOST_TEST(ask(req(TBIB_OP_WRITE_ONLY)).size() == 1u);
    BOOST_TEST(has_event(b, TBIB_EV_COMM_EST));
}

/// Who sends much does not make its peer look at timers and queues for each packet.
BOOST_AUTO_TEST_CASE(nothing_follows_from_the_middle_of_a_message)
{
    for (const bool write : {true, false}) {
        const u32 len = 4 * attr.mtu;
        if (!write) recv(b, 0, len);
        a.post(write ? rdma(TBIB_WR_WRITE, 0, len, 0) : send(0, len));
        std::vector<bool> follows;
        for (const auto& p : a.take(now))
            follows.push_back(b.deliver(p, now));
        BOOST_TEST(follows == (std::vector<bool>{false, false, false, true}),
                   boost::test_tools::per_element());
        pump();
    }
    // one that repairs a gap takes the NAK back that has not gone yet
    a.post(rdma(TBIB_WR_WRITE, 0, 4 * attr.mtu, 0));
    const auto lost = a.take(now);
    BOOST_REQUIRE(lost.size() == 4u);
    BOOST_TEST(b.deliver(lost[2], now));
    BOOST_TEST(b.deliver(lost[0], now));
    BOOST_TEST(!b.deliver(lost[1], now));
}

/// One round of ping-pong: a sends, b answers `think` ns later. Gives what b sent by itself
/// before its answer, and with its answer.
static std::pair<std::vector<int>, std::vector<int>> ping_pong(RcFixture& f, u64 think)
{
    f.recv(f.b, 0, 64);
    f.recv(f.a, 0, 64);
    f.a.post(f.send(0, 64));
    for (const auto& p : f.a.take(f.now))
        f.b.deliver(p, f.now);
    f.now += think;
    tbib_qp_timer(&f.b.core, f.now);
    const auto alone = f.b.take(f.now);
    auto s = f.send(0, 64);
    s.sges = {f.sge_b(0, 64)};
    f.b.post(s);
    const auto answer = f.b.take(f.now);
    f.now += 20000;
    for (const auto& packets : {alone, answer})
        for (const auto& p : packets)
            f.a.deliver(p, f.now);
    f.pump();
    return {RcFixture::ops(alone), RcFixture::ops(answer)};
}

/// Turns are taken; then b gets a message whose ACK waits for an answer.
static void leave_ack_waiting(RcFixture& f)
{
    for (int i = 0; i < 3; i++)
        ping_pong(f, 1000);
    BOOST_TEST(!tbib_qp_answer(&f.b.core));
    f.recv(f.b, 0, 64);
    f.a.post(f.send(0, 64));
    for (const auto& p : f.a.take(f.now))
        f.b.deliver(p, f.now);
    BOOST_TEST(f.b.core.resp.ack_at != 0U);
    BOOST_TEST(f.b.take(f.now).empty());
}

BOOST_AUTO_TEST_CASE(ack_rides_with_the_answer_when_messages_take_turns)
{
    const std::vector<int> ack{TBIB_OP_ACK}, answer{TBIB_OP_SEND_ONLY},
        both{TBIB_OP_ACK, TBIB_OP_SEND_ONLY}, none;
    const u64 soon = 1000, late = 2 * TBIB_ACK_WAIT_MAX;

    // nothing is known yet: at once
    BOOST_TEST((ping_pong(*this, soon) == std::pair(ack, answer)));
    ping_pong(*this, soon);
    BOOST_TEST(b.core.comp.srtt != 0U);
    const u64 deferred = b.core.stats.acks_deferred;
    BOOST_TEST((ping_pong(*this, soon) == std::pair(none, both)));
    BOOST_TEST((ping_pong(*this, soon) == std::pair(none, both)));
    // it waits once in vain, and then not again until answers come soon
    BOOST_TEST((ping_pong(*this, late) == std::pair(ack, answer)));
    BOOST_TEST(!b.core.resp.pingpong);
    BOOST_TEST(b.core.stats.acks_deferred == deferred + 3);
    BOOST_TEST((ping_pong(*this, late) == std::pair(ack, answer)));
    BOOST_TEST(b.core.stats.acks_deferred == deferred + 3);
    BOOST_TEST((ping_pong(*this, soon) == std::pair(ack, answer)));
    BOOST_TEST((ping_pong(*this, soon) == std::pair(none, both)));
    while (next_timer()) {}
    check_idle();
}

/* A program that sleeps wakes within about a round trip: that is soon enough. */
BOOST_AUTO_TEST_CASE(ack_waits_for_who_thinks_longer_than_a_round_trip)
{
    const std::vector<int> answer{TBIB_OP_ACK, TBIB_OP_SEND_ONLY}, none;

    for (int i = 0; i < 8; i++)
        ping_pong(*this, 1000);
    const u64 think = b.core.comp.srtt + b.core.comp.srtt / 2;
    BOOST_TEST(think < TBIB_ACK_WAIT_MAX);
    ping_pong(*this, think);
    BOOST_TEST((ping_pong(*this, think) == std::pair(none, answer)));
    while (next_timer()) {}
    check_idle();
}

BOOST_AUTO_TEST_CASE(second_message_ends_the_wait_for_an_answer)
{
    for (int i = 0; i < 3; i++)
        ping_pong(*this, 1000);
    BOOST_TEST(b.core.resp.pingpong);
    recv(b, 0, 64);
    recv(b, 0, 64);
    a.post(send(0, 64));
    a.post(send(0, 64));
    for (const auto& p : a.take(now))
        b.deliver(p, now);
    BOOST_TEST(ops(b.take(now)) == std::vector<int>{TBIB_OP_ACK}, boost::test_tools::per_element());
    BOOST_TEST(!b.core.resp.pingpong);
    pump();
    while (next_timer()) {}
    check_idle();
}

BOOST_AUTO_TEST_CASE(ack_that_waits_goes_when_its_time_is_up)
{
    leave_ack_waiting(*this);
    const u64 due = tbib_qp_deadline(&b.core);
    BOOST_TEST(due > now);
    BOOST_TEST(due <= now + TBIB_ACK_WAIT_MAX);
    now = due;
    tbib_qp_timer(&b.core, now);
    BOOST_TEST(ops(b.take(now)) == std::vector<int>{TBIB_OP_ACK}, boost::test_tools::per_element());
    BOOST_TEST(!b.core.resp.ack_at);
}

/// A program may take the last message and go: its sender hears that it came.
BOOST_AUTO_TEST_CASE(ack_that_waits_goes_before_its_queue_pair)
{
    leave_ack_waiting(*this);
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
    BOOST_TEST(tbib_qp_answer(&b.core));
    BOOST_TEST(tbib_qp_wants_tx(&b.core));
    BOOST_TEST(ops(b.take(now)) == std::vector<int>{TBIB_OP_ACK}, boost::test_tools::per_element());
    BOOST_TEST(!tbib_qp_answer(&b.core));
}

BOOST_AUTO_TEST_CASE(ack_that_waits_goes_from_a_queue_pair_in_error_too)
{
    leave_ack_waiting(*this);
    tbib_qp_modify(&b.core, TBIB_QPS_ERR, &attr);
    BOOST_TEST(ops(b.take(now)) == std::vector<int>{TBIB_OP_ACK}, boost::test_tools::per_element());
    BOOST_TEST(!tbib_qp_deadline(&b.core));
}

BOOST_AUTO_TEST_SUITE_END()
