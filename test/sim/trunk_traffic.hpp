// SPDX-License-Identifier: Apache-2.0
// What the trains of the simulator carry: bytes that follow from their number, so
// that the receiver can check every one without having been told.
#pragma once

#include "rng.hpp"

#include <cstdint>

extern "C" {
#include "train.h"
}

namespace tbib::sim {

class TrunkTraffic {
public:
    TrunkTraffic(std::uint64_t seed, std::uint64_t packets_max, int raw_profile)
        : seed_(seed), packets_max_(packets_max), raw_profile_(raw_profile)
    {
    }

    /// Fills an initialised train.
    void fill(tbib_train &t, unsigned node, unsigned lane, std::uint64_t id) const;
    /// Throws when @t is not train @id.
    void check(const tbib_rx_train &t, unsigned node, unsigned lane, std::uint64_t id) const;

private:
    Rng rng(unsigned node, unsigned lane, std::uint64_t id) const;
    std::uint32_t raw_frames(Rng &rng) const;
    std::uint32_t raw_length(Rng &rng) const;

    std::uint64_t seed_, packets_max_;
    int raw_profile_;
};

} // namespace tbib::sim
