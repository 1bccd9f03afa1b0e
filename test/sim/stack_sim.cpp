// SPDX-License-Identifier: Apache-2.0
#include "stack_sim.hpp"

#include "trunk_cables.hpp"

#include <limits>
#include <stdexcept>

namespace tbib::sim {

namespace {

/// The same QPs as in rc_sim; the faults are the trunk's.
RcPlan make_stack_plan(u64 seed)
{
    RcPlan plan = make_rc_plan(seed);
    FabricPlan f{};

    f.latency_ns = 20000; // only how often a full queue is looked at
    f.missing_page = plan.fabric.missing_page;
    plan.fabric = f;
    return plan;
}

TrunkPlan make_carrier_plan(u64 seed)
{
    TrunkPlan plan = make_trunk_plan(seed);

    plan.trains = 0; // none of its own
    plan.hold = 0;
    return plan;
}

/// A node of the trunk whose trains are filled by QPs. It copies raw frames when the
/// ring reads them, since the pages under them change when their WQE has completed.
class Carrier : public Node {
  public:
    struct User {
        virtual ~User() = default;
        virtual void pull(u32 n, u32 lane, tbib_train& t) = 0;
        virtual void deliver(const tbib_rx_train& t) = 0;
        virtual void released(tbib_train& t, bool delivered) = 0;
    };

    Carrier(u32 number, const TrunkPlan& plan, const TrunkTraffic& none, PagePool& pool,
            TrunkSimStats& stats, Rng& rng, User& user)
        : Node(number, plan, none, pool, stats, rng), user_(user), index_(number)
    {
    }

  protected:
    TrainBox* pull(unsigned lane) override
    {
        TrainBox* box = take_box(lane);

        user_.pull(index_, lane, box->t);
        if (box->t.n_pkt) return box;
        put_box(box);
        return nullptr;
    }

    void release(TrainBox* box, bool delivered) override
    {
        release_raw(box->t);
        user_.released(box->t, delivered);
        put_box(box);
    }

    void deliver(tbib_rx_train* t) override
    {
        user_.deliver(*t);
        tbib_rx_train_free(&rx, t);
    }

    const std::uint8_t* raw_bytes(const tbib_raw& raw, Page& page) override
    {
        memcpy(page.data, raw.data, raw.len);
        return page.data;
    }

  private:
    User& user_;
    u32 index_;
};

class StackWorld : public QpWorld, private Carrier::User {
  public:
    StackWorld(const RcPlan& plan, const TrunkPlan& carrier, u64 messages)
        : QpWorld(plan, messages, TBIB_LANES), carrier_(carrier), trunk_rng_(plan.seed ^ 0xcab1e),
          none_(0, 0, 0), a_(0, carrier_, none_, pool_, trunk_stats_, trunk_rng_, *this),
          b_(1, carrier_, none_, pool_, trunk_stats_, trunk_rng_, *this), start_(now_),
          cables_(carrier_, a_, b_, pool_, trunk_stats_, trunk_rng_, time_,
                  [this](Time t, std::function<void()> what) { at(t, std::move(what)); })
    {
        cables_.start(true);
    }

    StackSimStats finish()
    {
        StackSimStats sum;

        sum.qp = run();
        if (!a_.quiet() || !b_.quiet())
            throw std::runtime_error("the trunk is not quiet\n" + a_.state() + "\n" + b_.state());
        a_.check_leaks();
        b_.check_leaks();
        if (pool_.live()) throw std::runtime_error("pages have leaked");
        a_.collect(trunk_stats_);
        b_.collect(trunk_stats_);
        trunk_stats_.virtual_ns = sum.qp.virtual_ns;
        sum.trunk = trunk_stats_;
        return sum;
    }

  private:
    void at(Time t, std::function<void()> what)
    {
        calls_.emplace(std::max(t, time_), std::move(what));
        step_at(std::max(t, time_));
    }

    /// Both nodes look at what is due at `t`, or earlier.
    void step_at(Time t)
    {
        if (t >= next_) return;
        next_ = t;
        schedule(t - time_, What::Way, ++step_, nullptr);
    }

    void kick(u32) override
    {
        time_ = now_ - start_;
        if (!stepping_) step_at(time_);
    }

    void way(u32 step, void*) override
    {
        if (step != step_) return; // an earlier one was scheduled later
        time_ = now_ - start_;
        next_ = std::numeric_limits<Time>::max();
        while (!calls_.empty() && calls_.begin()->first <= time_) {
            auto what = std::move(calls_.begin()->second);
            calls_.erase(calls_.begin());
            what();
        }
        // a step puts frames on the other's wires, so the other plans its wake anew
        stepping_ = true;
        a_.step(time_);
        b_.step(time_);
        a_.step(time_);
        stepping_ = false;
        stall();
        if (!calls_.empty()) step_at(calls_.begin()->first);
        Time wake = std::min(a_.wake(), b_.wake());
        if (wake != std::numeric_limits<Time>::max()) step_at(std::max(wake, time_ + 1));
    }

    /// Who still waits for room does so through no fault of the peer's.
    void stall()
    {
        for (auto& host : ready_)
            for (auto& lane : host)
                for (SimQp* q : lane)
                    tbib_qp_stalled(&q->core, true, now_);
    }

    void pull(u32 n, u32 lane, tbib_train& t) override { fill(n, lane, t); }
    void deliver(const tbib_rx_train& t) override { receive(t); }

    void released(tbib_train& t, bool delivered) override
    {
        stats_.trains++;
        stats_.packets += t.n_pkt;
        stats_.lost += !delivered;
        run_notes(t, delivered);
    }

    TrunkPlan carrier_;
    Rng trunk_rng_;
    TrunkTraffic none_;
    PagePool pool_;
    TrunkSimStats trunk_stats_;
    Carrier a_, b_;
    u64 start_;
    Time time_ = 0; ///< the trunk's: 0 at the start
    Time next_ = std::numeric_limits<Time>::max();
    u32 step_ = 0; ///< the newest that was scheduled
    bool stepping_ = false;
    std::multimap<Time, std::function<void()>> calls_;
    Cables cables_;
};

} // namespace

StackSimStats run_stack_sim(u64 seed, u64 messages)
{
    RcPlan plan = make_stack_plan(seed);
    try {
        return StackWorld(plan, make_carrier_plan(seed), messages).finish();
    } catch (const std::runtime_error& e) {
        throw std::runtime_error(std::string(e.what()) + " (" + describe(plan) + "; " +
                                 describe_trunk_sim(seed) + ")");
    }
}

} // namespace tbib::sim
