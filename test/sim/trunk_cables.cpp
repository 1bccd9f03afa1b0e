// SPDX-License-Identifier: Apache-2.0
#include "trunk_cables.hpp"

namespace tbib::sim {

namespace {

constexpr Time ms = 1000000;

} // namespace

Cables::Cables(const TrunkPlan &plan, Node &a, Node &b, PagePool &pool, TrunkSimStats &stats,
               Rng &rng, const Time &now, At at)
    : plan_(plan), a_(a), b_(b), pool_(pool), stats_(stats), rng_(rng), now_(now),
      at_(std::move(at)), cable_(plan.links.size(), true)
{
    a_.peer = &b_;
    b_.peer = &a_;
    a_.cable = b_.cable = &cable_;
}

void Cables::start(bool faults)
{
    a_.faults = b_.faults = faults;
    for (unsigned l = 0; l < plan_.links.size(); l++)
        login(l, 0);
    if (faults && plan_.flap_every)
        at_(plan_.flap_every, [this] { flap(); });
    if (faults && plan_.reset_every)
        at_(plan_.reset_every, [this] { reset(); });
    at_(faults ? plan_.fault_ns : 0, [this] { heal(); });
}

/// Each end brings a link up when it learns of the other's cookie.
void Cables::login(unsigned link, Time delay)
{
    std::uint32_t cookie[2] = {static_cast<std::uint32_t>(rng_()),
                               static_cast<std::uint32_t>(rng_())};
    std::uint64_t session = ++session_;
    session_of_[link] = session;
    for (unsigned n = 0; n < 2; n++) {
        Time t = now_ + delay + (delay ? rng_.range(0, 500000) : 0);
        at_(t, [=, this] {
            if (session_of_[link] != session)
                return;
            for (unsigned r = 0; r < plan_.rings.size(); r++)
                if (plan_.rings[r].link == link)
                    node(n).ring_up(r, cookie[n], cookie[1 - n], now_);
        });
    }
}

void Cables::down(unsigned link, unsigned n)
{
    for (unsigned r = 0; r < plan_.rings.size(); r++)
        if (plan_.rings[r].link == link && node(n).rings[r].up)
            node(n).ring_down(r, now_);
}

void Cables::drop_in_flight(unsigned link)
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
void Cables::flap()
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
            at_(now_ + rng_.range(0, 2 * ms), [=, this] { down(link, n); });
        at_(now_ + 2 * ms + rng_.range(1, plan_.outage_ns), [=, this] {
            if (cable_[link])
                return;
            cable_[link] = true;
            login(link, 1);
        });
    }
    at_(now_ + rng_.range(1, 2 * plan_.flap_every), [this] { flap(); });
}

/// One end has rebooted: every session ends, sequences start again.
void Cables::reset()
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
    at_(now_ + rng_.range(1, 2 * plan_.reset_every), [this] { reset(); });
}

void Cables::heal()
{
    healed_ = true;
    healed_at_ = now_;
    a_.faults = b_.faults = false;
    for (unsigned l = 0; l < plan_.links.size(); l++)
        if (!cable_[l]) {
            // both ends must have seen the outage before the next session
            at_(now_ + 3 * ms, [=, this] {
                if (cable_[l])
                    return;
                cable_[l] = true;
                login(l, 1);
            });
        }
}

} // namespace tbib::sim
