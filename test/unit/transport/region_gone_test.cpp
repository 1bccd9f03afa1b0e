// SPDX-License-Identifier: Apache-2.0
// A region that goes away while a message is in progress (deregistered, invalidated, its process
// killed): always an error, never other bytes with success.
#include "fixture.hpp"

#include <boost/test/data/test_case.hpp>

using namespace tbib::sim;
namespace data = boost::unit_test::data;

namespace {

struct GoneFixture : RcFixture {
    void reconnect(u32 mtu)
    {
        attr.mtu = mtu;
        for (Qp* q : {&a, &b})
            tbib_qp_modify(&q->core, TBIB_QPS_RESET, &attr);
        connect(a, b, attr);
    }

    std::vector<int> statuses() const
    {
        std::vector<int> v;
        for (const auto& c : a.send_cqes)
            v.push_back(c.status);
        return v;
    }

    void check_error(const Qp& q)
    {
        BOOST_TEST(int(q.core.state) == int(TBIB_QPS_ERR));
        check_idle();
        BOOST_TEST(b.recv_refs == 0);
    }
};

const auto kMtus = data::make({256u, 4096u}); // copied, and out of line

} // namespace

BOOST_FIXTURE_TEST_SUITE(region_gone, GoneFixture)

BOOST_DATA_TEST_CASE(rest_of_a_message_is_not_sent, kMtus, mtu)
{
    reconnect(mtu);
    a.post(rdma(TBIB_WR_WRITE, 0, 700 * mtu, 0));
    const auto begun = a.take(now); // as much as the window takes
    BOOST_TEST(begun.size() == u32{TBIB_PSN_WINDOW});
    na.invalidate(ka);
    for (const auto& p : begun)
        b.deliver(p, now);
    for (const auto& p : b.take(now))
        a.deliver(p, now);
    BOOST_TEST(a.take(now).empty());
    BOOST_TEST(statuses() == std::vector<int>{TBIB_LOC_PROT_ERR});
    BOOST_TEST(same(0, 0, TBIB_PSN_WINDOW * mtu));
    BOOST_TEST(int(a.core.state) == int(TBIB_QPS_ERR));
    BOOST_TEST(na.refs() == 0);
    BOOST_TEST(a.wqe_refs == 0); // b waits for the rest
}

BOOST_DATA_TEST_CASE(nothing_is_sent_again_and_those_before_complete, kMtus, mtu)
{
    reconnect(mtu);
    const u32 other = na.reg(0, kMem, kAllAccess);
    Send first = rdma(TBIB_WR_WRITE, 0, 3 * mtu, 0);
    first.sges[0].lkey = other;
    a.post(first);
    a.post(rdma(TBIB_WR_WRITE, 0, 5 * mtu, 0));
    a.post(rdma(TBIB_WR_WRITE, 0, 5 * mtu, 0));
    BOOST_TEST(a.take(now).size() == 13u); // all lost
    na.invalidate(ka);
    while (a.send_cqes.empty() && next_timer([&](const Packet& p, bool from_a) {
               return from_a && tbib_psn_diff(p.bth().psn, attr.sq_psn) >= 3;
           })) {}
    BOOST_TEST(b.core.resp.epsn == tbib_psn_add(attr.sq_psn, 3));
    BOOST_TEST(statuses() == (std::vector<int>{TBIB_OK, TBIB_LOC_PROT_ERR, TBIB_FLUSH_ERR}));
    check_error(a);
}

BOOST_AUTO_TEST_CASE(probe_of_what_is_gone)
{
    const u32 other = na.reg(0, kMem, kAllAccess);
    Send kept = rdma(TBIB_WR_WRITE, 0, 100, 0);
    kept.sges[0].lkey = other;
    a.post(kept);
    a.post(rdma(TBIB_WR_WRITE, 0, 100, 0));
    const auto sent = a.take(now); // delivered late
    na.invalidate(ka);
    a.post(kept);
    now = std::max(now, tbib_qp_deadline(&a.core));
    tbib_qp_timer(&a.core, now);
    BOOST_TEST(a.core.req.probe);
    BOOST_TEST(a.take(now).empty()); // not the third one with the second's PSN
    b.deliver(sent[0], now);
    auto r = sent[0].bth();
    b.deliver(make_packet(r, std::vector<u8>(100, 1)), now); // a repetition is acked
    for (const auto& p : b.take(now))
        a.deliver(p, now);
    while (a.send_cqes.empty() && next_timer()) {}
    BOOST_TEST(statuses() == (std::vector<int>{TBIB_OK, TBIB_LOC_PROT_ERR, TBIB_FLUSH_ERR}));
    check_error(a);
}

BOOST_DATA_TEST_CASE(read_is_refused_in_the_place_of_its_answer, kMtus, mtu)
{
    reconnect(mtu);
    a.post(rdma(TBIB_WR_READ, 0, 3 * mtu, 0)); // is answered
    a.post(rdma(TBIB_WR_READ, 64 * mtu, 3 * mtu, 0));
    a.post(rdma(TBIB_WR_READ, 128 * mtu, 3 * mtu, 0));
    auto requests = a.take(now);
    b.deliver(requests[0], now);
    for (const auto& p : b.take(now))
        a.deliver(p, now);
    b.deliver(requests[1], now);
    b.deliver(requests[2], now);
    nb.invalidate(kb);
    const auto answer = b.take(now);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].bth().syndrome) == int(TBIB_NAK_REM_ACC));
    BOOST_TEST(answer[0].bth().psn == requests[1].bth().psn);
    a.deliver(answer[0], now);
    BOOST_TEST(statuses() ==
               (std::vector<int>{TBIB_OK, TBIB_REM_ACCESS_ERR, TBIB_FLUSH_ERR}));
    BOOST_TEST(has_event(b, TBIB_EV_ACCESS_ERR));
    check_error(a);
    check_error(b);
}

