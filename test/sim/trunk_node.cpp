// SPDX-License-Identifier: Apache-2.0
#include "trunk_node.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace tbib::sim {

namespace {

constexpr Time ms = 1000000;
constexpr std::size_t max_held = 40;

[[noreturn]] void fail(const std::string &what)
{
    throw std::runtime_error(what);
}

void check(bool ok, const char *what)
{
    if (!ok)
        fail(what);
}

} // namespace

Page *PagePool::get()
{
    if (free_.empty())
        free_.push_back(&pages_.emplace_back());
    Page *page = free_.back();
    free_.pop_back();
    page->live = true;
    live_++;
    return page;
}

void PagePool::put(Page *page)
{
    check(page->live, "a page was given back twice");
    page->live = false;
    std::memset(page->data, 0x6b, 64); // who reads it still gets nonsense
    live_--;
    free_.push_back(page);
}

// The order of the draws is fixed, so that a seed means one story.
void Wire::send(WireFrame f, bool control, const TrunkPlan &plan, const LinkPlan &link, Time now,
                bool faults, bool cable, Rng &rng, PagePool &pool, TrunkSimStats &stats)
{
    busy_until = std::max(busy_until, now) + link.frame_ns;
    f.arrives = busy_until + link.latency_ns;
    bool lost = !cable;
    if (faults) {
        if (burst_left_) {
            burst_left_--;
            lost = true;
        } else if (rng.chance(plan.burst)) {
            burst_left_ = rng.range(0, plan.burst_max - 1);
            lost = true;
        }
        lost |= rng.chance(control ? std::max(plan.control_loss, plan.loss) : plan.loss);
        f.bad = rng.chance(plan.bad);
        static const std::uint8_t garbage[TBIB_FRAME_SIZE] = {};
        if (f.bad)
            f.data = garbage;
        // what the link's CRC lets through must be found by ours
        if (f.eof == TBIB_PDF_HEADER && rng.chance(plan.corrupt))
            for (std::uint64_t n = rng.range(1, 3); n; n--)
                f.page->data[rng.below(f.len)] ^= 1u << rng.below(8);
    } else {
        burst_left_ = 0;
    }
    if (lost) {
        stats.lost_frames++;
        pool.put(f.page);
        return;
    }
    frames.push_back(f);
}

void Wire::clear(PagePool &pool)
{
    for (auto &f : frames)
        pool.put(f.page);
    frames.clear();
}

void Wire::delay(Time by)
{
    for (auto &f : frames)
        f.arrives += by;
    busy_until += by;
}

/// The core's callbacks; tx and rx find their node by being members of it.
struct NodeOps {
    static Node &of(tbib_tx *tx)
    {
        return *reinterpret_cast<Node *>(reinterpret_cast<char *>(tx) - offset_tx);
    }
    static Node &of(tbib_rx *rx)
    {
        return *reinterpret_cast<Node *>(reinterpret_cast<char *>(rx) - offset_rx);
    }
    static TrainBox *box(tbib_train *t) { return reinterpret_cast<TrainBox *>(t); }

    static u32 room(tbib_tx *tx, unsigned ring)
    {
        Node &n = of(tx);
        return n.plan_.tx_depth - static_cast<u32>(n.rings[ring].posted.size());
    }

    static void xmit(tbib_tx *tx, unsigned ring, tbib_train *t, u32 hdr_len)
    {
        Node &n = of(tx);
        check(!box(t)->on_ring, "a train was sent while the ring still had frames of it");
        check(n.rings[ring].up, "a train was sent on a ring that is down");
        check(room(tx, ring) >= 1u + t->n_raw, "a train was sent without room");
        check(!tbib_before(tx->ring[ring].limit, tx->ring[ring].sent),
              "a train was sent without credit");
        check(t->posted == 1 + t->n_raw, "posted frames are miscounted");
        box(t)->on_ring = 1u + t->n_raw;
        Page *page = n.pool_.get();
        std::memcpy(page->data, t->hdr, hdr_len);
        n.post(ring, {0, page->data, page, static_cast<u16>(hdr_len), TBIB_PDF_HEADER, false},
               box(t), false);
        for (int i = 0; i < t->n_raw; i++) {
            page = n.pool_.get();
            n.post(ring,
                   {0, n.raw_bytes(t->raw[i], *page), page, t->raw[i].len,
                    static_cast<u8>(TBIB_PDF_RAW(t->tag)), false},
                   box(t), false);
        }
    }

