// SPDX-License-Identifier: Apache-2.0
// The cables of a simulated trunk: sessions, outages, new epochs.
#pragma once

#include "trunk_node.hpp"

#include <functional>
#include <map>

namespace tbib::sim {

class Cables {
public:
    /// Calls @what at time @t of the simulation.
    using At = std::function<void(Time t, std::function<void()> what)>;

    Cables(const TrunkPlan &plan, Node &a, Node &b, PagePool &pool, TrunkSimStats &stats, Rng &rng,
           const Time &now, At at);
    Cables(const Cables &) = delete;

    /// All cables are plugged in; outages and resets begin when the plan has them.
    void start(bool faults);
    /// The last word: every cable is in, and nothing is lost any more.
    void heal();
    bool healed() const { return healed_; }
    Time healed_at() const { return healed_at_; }

private:
    void login(unsigned link, Time delay);
    void down(unsigned link, unsigned n);
    void drop_in_flight(unsigned link);
    void flap();
    void reset();
    Node &node(unsigned n) { return n ? b_ : a_; }

    const TrunkPlan &plan_;
    Node &a_, &b_;
    PagePool &pool_;
    TrunkSimStats &stats_;
    Rng &rng_;
    const Time &now_;
    At at_;
    std::vector<bool> cable_;
    std::map<unsigned, std::uint64_t> session_of_;
    std::uint64_t session_ = 0;
    Time healed_at_ = 0;
    bool healed_ = false;
};

} // namespace tbib::sim