BOOST_AUTO_TEST_CASE(read_is_refused_in_the_middle)
{
    reconnect(4096);
    a.post(rdma(TBIB_WR_READ, 0, 200 * 4096, 0));
    const auto request = a.take(now);
    b.deliver(request[0], now);
    TxTrain train; // the first answers are on their way
    BOOST_TEST(tbib_qp_fill(&b.core, &train.t, nullptr, now) == TBIB_FILL_MORE);
    const u32 n = train.t.n_pkt;
    train.release();
    nb.invalidate(kb);
    const auto answer = b.take(now);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].bth().syndrome) == int(TBIB_NAK_REM_ACC));
    BOOST_TEST(answer[0].bth().psn == tbib_psn_add(request[0].bth().psn, n));
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_ERR));
    BOOST_TEST(nb.refs() == 0);
}

// The peer may have had its answer and dropped the key for that.
BOOST_DATA_TEST_CASE(repeated_read_is_not_refused, kMtus, mtu)
{
    reconnect(mtu);
    a.post(rdma(TBIB_WR_READ, 0, 3 * mtu, 0));
    const auto request = a.take(now);
    b.deliver(request[0], now);
    const auto answer = b.take(now);
    BOOST_TEST(answer.size() == 3u);
    b.deliver(request[0], now);
    nb.invalidate(kb);
    BOOST_TEST(b.take(now).empty());
    BOOST_TEST(!tbib_qp_wants_tx(&b.core));
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_RTS));
    BOOST_TEST(nb.refs() == 0);
}

BOOST_DATA_TEST_CASE(write_is_refused, kMtus, mtu)
{
    reconnect(mtu);
    const u32 write = nb.reg(0, kMem, kAllAccess);
    const std::vector<u8> before = nb.memory;
    Send s = rdma(TBIB_WR_WRITE, 0, 8 * mtu, 0);
    s.rkey = write;
    a.post(s);
    u32 seen = 0;
    pump([&](const Packet&, bool from_a) {
        if (from_a && ++seen == 4) nb.invalidate(write);
        return false;
    });
    BOOST_TEST(statuses() == std::vector<int>{TBIB_REM_ACCESS_ERR});
    BOOST_TEST(same(0, 0, 3 * mtu));
    BOOST_TEST(!memcmp(&nb.memory[3 * mtu], &before[3 * mtu], 5 * mtu));
    BOOST_TEST(has_event(b, TBIB_EV_ACCESS_ERR));
    check_error(a);
    check_error(b);
}

BOOST_AUTO_TEST_CASE(receive_is_told_on_both_sides)
{
    recv(b, 0, 8192);
    a.post(send(0, 8192));
    u32 seen = 0;
    pump([&](const Packet&, bool from_a) {
        if (from_a && ++seen == 4) nb.invalidate(kb);
        return false;
    });
    BOOST_TEST(statuses() == std::vector<int>{TBIB_REM_OP_ERR});
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(int(b.recv_cqes[0].status) == int(TBIB_LOC_PROT_ERR));
    check_error(a);
    check_error(b);
}

BOOST_DATA_TEST_CASE(answers_have_nowhere_to_go, data::make({TBIB_WR_READ, TBIB_WR_FETCH_ADD}), op)
{
    a.post(rdma(static_cast<u8>(op), 0, 8, 0));
    for (const auto& p : a.take(now))
        b.deliver(p, now);
    na.invalidate(ka);
    pump();
    BOOST_TEST(statuses() == std::vector<int>{TBIB_LOC_PROT_ERR});
    check_error(a);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_CASE(uc_receive_whose_region_is_gone, UcFixture)
{
    recv(b, 0, 8192);
    a.post(send(0, 8192));
    u32 seen = 0;
    pump([&](const Packet&, bool) {
        if (++seen == 4) nb.invalidate(kb);
        return false;
    });
    BOOST_REQUIRE(b.recv_cqes.size() == 1u);
    BOOST_TEST(int(b.recv_cqes[0].status) == int(TBIB_LOC_PROT_ERR));
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_ERR));
    BOOST_TEST(b.recv_refs == 0);
}

BOOST_FIXTURE_TEST_CASE(uc_write_whose_region_is_gone, UcFixture)
{
    recv(b, 0, 0);
    a.post(rdma(TBIB_WR_WRITE_IMM, 0, 8192, 0));
    u32 seen = 0;
    pump([&](const Packet&, bool) {
        if (++seen == 4) nb.invalidate(kb);
        return false;
    });
    BOOST_TEST(b.recv_cqes.empty()); // dropped in silence
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_RTS));
}

BOOST_FIXTURE_TEST_CASE(ud_send_whose_region_is_gone, UdFixture)
{
    Send s = send(0, 100);
    s.ah = this;
    s.qpn = 0x20;
    a.post(s);
    BOOST_TEST(tbib_qp_next_ah(&a.core) == this); // prepared
    na.invalidate(ka);
    BOOST_TEST(a.take(now, this).empty());
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(int(a.send_cqes[0].status) == int(TBIB_LOC_PROT_ERR));
    BOOST_TEST(int(a.core.state) == int(TBIB_QPS_SQE));
    BOOST_TEST(na.refs() == 0);
}
