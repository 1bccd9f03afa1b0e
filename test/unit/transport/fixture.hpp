// SPDX-License-Identifier: Apache-2.0
// Two nodes with a QP each, and packets between them one by one.
#pragma once

#include "qp_host.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>
#include <numeric>
#include <string>

namespace tbib::sim {

constexpr u64 kMs = 1000000;
constexpr u32 kMem = 4u << 20;
constexpr u32 kAllAccess = TBIB_ACC_LOCAL_WRITE | TBIB_ACC_REMOTE_WRITE | TBIB_ACC_REMOTE_READ |
                           TBIB_ACC_REMOTE_ATOMIC;

template <tbib_service S> struct PairFixture {
    PairFixture()
    {
        connect(a, b, attr);
        for (u32 i = 0; i < kMem; i++) {
            na.memory[i] = static_cast<u8>(i * 7 + i / 251);
            nb.memory[i] = static_cast<u8>(i * 13 + i / 241);
        }
    }

    static u64 va(u32 off) { return Host::kBase + off; }
    tbib_sge sge_a(u32 off, u32 len) { return {va(off), len, ka, nullptr}; }
    tbib_sge sge_b(u32 off, u32 len) { return {va(off), len, kb, nullptr}; }

    Send send(u32 off, u32 len)
    {
        Send s;
        s.wr_id = ++wr;
        s.sges = {sge_a(off, len)};
        return s;
    }

    /// WRITE from a's `off` or READ to it, at b's `remote`
    Send rdma(u8 op, u32 off, u32 len, u32 remote)
    {
        Send s = send(off, len);
        s.op = op;
        s.remote_addr = va(remote);
        s.rkey = kb;
        return s;
    }

    void recv(Qp& q, u32 off, u32 len)
    {
        Recv r;
        r.wr_id = 1000 + ++wr;
        r.sges = {{va(off), len, &q == &a ? ka : kb, nullptr}};
        q.post_recv(r);
    }

    bool same(u32 off_a, u32 off_b, u32 len) const
    {
        return !memcmp(&na.memory[off_a], &nb.memory[off_b], len);
    }

    /// Sends until both are quiet. Packets for which `drop(packet, from_a)` is true are lost.
    void pump(const std::function<bool(const Packet&, bool)>& drop = {})
    {
        for (int i = 0; i < 10000; i++) {
            auto from_a = a.take(now);
            auto from_b = b.take(now);
            if (from_a.empty() && from_b.empty()) return;
            for (const auto& p : from_a)
                if (!drop || !drop(p, true)) b.deliver(p, now);
            for (const auto& p : from_b)
                if (!drop || !drop(p, false)) a.deliver(p, now);
            now += 10000;
        }
        BOOST_FAIL("never quiet");
    }

    /// Lets the next timer of either QP fire, then sends.
    bool next_timer(const std::function<bool(const Packet&, bool)>& drop = {})
    {
        u64 da = tbib_qp_deadline(&a.core), db = tbib_qp_deadline(&b.core);
        u64 d = !da ? db : !db ? da : std::min(da, db);
        if (!d) return false;
        now = std::max(now, d);
        tbib_qp_timer(&a.core, now);
        tbib_qp_timer(&b.core, now);
        pump(drop);
        return true;
    }

    static std::vector<int> ops(const std::vector<Packet>& ps)
    {
        std::vector<int> v;
        for (const auto& p : ps)
            v.push_back(p.op());
        return v;
    }

    /// Nothing is referenced any more.
    void check_idle()
    {
        BOOST_TEST(na.refs() == 0);
        BOOST_TEST(nb.refs() == 0);
        BOOST_TEST(a.wqe_refs == 0);
        BOOST_TEST(b.wqe_refs == 0);
    }

    u64 now = 100 * kMs;
    u64 wr = 0;
    tbib_qp_attr attr = default_attr();
    Host na{kMem}, nb{kMem};
    u32 ka = na.reg(0, kMem, kAllAccess), kb = nb.reg(0, kMem, kAllAccess);
    Qp a{na, 0x10, S}, b{nb, 0x20, S};
};

using RcFixture = PairFixture<TBIB_RC>;
using UcFixture = PairFixture<TBIB_UC>;
using UdFixture = PairFixture<TBIB_UD>;

inline bool has_event(const Qp& q, tbib_qp_event ev)
{
    return std::count(q.events.begin(), q.events.end(), ev) == 1;
}

} // namespace tbib::sim
