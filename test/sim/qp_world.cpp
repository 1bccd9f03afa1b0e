// SPDX-License-Identifier: Apache-2.0
#include "qp_world.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tbib::sim {

namespace {

constexpr u64 kSecond = 1000000000;
constexpr u64 kEventLimit = 5000000; ///< of one seed: more is a livelock
constexpr u32 kFirstQpn = 0x100;

} // namespace

RcSimStats& RcSimStats::operator+=(const RcSimStats& o)
{
    static_assert(sizeof(RcSimStats) % sizeof(u64) == 0);
    auto* to = reinterpret_cast<u64*>(this);
    auto* from = reinterpret_cast<const u64*>(&o);
    for (std::size_t i = 0; i < sizeof(RcSimStats) / sizeof(u64); i++)
        to[i] += from[i];
    return *this;
}

QpWorld::QpWorld(const RcPlan& plan, u64 messages, u32 lanes)
    : plan_(plan), rng_(plan.seed ^ 0x5bd1e995)
{
    u32 memory = 0;
    for (const PairPlan& p : plan.pairs)
        memory += 2 * Flow::memory(p);
    hosts_.reserve(2);
    hosts_.emplace_back(memory);
    hosts_.emplace_back(memory);
    u32 top[2] = {};
    pairs_.resize(plan.pairs.size());
    for (std::size_t i = 0; i < pairs_.size(); i++) {
        Pair& p = pairs_[i];
        p.plan = &plan.pairs[i];
        for (u32 n = 0; n < 2; n++) {
            p.qp[n] = std::make_unique<SimQp>(hosts_[n], u32(kFirstQpn + 2 * i + n), *p.plan,
                                              plan.fabric, rng_);
            p.qp[n]->lane = static_cast<u32>(rng_.below(lanes));
        }
        for (u32 n = 0; n < 2; n++)
            p.flow[n] = std::make_unique<Flow>(*p.plan, plan.fabric, *p.qp[n], *p.qp[1 - n],
                                               rng_, top[n], top[1 - n], messages);
        connect_pair(p);
        for (auto& f : p.flow)
            schedule(rng_.below(10000), What::Post, 0, f.get());
    }
}

void QpWorld::connect_pair(Pair& p)
{
    tbib_qp_attr attr = p.plan->attr;
    u32 psn[2] = {u32(rng_()) & TBIB_PSN_MASK, u32(rng_()) & TBIB_PSN_MASK};

    for (u32 n = 0; n < 2; n++) {
        attr.dest_qpn = p.qp[1 - n]->core.qpn;
        attr.sq_psn = psn[n];
        attr.rq_psn = psn[1 - n];
        to_rts(*p.qp[n], attr);
    }
}

QpWorld::Pair& QpWorld::pair_of(const Flow& f)
{
    return *std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) {
        return p.flow[0].get() == &f || p.flow[1].get() == &f;
    });
}

/// What every host does after it has touched a QP.
void QpWorld::after(SimQp& q)
{
    u32 n = host_of(q);

    q.out->sync();
    if (tbib_qp_wants_tx(&q.core) && !q.queued) {
        q.queued = true;
        ready_[n][q.lane].push_back(&q);
        tbib_qp_stalled(&q.core, stalled(n), now_);
        kick(n);
    }
    u64 d = tbib_qp_deadline(&q.core);
    if (d && (!q.timer_at || d < q.timer_at)) {
        q.timer_at = std::max(d, now_);
        schedule(q.timer_at - now_, What::Timer, n, &q);
    }
    while (!q.in->to_repost.empty()) {
        schedule(rng_.below(q.in->plan.repost_ns + 1), What::Recv, q.in->to_repost.front(), q.in);
        q.in->to_repost.pop_front();
    }
    bool broken = q.out->broken || q.in->broken || q.core.state == TBIB_QPS_ERR ||
                  q.core.state == TBIB_QPS_SQE;
    if (broken) break_pair(pair_of(*q.out));
    for (tbib_qp_event ev : std::exchange(q.events, {}))
        if (ev == TBIB_EV_SQ_DRAINED) {
            tbib_qp_modify(&q.core, TBIB_QPS_RTS, &q.core.attr);
            after(q);
        }
}

// --- trains ---------------------------------------------------------------------

void QpWorld::fill(u32 n, u32 lane, tbib_train& t)
{
    auto& ready = ready_[n][lane];
    u32 turns = static_cast<u32>(ready.size());
    void* ah = nullptr;

    for (bool full = false; !full && turns-- && !ready.empty();) {
        SimQp& q = *ready.front();
        ready.pop_front();
        q.queued = false;
        // datagrams of one train have one address handle
        void* next = q.core.service == TBIB_UD ? tbib_qp_next_ah(&q.core) : nullptr;
        if (!ah) ah = next;
        full = tbib_qp_fill(&q.core, &t, ah, now_) == TBIB_FILL_MORE;
        after(q);
    }
    if (t.ool_bytes != t.raw_bytes) throw std::runtime_error("train of wrong length");
}

