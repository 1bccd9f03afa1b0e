// SPDX-License-Identifier: Apache-2.0
// A seeded simulator of the transport: two hosts with some QPs each, a fabric that
// loses, repeats, delays and reorders whole trains, virtual time.
#pragma once

#include "qp_world.hpp"

namespace tbib::sim {

/// Runs one seed: `messages` per QP. Throws std::runtime_error when a promise of the
/// transport is broken: every message executed exactly once and in order, byte by
/// byte; everything completes; no reference is left; silence afterwards.
RcSimStats run_rc_sim(u64 seed, u64 messages = 200);

} // namespace tbib::sim
