// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "test/lab/emulator/types.hpp"

namespace tblab::cable {

/** Spaces units (bits, frames) evenly in time. A late caller may catch up by a
 *  little, so that the average holds although timers fire late. */
class RateLimit {
public:
    void set(std::uint64_t per_second)
    {
        per_second_ = per_second;
        free_ = Time{0};
    }
    bool limited() const { return per_second_ != 0; }
    bool ready(Time now) const { return !limited() || free_ <= now; }
    /** When ready() becomes true. */
    Time free() const { return free_; }

    /** Takes units; only when ready. @return when the last of them has passed */
    Time take(Time now, std::uint64_t units)
    {
        if (!limited())
            return now;
        free_ = std::max(free_, now - catch_up);
        using Wide = unsigned __int128;
        free_ += Time(static_cast<std::int64_t>(Wide{units} * 1'000'000'000u / per_second_));
        return std::max(free_, now);
    }

private:
    static constexpr Time catch_up = std::chrono::milliseconds(1);

    std::uint64_t per_second_ = 0;
    Time free_{0};
};

} // namespace tblab::cable
