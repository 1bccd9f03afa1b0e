// SPDX-License-Identifier: Apache-2.0
// Requests made by hand for an RC responder, and its answers.
#pragma once

#include "fixture.hpp"

namespace tbib::sim {

struct ResponderFixture : RcFixture {
    /// A request for b, in sequence unless the test says otherwise.
    tbib_bth req(int op, u32 ahead = 0)
    {
        tbib_bth r{};
        r.opcode = static_cast<u8>(op);
        r.pkey = 0xffff;
        r.dqpn = 0x20;
        r.ack_req = true;
        r.psn = tbib_psn_add(b.core.resp.epsn, ahead);
        r.rkey = kb;
        r.va = va(4096);
        return r;
    }

    /// Delivers to b, and gives b's answer: {opcode, syndrome, psn} of each packet.
    std::vector<tbib_bth> ask(const tbib_bth& r, u32 payload = 0)
    {
        b.deliver(make_packet(r, std::vector<u8>(payload, 0xcc)), now);
        std::vector<tbib_bth> v;
        for (const auto& p : b.take(now))
            v.push_back(p.bth());
        return v;
    }

    void check_refused(const tbib_bth& r, u32 payload, u8 nak, tbib_qp_event ev)
    {
        u32 epsn = b.core.resp.epsn;
        auto answer = ask(r, payload);
        BOOST_REQUIRE(answer.size() == 1u);
        BOOST_TEST(int(answer[0].syndrome) == int(nak));
        BOOST_TEST(answer[0].psn == epsn);
        BOOST_TEST(int(b.core.state) == int(TBIB_QPS_ERR));
        BOOST_TEST(has_event(b, ev));
        BOOST_TEST(has_event(b, TBIB_EV_LAST_WQE));
        BOOST_TEST(!tbib_qp_wants_tx(&b.core));
        check_idle();
        BOOST_TEST(b.recv_refs == 0);
    }
};

} // namespace tbib::sim
