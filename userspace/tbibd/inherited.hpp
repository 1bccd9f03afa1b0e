// SPDX-License-Identifier: Apache-2.0
// Routes that an earlier run of the daemon left in the module. They carry
// traffic, so they stay until the link states account for them: a node whose
// own daemon is slow to come back, or does not run, still forwards.
#pragma once

#include "tbibd/routing.hpp"

#include <chrono>
#include <vector>

namespace tbib {

/// Does every node that is named by one of the link states, from @p self on,
/// have a link state of its own? Then the fabric is known.
bool complete(const Lsdb& db, Guid self);

class InheritedRoutes {
public:
    using Millis = std::chrono::milliseconds;

    /// @p routes: what the module has.
    void start(std::vector<nl::Route> routes, Millis now);
    bool empty() const { return routes_.empty(); }

    /// What to program: @p computed from @p db, and as long as @p db is not
    /// complete the inherited routes to the other nodes, over neighbours that
    /// are linked. For some seconds the inherited ways to known nodes stay too:
    /// the link states come one by one.
    std::vector<nl::Route> merge(std::vector<nl::Route> computed, const Lsdb& db, Guid self,
                                 Millis now);

private:
    std::vector<nl::Route> routes_;
    Millis settled_{0};
};

}  // namespace tbib
