// SPDX-License-Identifier: Apache-2.0
#include "rc_plan.hpp"

#include <sstream>

namespace tbib::sim {

namespace {

template <typename T, std::size_t N> T pick(Rng& rng, const T (&from)[N])
{
    return from[rng.below(N)];
}

PairPlan make_pair_plan(Rng& rng, u32 budget)
{
    PairPlan p;

    u64 kind = rng.below(10);
    p.service = kind < 8 ? TBIB_RC : kind < 9 ? TBIB_UC : TBIB_UD;
    p.attr = default_attr();
    p.attr.mtu = 256u << rng.below(5);
    p.attr.timeout = static_cast<u8>(rng.range(12, 17));
    p.attr.retry_cnt = 7;
    p.attr.rnr_retry = static_cast<u8>(rng.chance(0.9) ? 7 : 6);
    p.attr.min_rnr_timer = static_cast<u8>(rng.range(1, 14));
    p.attr.max_rd_atomic = static_cast<u8>(rng.range(1, 16));
    p.attr.max_dest_rd_atomic = p.attr.max_rd_atomic;
    static const u32 lens[] = {64, 600, 600, 5000, 5000, 20000, 70000, 300000};
    p.max_len = std::min(pick(rng, lens), budget / 8);
    if (p.service == TBIB_UD) p.max_len = p.attr.mtu;
    p.depth = static_cast<u32>(rng.range(1, std::min(32u, budget / p.max_len / 4)));
    p.recvs = static_cast<u32>(rng.range(1, std::min(32u, budget / p.max_len / 4)));
    static const u64 repost[] = {0, 0, 20000, 500000, 5000000};
    p.repost_ns = pick(rng, repost);
    p.unsignalled = rng.chance(0.5) ? 0 : 0.7;
    p.wrong = rng.chance(0.2) ? 0.002 : 0;
    p.drain = rng.chance(0.2) ? 0.01 : 0;
    return p;
}

} // namespace

RcPlan make_rc_plan(u64 seed)
{
    Rng rng(seed * 0x9e3779b97f4a7c15 + 1);
    RcPlan plan;

    plan.seed = seed;
    u64 n = rng.range(1, 5);
    for (u64 i = 0; i < n; i++)
        plan.pairs.push_back(make_pair_plan(rng, static_cast<u32>(3000000 / n)));
    FabricPlan& f = plan.fabric;
    static const u64 latency[] = {3000, 10000, 50000, 300000, 3000000};
    f.latency_ns = pick(rng, latency);
    f.jitter_ns = rng.chance(0.5) ? 0 : f.latency_ns;
    f.train_ns = rng.range(1000, 30000);
    static const double loss[] = {0, 0, 0.0005, 0.005, 0.03, 0.15};
    f.loss = pick(rng, loss);
    f.duplicate = rng.chance(0.2) ? 0.02 : 0;
    f.reorder = rng.chance(0.2) ? 0.02 : 0;
    f.missing_page = rng.chance(0.2) ? 0.05 : 0;
    f.stall = rng.chance(0.2) ? 0.005 : 0;
    f.stall_ns = rng.range(100000, 400000000);
    f.reset = rng.chance(0.2) ? 0.001 : 0;
    static const u64 tick[] = {0, 1000, 50000, 2000000};
    plan.tick_ns = pick(rng, tick);
    return plan;
}

std::string describe(const RcPlan& plan)
{
    std::ostringstream o;
    const FabricPlan& f = plan.fabric;

    o << "seed " << plan.seed << ": latency " << f.latency_ns << "+" << f.jitter_ns
      << " ns, loss " << f.loss << ", duplicate " << f.duplicate << ", reorder " << f.reorder
      << ", no page " << f.missing_page << ", stall " << f.stall << ", reset " << f.reset
      << ", tick " << plan.tick_ns;
    for (const auto& p : plan.pairs)
        o << "; " << (p.service == TBIB_RC ? "RC" : p.service == TBIB_UC ? "UC" : "UD")
          << " mtu " << p.attr.mtu << " len " << p.max_len << " depth " << p.depth << " recvs "
          << p.recvs << " rd " << int(p.attr.max_rd_atomic) << " timeout "
          << int(p.attr.timeout) << (p.wrong > 0 ? " wrong" : "")
          << (p.drain > 0 ? " drain" : "");
    return o.str();
}

} // namespace tbib::sim
