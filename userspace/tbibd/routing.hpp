// SPDX-License-Identifier: Apache-2.0
// Pure route computation: every node computes the same paths from the same
// link states, without a master (design D8).
#pragma once

#include "nl/tbib.hpp"
#include "tbibd/lsa.hpp"

#include <map>
#include <vector>

namespace tbib {

/// All link states that a node knows, its own included.
using Lsdb = std::map<Guid, Lsa>;

/// Cost of the edge between two nodes: one hop, plus a small number made of
/// the pair, the same in both directions. So shortest paths are unique, hence
/// symmetric: what comes from a node comes over the trunk that leads to it.
uint64_t edge_cost(Guid a, Guid b);

/// Parent of each reachable node in the shortest-path tree of @p root.
/// An edge counts only when both of its ends name each other.
std::map<Guid, Guid> shortest_path_tree(const Lsdb& db, Guid root);

/// The forwarding table of @p self: reachable nodes that have a LID, itself
/// included. A LID that two nodes claim belongs to the lower GUID; the other
/// is left out until it has chosen anew.
std::vector<nl::Route> compute_routes(const Lsdb& db, Guid self);

/// The LID that @p self should claim: @p current when nobody with a lower GUID
/// claims it, else a free one (kLidNone when there is none).
Lid choose_lid(const Lsdb& db, Guid self, Lid current);

}  // namespace tbib
