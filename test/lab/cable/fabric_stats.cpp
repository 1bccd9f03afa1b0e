// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/fabric.hpp"

namespace tblab::cable {

namespace {

HostStats host_stats(Host& host)
{
    HostStats stats = host.counters;
    const nhi::Interrupts::Counters& interrupts = host.nhi.interrupts().counters();
    const unsigned hops = host.nhi.hops();
    stats.name = host.config.name;
    stats.attached = host.attached();
    stats.enumerated = host.router.enumerated();
    stats.reads = host.nhi.reads();
    stats.writes = host.nhi.writes();
    stats.interrupts = interrupts.messages;
    stats.interrupts_lost = interrupts.lost;
    stats.interrupts_throttled = interrupts.throttled;
    for (unsigned ring = 0; ring < hops; ++ring) {
        stats.tx.push_back(host.nhi.tx_stats(ring));
        stats.tx.back().interrupts = interrupts.by_index[ring];
        stats.rx.push_back(host.nhi.rx_stats(ring));
        stats.rx.back().interrupts = interrupts.by_index[hops + ring];
    }
    return stats;
}

CableStats cable_stats(const Cable& cable)
{
    CableStats stats;
    stats.a = cable.end(0).host->id;
    stats.port_a = cable.end(0).port;
    stats.b = cable.end(1).host->id;
    stats.port_b = cable.end(1).port;
    stats.plugged = cable.plugged();
    stats.up = cable.up();
    stats.width = cable.up() ? cable.end(0).host->router.width(cable.end(0).port) : 0;
    stats.link_ups = cable.link_ups;
    for (unsigned side = 0; side < 2; ++side)
        stats.direction[side] = cable.wires[side].stats;
    return stats;
}

} // namespace

Stats Fabric::stats() const
{
    Stats stats;
    for (const auto& host : hosts_)
        stats.hosts.push_back(host_stats(*host));
    for (const auto& cable : cables_)
        stats.cables.push_back(cable_stats(*cable));
    return stats;
}

void Fabric::reset_stats()
{
    for (const auto& host : hosts_) {
        host->counters = {};
        host->nhi.reset_stats();
    }
    for (const auto& cable : cables_) {
        cable->link_ups = 0;
        for (Wire& wire : cable->wires)
            wire.stats = {};
    }
}

} // namespace tblab::cable
