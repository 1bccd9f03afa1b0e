// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/cable/mini_driver.hpp"

namespace tblab::cable {

/** Two hosts with two cables' worth of ports, one cable between their ports 0. */
struct TwoHosts {
    Fabric fabric;
    CableId cable_id;
    std::unique_ptr<MiniDriver> a, b;

    explicit TwoHosts(unsigned version = 2, unsigned version_b = 0)
    {
        HostConfig config;
        config.router_version = version;
        fabric.add_host(config);
        config.router_version = version_b ? version_b : version;
        fabric.add_host(config);
        cable_id = fabric.add_cable(0, 0, 1, 0);
        a = std::make_unique<MiniDriver>(fabric, 0);
        b = std::make_unique<MiniDriver>(fabric, 1);
    }

    Cable& cable() { return fabric.cable(cable_id); }
    WireStats& wire(unsigned side = 0) { return cable().wires[side].stats; }
    void after(Time time) { fabric.run_until(fabric.clock().now + time); }

    /** Both guests there and enumerated, cable in, link up, events taken. */
    void bring_up()
    {
        a->probe();
        b->probe();
        a->enumerate();
        b->enumerate();
        cable().set_plugged(true);
        after(std::chrono::milliseconds(100));
        a->plug_events();
        b->plug_events();
    }
};

/** ... and a tunnel each way: ring 1 -> HopID 8 -> ring 1. */
struct Tunnel : TwoHosts {
    explicit Tunnel(unsigned version = 2) : TwoHosts(version)
    {
        bring_up();
        for (MiniDriver* driver : {a.get(), b.get()}) {
            driver->path_in(0, 8, 1);
            driver->path_out(1, 0, 8);
            driver->start_rx(1);
            driver->start_tx(1);
        }
    }
    void fault(const FaultSpec& spec) { fabric.set_fault(cable_id, Direction::a_to_b, spec); }
};

} // namespace tblab::cable
