// SPDX-License-Identifier: Apache-2.0
#include "rc_sim.hpp"

#include "rc_flow.hpp"

#include <algorithm>
#include <queue>
#include <stdexcept>
#include <utility>

namespace tbib::sim {

RcSimStats& RcSimStats::operator+=(const RcSimStats& o)
{
    static_assert(sizeof(RcSimStats) % sizeof(u64) == 0);
    auto* to = reinterpret_cast<u64*>(this);
    auto* from = reinterpret_cast<const u64*>(&o);
    for (std::size_t i = 0; i < sizeof(RcSimStats) / sizeof(u64); i++)
        to[i] += from[i];
    return *this;
}

namespace {

constexpr u64 kSecond = 1000000000;
constexpr u64 kEventLimit = 5000000; ///< of one seed: more is a livelock

/// A train on its way. What it carries is copied when it leaves, as a ring does.
struct Flight {
    TxTrain train;
    tbib_rx_train rx{};
    std::vector<u8> raw;
    bool lost = false;
    int uses = 0; ///< events that still refer to it
};

enum class What : u8 { Arrive, Acked, Timer, Post, Recv, Egress, Reconnect };

struct Event {
    u64 at, order;
    What what;
    u32 node; ///< Arrive, Acked, Egress: 0 or 1
    void* who;
    u32 slot;
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

class World {
  public:
    World(const RcPlan& plan, u64 messages);
    RcSimStats run();

  private:
    void schedule(u64 delay, What what, u32 node, void* who, u32 slot = 0)
    {
        events_.push({now_ + delay, order_++, what, node, who, slot});
    }
    u32 node_of(const SimQp& q) const { return &q.node == &nodes_[1]; }
    Pair& pair_of(const Flow& f);
    void connect_pair(Pair& p);
    void dispatch(const Event& e);
    void after(SimQp& q);
    void arrive(Flight& f);
    void acked(Flight& f);
    void timer(SimQp& q);
    void post(Flow& f);
    void recv(Flow& f, u32 slot);
    void egress(u32 node);
    void transmit(Flight& f, u32 node, u64 leaves);
    void reset_trunk();
    void break_pair(Pair& p);
    void reconnect(Pair& p);
    Flight& take_flight();
    void put_flight(Flight& f);
    bool done() const;
    void check_silence();

