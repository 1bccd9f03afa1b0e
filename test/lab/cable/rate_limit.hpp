// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "test/lab/emulator/types.hpp"

namespace tblab::cable {

/** Spaces units (bits, frames) evenly in time. Who had to wait and was woken
 *  late may catch up, so that the average holds on a busy machine; who was idle
 *  gets no burst for it. */
class RateLimit {
public:
    void set(std::uint64_t per_second)
    {
        per_second_ = per_second;
        free_ = Time{0};
        waited_ = false;
    }
    bool limited() const { return per_second_ != 0; }
    bool ready(Time now) const { return !limited() || free_ <= now; }
    /** The caller has something to send and is not ready.
     *  @return when it will be */
    Time wait()
    {
        waited_ = true;
        return free_;
    }

    /** Takes units; only when ready. @return when the last of them has passed */
    Time take(Time now, std::uint64_t units)
    {
        if (!limited())
            return now;
        free_ = std::max(free_, waited_ ? now - catch_up : now);
        using Wide = unsigned __int128;
        free_ += Time(static_cast<std::int64_t>(Wide{units} * 1'000'000'000u / per_second_));
        if (free_ > now)
            waited_ = false;
        return std::max(free_, now);
    }

private:
    // As late as a timer may be when the guests keep all CPUs busy.
    static constexpr Time catch_up = std::chrono::milliseconds(5);

    std::uint64_t per_second_ = 0;
    Time free_{0};        ///< when the units taken so far have passed
    bool waited_ = false; ///< since free_ was last in the future
};

} // namespace tblab::cable
