// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "test/lab/cable/cable.hpp"
#include "test/lab/cable/host.hpp"

namespace tblab::cable {

/**
 * Moves data frames: TX ring -> path entry of the host adapter -> lane adapter
 * and HopID -> cable -> path entry of the peer's lane adapter -> RX ring.
 *
 * A frame waits in its TX ring while the RX ring has no buffer, and for a TX
 * ring with E2E flow control also while there is no RX ring yet (credits are
 * what it waits for). Everything else that is in the way loses the frame: its
 * descriptor completes as if it had been sent.
 */
class DataPlane {
public:
    /** @param unplug pulls a cable, for FaultSpec::unplug_at */
    DataPlane(Clock& clock, std::function<void(Cable&)> unplug);

    /** Sends what can be sent of the data rings of `host`, some frames of each.
     *  Rings with more to do stay in host.dirty. */
    void pump(Host& host);

    void tx_stopped(Host& host, unsigned ring);
    void rx_posted(Host& host, unsigned ring);
    /** The RX ring or a path of the host is another one now. */
    void routes_changed(Host& host);
    void rx_stopped(Host& host, unsigned ring);
    void link_changed(Cable& cable);
    void was_reset(Host& host);
    void set_fault(Cable& cable, unsigned direction, const FaultSpec& fault);

private:
    enum class Step {
        sent, ///< the frame is off the ring, for better or worse
        wait, ///< it stays; something will mark the ring dirty again
    };
    /** Where a frame comes out, as far as it gets. */
    struct Route {
        Cable* cable = nullptr;
        unsigned side = 0;       ///< of the sender
        Host* peer = nullptr;
        unsigned lane = 0, hop = 0;
        bool arrives = false;    ///< `ring` exists and runs
        unsigned ring = 0;
    };
    enum class Outcome { delivered, dropped, no_buffer };

    void pump_ring(Host& host, unsigned ring);
    Step step(Host& host, unsigned ring, const nhi::Frame& frame);
    Step send_now(Host& host, unsigned ring, const nhi::Frame& frame, const Route& route);
    Step send_later(Host& host, unsigned ring, const nhi::Frame& frame, const Route& route);
    Route route(Host& host, unsigned ring) const;
    void find_ring(Route& route) const;
    void complete(Host& host, unsigned ring);
    FrameFate fate_of(Host& host, unsigned ring, Wire& wire);
    Outcome deliver(Host& peer, unsigned ring, const nhi::Frame& frame, bool corrupt,
                    bool may_overrun, Wire& wire);
    void put_on_wire(unsigned ring, const nhi::Frame& frame, const Route& route, Time arrival,
                     bool corrupt, bool e2e, bool copy);
    void arm_arrival(Cable& cable, unsigned side);
    void arrivals(Cable& cable, unsigned side);
    void arrive(InFlight&& flight);
    Outcome deliver_flight(Host& peer, unsigned ring, const InFlight& flight);
    void release(InFlight&& flight);
    void discard(std::deque<InFlight>& frames, const Cable* only = nullptr);
    void wait_for_rate(const Route& route, unsigned ring);
    void wait_for_engine(Host& host, unsigned ring);
    static void wake(Host& host);

    Clock& clock_;
    std::function<void(Cable&)> unplug_;
    BufferPool pool_;
    FrameBuffer scratch_; ///< where a frame is damaged
};

} // namespace tblab::cable
