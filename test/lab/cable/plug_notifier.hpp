// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "test/lab/cable/clock.hpp"

namespace tblab::cable {

/**
 * Hot plug events of one port: tells the connection manager that something was
 * plugged or unplugged until it has acknowledged it, one event at a time and in
 * order. An unplug is only told after its plug; a plug that has not been sent
 * when its link goes down again is not told at all.
 */
class PlugNotifier {
public:
    /** @param send sends one event packet; false if the control ring is off */
    PlugNotifier(Clock& clock, std::function<bool(bool unplug)> send);
    ~PlugNotifier() { reset(); }
    PlugNotifier(const PlugNotifier&) = delete;
    PlugNotifier& operator=(const PlugNotifier&) = delete;

    /** @param link_up state of the link
     *  @param may_plug the router is enumerated and hot plug events are enabled */
    void update(bool link_up, bool may_plug);
    void acknowledged(bool unplug);
    /** The control ring was started. */
    void control_ring_ready();
    void reset();

private:
    static constexpr Time interval = std::chrono::milliseconds(200);
    static constexpr unsigned max_tries = 20;

    struct Event {
        bool unplug;
        unsigned tries;
    };

    void push(bool unplug);
    void pop();
    void transmit();
    void disarm();

    Clock& clock_;
    std::function<bool(bool)> send_;
    std::deque<Event> queue_;
    std::optional<Timers::Id> timer_;
    bool reported_ = false; ///< a plug is told or will be, and no unplug after it
};

} // namespace tblab::cable
