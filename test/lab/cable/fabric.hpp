// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "test/lab/cable/cable.hpp"
#include "test/lab/cable/clock.hpp"
#include "test/lab/cable/data_plane.hpp"
#include "test/lab/cable/host.hpp"

namespace tblab::cable {

/**
 * All hosts and cables, and what passes between them: control packets, frames,
 * link state. One thread; time comes in by advance().
 *
 * A turn is: advance() to the present, let guests write their registers, run().
 * run() does all that is due, moves frames until no ring can make progress, and
 * only then sends interrupts, so that many frames share one.
 */
class Fabric : private HostListener {
public:
    Fabric();

    HostId add_host(HostConfig config);
    CableId add_cable(HostId a, unsigned port_a, HostId b, unsigned port_b);
    Host& host(HostId id) { return *hosts_.at(id); }
    const Host& host(HostId id) const { return *hosts_.at(id); }
    Cable& cable(CableId id) { return *cables_.at(id); }
    const Cable& cable(CableId id) const { return *cables_.at(id); }

    void set_fault(CableId cable, Direction direction, const FaultSpec& fault);
    void clear_faults();
    void set_option(HostId host, const HostOptions& options);

    Stats stats() const;
    void reset_stats();

    /** Moves time forward; nothing else happens. */
    void advance(Time now);
    /** Does everything that is due now. */
    void run();
    /** When run() must be called again at the latest; Time::max() if never. */
    Time next_event() const;
    /** advance() and run() through all events up to `until`: for tests. */
    void run_until(Time until);
    Clock& clock() { return clock_; }

private:
    // HostListener
    void tx_doorbell(Host& host, unsigned ring) override;
    void tx_stopped(Host& host, unsigned ring) override;
    void rx_posted(Host& host, unsigned ring) override;
    void rx_changed(Host& host, unsigned ring) override;
    void paths_changed(Host& host) override;
    void config_changed(Host& host) override;
    void was_reset(Host& host) override;

    void link_changed(Cable& cable);
    bool work_left() const;
    void pump_control(Host& host);
    void control_packet(Host& host, const nhi::Frame& frame);
    void inter_domain(Host& host, unsigned port, const router::ControlPacket& packet);
    void carry(Cable& cable, unsigned side, const router::ControlPacket& packet);
    void arrive(Cable& cable, Host& host, std::uint8_t type, const std::vector<std::byte>& bytes,
                Time delay);

    Clock clock_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::vector<std::unique_ptr<Cable>> cables_;
    DataPlane data_;
};

} // namespace tblab::cable
