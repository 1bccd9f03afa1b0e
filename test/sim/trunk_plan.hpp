// SPDX-License-Identifier: Apache-2.0
// The scenario of a seed: topology, rates, faults, traffic.
#pragma once

#include "rng.hpp"

#include <cstdint>
#include <vector>

namespace tbib::sim {

struct RingPlan {
    unsigned link;   ///< cable it belongs to
    unsigned index;  ///< number within the cable
    std::uint8_t lanes;
};

struct LinkPlan {
    std::uint64_t frame_ns;    ///< time of one frame on the wire
    std::uint64_t latency_ns;
    std::uint32_t weight;
};

/// Probabilities are per frame, times in ns.
struct TrunkPlan {
    std::vector<LinkPlan> links;
    std::vector<RingPlan> rings;
    std::uint32_t tx_depth, rx_buffers;

    double loss = 0, burst = 0, bad = 0, corrupt = 0, control_loss = 0;
    std::uint64_t burst_max = 1;

    std::uint64_t poll_delay, poll_budget;
    double pause = 0;          ///< per poll: the reader goes away for a while
    std::uint64_t pause_ns = 0;
    double reap_late = 0;      ///< TX completions are looked at later
    double hold = 0;           ///< per train: the host keeps it for a while
    std::uint64_t hold_ns = 0;

    std::uint64_t flap_every = 0, reset_every = 0, outage_ns = 0;
    double stale = 0;          ///< frames in flight survive an outage

    std::uint64_t trains;      ///< per lane and direction
    std::uint64_t fault_ns;    ///< all faults stop then
    std::uint64_t think_ns;    ///< pause of the sources between trains, mean
    double think = 0;
    std::uint64_t packets_max;
    int raw_profile;           ///< 0 none, 1 one short, 2 short, 3 long, 4 mixed
    double note = 0;
};

TrunkPlan make_trunk_plan(std::uint64_t seed);

} // namespace tbib::sim
