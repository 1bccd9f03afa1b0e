// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "test/lab/emulator/emulator.hpp"

namespace tblab {

namespace {

using nlohmann::ordered_json;

ordered_json ring_json(unsigned number, const RingStats& ring)
{
    return {{"ring", number},
            {"frames", ring.frames},
            {"bytes", ring.bytes},
            {"doorbells", ring.doorbells},
            {"interrupts", ring.interrupts},
            {"stalls", ring.stalls},
            {"drops", ring.drops},
            {"overruns", ring.overruns},
            {"crc_errors", ring.crc_errors},
            {"errors", ring.errors}};
}

/** Rings that were never used are left out. */
ordered_json rings_json(const std::vector<RingStats>& rings)
{
    ordered_json list = ordered_json::array();
    for (unsigned number = 0; number < rings.size(); ++number) {
        const RingStats& ring = rings[number];
        if (ring.frames || ring.doorbells || ring.drops || ring.errors)
            list.push_back(ring_json(number, ring));
    }
    return list;
}

ordered_json host_json(HostId id, const HostStats& host)
{
    return {{"host", id},
            {"name", host.name},
            {"attached", host.attached},
            {"enumerated", host.enumerated},
            {"reads", host.reads},
            {"writes", host.writes},
            {"interrupts", host.interrupts},
            {"interrupts_lost", host.interrupts_lost},
            {"interrupts_throttled", host.interrupts_throttled},
            {"control_in", host.control_in},
            {"control_out", host.control_out},
            {"control_drops", host.control_drops},
            {"plug_events", host.plug_events},
            {"unplug_events", host.unplug_events},
            {"tx", rings_json(host.tx)},
            {"rx", rings_json(host.rx)}};
}

ordered_json wire_json(const WireStats& wire)
{
    return {{"frames", wire.frames},
            {"bytes", wire.bytes},
            {"delivered", wire.delivered},
            {"dropped", wire.dropped},
            {"corrupted", wire.corrupted},
            {"duplicated", wire.duplicated},
            {"overruns", wire.overruns},
            {"control", wire.control},
            {"control_dropped", wire.control_dropped},
            {"control_corrupted", wire.control_corrupted}};
}

ordered_json cable_json(CableId id, const CableStats& cable)
{
    return {{"cable", id},
            {"a", {{"host", cable.a}, {"port", cable.port_a}}},
            {"b", {{"host", cable.b}, {"port", cable.port_b}}},
            {"plugged", cable.plugged},
            {"up", cable.up},
            {"width", cable.width},
            {"link_ups", cable.link_ups},
            {"a_to_b", wire_json(cable.direction[0])},
            {"b_to_a", wire_json(cable.direction[1])}};
}

} // namespace

std::string to_json(const Stats& stats)
{
    ordered_json hosts = ordered_json::array(), cables = ordered_json::array();
    for (HostId id = 0; id < stats.hosts.size(); ++id)
        hosts.push_back(host_json(id, stats.hosts[id]));
    for (CableId id = 0; id < stats.cables.size(); ++id)
        cables.push_back(cable_json(id, stats.cables[id]));
    return ordered_json{{"hosts", hosts}, {"cables", cables}}.dump(2);
}

} // namespace tblab
