// SPDX-License-Identifier: Apache-2.0
// A seeded simulator of the transport: two nodes with some QPs each, a fabric that
// loses, repeats, delays and reorders whole trains, virtual time.
#pragma once

#include "rc_plan.hpp"

namespace tbib::sim {

struct RcSimStats {
    u64 messages = 0, bytes = 0, failed = 0, dropped = 0;
    u64 trains = 0, lost = 0, repeated = 0, reordered = 0, resets = 0, stalls = 0;
    u64 packets = 0, retries = 0, timeouts = 0, probes = 0, rnr_naks = 0, naks = 0;
    u64 duplicates = 0, reconnects = 0, events = 0, virtual_ns = 0;

    RcSimStats& operator+=(const RcSimStats& o);
};

/// Runs one seed: `messages` per QP. Throws std::runtime_error when a promise of the
/// transport is broken: every message executed exactly once and in order, byte by
/// byte; everything completes; no reference is left; silence afterwards.
RcSimStats run_rc_sim(u64 seed, u64 messages = 200);

} // namespace tbib::sim
