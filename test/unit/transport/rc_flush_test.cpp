// SPDX-License-Identifier: Apache-2.0
// ATOMIC WRITE and FLUSH (IBTA annex A19).
#include "responder_fixture.hpp"

#include <boost/test/data/test_case.hpp>

using namespace tbib::sim;
namespace data = boost::unit_test::data;

BOOST_FIXTURE_TEST_SUITE(rc_flush, ResponderFixture)

BOOST_AUTO_TEST_CASE(atomic_write_is_a_write_of_eight_bytes)
{
    Send s = rdma(TBIB_WR_ATOMIC_WRITE, 64, 8, 4096);
    const auto after = nb.memory[4096 + 8];
    a.post(s);
    pump();
    BOOST_REQUIRE(a.send_cqes.size() == 1u);
    BOOST_TEST(int(a.send_cqes[0].status) == int(TBIB_OK));
    BOOST_TEST(int(a.send_cqes[0].op) == int(TBIB_WR_ATOMIC_WRITE));
    BOOST_TEST(same(64, 4096, 8));
    BOOST_TEST(nb.memory[4096 + 8] == after);
    check_idle();
}

BOOST_AUTO_TEST_CASE(repeated_atomic_write_is_acked_and_not_executed)
{
    auto r = req(TBIB_OP_ATOMIC_WRITE);
    r.dma_len = 8;
    BOOST_TEST(ask(r, 8).size() == 1u);
    BOOST_TEST(nb.memory[4096] == 0xcc);
    nb.memory[4096] = 1;
    auto answer = ask(r, 8);
    BOOST_REQUIRE(answer.size() == 1u);
    BOOST_TEST(int(answer[0].syndrome) == int(TBIB_AETH_ACK_UNLIM));
    BOOST_TEST(nb.memory[4096] == 1);
    check_idle();
}

BOOST_DATA_TEST_CASE(atomic_write_of_another_size, data::make({0u, 4u, 16u}), size)
{
    auto r = req(TBIB_OP_ATOMIC_WRITE);
    r.dma_len = size;
    check_refused(r, size, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_AUTO_TEST_CASE(unaligned_atomic_write)
{
    auto r = req(TBIB_OP_ATOMIC_WRITE);
    r.va += 4;
    r.dma_len = 8;
    check_refused(r, 8, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_AUTO_TEST_CASE(atomic_write_needs_the_right_to_write)
{
    auto r = req(TBIB_OP_ATOMIC_WRITE);
    r.rkey = nb.reg(0, kMem, TBIB_ACC_LOCAL_WRITE | TBIB_ACC_REMOTE_READ | TBIB_ACC_REMOTE_ATOMIC);
    r.dma_len = 8;
    check_refused(r, 8, TBIB_NAK_REM_ACC, TBIB_EV_ACCESS_ERR);
}

struct FlushFixture : ResponderFixture {
    FlushFixture()
    {
        attr.access |= TBIB_ACC_FLUSH_GLOBAL | TBIB_ACC_FLUSH_PERSISTENT;
        connect(a, b, attr);
    }

    tbib_bth flush(u32 feth, u32 key, u32 len = 8)
    {
        auto r = req(TBIB_OP_FLUSH);
        r.feth = feth;
        r.rkey = key;
        r.dma_len = len;
        return r;
    }

    u32 key = nb.reg(0, 8192, kAllAccess | TBIB_ACC_FLUSH_GLOBAL);
};

BOOST_FIXTURE_TEST_CASE(flush_is_answered_in_its_turn, FlushFixture)
{
    Send w = rdma(TBIB_WR_WRITE, 0, 3000, 4096);
    Send f = rdma(TBIB_WR_FLUSH, 0, 0, 4096);
    f.rkey = key;
    f.imm = TBIB_FETH_GLOBAL | TBIB_FETH_REGION;
    BOOST_TEST(a.post(w));
    BOOST_TEST(a.post(f));
    pump();
    BOOST_REQUIRE(a.send_cqes.size() == 2u);
    BOOST_TEST(int(a.send_cqes[1].status) == int(TBIB_OK));
    BOOST_TEST(int(a.send_cqes[1].op) == int(TBIB_WR_FLUSH));
    BOOST_TEST(b.core.resp.msn == 2u);
    check_idle();
}

BOOST_FIXTURE_TEST_CASE(flush_of_a_range_stays_in_the_region, FlushFixture)
{
    BOOST_TEST(ask(flush(TBIB_FETH_GLOBAL, key, 4096)).size() == 1u);
    BOOST_TEST(int(b.core.state) == int(TBIB_QPS_RTS));
    check_refused(flush(TBIB_FETH_GLOBAL, key, 4097), 0, TBIB_NAK_REM_ACC, TBIB_EV_ACCESS_ERR);
}

BOOST_FIXTURE_TEST_CASE(flush_needs_the_right_to_it, FlushFixture)
{
    check_refused(flush(TBIB_FETH_PERSISTENT, key), 0, TBIB_NAK_REM_ACC, TBIB_EV_ACCESS_ERR);
}

BOOST_AUTO_TEST_CASE(flush_that_the_qp_does_not_allow)
{
    auto r = req(TBIB_OP_FLUSH);
    r.feth = TBIB_FETH_GLOBAL;
    check_refused(r, 0, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_DATA_TEST_CASE_F(FlushFixture, malformed_flush,
                       data::make({0u, 0x10u, 0x21u, 0x05u, 0x80000001u}), feth)
{
    check_refused(flush(feth, key), 0, TBIB_NAK_INV_REQ, TBIB_EV_REQ_ERR);
}

BOOST_AUTO_TEST_SUITE_END()
