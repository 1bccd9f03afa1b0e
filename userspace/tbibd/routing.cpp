// SPDX-License-Identifier: Apache-2.0
#include "tbibd/routing.hpp"

#include <algorithm>
#include <queue>
#include <set>

namespace tbib {

namespace {

/// SplitMix64 finaliser: spreads a number over all bits.
uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

bool mutual(const Lsdb& db, Guid a, Guid b)
{
    const auto it = db.find(b);
    return it != db.end() && it->second.neighbours.count(a);
}

/// First node on the way from the root to @p node.
Guid first_hop(const std::map<Guid, Guid>& parent, Guid root, Guid node)
{
    for (;;) {
        const Guid up = parent.at(node);
        if (up == root)
            return node;
        node = up;
    }
}

/// Owner of each LID: the lowest GUID among the reachable claimants.
std::map<Lid, Guid> lid_owners(const Lsdb& db, const std::set<Guid>& reachable)
{
    std::map<Lid, Guid> owner;
    for (Guid g : reachable) {  // in order of GUIDs: the first claim stays
        const Lid lid = db.at(g).lid;
        if (lid != kLidNone)
            owner.emplace(lid, g);
    }
    return owner;
}

}  // namespace

uint64_t edge_cost(Guid a, Guid b)
{
    const auto [low, high] = std::minmax(a.value, b.value);
    const uint64_t salt = mix(low ^ mix(high)) & 0xfffff;
    return (uint64_t{1} << 32) + salt;
}

std::map<Guid, Guid> shortest_path_tree(const Lsdb& db, Guid root)
{
    std::map<Guid, Guid> parent;
    std::map<Guid, uint64_t> distance;
    using Item = std::pair<uint64_t, Guid>;
    std::priority_queue<Item, std::vector<Item>, std::greater<>> open;
    if (!db.count(root))
        return parent;
    distance[root] = 0;
    open.emplace(0, root);
    while (!open.empty()) {
        const auto [d, node] = open.top();
        open.pop();
        if (d != distance.at(node))
            continue;
        for (const auto& [next, speed] : db.at(node).neighbours) {
            if (!mutual(db, node, next))
                continue;
            const uint64_t via = d + edge_cost(node, next);
            const auto it = distance.find(next);
            if (it != distance.end() && it->second <= via)
                continue;
            distance[next] = via;
            parent[next] = node;
            open.emplace(via, next);
        }
    }
    return parent;
}

std::vector<nl::Route> compute_routes(const Lsdb& db, Guid self)
{
    const auto mine = shortest_path_tree(db, self);
    std::set<Guid> reachable{self};
    for (const auto& [node, up] : mine)
        reachable.insert(node);
    std::vector<nl::Route> routes;
    if (!db.count(self))
        return routes;
    for (const auto& [lid, guid] : lid_owners(db, reachable)) {
        nl::Route r;
        r.guid = guid;
        r.lid = lid;
        r.epoch = db.at(guid).epoch;
        r.via = guid == self ? self : first_hop(mine, self, guid);
        for (const auto& [node, up] : shortest_path_tree(db, guid))
            if (up == self)
                r.mcast.push_back(node);
        routes.push_back(std::move(r));
    }
    std::sort(routes.begin(), routes.end(),
              [](const nl::Route& a, const nl::Route& b) { return a.guid < b.guid; });
    return routes;
}

Lid choose_lid(const Lsdb& db, Guid self, Lid current)
{
    std::set<Lid> lower, all;
    for (const auto& [guid, lsa] : db) {
        if (guid == self || lsa.lid == kLidNone)
            continue;
        all.insert(lsa.lid);
        if (guid < self)
            lower.insert(lsa.lid);
    }
    if (current != kLidNone && !lower.count(current))
        return current;
    const auto start = static_cast<Lid>(mix(self.value) % (kLidMax - 1));
    for (Lid i = 0; i < kLidMax - 1; i++) {
        // 255 is left out: it would be the broadcast address of an IPv4 /24.
        const auto lid = static_cast<Lid>(1 + (start + i) % (kLidMax - 1));
        if (!all.count(lid))
            return lid;
    }
    return kLidNone;
}

}  // namespace tbib
