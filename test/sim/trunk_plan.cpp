// SPDX-License-Identifier: Apache-2.0
#include "trunk_plan.hpp"

#include "trunk_sim.hpp"

#include <sstream>

extern "C" {
#include "trunk.h"
}

namespace tbib::sim {

namespace {

constexpr std::uint64_t us = 1000, ms = 1000 * us;

double pick(Rng &rng, std::initializer_list<double> values)
{
    return values.begin()[rng.below(values.size())];
}

void plan_topology(Rng &rng, TrunkPlan &p)
{
    unsigned links = static_cast<unsigned>(rng.range(1, 3));
    for (unsigned l = 0; l < links; l++) {
        std::uint64_t frame = rng.range(200, 5000);
        p.links.push_back({frame, rng.range(1, 400) * us / 4,
                           static_cast<std::uint32_t>(4096 * 8 * 10 / frame)});
        unsigned rings = static_cast<unsigned>(rng.range(1, 2));
        for (unsigned i = 0; i < rings; i++) {
            std::uint8_t lanes = rings == 1 ? 3 : i == 0 ? 1 : 2;
            if (rng.chance(0.2))
                lanes = 3;
            p.rings.push_back({l, i, lanes});
        }
    }
    p.tx_depth = static_cast<std::uint32_t>(rng.range(33, 200));
    p.rx_buffers = static_cast<std::uint32_t>(rng.range(TBIB_RING_BUFFERS_MIN, 300));
}

void plan_faults(Rng &rng, TrunkPlan &p)
{
    p.loss = pick(rng, {0, 0, 1e-4, 1e-3, 1e-2, 0.1});
    p.burst = pick(rng, {0, 0, 1e-4, 1e-3, 5e-3});
    p.burst_max = rng.range(2, 80);
    p.bad = pick(rng, {0, 0, 1e-3, 1e-2});
    p.corrupt = pick(rng, {0, 0, 1e-3, 1e-2});
    p.control_loss = pick(rng, {0, 0, 0.01, 0.3, 0.7});
    p.pause = pick(rng, {0, 0, 1e-3, 1e-2});
    p.pause_ns = rng.range(1, 8) * ms;
    p.reap_late = pick(rng, {0, 0, 0.3});
    p.hold = pick(rng, {0, 0, 0.05, 0.5});
    p.hold_ns = rng.range(1, 2000) * us;
    if (rng.chance(0.35))
        p.flap_every = rng.range(2, 40) * ms;
    if (rng.chance(0.15))
        p.reset_every = rng.range(5, 60) * ms;
    p.outage_ns = rng.range(100, 20000) * us;
    p.stale = pick(rng, {0, 0.5});
    p.fault_ns = rng.range(10, 300) * ms;
}

} // namespace

TrunkPlan make_trunk_plan(std::uint64_t seed)
{
    Rng rng(seed * 0x2545f4914f6cdd1d + 1);
    TrunkPlan p{};
    plan_topology(rng, p);
    plan_faults(rng, p);
    p.poll_delay = rng.range(0, 200) * us;
    p.poll_budget = rng.range(1, 64);
    p.trains = rng.range(50, 1500);
    p.think_ns = rng.range(1, 500) * us;
    p.think = pick(rng, {0, 0, 0.02, 0.2, 1});
    p.packets_max = rng.range(1, 6);
    p.raw_profile = static_cast<int>(rng.below(5));
    p.note = pick(rng, {0, 0.1, 1});
    return p;
}

std::string describe_trunk_sim(std::uint64_t seed)
{
    TrunkPlan p = make_trunk_plan(seed);
    std::ostringstream s;
    s << "seed " << seed << ": " << p.links.size() << " links, " << p.rings.size() << " rings, "
      << p.trains << " trains a lane, tx " << p.tx_depth << ", rx " << p.rx_buffers << ", loss "
      << p.loss << ", burst " << p.burst << " x " << p.burst_max << ", bad " << p.bad
      << ", corrupt " << p.corrupt << ", control loss " << p.control_loss << ", pause " << p.pause
      << ", hold " << p.hold << ", flap " << p.flap_every / ms << " ms, reset "
      << p.reset_every / ms << " ms, raw profile " << p.raw_profile;
    return s.str();
}

} // namespace tbib::sim
