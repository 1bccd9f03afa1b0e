// SPDX-License-Identifier: Apache-2.0
// The whole C core in one simulator: QPs of two hosts over a real trunk of cables
// and rings that lose, corrupt, overrun, flap and are reset.
#pragma once

#include "qp_world.hpp"
#include "trunk_sim.hpp"

namespace tbib::sim {

struct StackSimStats {
    RcSimStats qp;
    TrunkSimStats trunk;
};

/// Runs one seed: `messages` per QP. Throws std::runtime_error when a promise of the
/// transport or of the trunk is broken (rc_sim.hpp, trunk_sim.hpp).
StackSimStats run_stack_sim(u64 seed, u64 messages = 100);

} // namespace tbib::sim
