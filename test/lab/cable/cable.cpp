// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/cable.hpp"

#include "test/lab/cable/host.hpp"

namespace tblab::cable {

Cable::Cable(CableId cable_id, End a, End b, Clock& clock,
             std::function<void(Cable&)> on_change)
    : id(cable_id), ends_{a, b}, clock_(clock), on_change_(std::move(on_change))
{
}

Cable::~Cable()
{
    if (training_)
        clock_.timers.cancel(*training_);
}

void Cable::set_plugged(bool plugged)
{
    plugged_ = plugged;
    evaluate();
}

bool Cable::can_be_up() const
{
    if (!plugged_)
        return false;
    for (const End& end : ends_) {
        const router::Router& router = end.host->router;
        if (!end.host->attached() || router.lane_disabled(end.port, 0) ||
            router.port_in_reset(end.port))
            return false;
    }
    return true;
}

void Cable::evaluate()
{
    const bool can = can_be_up();
    if (can && state_ == State::down)
        link_training();
    else if (!can && state_ != State::down)
        link_down();
    // Lane 1 may have been disabled or enabled meanwhile.
    constexpr unsigned lane_states[] = {router::state_unplugged, router::state_training,
                                        router::state_cl0};
    for (const End& end : ends_)
        end.host->router.set_lanes(end.port, lane_states[static_cast<unsigned>(state_)]);
    try_bonding();
}

void Cable::bounce()
{
    if (state_ != State::down)
        link_down();
    evaluate();
}

void Cable::link_training()
{
    state_ = State::training;
    training_ = clock_.after(training_time, [this] {
        training_.reset();
        link_up();
    });
    for (const End& end : ends_)
        end.host->router.set_lanes(end.port, router::state_training);
}

void Cable::link_up()
{
    state_ = State::up;
    ++link_ups;
    ++session;
    bool gen4 = true;
    for (const End& end : ends_)
        gen4 = gen4 && end.host->router.version() >= 2;
    for (const End& end : ends_)
        end.host->router.set_link_up(end.port, gen4);
    on_change_(*this);
}

void Cable::link_down()
{
    const bool was_up = up();
    state_ = State::down;
    if (training_)
        clock_.timers.cancel(*training_);
    training_.reset();
    for (const End& end : ends_)
        end.host->router.set_lanes(end.port, router::state_unplugged);
    if (was_up)
        on_change_(*this);
}

void Cable::try_bonding()
{
    if (!up())
        return;
    bool requested = false, ready = true;
    for (const End& end : ends_) {
        requested = requested || end.host->router.bonding_requested(end.port);
        ready = ready && end.host->router.both_lanes_target_dual(end.port);
    }
    if (!requested || !ready)
        return;
    for (const End& end : ends_) {
        end.host->router.set_width(end.port, 2);
        end.host->router.forget_bonding(end.port);
    }
}

} // namespace tblab::cable
