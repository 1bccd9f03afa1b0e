// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "test/lab/emulator/types.hpp"

namespace tblab {

/**
 * The virtual Thunderbolt fabric: host routers that QEMU guests see as PCI
 * devices over vfio-user, and the cables between them.
 *
 * One thread inside serves all of it; every method may be called from any
 * thread, runs on that one, and has taken effect when it returns. Start a guest
 * with `-device {"driver":"vfio-user-pci","socket":{"type":"unix","path":SOCKET}}`
 * and a shared memfd as its RAM, after add_host(): QEMU connects at start.
 * A guest may exit and a new one connect to the same socket at any time.
 *
 * A method given an unknown id throws std::out_of_range.
 */
class Emulator {
public:
    Emulator();
    ~Emulator();
    Emulator(const Emulator&) = delete;
    Emulator& operator=(const Emulator&) = delete;

    /** Creates a host router that listens at config.socket.
     *  @throws std::invalid_argument, std::system_error */
    HostId add_host(const HostConfig& config);

    /** Lays a cable, unplugged. Ports count from 0; a port takes one cable.
     *  @throws std::invalid_argument if a port does not exist or is taken */
    CableId add_cable(HostId a, unsigned port_a, HostId b, unsigned port_b);

    void plug(CableId cable);
    void unplug(CableId cable);
    bool plugged(CableId cable) const;
    /** True when both hosts' lanes are in CL0. */
    bool link_up(CableId cable) const;

    /** Replaces the faults of one direction and restarts its frame count. */
    void set_fault(CableId cable, Direction direction, const FaultSpec& fault);
    void clear_faults();

    void set_option(HostId host, const HostOptions& options);
    /** The next `count` interrupt messages of the host are not delivered. */
    void lose_interrupt(HostId host, unsigned count = 1);
    /** Sends every vector of the host a message although nothing happened. */
    void spurious_interrupt(HostId host);

    /** True while a guest is connected to the host's socket. */
    bool attached(HostId host) const;
    /** True once the guest's driver has configured the router. */
    bool enumerated(HostId host) const;

    Stats stats() const;
    /** Sets all counters to zero. */
    void reset_stats();

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/** Statistics as one JSON document, for `tblab stats` and test logs. */
std::string to_json(const Stats& stats);

} // namespace tblab
