// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "test/lab/cable/clock.hpp"
#include "test/lab/cable/faults.hpp"
#include "test/lab/cable/plug_notifier.hpp"
#include "test/lab/cable/rate_limit.hpp"
#include "test/lab/cable/wire.hpp"
#include "test/lab/nhi/nhi.hpp"
#include "test/lab/nhi/pci_device.hpp"
#include "test/lab/router/router.hpp"

namespace tblab::cable {

class Cable;
class Host;

/** What hosts tell the fabric. */
class HostListener {
public:
    virtual ~HostListener() = default;
    virtual void tx_doorbell(Host& host, unsigned ring) = 0;
    virtual void tx_stopped(Host& host, unsigned ring) = 0;
    virtual void rx_posted(Host& host, unsigned ring) = 0;
    virtual void rx_changed(Host& host, unsigned ring) = 0;
    virtual void paths_changed(Host& host) = 0;
    virtual void config_changed(Host& host) = 0;
    /** NHI and router are in power-on state again. */
    virtual void was_reset(Host& host) = 0;
};

/** One USB4 port: the cable in it, and its hot plug events. */
struct Port {
    Cable* cable = nullptr;
    unsigned side = 0; ///< which end of the cable: 0 = a, 1 = b
    std::unique_ptr<PlugNotifier> notifier;
};

/** A data ring that waits for something the data plane will wake it for. */
struct TxState {
    std::optional<FrameFate> fate; ///< of the frame at its head, once decided
    unsigned in_flight = 0;        ///< frames of it on the wire or parked
    bool wire_full = false;        ///< waits for in_flight to shrink
};

struct RxState {
    std::deque<InFlight> parked;                ///< arrived, no buffer yet, in order
    std::vector<std::pair<Host*, unsigned>> waiters; ///< TX rings that found no buffer
};

/** A host's NHI and router, joined, and its place in the fabric. */
class Host : public nhi::Events, public router::Events {
public:
    Host(HostId id, const HostConfig& config, Clock& clock, HostListener& listener);

    /** A guest has connected or gone. Both leave the host in power-on state. */
    void attach(GuestMemory& memory, vfio_user::IrqSink& sink);
    void detach();
    bool attached() const { return sink != nullptr; }

    /** Sends a packet to the connection manager; queues it while the control
     *  ring has no buffer. @return false if the ring is off */
    bool send_control(std::uint8_t type, std::vector<std::byte> bytes);
    bool send_control(const router::ControlPacket& packet);
    /** Buffers were posted on the control ring. */
    void flush_control();
    void update_notifier(unsigned port);

    const HostId id;
    HostConfig config;
    nhi::Nhi nhi;
    router::Router router;
    nhi::PciDevice pci;
    vfio_user::IrqSink* sink = nullptr;
    std::vector<Port> ports;
    HostStats counters; ///< those that nhi does not keep itself

    // State of the data plane.
    std::uint32_t dirty = 0; ///< bit = TX ring with work, ring 0 included
    unsigned next_ring = 0;  ///< where the next turn begins
    std::vector<TxState> tx;
    std::vector<RxState> rx;
    RateLimit engine;
    std::uint32_t engine_waiters = 0; ///< bit = TX ring that waits for the engine

private:
    struct PendingPacket {
        std::uint8_t type;
        std::vector<std::byte> bytes;
    };
    static constexpr std::size_t max_pending = 256;

    // nhi::Events
    void tx_doorbell(unsigned ring) override { listener_.tx_doorbell(*this, ring); }
    void tx_stopped(unsigned ring) override { listener_.tx_stopped(*this, ring); }
    void rx_posted(unsigned ring) override { listener_.rx_posted(*this, ring); }
    void rx_changed(unsigned ring) override;
    void host_reset() override { power_on(); }
    // router::Events
    void config_changed() override { listener_.config_changed(*this); }
    void paths_changed() override { listener_.paths_changed(*this); }

    void power_on();

    HostListener& listener_;
    std::deque<PendingPacket> pending_; ///< to the connection manager
};

} // namespace tblab::cable
