// SPDX-License-Identifier: Apache-2.0
// One direction of a pair of QPs: posts messages, and checks that each of them is
// executed exactly once, in order, byte by byte.
#pragma once

#include "rc_plan.hpp"

namespace tbib::sim {

class Flow;

/// A QP whose completions go to the flows that it belongs to.
class SimQp : public Qp {
  public:
    SimQp(Host& host, u32 qpn, const PairPlan& plan, const FabricPlan& fabric, Rng& rng);

    Flow* out = nullptr; ///< what it sends
    Flow* in = nullptr;  ///< what it receives
    u32 lane = 0;
    bool queued = false; ///< on the egress list
    u64 timer_at = 0;    ///< earliest timer event that is scheduled, 0 = none

  protected:
    void completed(const tbib_cqe& cqe) override;
    bool page_missing() override;

  private:
    const FabricPlan& fabric_;
    Rng& rng_;
};

/// What the simulator counts of all flows.
struct FlowStats {
    u64 messages = 0, bytes = 0, failed = 0, dropped = 0;
};

class Flow {
  public:
    /// Takes memory of both nodes from `mem_from` and `mem_to` on, and moves them on.
    Flow(const PairPlan& plan, const FabricPlan& fabric, SimQp& from, SimQp& to, Rng& rng,
         u32& mem_from, u32& mem_to, u64 quota);
    static u32 memory(const PairPlan& plan);

    /// Posts one message when there is a place for it. False: none, or quota used up.
    bool post();
    void post_recv(u32 slot);
    /// Retires what completed without a CQE.
    void sync();
    void on_send(const tbib_cqe& cqe);
    void on_recv(const tbib_cqe& cqe);
    /// Both QPs are in RESET: nothing is outstanding any more.
    void restart();

    bool done() const { return posted_ == quota_ && pending_.empty(); }
    bool idle() const { return pending_.empty(); }
    u64 left() const { return quota_ - posted_; }

    SimQp& from;
    SimQp& to;
    const PairPlan& plan;
    bool broken = false;         ///< a WQE failed: both QPs have to be reset
    std::deque<u32> to_repost;   ///< receives that were used
    FlowStats stats;

  private:
    struct Pending {
        u64 id;
        u8 op;
        u8 expect; ///< status
        bool signalled;
        u32 len, slot, imm;
        u64 orig;
    };
    struct Expected {
        u64 id;
        u8 op;
        bool solicited;
        u32 len, slot, imm;
    };

    u8 choose_op();
    u32 choose_len(u8 op);
    std::vector<tbib_sge> cut(u32 key, u64 va, u32 len);
    u8* src(u32 slot) { return &from.host.memory[local_ + slot * stride_ + kGuard]; }
    u8* dst(u32 slot) { return &to.host.memory[remote_ + slot * stride_ + kGuard]; }
    u8* rcv(u32 slot) { return &to.host.memory[recv_ + slot * stride_ + kGuard]; }
    u64 va_src(u32 slot) const { return Host::kBase + local_ + slot * stride_ + kGuard; }
    u64 va_dst(u32 slot) const { return Host::kBase + remote_ + slot * stride_ + kGuard; }
    u64 va_rcv(u32 slot) const { return Host::kBase + recv_ + slot * stride_ + kGuard; }
    void prepare(Send& s, Pending& p);
    void prepare_atomic(Send& s, Pending& p);
    void retire(const Pending& p);
    void check_datagram(const tbib_cqe& cqe, u32 slot);
    [[noreturn]] void fail(const std::string& what) const;

    static constexpr u32 kGuard = 64;
    static constexpr u8 kCanary = 0xd7;

    const FabricPlan& fabric_;
    Rng& rng_;
    u64 quota_, posted_ = 0, next_id_ = 1, last_id_ = 0;
    u32 retired_ = 0; ///< in terms of core.req.cons
    u32 stride_, local_, remote_, recv_, cell_;
    u32 key_local_, key_remote_, key_recv_, key_cell_, key_inv_;
    bool inv_out_ = false, failed_ = false;
    u64 cell_value_ = 0;
    std::deque<Pending> pending_;
    std::deque<Expected> expected_;
    std::vector<u8> local_ops_;
};

} // namespace tbib::sim
