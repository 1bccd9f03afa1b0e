// SPDX-License-Identifier: Apache-2.0
// What a seed of the transport simulator stands for: QPs, messages, faults.
#pragma once

#include "qp_host.hpp"
#include "rng.hpp"

#include <string>

namespace tbib::sim {

/// Two connected QPs and the traffic between them.
struct PairPlan {
    tbib_service service = TBIB_RC;
    tbib_qp_attr attr{};
    u32 max_len = 0;      ///< bytes of a message
    u32 depth = 0;        ///< send WQEs in flight
    u32 recvs = 0;        ///< receive WQEs
    u64 repost_ns = 0;    ///< until a used receive is posted again, at most
    double unsignalled = 0;
    double wrong = 0;     ///< WQEs that must fail
    double drain = 0;     ///< SQD instead of a post
};

/// The way between the two nodes.
struct FabricPlan {
    u64 latency_ns = 0, jitter_ns = 0, train_ns = 0;
    double loss = 0, duplicate = 0, reorder = 0; ///< of whole trains
    double missing_page = 0;
    double stall = 0;     ///< the egress stops for a while after a train
    u64 stall_ns = 0;
    double reset = 0;     ///< a new trunk epoch: all that is in flight is lost
};

struct RcPlan {
    u64 seed = 0;
    std::vector<PairPlan> pairs;
    FabricPlan fabric;
    u64 tick_ns = 0;      ///< between two posts of a QP, at most
};

RcPlan make_rc_plan(u64 seed);
std::string describe(const RcPlan& plan);

} // namespace tbib::sim
