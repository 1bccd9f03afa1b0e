// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "test/lab/emulator/types.hpp"

namespace tblab::cable {

/** Things to be done at a time. Whoever owns the clock calls run(). */
class Timers {
public:
    using Id = std::pair<Time, std::uint64_t>;

    Id at(Time when, std::function<void()> action)
    {
        const Id id{when, ++last_};
        pending_.emplace(id, std::move(action));
        return id;
    }
    void cancel(Id id) { pending_.erase(id); }

    /** Time::max() if nothing is pending. */
    Time next() const { return pending_.empty() ? Time::max() : pending_.begin()->first.first; }

    /** Runs what is due, in order of time, then of creation. */
    void run(Time now)
    {
        while (!pending_.empty() && pending_.begin()->first.first <= now) {
            const auto node = pending_.extract(pending_.begin());
            node.mapped()();
        }
    }

private:
    std::map<Id, std::function<void()>> pending_;
    std::uint64_t last_ = 0;
};

} // namespace tblab::cable