    static tbib_train *pull(tbib_tx *tx, unsigned lane)
    {
        TrainBox *b = of(tx).pull(lane);
        return b ? &b->t : nullptr;
    }

    static void release(tbib_tx *tx, tbib_train *t, bool delivered)
    {
        of(tx).release(box(t), delivered);
    }

    static void deliver(tbib_rx *rx, tbib_rx_train *t) { of(rx).deliver(t); }

    static void ack(tbib_rx *rx, const tbib_ack *ack)
    {
        Node &n = of(rx);
        tbib_tx_ack(&n.tx, ack, n.now_);
    }

    static void put(tbib_rx *rx, void *page)
    {
        Node &n = of(rx);
        n.pool_.put(static_cast<Page *>(page));
        n.rx_pages_--;
    }

    static void bye(tbib_rx *, unsigned) { fail("a BYE that nobody has sent"); }

    static constexpr tbib_tx_ops tx_ops = {room, xmit, pull, release};
    static constexpr tbib_rx_ops rx_ops = {deliver, ack, put, bye};
    static inline std::ptrdiff_t offset_tx = 0, offset_rx = 0;
};

Node::Node(unsigned number, const TrunkPlan &plan, const TrunkTraffic &traffic, PagePool &pool,
           TrunkSimStats &stats, Rng &rng)
    : out(plan.rings.size()), rings(plan.rings.size()), number_(number), plan_(plan),
      traffic_(traffic), pool_(pool), stats_(stats), rng_(rng), slots_(TBIB_RX_SLOTS)
{
    NodeOps::offset_tx = reinterpret_cast<char *>(&tx) - reinterpret_cast<char *>(this);
    NodeOps::offset_rx = reinterpret_cast<char *>(&rx) - reinterpret_cast<char *>(this);
    tbib_tx_init(&tx, &NodeOps::tx_ops);
    tbib_rx_init(&rx, &NodeOps::rx_ops, slots_.data(), static_cast<u32>(slots_.size()));
}

void Node::post(unsigned ring, const WireFrame &f, TrainBox *box, bool is_control)
{
    const RingPlan &r = plan_.rings[ring];
    out[ring].send(f, is_control, plan_, plan_.links[r.link], now_, faults, (*cable)[r.link], rng_,
                   pool_, stats_);
    rings[ring].posted.push_back({out[ring].busy_until, box});
}

const std::uint8_t *Node::raw_bytes(const tbib_raw &raw, Page &)
{
    return static_cast<const std::uint8_t *>(raw.data); // they never change
}

TrainBox *Node::take_box(unsigned lane)
{
    if (free_.empty()) {
        auto &fresh = boxes_.emplace_back();
        fresh.t.hdr = fresh.frame;
        free_.push_back(&fresh);
    }
    TrainBox *box = free_.back();
    free_.pop_back();
    box->out = true;
    tbib_train_init(&box->t, 2, 1, 77, static_cast<u8>(lane));
    return box;
}

void Node::put_box(TrainBox *box)
{
    check(box->out, "a train was released twice");
    check(!box->on_ring, "a train was released while the ring still had frames of it");
    box->out = false;
    free_.push_back(box);
}

