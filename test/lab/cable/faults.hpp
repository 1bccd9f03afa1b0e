// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

#include "test/lab/emulator/types.hpp"

namespace tblab::cable {

/** What becomes of one data frame. */
struct FrameFate {
    bool drop = false;
    bool corrupt = false;
    bool duplicate = false;
    bool unplug = false; ///< the cable comes out while this frame is on it
};

/** What becomes of one inter-domain control packet. */
struct ControlFate {
    bool drop = false;
    bool corrupt = false;
};

/** Decides, from a FaultSpec and a seeded random generator, what goes wrong in
 *  one direction of a cable. */
class Faults {
public:
    void set(const FaultSpec& spec);
    const FaultSpec& spec() const { return spec_; }

    /** False while no data frame can have any other fate than none. */
    bool touches_frames() const { return touches_frames_; }
    FrameFate next_frame();
    ControlFate next_control();

private:
    bool chance(double probability);

    FaultSpec spec_;
    bool touches_frames_ = false;
    std::uint64_t frame_ = 0;
    std::mt19937_64 random_;
};

} // namespace tblab::cable
