// SPDX-License-Identifier: Apache-2.0
#include "trunk_sim.hpp"

#include "trunk_node.hpp"

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
          cable_(plan_.links.size(), true)
    {
        a_.peer = &b_;
        b_.peer = &a_;
        for (Node *n : {&a_, &b_}) {
            n->cable = &cable_;
            n->faults = options.faults;
        }
    }

    TrunkSimStats run()
    {
        for (unsigned l = 0; l < plan_.links.size(); l++)
            login(l, 0);
        if (options_.faults && plan_.flap_every)
            at(plan_.flap_every, [this] { flap(); });
        if (options_.faults && plan_.reset_every)
            at(plan_.reset_every, [this] { reset(); });
        Time faults_end = options_.faults ? plan_.fault_ns : 0;
        at(faults_end, [this] { heal(); });
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

    bool done() const { return healed_ && a_.quiet() && b_.quiet(); }

    void loop()
    {
        std::uint64_t steps = 0;
        while (!done()) {
            if (!advance())
                throw std::runtime_error("nothing moves any more\n" + a_.state() + "\n" +
                                         b_.state());
            if ((healed_ && now_ > healed_at_ + heal_limit) || ++steps > max_steps)
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

    /// Each end brings a link up when it learns of the other's cookie.
    void login(unsigned link, Time delay)
    {
        std::uint32_t cookie[2] = {static_cast<std::uint32_t>(rng_()),
                                   static_cast<std::uint32_t>(rng_())};
        std::uint64_t session = ++session_;
        session_of_[link] = session;
        for (unsigned n = 0; n < 2; n++) {
            Time t = now_ + delay + (delay ? rng_.range(0, 500000) : 0);
            at(t, [=, this] {
                if (session_of_[link] != session)
                    return;
                for (unsigned r = 0; r < plan_.rings.size(); r++)
                    if (plan_.rings[r].link == link)
                        node(n).ring_up(r, cookie[n], cookie[1 - n], now_);
            });
        }
    }

    void down(unsigned link, unsigned n)
    {
        for (unsigned r = 0; r < plan_.rings.size(); r++)
            if (plan_.rings[r].link == link && node(n).rings[r].up)
                node(n).ring_down(r, now_);
    }

    void drop_in_flight(unsigned link)
    {
        bool stale = rng_.chance(plan_.stale); // they may arrive in the next session
        Time late = rng_.range(0, 6 * ms);
        for (unsigned r = 0; r < plan_.rings.size(); r++)
            for (Node *n : {&a_, &b_}) {
                if (plan_.rings[r].link != link)
                    continue;
                if (stale)
                    n->out[r].delay(late);
                else
                    n->out[r].clear(pool_);
            }
    }

    /// Cable out: each end notices on its own; then it comes back.
    void flap()
    {
        if (healed_)
            return;
        unsigned link = static_cast<unsigned>(rng_.below(plan_.links.size()));
        if (cable_[link]) {
            stats_.flaps++;
            cable_[link] = false;
            session_of_[link] = ++session_;
            drop_in_flight(link);
            for (unsigned n = 0; n < 2; n++)
                at(now_ + rng_.range(0, 2 * ms), [=, this] { down(link, n); });
            at(now_ + 2 * ms + rng_.range(1, plan_.outage_ns), [=, this] {
                if (cable_[link])
                    return;
                cable_[link] = true;
                login(link, 1);
            });
        }
        at(now_ + rng_.range(1, 2 * plan_.flap_every), [this] { flap(); });
    }

    /// One end has rebooted: every session ends, sequences start again.
    void reset()
    {
        if (healed_)
            return;
        stats_.resets++;
        for (unsigned l = 0; l < plan_.links.size(); l++) {
            session_of_[l] = ++session_;
            drop_in_flight(l);
            down(l, 0);
            down(l, 1);
        }
        a_.reset();
        b_.reset();
        for (unsigned l = 0; l < plan_.links.size(); l++)
            if (cable_[l])
                login(l, rng_.range(1, ms));
        at(now_ + rng_.range(1, 2 * plan_.reset_every), [this] { reset(); });
    }

    void heal()
    {
        healed_ = true;
        healed_at_ = now_;
        a_.faults = b_.faults = false;
        for (unsigned l = 0; l < plan_.links.size(); l++)
            if (!cable_[l]) {
                // both ends must have seen the outage before the next session
                at(now_ + 3 * ms, [=, this] {
                    if (cable_[l])
                        return;
                    cable_[l] = true;
                    login(l, 1);
                });
            }
    }

    Node &node(unsigned n) { return n ? b_ : a_; }

    TrunkSimOptions options_;
    TrunkPlan plan_;
    Rng rng_;
    TrunkTraffic traffic_;
    PagePool pool_;
    TrunkSimStats stats_;
    Node a_, b_;
    std::vector<bool> cable_;
    std::multimap<Time, std::function<void()>> events_;
    std::map<unsigned, std::uint64_t> session_of_;
    std::uint64_t session_ = 0;
    Time now_ = 0, healed_at_ = 0;
    bool healed_ = false, touched_ = true;
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