TrainBox *Node::pull(unsigned lane)
{
    if (next_id_[lane] == plan_.trains || now_ < ready_at_[lane])
        return nullptr;
    TrainBox *box = take_box(lane);
    box->id = next_id_[lane]++;
    traffic_.fill(box->t, number_, lane, box->id);
    if (rng_.chance(plan_.note))
        box->t.note[box->t.n_note++] = {nullptr, nullptr};
    if (rng_.chance(plan_.think))
        ready_at_[lane] = now_ + rng_.range(1, 2 * plan_.think_ns);
    return box;
}

void Node::release(TrainBox *box, bool delivered)
{
    unsigned lane = box->t.lane;
    if (delivered) {
        const tbib_rx_slot *held = peer->rx.lane[lane].slot[box->t.seq % TBIB_WINDOW];
        bool there = box->id < peer->expected_[lane] ||
                     (held && held->t.h.seq == box->t.seq);
        check(there, "a train was called delivered that the peer does not have");
    } else {
        stats_.dropped_trains++;
    }
    put_box(box);
}

void Node::deliver(tbib_rx_train *t)
{
    unsigned lane = t->h.flags & TBIB_FF_LANE;
    traffic_.check(*t, 1 - number_, lane, expected_[lane]);
    expected_[lane]++;
    if (faults && held_.size() < max_held && rng_.chance(plan_.hold)) {
        held_.emplace_back(now_ + rng_.range(1, plan_.hold_ns), t);
        host_pages_ += 1u + t->h.n_raw;
    } else {
        tbib_rx_train_free(&rx, t);
    }
}

void Node::release_held(Time now)
{
    for (auto it = held_.begin(); it != held_.end();) {
        if (faults && it->first > now) {
            ++it;
            continue;
        }
        host_pages_ -= 1u + it->second->h.n_raw;
        tbib_rx_train_free(&rx, it->second);
        it = held_.erase(it);
    }
}

void Node::reap(unsigned ring, Time now)
{
    auto &posted = rings[ring].posted;
    while (!posted.empty() && posted.front().done <= now) {
        TrainBox *box = posted.front().box;
        posted.pop_front();
        if (!box)
            continue;
        box->on_ring--;
        tbib_tx_frame_done(&tx, &box->t);
    }
}

// An NHI that has no buffer drops the frame.
void Node::take_arrivals(unsigned ring, Time now)
{
    auto &wire = peer->out[ring].frames;
    auto &arrived = rings[ring].arrived;
    while (!wire.empty() && wire.front().arrives <= now) {
        if (arrived.size() < plan_.rx_buffers) {
            arrived.push_back(wire.front());
        } else {
            stats_.overruns++;
            pool_.put(wire.front().page);
        }
        wire.pop_front();
    }
}

void Node::receive(Time now, std::uint32_t &flags)
{
    std::uint64_t budget = plan_.poll_budget;
    for (unsigned i = 0; i < rings.size(); i++) {
        take_arrivals(i, now);
        auto &arrived = rings[i].arrived;
        for (; budget && !arrived.empty(); budget--) {
            WireFrame f = arrived.front();
            arrived.pop_front();
            rx_pages_++;
            tbib_rx_buf buf{f.data, f.page, f.len, f.eof, f.bad};
            std::uint32_t ret = tbib_rx_frame(&rx, i, &buf);
            if (ret & TBIB_RX_ACK_GAP)
                control(TBIB_CTRL_ACK, -1);
            flags |= ret;
        }
    }
    check(rx_pages_ - host_pages_ <= TBIB_RX_PAGES, "the receiver holds too many pages");
}

