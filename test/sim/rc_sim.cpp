// SPDX-License-Identifier: Apache-2.0
#include "rc_sim.hpp"

#include <algorithm>
#include <stdexcept>

namespace tbib::sim {

namespace {

/// A train on its way. What it carries is copied when it leaves, as a ring does.
struct Flight {
    TxTrain train;
    tbib_rx_train rx{};
    std::vector<u8> raw;
    u32 from = 0;
    bool lost = false;
    int uses = 0; ///< events that still refer to it
};

class FabricWorld : public QpWorld {
  public:
    FabricWorld(const RcPlan& plan, u64 messages) : QpWorld(plan, messages, 1) {}

  private:
    enum Kind : u32 { kArrive, kAcked, kEgress0, kEgress1 };

    void kick(u32 n) override
    {
        if (busy_[n]) return;
        busy_[n] = true;
        schedule(0, What::Way, kEgress0 + n, nullptr);
    }
    bool stalled(u32 n) const override { return stalled_[n]; }
    void way(u32 kind, void* who) override;
    void egress(u32 n);
    void transmit(Flight& f, u64 leaves);
    void reset_trunk();
    Flight& take_flight(u32 from);
    void put_flight(Flight& f);

    bool busy_[2] = {}; ///< the egress is sending or stalled
    bool stalled_[2] = {};
    u64 arrives_[2] = {}; ///< trains of one direction arrive in order
    std::vector<std::unique_ptr<Flight>> flights_;
    std::vector<Flight*> free_;
    std::vector<Flight*> flying_;
};

void FabricWorld::way(u32 kind, void* who)
{
    if (kind >= kEgress0) {
        egress(kind - kEgress0);
        return;
    }
    Flight& f = *static_cast<Flight*>(who);
    if (kind == kArrive) {
        if (!f.lost) receive(f.rx);
    } else {
        f.train.release();
        run_notes(f.train.t, !f.lost);
    }
    put_flight(f);
}

Flight& FabricWorld::take_flight(u32 from)
{
    if (free_.empty()) {
        flights_.push_back(std::make_unique<Flight>());
        free_.push_back(flights_.back().get());
    }
    Flight& f = *free_.back();
    free_.pop_back();
    f.train.open();
    f.raw.clear();
    f.from = from;
    f.lost = false;
    f.uses = 1;
    return f;
}

void FabricWorld::put_flight(Flight& f)
{
    if (--f.uses) return;
    std::erase(flying_, &f);
    free_.push_back(&f);
}

void FabricWorld::egress(u32 n)
{
    const FabricPlan& fp = plan_.fabric;
    Flight& f = take_flight(n);
    auto& ready = ready_[n][0];

    busy_[n] = true; // no kick while we are at it
    stalled_[n] = false;
    fill(n, 0, f.train.t);
    if (f.train.t.n_pkt)
        transmit(f, fp.train_ns);
    else
        put_flight(f);
    busy_[n] = !ready.empty();
    if (!busy_[n]) return;
    u64 pause = fp.train_ns;
    if (rng_.chance(fp.stall)) {
        pause += fp.stall_ns;
        stats_.stalls++;
        stalled_[n] = true;
        for (SimQp* q : ready)
            tbib_qp_stalled(&q->core, true, now_);
    }
    schedule(pause, What::Way, kEgress0 + n, nullptr);
}

void FabricWorld::transmit(Flight& f, u64 leaves)
{
    const FabricPlan& fp = plan_.fabric;
    tbib_train& t = f.train.t;
    u64 travel = leaves + fp.latency_ns + rng_.below(fp.jitter_ns + 1);
    u64 at = std::max(now_ + travel, arrives_[f.from]);

    stats_.trains++;
    stats_.packets += t.n_pkt;
    as_received(t, f.rx);
    f.lost = rng_.chance(fp.loss);
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
            arrives_[f.from] = at;
        }
        f.uses++;
        schedule(at - now_, What::Way, kArrive, &f);
        if (rng_.chance(fp.duplicate)) {
            f.uses++;
            schedule(at - now_ + rng_.below(4 * fp.latency_ns), What::Way, kArrive, &f);
            stats_.repeated++;
        }
    }
    // the neighbour acks whatever becomes of the train further on
    schedule(at - now_ + fp.latency_ns, What::Way, kAcked, &f);
    if (rng_.chance(fp.reset)) reset_trunk();
}

/// Everything in flight is lost.
void FabricWorld::reset_trunk()
{
    stats_.resets++;
    for (Flight* f : flying_)
        f->lost = true;
}

} // namespace

RcSimStats run_rc_sim(u64 seed, u64 messages)
{
    RcPlan plan = make_rc_plan(seed);
    try {
        return FabricWorld(plan, messages).run();
    } catch (const std::runtime_error& e) {
        throw std::runtime_error(std::string(e.what()) + " (" + describe(plan) + ")");
    }
}

} // namespace tbib::sim
