// SPDX-License-Identifier: Apache-2.0
// Two hosts with QPs, their users and timers, in virtual time. What carries trains
// between them is a derived class's: a fabric that loses them, or a real trunk.
#pragma once

#include "rc_flow.hpp"

#include <queue>

namespace tbib::sim {

struct RcSimStats {
    u64 messages = 0, bytes = 0, failed = 0, dropped = 0;
    u64 trains = 0, lost = 0, repeated = 0, reordered = 0, resets = 0, stalls = 0;
    u64 packets = 0, retries = 0, timeouts = 0, probes = 0, rnr_naks = 0, naks = 0;
    u64 duplicates = 0, reconnects = 0, events = 0, virtual_ns = 0;

    RcSimStats& operator+=(const RcSimStats& o);
};

class QpWorld {
  public:
    /// Fills memory and queues; every QP sends `messages`.
    QpWorld(const RcPlan& plan, u64 messages, u32 lanes);
    virtual ~QpWorld() = default;
    QpWorld(const QpWorld&) = delete;

    /// Runs until nothing is left to happen; throws when a promise was broken.
    RcSimStats run();

  protected:
    enum class What : u8 { Way, Timer, Post, Recv, Reconnect };

    /// @who of What::Way and @kind are the derived class's.
    struct Event {
        u64 at, order;
        What what;
        u32 kind;
        void* who;
        bool operator>(const Event& o) const
        {
            return at != o.at ? at > o.at : order > o.order;
        }
    };

    struct Pair {
        std::unique_ptr<SimQp> qp[2];
        std::unique_ptr<Flow> flow[2]; ///< flow[i] is sent by qp[i]
        const PairPlan* plan = nullptr;
        bool reconnecting = false;
    };

    /// A QP of host `n` has got something to send: it stands in ready_.
    virtual void kick(u32 n) = 0;
    virtual void way(u32 kind, void* who) = 0;
    virtual bool stalled(u32) const { return false; }

    void schedule(u64 delay, What what, u32 kind, void* who)
    {
        events_.push({now_ + delay, order_++, what, kind, who});
    }
    /// Lets the ready QPs of a lane fill `t`.
    void fill(u32 n, u32 lane, tbib_train& t);
    /// Gives all packets of a received train to their QPs.
    void receive(const tbib_rx_train& t);
    /// The trunk acked `t`, or lost it for good.
    void run_notes(tbib_train& t, bool delivered);
    bool done() const;

    const RcPlan& plan_;
    Rng rng_;
    u64 now_ = 1000000000;
    std::deque<SimQp*> ready_[2][TBIB_LANES];
    RcSimStats stats_;

  private:
    u32 host_of(const SimQp& q) const { return &q.host == &hosts_[1]; }
    Pair& pair_of(const Flow& f);
    void connect_pair(Pair& p);
    void dispatch(const Event& e);
    void after(SimQp& q);
    void post(Flow& f);
    void recv(Flow& f, u32 slot);
    void break_pair(Pair& p);
    void reconnect(Pair& p);
    void check_silence();

    u64 order_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::vector<Host> hosts_;
    std::vector<Pair> pairs_;
};

} // namespace tbib::sim
