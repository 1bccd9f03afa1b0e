// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "test/lab/router/control_packet.hpp"
#include "test/lab/router/registers.hpp"

namespace tblab::router {

/** What a router tells the fabric: its registers have changed. */
class Events {
public:
    virtual ~Events() = default;
    /** Router or adapter space was written: link, lock or hot plug bits may differ. */
    virtual void config_changed() = 0;
    /** A path entry was written. */
    virtual void paths_changed() = 0;
};

/** Where a path entry leads. */
struct PathHop {
    unsigned adapter;
    unsigned hop;
};

/**
 * One USB4 host router: its configuration spaces and what happens when the
 * connection manager of its host reads and writes them. No time, no I/O.
 *
 * Adapters: 0 is the control adapter (no configuration space), port k has lane
 * adapters 2k+1 and 2k+2, the last one is the host interface.
 */
class Router {
public:
    /** @param hops rings of the NHI @param version 1 or 2 */
    Router(unsigned ports, unsigned hops, unsigned version, std::uint64_t uid,
           Events& events);

    /** Power-on state; links are down. */
    void reset();

    /** Answers a packet with route 0. @return nothing for types without answer */
    std::optional<ControlPacket> handle(const ControlPacket& request);

    unsigned ports() const { return ports_; }
    unsigned version() const { return version_; }
    unsigned host_adapter() const { return 2 * ports_ + 1; }
    static unsigned lane0(unsigned port) { return 2 * port + 1; }
    /** @return the port whose lane 0 (or any lane) this adapter is */
    std::optional<unsigned> port_of_lane0(unsigned adapter) const;
    std::optional<unsigned> port_of_lane(unsigned adapter) const;

    /** The path that frames entering `adapter` with HopID `hop` take. */
    std::optional<PathHop> path(unsigned adapter, unsigned hop) const;

    // What the connection manager has asked for.
    bool enumerated() const;
    bool hot_plug_enabled(unsigned port) const;
    bool locked(unsigned port) const;
    bool lane_disabled(unsigned port, unsigned lane) const;
    bool port_in_reset(unsigned port) const;
    bool bonding_requested(unsigned port) const { return bonding_requested_[port]; }
    bool both_lanes_target_dual(unsigned port) const;

    // What the link tells the router.
    void set_lanes(unsigned port, unsigned state);
    void set_link_up(unsigned port, bool gen4);
    void set_width(unsigned port, unsigned width);
    void forget_bonding(unsigned port) { bonding_requested_[port] = false; }
    unsigned width(unsigned port) const;

private:
    using Adapter = std::array<std::uint32_t, adapter_size>;

    ControlPacket read(const ControlPacket& request) const;
    ControlPacket write(const ControlPacket& request);
    std::optional<ErrorCode> check(const ConfigAddress& address) const;
    std::uint32_t load(const ConfigAddress& address, unsigned i) const;
    void store_router(unsigned offset, std::uint32_t value);
    void store_adapter(unsigned adapter, unsigned offset, std::uint32_t value);
    void store_path(unsigned adapter, unsigned offset, std::uint32_t value);
    void run_operation();
    void reset_router_space();
    void reset_adapter(unsigned number);
    void set_lane(unsigned adapter, unsigned state);
    unsigned max_hop(unsigned adapter) const;

    unsigned ports_, hops_, version_;
    std::uint64_t uid_;
    Events& events_;
    std::array<std::uint32_t, router_size> router_{};
    std::vector<Adapter> adapters_;                 ///< indexed by adapter number
    std::vector<std::vector<std::uint32_t>> paths_; ///< of each adapter
    std::vector<bool> bonding_requested_;           ///< indexed by port
};

} // namespace tblab::router
