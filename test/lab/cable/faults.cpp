// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/faults.hpp"

#include <algorithm>

namespace tblab::cable {

namespace {

bool contains(const std::vector<std::uint64_t>& sorted, std::uint64_t value)
{
    return std::binary_search(sorted.begin(), sorted.end(), value);
}

} // namespace

void Faults::set(const FaultSpec& spec)
{
    spec_ = spec;
    for (auto* list : {&spec_.drop_frames, &spec_.crc_error_frames, &spec_.duplicate_frames})
        std::sort(list->begin(), list->end());
    touches_frames_ = spec.dead || spec.drop > 0 || spec.crc_error > 0 || spec.duplicate > 0 ||
                      !spec.drop_frames.empty() || !spec.crc_error_frames.empty() ||
                      !spec.duplicate_frames.empty() || spec.unplug_at != 0;
    frame_ = 0;
    random_.seed(spec.seed);
}

bool Faults::chance(double probability)
{
    // The generator moves only for faults that are on, and by one number each:
    // a run is repeated exactly by its seed.
    if (probability <= 0)
        return false;
    return static_cast<double>(random_() >> 11) * 0x1p-53 < probability;
}

FrameFate Faults::next_frame()
{
    ++frame_;
    FrameFate fate;
    fate.unplug = spec_.unplug_at == frame_;
    fate.drop = chance(spec_.drop) || contains(spec_.drop_frames, frame_) || spec_.dead;
    fate.corrupt = chance(spec_.crc_error) || contains(spec_.crc_error_frames, frame_);
    fate.duplicate = chance(spec_.duplicate) || contains(spec_.duplicate_frames, frame_);
    return fate;
}

ControlFate Faults::next_control()
{
    ControlFate fate;
    fate.drop = chance(spec_.control_drop) || spec_.dead;
    if (!fate.drop && spec_.control_drop_next) {
        --spec_.control_drop_next;
        fate.drop = true;
    }
    fate.corrupt = chance(spec_.control_crc_error);
    if (!fate.drop && !fate.corrupt && spec_.control_crc_error_next) {
        --spec_.control_crc_error_next;
        fate.corrupt = true;
    }
    return fate;
}

} // namespace tblab::cable