/// @ring < 0: any that is up
void Node::control(tbib_ctrl_type type, int ring)
{
    if (ring < 0) {
        unsigned start = static_cast<unsigned>(rng_.below(rings.size()));
        for (unsigned i = 0; i < rings.size() && ring < 0; i++) {
            unsigned k = (start + i) % static_cast<unsigned>(rings.size());
            if (rings[k].up && rings[k].posted.size() < plan_.tx_depth)
                ring = static_cast<int>(k);
        }
        if (ring < 0)
            return;
    }
    unsigned r = static_cast<unsigned>(ring);
    if (rings[r].posted.size() >= plan_.tx_depth)
        return;
    tbib_ack ack;
    tbib_rx_ack(&rx, &ack);
    Page *page = pool_.get();
    u32 len = tbib_tx_control(&tx, r, type, &ack, page->data);
    check(len > 0, "no control frame for a ring that is up");
    post(r, {0, page->data, page, static_cast<u16>(len), TBIB_PDF_HEADER, false}, nullptr, true);
    ack_at_ = 0;
}

void Node::transmit(Time now)
{
    Time deadline = tbib_tx_deadline(&tx);
    if (deadline && deadline <= now) {
        u32 mask = tbib_tx_timer(&tx, now);
        for (unsigned i = 0; i < rings.size(); i++)
            if (mask >> i & 1)
                control(TBIB_CTRL_PROBE, static_cast<int>(i));
    }
    for (unsigned lane = 0; lane < TBIB_LANES; lane++)
        tx.ack_next[lane] = rx.lane[lane].next;
    for (unsigned i = 0; i < rings.size(); i++)
        tx.ack_limit[i] = tbib_rx_limit(&rx, i);
    while (tbib_tx_run(&tx, now, 64) == 64)
        ;
}

void Node::step(Time now)
{
    now_ = now;
    if (!(faults && rng_.chance(plan_.reap_late) && now < reap_after_))
        for (unsigned i = 0; i < rings.size(); i++)
            reap(i, now);
    release_held(now);
    if (!faults)
        paused_until_ = 0;
    if (now >= paused_until_ && poll_at_ && now >= poll_at_) {
        std::uint32_t flags = 0;
        receive(now, flags);
        poll_at_ = 0;
        if (flags & TBIB_RX_ACK_NOW)
            control(TBIB_CTRL_ACK, -1);
        else if (flags & TBIB_RX_ACK_SOON && !ack_at_)
            ack_at_ = now + ms;
        if (faults && rng_.chance(plan_.pause))
            paused_until_ = now + rng_.range(1, plan_.pause_ns);
    }
    if (ack_at_ && now >= ack_at_)
        control(TBIB_CTRL_ACK, -1);
    ack_at_ = ack_at_ && ack_at_ <= now ? now + ms : ack_at_;
    transmit(now);
    plan_wake(now);
}

void Node::plan_wake(Time now)
{
    Time next = std::numeric_limits<Time>::max();
    auto at = [&](Time t) { next = std::min(next, std::max(t, now + 1)); };

    if (Time deadline = tbib_tx_deadline(&tx))
        at(deadline);
    if (ack_at_)
        at(ack_at_);
    for (unsigned lane = 0; lane < TBIB_LANES; lane++)
        if (next_id_[lane] < plan_.trains && ready_at_[lane] > now)
            at(ready_at_[lane]);
    for (auto &[t, train] : held_)
        at(t);
    for (auto &r : rings)
        if (!r.posted.empty()) {
            reap_after_ = r.posted.back().done;
            at(r.posted[r.posted.size() / 2].done);
        }
    for (unsigned i = 0; i < rings.size(); i++) {
        Time t = !rings[i].arrived.empty() ? now + 1000
                 : !peer->out[i].frames.empty()
                     ? std::max(peer->out[i].frames.front().arrives, now) + 1 + plan_.poll_delay
                     : 0;
        if (t && (!poll_at_ || t < poll_at_ || poll_at_ <= now))
            poll_at_ = t;
    }
    if (poll_at_)
        at(std::max(poll_at_, paused_until_));
    wake_ = next;
}

