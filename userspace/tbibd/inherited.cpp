// SPDX-License-Identifier: Apache-2.0
#include "tbibd/inherited.hpp"

#include <map>
#include <set>

namespace tbib {

namespace {

constexpr std::chrono::milliseconds kSettle{10000};  // neighbours have told all by then

/// The way to a known node: as it was until @p settled; then only the branches
/// to nodes that have not spoken are added to what is computed.
void add_way(nl::Route& route, const nl::Route& old, const Lsdb& db, bool settled)
{
    std::set<Guid> branches(route.mcast.begin(), route.mcast.end());
    if (!settled) {
        route.via = old.via;
        branches.clear();
    }
    for (Guid g : old.mcast)
        if (!settled || !db.count(g))
            branches.insert(g);
    route.mcast.assign(branches.begin(), branches.end());
}

}  // namespace

bool complete(const Lsdb& db, Guid self)
{
    std::set<Guid> seen{self};
    std::vector<Guid> open{self};
    while (!open.empty()) {
        const auto it = db.find(open.back());
        open.pop_back();
        if (it == db.end())
            return false;
        for (const auto& [next, speed] : it->second.neighbours)
            if (seen.insert(next).second)
                open.push_back(next);
    }
    return true;
}

void InheritedRoutes::start(std::vector<nl::Route> routes, Millis now)
{
    routes_ = std::move(routes);
    settled_ = now + kSettle;
}

std::vector<nl::Route> InheritedRoutes::merge(std::vector<nl::Route> computed, const Lsdb& db,
                                              Guid self, Millis now)
{
    if (routes_.empty() || complete(db, self)) {
        routes_.clear();
        return computed;
    }
    std::map<Guid, nl::Route> table;
    std::set<Lid> lids;
    for (auto& r : computed) {
        lids.insert(r.lid);
        table.emplace(r.guid, std::move(r));
    }
    const auto& linked = db.at(self).neighbours;
    std::erase_if(routes_, [&](const nl::Route& r) {
        return r.guid != self && !linked.count(r.via);
    });
    for (const auto& r : routes_) {
        const auto it = table.find(r.guid);
        if (it != table.end())
            add_way(it->second, r, db, now >= settled_);
        else if (lids.insert(r.lid).second)
            table.emplace(r.guid, r);
    }
    std::vector<nl::Route> out;
    for (auto& [guid, r] : table)
        out.push_back(std::move(r));
    return out;
}

}  // namespace tbib
