// SPDX-License-Identifier: Apache-2.0
// A seeded simulator of one trunk: two nodes, some cables with some rings each,
// every fault that the design names, virtual time.
#pragma once

#include <cstdint>
#include <string>

namespace tbib::sim {

struct TrunkSimStats {
    std::uint64_t trains = 0, frames = 0, packets = 0, bytes = 0;
    std::uint64_t retries = 0, probes = 0, control = 0;
    std::uint64_t duplicates = 0, torn = 0, gaps = 0, crc = 0, stale = 0, no_slot = 0;
    std::uint64_t lost_frames = 0, overruns = 0, flaps = 0, resets = 0, dropped_trains = 0;
    std::uint64_t virtual_ns = 0;

    TrunkSimStats &operator+=(const TrunkSimStats &o);
};

/// What a test may fix; the seed decides everything else.
struct TrunkSimOptions {
    std::uint64_t trains = 0;   ///< per lane and direction; 0: by seed
    bool faults = true;
    bool trace = false;
};

/// Runs one seed. Throws std::runtime_error when a promise of the trunk is broken:
/// exactly once, in order, byte by byte; nothing leaks; everything arrives once the
/// faults have stopped; silence afterwards.
TrunkSimStats run_trunk_sim(std::uint64_t seed, const TrunkSimOptions &options = {});

/// The scenario that a seed stands for, in one line.
std::string describe_trunk_sim(std::uint64_t seed);

} // namespace tbib::sim
