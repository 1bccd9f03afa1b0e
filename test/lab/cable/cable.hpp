// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <optional>

#include "test/lab/cable/clock.hpp"
#include "test/lab/cable/wire.hpp"

namespace tblab::cable {

class Host;

/** Where one end of a cable is plugged. */
struct End {
    Host* host;
    unsigned port;
};

/**
 * A cable and the link over it.
 *
 * The link is up iff the cable is plugged, both guests are there, and neither
 * router has disabled lane 0 or holds the port in reset. Whatever makes one of
 * these false or true, link_down() or link_up() changes *both* ends: a link that
 * is up at one end only confuses the connection managers for good.
 */
class Cable {
public:
    enum class State { down, training, up };

    Cable(CableId id, End a, End b, Clock& clock, std::function<void(Cable&)> on_change);
    ~Cable();
    Cable(const Cable&) = delete;
    Cable& operator=(const Cable&) = delete;

    void set_plugged(bool plugged);
    bool plugged() const { return plugged_; }
    bool up() const { return state_ == State::up; }
    State state() const { return state_; }

    /** A condition may have changed. */
    void evaluate();
    /** One end was reset: the link goes down, then perhaps trains again. */
    void bounce();
    /** Bonds the lanes if both connection managers want it. */
    void try_bonding();

    const End& end(unsigned side) const { return ends_[side]; }
    /** wires[0] leads from end 0 to end 1. */
    std::array<Wire, 2> wires;
    std::uint64_t link_ups = 0; ///< a counter for people
    std::uint64_t session = 0;  ///< changes with every link_up()
    const CableId id;

private:
    static constexpr Time training_time = std::chrono::milliseconds(100);

    bool can_be_up() const;
    void link_training();
    void link_up();
    void link_down();

    std::array<End, 2> ends_;
    Clock& clock_;
    std::function<void(Cable&)> on_change_;
    bool plugged_ = false;
    State state_ = State::down;
    std::optional<Timers::Id> training_;
};

} // namespace tblab::cable
