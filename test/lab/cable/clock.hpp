// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/cable/timers.hpp"

namespace tblab::cable {

/** The fabric's time. Only Fabric::advance() moves it. */
struct Clock {
    Time now{0};
    Timers timers;

    Timers::Id after(Time delay, std::function<void()> action)
    {
        return timers.at(now + delay, std::move(action));
    }
};

} // namespace tblab::cable
