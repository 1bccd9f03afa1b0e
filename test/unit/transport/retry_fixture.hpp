// SPDX-License-Identifier: Apache-2.0
// Loss, and what a requester asks again.
#pragma once

#include "fixture.hpp"

namespace tbib::sim {

/// Loses the n-th packet (from 0) that satisfies a condition.
template <typename F> auto lose(int n, F&& which)
{
    return [n, which](const Packet& p, bool from_a) mutable {
        return which(p, from_a) && n-- == 0;
    };
}

inline bool from_requester(const Packet&, bool from_a)
{
    return from_a;
}
inline bool from_responder(const Packet&, bool from_a)
{
    return !from_a;
}

struct RetryFixture : RcFixture {
    void settle(const std::function<bool(const Packet&, bool)>& drop = {})
    {
        for (int i = 0; i < 100 && a.core.req.cons != a.core.req.prod; i++)
            if (!next_timer(drop)) break;
    }

    /// What `from` has to send now comes to `to`.
    void carry(Qp& from, Qp& to)
    {
        for (const auto& p : from.take(now))
            to.deliver(p, now);
    }

    /// The requester asks what became of its last packet, and its question comes.
    void probe()
    {
        now = tbib_qp_deadline(&a.core);
        tbib_qp_timer(&a.core, now);
        carry(a, b);
        BOOST_TEST(a.core.stats.tail_probes == 1u);
    }

    tbib_bth response(int op, u32 psn)
    {
        tbib_bth r{};
        r.opcode = static_cast<u8>(op);
        r.pkey = 0xffff;
        r.dqpn = 0x10;
        r.psn = psn;
        r.syndrome = TBIB_AETH_ACK_UNLIM;
        return r;
    }
};

} // namespace tbib::sim