void Node::ring_up(unsigned ring, std::uint32_t cookie, std::uint32_t peer_cookie, Time now)
{
    const RingPlan &r = plan_.rings[ring];
    now_ = now;
    rings[ring].up = true;
    rings[ring].cookie = cookie;
    tbib_rx_ring_up(&rx, ring, cookie, static_cast<u8>(r.index), plan_.rx_buffers);
    tbib_tx_ring_up(&tx, ring, peer_cookie, cookie, static_cast<u8>(r.index), r.lanes,
                    plan_.rx_buffers - TBIB_RING_RESERVE, plan_.links[r.link].weight);
}

void Node::ring_down(unsigned ring, Time now)
{
    now_ = now;
    rings[ring].up = false;
    reap(ring, std::numeric_limits<Time>::max()); // a stopped ring gives back all
    for (auto &f : rings[ring].arrived)
        pool_.put(f.page);
    rings[ring].arrived.clear();
    tbib_tx_ring_down(&tx, ring);
    tbib_rx_ring_down(&rx, ring);
}

void Node::reset()
{
    tbib_tx_reset(&tx);
    tbib_rx_reset(&rx);
    for (unsigned lane = 0; lane < TBIB_LANES; lane++)
        peer->expected_[lane] = next_id_[lane];
}

bool Node::quiet() const
{
    for (unsigned lane = 0; lane < TBIB_LANES; lane++)
        if (next_id_[lane] != plan_.trains || peer->expected_[lane] != plan_.trains)
            return false;
    for (auto &r : rings)
        if (!r.posted.empty() || !r.arrived.empty())
            return false;
    for (auto &w : out)
        if (!w.frames.empty())
            return false;
    return !tbib_tx_busy(&tx) && !tx.n_out && held_.empty();
}

void Node::check_leaks() const
{
    std::size_t n = 0;
    for (auto *s = rx.free; s; s = s->next_free)
        n++;
    check(n == TBIB_RX_SLOTS, "receive slots have leaked");
    check(rx_pages_ == 0, "receive pages have leaked");
    check(free_.size() == boxes_.size(), "trains have leaked");
    for (auto &r : tx.ring) {
        check(!r.flying.head && !r.inflight && !r.tags && !r.n_tag, "a ring still counts trains");
    }
    for (auto &l : tx.lane)
        check(!l.queue.head && !l.out, "a lane still counts trains");
    for (auto &l : rx.lane)
        check(!l.n_held && !l.held_pages && !l.held[0] && !l.held[1], "a lane still holds trains");
}

std::string Node::state() const
{
    std::ostringstream s;
    s << "node " << number_ << ":";
    for (unsigned lane = 0; lane < TBIB_LANES; lane++)
        s << " lane " << lane << " pulled " << next_id_[lane] << " una " << tx.lane[lane].una
          << " next " << tx.lane[lane].next_seq << " rx " << rx.lane[lane].next << " held "
          << rx.lane[lane].n_held << (tx.lane[lane].queue.head ? " queue" : "") << ";";
    for (unsigned i = 0; i < rings.size(); i++)
        s << " ring " << i << (rings[i].up ? " up" : " down") << " sent " << tx.ring[i].sent
          << " limit " << tx.ring[i].limit << " inflight " << tx.ring[i].inflight << " tags "
          << int(tx.ring[i].n_tag) << " seen " << rx.ring[i].seen << " posted "
          << rings[i].posted.size() << ";";
    return s.str();
}

void Node::collect(TrunkSimStats &sum) const
{
    sum.trains += tx.stats.trains;
    sum.frames += tx.stats.frames;
    sum.packets += tx.stats.packets;
    sum.bytes += tx.stats.bytes;
    sum.retries += tx.stats.retries;
    sum.probes += tx.stats.probes;
    sum.control += tx.stats.ctrl;
    sum.duplicates += rx.stats.duplicate;
    sum.torn += rx.stats.torn;
    sum.gaps += rx.stats.gaps;
    sum.crc += rx.stats.crc;
    sum.stale += rx.stats.stale_cookie;
    sum.no_slot += rx.stats.no_slot;
}

} // namespace tbib::sim
