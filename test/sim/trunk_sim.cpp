// SPDX-License-Identifier: Apache-2.0
#include "trunk_sim.hpp"

#include "trunk_cables.hpp"

#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>

namespace tbib::sim {

namespace {

constexpr Time ms = 1000000;
constexpr Time heal_limit = 5000 * ms;     ///< everything must have arrived by then
constexpr Time silence = 200 * ms;
constexpr std::uint64_t max_steps = 40000000;

class TrunkSim {
public:
    TrunkSim(std::uint64_t seed, const TrunkSimOptions &options)
        : options_(options), plan_(plan(seed, options)), rng_(seed),
          traffic_(seed, plan_.packets_max, plan_.raw_profile),
          a_(0, plan_, traffic_, pool_, stats_, rng_), b_(1, plan_, traffic_, pool_, stats_, rng_),
          cables_(plan_, a_, b_, pool_, stats_, rng_, now_,
                  [this](Time t, std::function<void()> what) { at(t, std::move(what)); })
    {
    }

    TrunkSimStats run()
    {
        cables_.start(options_.faults);
        loop();
        a_.check_leaks();
        b_.check_leaks();
        if (pool_.live())
            throw std::runtime_error("pages have leaked");
        check_silence();
        a_.collect(stats_);
        b_.collect(stats_);
        stats_.virtual_ns = now_;
        return stats_;
    }

private:
    static TrunkPlan plan(std::uint64_t seed, const TrunkSimOptions &options)
    {
        TrunkPlan p = make_trunk_plan(seed);
        if (options.trains)
            p.trains = options.trains;
        return p;
    }

    void at(Time t, std::function<void()> what) { events_.emplace(t, std::move(what)); }

    /// Runs what is due next. Return: false when nothing will ever happen again.
    bool advance()
    {
        Time next = std::min(a_.wake(), b_.wake());
        if (!events_.empty())
            next = std::min(next, events_.begin()->first);
        if (next == std::numeric_limits<Time>::max())
            return false;
        now_ = std::max(now_, next);
        while (!events_.empty() && events_.begin()->first <= now_) {
            auto what = std::move(events_.begin()->second);
            events_.erase(events_.begin());
            what();
            touched_ = true;
        }
        // a step puts frames on the other's wires, so the other plans its wake anew
        bool a = touched_ || a_.wake() <= now_, b = touched_ || b_.wake() <= now_;
        touched_ = false;
        if (a || b) {
            a_.step(now_);
            b_.step(now_);
        }
        return true;
    }

    bool done() const { return cables_.healed() && a_.quiet() && b_.quiet(); }

    void loop()
    {
        std::uint64_t steps = 0;
        while (!done()) {
            if (!advance())
                throw std::runtime_error("nothing moves any more\n" + a_.state() + "\n" +
                                         b_.state());
            if ((cables_.healed() && now_ > cables_.healed_at() + heal_limit) || ++steps > max_steps)
                throw std::runtime_error("not everything arrived in time\n" + a_.state() + "\n" +
                                         b_.state());
            if (options_.trace && steps % 100000 == 0)
                std::fprintf(stderr, "%llu ms\n%s\n%s\n",
                             static_cast<unsigned long long>(now_ / ms), a_.state().c_str(),
                             b_.state().c_str());
        }
    }

    /// A trunk without traffic must not talk to itself.
    void check_silence()
    {
        std::uint64_t before = a_.tx.stats.ctrl + b_.tx.stats.ctrl;
        Time end = now_ + silence;
        while (std::min(a_.wake(), b_.wake()) < end)
            advance();
        if (a_.tx.stats.ctrl + b_.tx.stats.ctrl > before + 8)
            throw std::runtime_error("control frames without end\n" + a_.state() + "\n" +
                                     b_.state());
    }

    TrunkSimOptions options_;
    TrunkPlan plan_;
    Rng rng_;
    TrunkTraffic traffic_;
    PagePool pool_;
    TrunkSimStats stats_;
    Node a_, b_;
    std::multimap<Time, std::function<void()>> events_;
    Time now_ = 0;
    bool touched_ = true;
    Cables cables_;
};

} // namespace

TrunkSimStats &TrunkSimStats::operator+=(const TrunkSimStats &o)
{
    trains += o.trains;
    frames += o.frames;
    packets += o.packets;
    bytes += o.bytes;
    retries += o.retries;
    probes += o.probes;
    control += o.control;
    duplicates += o.duplicates;
    torn += o.torn;
    gaps += o.gaps;
    crc += o.crc;
    stale += o.stale;
    no_slot += o.no_slot;
    lost_frames += o.lost_frames;
    overruns += o.overruns;
    flaps += o.flaps;
    resets += o.resets;
    dropped_trains += o.dropped_trains;
    virtual_ns += o.virtual_ns;
    return *this;
}

TrunkSimStats run_trunk_sim(std::uint64_t seed, const TrunkSimOptions &options)
{
    return TrunkSim(seed, options).run();
}

} // namespace tbib::sim
