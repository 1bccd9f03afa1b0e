// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/plug_notifier.hpp"

namespace tblab::cable {

PlugNotifier::PlugNotifier(Clock& clock, std::function<bool(bool)> send)
    : clock_(clock), send_(std::move(send))
{
}

void PlugNotifier::reset()
{
    queue_.clear();
    reported_ = false;
    disarm();
}

void PlugNotifier::update(bool link_up, bool may_plug)
{
    if (link_up && may_plug && !reported_) {
        reported_ = true;
        push(false);
    } else if (!link_up && reported_) {
        reported_ = false;
        if (!queue_.empty() && !queue_.back().unplug && queue_.back().tries == 0)
            queue_.pop_back(); // nobody has heard of that plug
        else
            push(true);
    }
}

void PlugNotifier::acknowledged(bool unplug)
{
    if (!queue_.empty() && queue_.front().unplug == unplug && queue_.front().tries > 0)
        pop();
}

void PlugNotifier::control_ring_ready()
{
    if (!queue_.empty() && !timer_)
        transmit();
}

void PlugNotifier::push(bool unplug)
{
    queue_.push_back({unplug, 0});
    if (queue_.size() == 1)
        transmit();
}

void PlugNotifier::pop()
{
    disarm();
    queue_.pop_front();
    if (!queue_.empty())
        transmit();
}

void PlugNotifier::transmit()
{
    Event& event = queue_.front();
    if (event.tries >= max_tries) {
        pop();
        return;
    }
    if (!send_(event.unplug))
        return; // control_ring_ready() comes back to it
    ++event.tries;
    timer_ = clock_.after(interval, [this] {
        timer_.reset();
        transmit();
    });
}

void PlugNotifier::disarm()
{
    if (timer_)
        clock_.timers.cancel(*timer_);
    timer_.reset();
}

} // namespace tblab::cable