void QpWorld::receive(const tbib_rx_train& t)
{
    tbib_pkt_iter it;
    tbib_pkt pkt;
    int more;

    tbib_pkt_iter_init(&it, &t);
    while ((more = tbib_pkt_next(&it, &pkt)) == 1) {
        tbib_bth b{};
        if (tbib_bth_decode(pkt.inl, pkt.inl_len, pkt.flags & TBIB_PF_GRH, &b))
            throw std::runtime_error("packet that cannot be decoded");
        SimQp& q = *pairs_.at((b.dqpn - kFirstQpn) / 2).qp[b.dqpn & 1];
        if (tbib_qp_rx(&q.core, &b, &pkt, 1, now_)) after(q);
    }
    if (more < 0) throw std::runtime_error("train that cannot be read");
}

void QpWorld::run_notes(tbib_train& t, bool delivered)
{
    for (u32 i = 0; i < t.n_note; i++) {
        auto& q = static_cast<SimQp&>(Qp::of(static_cast<tbib_qp*>(t.note[i].owner)));
        tbib_qp_note(&q.core, t.note[i].value, delivered);
        after(q);
    }
    t.n_note = 0;
}

// --- users ----------------------------------------------------------------------

void QpWorld::post(Flow& f)
{
    u64 burst = rng_.range(1, 8);
    bool posted = false;

    if (f.from.core.state == TBIB_QPS_RTS && rng_.chance(f.plan.drain))
        tbib_qp_modify(&f.from.core, TBIB_QPS_SQD, &f.from.core.attr);
    while (burst-- && f.post())
        posted = true;
    after(f.from);
    // no hurry while the queue is full, or a pair waits for its reconnection
    u64 tick = plan_.tick_ns + 20000 + (posted ? 0 : 2 * plan_.fabric.latency_ns);
    if (f.broken) tick = kSecond / 10;
    if (f.left()) schedule(rng_.below(tick), What::Post, 0, &f);
}

void QpWorld::recv(Flow& f, u32 slot)
{
    // a broken pair gets all its receives anew
    if (pair_of(f).reconnecting) return;
    f.post_recv(slot);
    after(f.to);
}

/// A QP failed. Its user hears of it at both ends and sets up the connection again,
/// when nothing of the old one should be on its way any more.
void QpWorld::break_pair(Pair& p)
{
    if (p.reconnecting) return;
    p.reconnecting = true;
    for (auto& f : p.flow)
        f->broken = true;
    schedule(2 * kSecond, What::Reconnect, 0, &p);
}

void QpWorld::reconnect(Pair& p)
{
    stats_.reconnects++;
    for (auto& q : p.qp) {
        tbib_qp_modify(&q->core, TBIB_QPS_ERR, &q->core.attr);
        q->out->sync();
        if (q->wqe_refs || q->recv_refs) throw std::runtime_error("not flushed");
        tbib_qp_modify(&q->core, TBIB_QPS_RESET, &q->core.attr);
        q->events.clear();
        if (q->queued) std::erase(ready_[host_of(*q)][q->lane], q.get());
        q->queued = false;
    }
    p.reconnecting = false;
    for (auto& f : p.flow)
        f->restart();
    connect_pair(p);
}

// --- time -----------------------------------------------------------------------

void QpWorld::dispatch(const Event& e)
{
    switch (e.what) {
    case What::Way: way(e.kind, e.who); break;
    case What::Timer: {
        auto& q = *static_cast<SimQp*>(e.who);
        q.timer_at = 0;
        tbib_qp_timer(&q.core, now_);
        after(q);
        break;
    }
    case What::Post: post(*static_cast<Flow*>(e.who)); break;
    case What::Recv: recv(*static_cast<Flow*>(e.who), e.kind); break;
    case What::Reconnect: reconnect(*static_cast<Pair*>(e.who)); break;
    }
}

bool QpWorld::done() const
{
    return std::all_of(pairs_.begin(), pairs_.end(), [](const Pair& p) {
        return !p.reconnecting && p.flow[0]->done() && p.flow[1]->done();
    });
}

/// All has completed: no timer, nothing to send, and after RESET no reference.
void QpWorld::check_silence()
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
    for (const Host& h : hosts_)
        if (h.refs()) throw std::runtime_error("a memory region is still referenced");
}

RcSimStats QpWorld::run()
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

} // namespace tbib::sim