    const RcPlan& plan_;
    Rng rng_;
    u64 now_ = kSecond, order_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::vector<Node> nodes_;
    std::vector<Pair> pairs_;
    std::deque<SimQp*> ready_[2];
    bool busy_[2] = {};     ///< the egress is sending or stalled
    bool stalled_[2] = {};
    u64 arrives_[2] = {};   ///< trains of one direction arrive in order
    std::vector<std::unique_ptr<Flight>> flights_;
    std::vector<Flight*> free_;
    std::vector<Flight*> flying_;
    RcSimStats stats_;
};

World::World(const RcPlan& plan, u64 messages) : plan_(plan), rng_(plan.seed ^ 0x5bd1e995)
{
    u32 memory = 0;
    for (const PairPlan& p : plan.pairs)
        memory += 2 * Flow::memory(p);
    nodes_.reserve(2);
    nodes_.emplace_back(memory);
    nodes_.emplace_back(memory);
    u32 top[2] = {};
    pairs_.resize(plan.pairs.size());
    for (std::size_t i = 0; i < pairs_.size(); i++) {
        Pair& p = pairs_[i];
        p.plan = &plan.pairs[i];
        for (u32 n = 0; n < 2; n++)
            p.qp[n] = std::make_unique<SimQp>(nodes_[n], u32(0x100 + 2 * i + n), *p.plan,
                                              plan.fabric, rng_);
        for (u32 n = 0; n < 2; n++)
            p.flow[n] = std::make_unique<Flow>(*p.plan, plan.fabric, *p.qp[n], *p.qp[1 - n],
                                               rng_, top[n], top[1 - n], messages);
        connect_pair(p);
        for (auto& f : p.flow)
            schedule(rng_.below(10000), What::Post, 0, f.get());
    }
}

void World::connect_pair(Pair& p)
{
    tbib_qp_attr attr = p.plan->attr;
    u32 psn[2] = {static_cast<u32>(rng_()) & TBIB_PSN_MASK, static_cast<u32>(rng_()) & TBIB_PSN_MASK};

    for (u32 n = 0; n < 2; n++) {
        attr.dest_qpn = p.qp[1 - n]->core.qpn;
        attr.sq_psn = psn[n];
        attr.rq_psn = psn[1 - n];
        to_rts(*p.qp[n], attr);
    }
}

Pair& World::pair_of(const Flow& f)
{
    return *std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) {
        return p.flow[0].get() == &f || p.flow[1].get() == &f;
    });
}

// --- what every host does after it has touched a QP --------------------------------

void World::after(SimQp& q)
{
    u32 n = node_of(q);

    q.out->sync();
    if (tbib_qp_wants_tx(&q.core) && !q.queued) {
        q.queued = true;
        ready_[n].push_back(&q);
        tbib_qp_stalled(&q.core, stalled_[n], now_);
        if (!busy_[n]) {
            busy_[n] = true;
            schedule(0, What::Egress, n, nullptr);
        }
    }
    u64 d = tbib_qp_deadline(&q.core);
    if (d && (!q.timer_at || d < q.timer_at)) {
        q.timer_at = std::max(d, now_);
        schedule(q.timer_at - now_, What::Timer, n, &q);
    }
    while (!q.in->to_repost.empty()) {
        schedule(rng_.below(q.in->plan.repost_ns + 1), What::Recv, n, q.in,
                 q.in->to_repost.front());
        q.in->to_repost.pop_front();
    }
    bool broken = q.out->broken || q.in->broken ||
                  (q.core.state == TBIB_QPS_ERR || q.core.state == TBIB_QPS_SQE);
    if (broken) break_pair(pair_of(*q.out));
    for (tbib_qp_event ev : std::exchange(q.events, {}))
        if (ev == TBIB_EV_SQ_DRAINED) {
            tbib_qp_modify(&q.core, TBIB_QPS_RTS, &q.core.attr);
            after(q);
        }
}

// --- the way --------------------------------------------------------------------

Flight& World::take_flight()
{
    if (free_.empty()) {
        flights_.push_back(std::make_unique<Flight>());
        free_.push_back(flights_.back().get());
    }
    Flight& f = *free_.back();
    free_.pop_back();
    f.train.open();
    f.raw.clear();
    f.lost = false;
    f.uses = 0;
    return f;
}

void World::put_flight(Flight& f)
{
    if (--f.uses) return;
    std::erase(flying_, &f);
    free_.push_back(&f);
}

void World::egress(u32 n)
{
    Flight& f = take_flight();
    u32 turns = static_cast<u32>(ready_[n].size());
    void* ah = nullptr;

    busy_[n] = stalled_[n] = false;
    for (bool full = false; !full && turns-- && !ready_[n].empty();) {
        SimQp& q = *ready_[n].front();
        ready_[n].pop_front();
        q.queued = false;
        // datagrams of one train have one address handle
        void* next = q.core.service == TBIB_UD ? tbib_qp_next_ah(&q.core) : nullptr;
        if (!ah) ah = next;
        full = tbib_qp_fill(&q.core, &f.train.t, ah, now_) == TBIB_FILL_MORE;
        after(q);
    }
    if (!f.train.t.n_pkt) {
        f.uses = 1;
        put_flight(f);
    } else {
        transmit(f, n, plan_.fabric.train_ns);
    }
    if (ready_[n].empty()) return;
    u64 pause = plan_.fabric.train_ns;
    if (rng_.chance(plan_.fabric.stall)) {
        pause += plan_.fabric.stall_ns;
        stats_.stalls++;
        stalled_[n] = true;
        for (SimQp* q : ready_[n])
            tbib_qp_stalled(&q->core, true, now_);
    }
    busy_[n] = true;
    schedule(pause, What::Egress, n, nullptr);
}

void World::transmit(Flight& f, u32 n, u64 leaves)
{
    const FabricPlan& fp = plan_.fabric;
    tbib_train& t = f.train.t;
    u64 travel = leaves + fp.latency_ns + rng_.below(fp.jitter_ns + 1);
    u64 at = std::max(now_ + travel, arrives_[n]);

    stats_.trains++;
    stats_.packets += t.n_pkt;
    if (t.ool_bytes != t.raw_bytes) throw std::runtime_error("train of wrong length");
    as_received(t, f.rx);
    f.lost = rng_.chance(fp.loss);
    f.uses = 1;
    flying_.push_back(&f);
    if (f.lost) {
        stats_.lost++;
    } else {
        f.raw.reserve(t.raw_bytes);
        for (u32 i = 0; i < t.n_raw; i++) {
            auto* data = static_cast<const u8*>(t.raw[i].data);
            f.rx.raw[i].data = f.raw.data() + f.raw.size();
            f.raw.insert(f.raw.end(), data, data + t.raw[i].len);
        }
        if (rng_.chance(fp.reorder)) {
            at += rng_.below(4 * fp.latency_ns + 20 * fp.train_ns);
            stats_.reordered++;
        } else {
            arrives_[n] = at;
        }
        f.uses++;
        schedule(at - now_, What::Arrive, 1 - n, &f);
        if (rng_.chance(fp.duplicate)) {
            f.uses++;
            schedule(at - now_ + rng_.below(4 * fp.latency_ns), What::Arrive, 1 - n, &f);
            stats_.repeated++;
        }
    }
    // the neighbour acks whatever becomes of the train further on
    schedule(at - now_ + fp.latency_ns, What::Acked, n, &f);
    if (rng_.chance(fp.reset)) reset_trunk();
}

void World::arrive(Flight& f)
{
    tbib_pkt_iter it;
    tbib_pkt pkt;
    tbib_bth b;
    int more;

    if (f.lost) {
        put_flight(f);
        return;
    }
    tbib_pkt_iter_init(&it, &f.rx);
    while ((more = tbib_pkt_next(&it, &pkt)) == 1) {
        b = {};
        if (tbib_bth_decode(pkt.inl, pkt.inl_len, pkt.flags & TBIB_PF_GRH, &b))
            throw std::runtime_error("packet that cannot be decoded");
        SimQp& q = *pairs_.at((b.dqpn - 0x100) / 2).qp[b.dqpn & 1];
        tbib_qp_rx(&q.core, &b, &pkt, 1, now_);
        after(q);
    }
    if (more < 0) throw std::runtime_error("train that cannot be read");
    put_flight(f);
}

void World::acked(Flight& f)
{
    f.train.release();
    for (u32 i = 0; i < f.train.t.n_note; i++) {
        tbib_note& note = f.train.t.note[i];
        auto& q = static_cast<SimQp&>(Qp::of(static_cast<tbib_qp*>(note.owner)));
        tbib_qp_note(&q.core, note.value, !f.lost);
        after(q);
    }
    f.train.t.n_note = 0;
    put_flight(f);
}

/// Everything in flight is lost.
void World::reset_trunk()
{
    stats_.resets++;
    for (Flight* f : flying_)
        f->lost = true;
}

// --- QPs ------------------------------------------------------------------------

void World::timer(SimQp& q)
{
    q.timer_at = 0;
    tbib_qp_timer(&q.core, now_);
    after(q);
}

void World::post(Flow& f)
{
    u64 burst = rng_.range(1, 8);

    if (f.from.core.state == TBIB_QPS_RTS && rng_.chance(f.plan.drain))
        tbib_qp_modify(&f.from.core, TBIB_QPS_SQD, &f.from.core.attr);
    while (burst-- && f.post())
        ;
    after(f.from);
    // while a pair waits for its reconnection there is no hurry
    u64 tick = f.broken ? kSecond / 10 : plan_.tick_ns + 20000;
    if (f.left()) schedule(rng_.below(tick), What::Post, 0, &f);
}

void World::recv(Flow& f, u32 slot)
{
    // a broken pair gets all its receives anew
    if (pair_of(f).reconnecting) return;
    f.post_recv(slot);
    after(f.to);
}

/// A QP failed. Its user hears of it at both ends and sets up the connection again,
/// when nothing of the old one can be on its way any more.
void World::break_pair(Pair& p)
{
    if (p.reconnecting) return;
    p.reconnecting = true;
    for (auto& f : p.flow)
        f->broken = true;
    schedule(2 * kSecond, What::Reconnect, 0, &p);
}

void World::reconnect(Pair& p)
{
    stats_.reconnects++;
    for (auto& q : p.qp) {
        tbib_qp_modify(&q->core, TBIB_QPS_ERR, &q->core.attr);
        q->out->sync();
        if (q->wqe_refs || q->recv_refs) throw std::runtime_error("not flushed");
        tbib_qp_modify(&q->core, TBIB_QPS_RESET, &q->core.attr);
        q->events.clear();
        if (q->queued) std::erase(ready_[node_of(*q)], q.get());
        q->queued = false;
    }
    p.reconnecting = false;
    for (auto& f : p.flow)
        f->restart();
    connect_pair(p);
}

void World::dispatch(const Event& e)
{
    switch (e.what) {
    case What::Arrive: return arrive(*static_cast<Flight*>(e.who));
    case What::Acked: return acked(*static_cast<Flight*>(e.who));
    case What::Timer: return timer(*static_cast<SimQp*>(e.who));
    case What::Post: return post(*static_cast<Flow*>(e.who));
    case What::Recv: return recv(*static_cast<Flow*>(e.who), e.slot);
    case What::Egress: return egress(e.node);
    case What::Reconnect: return reconnect(*static_cast<Pair*>(e.who));
    }
}

bool World::done() const
{
    return std::all_of(pairs_.begin(), pairs_.end(), [](const Pair& p) {
        return !p.reconnecting && p.flow[0]->done() && p.flow[1]->done();
    });
}

/// All has completed: no timer, nothing to send, and after RESET no reference.
void World::check_silence()
{
    for (Pair& p : pairs_)
        for (auto& q : p.qp) {
            if (tbib_qp_wants_tx(&q->core)) throw std::runtime_error("wants to send for ever");
            if (tbib_qp_deadline(&q->core)) throw std::runtime_error("a timer runs for ever");
            tbib_qp_modify(&q->core, TBIB_QPS_RESET, &q->core.attr);
            if (q->wqe_refs || q->recv_refs) throw std::runtime_error("a WQE was not released");
            tbib_qp_stats& s = q->core.stats;
            stats_.retries += s.retries;
            stats_.timeouts += s.timeouts;
            stats_.probes += s.tail_probes;
            stats_.rnr_naks += s.rnr_naks_recv;
            stats_.naks += s.naks_recv;
            stats_.duplicates += s.duplicate;
            const FlowStats& f = q->out->stats;
            stats_.messages += f.messages;
            stats_.bytes += f.bytes;
            stats_.failed += f.failed;
            stats_.dropped += f.dropped;
        }
    for (const Node& n : nodes_)
        if (n.refs()) throw std::runtime_error("a memory region is still referenced");
}

RcSimStats World::run()
{
    while (!events_.empty()) {
        Event e = events_.top();
        events_.pop();
        now_ = e.at;
        if (++stats_.events > kEventLimit) throw std::runtime_error("livelock");
        dispatch(e);
    }
    if (!done()) throw std::runtime_error("stuck");
    check_silence();
    stats_.virtual_ns = now_ - kSecond;
    return stats_;
}

} // namespace

RcSimStats run_rc_sim(u64 seed, u64 messages)
{
    RcPlan plan = make_rc_plan(seed);
    try {
        return World(plan, messages).run();
    } catch (const std::runtime_error& e) {
        throw std::runtime_error(std::string(e.what()) + " (" + describe(plan) + ")");
    }
}

} // namespace tbib::sim
