// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/data_plane.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tblab::cable {

namespace {

/** Frames a ring may send before the next ring has its turn. */
constexpr unsigned quantum = 16;
/** Frames of one TX ring on a slow wire: bounds the memory a guest can take. */
constexpr unsigned max_in_flight = 512;

constexpr std::uint32_t bit(unsigned ring)
{
    return 1u << ring;
}

std::uint32_t data_rings(const Host& host)
{
    return (~0u >> (32 - host.nhi.hops())) & ~bit(0);
}

void count_on_wire(Wire& wire, const nhi::Frame& frame)
{
    ++wire.stats.frames;
    wire.stats.bytes += frame.length;
}

} // namespace

DataPlane::DataPlane(Clock& clock, std::function<void(Cable&)> unplug)
    : clock_(clock), unplug_(std::move(unplug))
{
}

void DataPlane::pump(Host& host)
{
    const unsigned hops = host.nhi.hops();
    const std::uint32_t mask = data_rings(host);
    if (!(host.dirty & mask))
        return;
    const unsigned begin = host.next_ring;
    bool first = true;
    for (unsigned i = 0; i < hops; ++i) {
        const unsigned ring = (begin + i) % hops;
        if (!(host.dirty & mask & bit(ring)))
            continue;
        if (std::exchange(first, false))
            host.next_ring = (ring + 1) % hops; // it is the last one next time
        pump_ring(host, ring);
    }
}

void DataPlane::pump_ring(Host& host, unsigned ring)
{
    for (unsigned n = 0; n < quantum; ++n) {
        nhi::Frame frame;
        if (!host.nhi.tx_peek(ring, frame)) {
            host.dirty &= ~bit(ring);
            return;
        }
        host.dirty &= ~bit(ring); // step() may mark it again, when it pulls a cable
        if (step(host, ring, frame) == Step::wait)
            return;
        host.dirty |= bit(ring);
    }
}

DataPlane::Step DataPlane::step(Host& host, unsigned ring, const nhi::Frame& frame)
{
    if (!host.engine.ready(clock_.now)) {
        wait_for_engine(host, ring);
        return Step::wait;
    }
    const Route to = route(host, ring);
    if (!to.cable) {
        ++host.nhi.tx_stats(ring).drops;
        complete(host, ring);
        return Step::sent;
    }
    if (!to.arrives && host.nhi.tx_e2e(ring)) {
        ++host.nhi.tx_stats(ring).stalls;
        return Step::wait; // no credits: routes_changed() wakes it
    }
    const Wire& wire = to.cable->wires[to.side];
    if (!wire.rate.ready(clock_.now)) {
        wait_for_rate(to, ring);
        return Step::wait;
    }
    const bool free = !to.arrives || to.peer->rx[to.ring].parked.empty();
    return wire.immediate() && free ? send_now(host, ring, frame, to)
                                    : send_later(host, ring, frame, to);
}

/** Copies from guest to guest. */
DataPlane::Step DataPlane::send_now(Host& host, unsigned ring, const nhi::Frame& frame,
                                    const Route& to)
{
    Wire& wire = to.cable->wires[to.side];
    const FrameFate fate = fate_of(host, ring, wire);
    const bool may_overrun = !host.nhi.tx_e2e(ring) &&
                             (to.peer->config.overrun || wire.faults.spec().overrun);
    const bool lost = fate.drop || fate.unplug;
    if (lost || !to.arrives) {
        ++wire.stats.dropped;
        if (!lost)
            ++host.nhi.tx_stats(ring).drops;
    } else {
        const Outcome outcome =
            deliver(*to.peer, to.ring, frame, fate.corrupt, may_overrun, wire);
        if (outcome == Outcome::no_buffer) {
            to.peer->rx[to.ring].waiters.emplace_back(&host, ring);
            ++host.nhi.tx_stats(ring).stalls;
            return Step::wait;
        }
        if (fate.duplicate && outcome == Outcome::delivered &&
            deliver(*to.peer, to.ring, frame, fate.corrupt, false, wire) ==
                Outcome::delivered)
            ++wire.stats.duplicated;
    }
    count_on_wire(wire, frame);
    complete(host, ring);
    if (fate.unplug)
        unplug_(*to.cable);
    return Step::sent;
}

/** Puts a copy on a wire with delay or rate, or behind frames that wait there. */
DataPlane::Step DataPlane::send_later(Host& host, unsigned ring, const nhi::Frame& frame,
                                      const Route& to)
{
    TxState& state = host.tx[ring];
    if (state.in_flight >= max_in_flight) {
        state.wire_full = true;
        ++host.nhi.tx_stats(ring).stalls;
        return Step::wait;
    }
    Wire& wire = to.cable->wires[to.side];
    const FrameFate fate = fate_of(host, ring, wire);
    const Time sent = wire.rate.take(clock_.now, std::uint64_t{frame.length} * 8);
    const Time arrival = sent + wire.faults.spec().delay;
    const bool e2e = host.nhi.tx_e2e(ring);
    if (fate.drop || fate.unplug) {
        ++wire.stats.dropped;
    } else {
        put_on_wire(ring, frame, to, arrival, fate.corrupt, e2e, false);
        ++state.in_flight;
        if (fate.duplicate)
            put_on_wire(ring, frame, to, arrival, fate.corrupt, e2e, true);
    }
    count_on_wire(wire, frame);
    complete(host, ring);
    if (fate.unplug)
        unplug_(*to.cable);
    return Step::sent;
}

DataPlane::Route DataPlane::route(Host& host, unsigned ring) const
{
    Route to;
    const auto first = host.router.path(host.router.host_adapter(), ring);
    if (!first)
        return to;
    const auto port = host.router.port_of_lane(first->adapter);
    if (!port)
        return to;
    Cable* cable = host.ports[*port].cable;
    if (!cable || !cable->up())
        return to;
    to.cable = cable;
    to.side = host.ports[*port].side;
    to.lane = first->adapter - router::Router::lane0(*port);
    to.hop = first->hop;
    find_ring(to);
    return to;
}

/** Follows the path through the receiving router. */
void DataPlane::find_ring(Route& to) const
{
    const End& far = to.cable->end(1 - to.side);
    to.peer = far.host;
    const unsigned adapter = router::Router::lane0(far.port) + to.lane;
    const auto last = far.host->router.path(adapter, to.hop);
    to.arrives = last && last->adapter == far.host->router.host_adapter() &&
                 last->hop != 0 && far.host->nhi.rx_enabled(last->hop);
    if (to.arrives)
        to.ring = last->hop;
}

void DataPlane::complete(Host& host, unsigned ring)
{
    host.tx[ring].fate.reset();
    host.engine.take(clock_.now, 1);
    host.nhi.tx_complete(ring);
}

/** A frame that waits for a buffer keeps the fate it was given first. */
FrameFate DataPlane::fate_of(Host& host, unsigned ring, Wire& wire)
{
    std::optional<FrameFate>& fate = host.tx[ring].fate;
    if (!fate)
        fate = wire.faults.touches_frames() ? wire.faults.next_frame() : FrameFate{};
    return *fate;
}

DataPlane::Outcome DataPlane::deliver(Host& peer, unsigned ring, const nhi::Frame& frame,
                                      bool corrupt, bool may_overrun, Wire& wire)
{
    nhi::Frame sent = frame;
    if (corrupt) {
        std::memcpy(scratch_.data(), frame.data, frame.length);
        scratch_[frame.length / 2] ^= std::byte{0x5a};
        sent.data = scratch_.data();
    }
    switch (peer.nhi.rx_deliver(ring, sent, corrupt ? nhi::desc_crc_error : 0)) {
    case nhi::RxResult::delivered:
        ++wire.stats.delivered;
        wire.stats.corrupted += corrupt;
        return Outcome::delivered;
    case nhi::RxResult::no_buffer:
        if (!may_overrun)
            return Outcome::no_buffer;
        peer.nhi.rx_overrun(ring);
        ++wire.stats.overruns;
        return Outcome::dropped;
    default:
        ++wire.stats.dropped;
        return Outcome::dropped;
    }
}

void DataPlane::put_on_wire(unsigned ring, const nhi::Frame& frame, const Route& to,
                            Time arrival, bool corrupt, bool e2e, bool copy)
{
    Wire& wire = to.cable->wires[to.side];
    if (!wire.in_flight.empty()) // a shorter delay than before overtakes nothing
        arrival = std::max(arrival, wire.in_flight.back().arrival);
    auto buffer = pool_.get();
    std::memcpy(buffer->data(), frame.data, frame.length);
    wire.in_flight.push_back({arrival, std::move(buffer), to.cable, to.side, ring, to.lane,
                              to.hop, frame.length, frame.sof, frame.eof, corrupt, e2e,
                              copy});
    arm_arrival(*to.cable, to.side);
}

void DataPlane::arm_arrival(Cable& cable, unsigned side)
{
    Wire& wire = cable.wires[side];
    if (wire.arrival_timer || wire.in_flight.empty())
        return;
    wire.arrival_timer =
        clock_.timers.at(wire.in_flight.front().arrival, [this, &cable, side] {
            cable.wires[side].arrival_timer.reset();
            arrivals(cable, side);
        });
}

void DataPlane::arrivals(Cable& cable, unsigned side)
{
    Wire& wire = cable.wires[side];
    while (!wire.in_flight.empty() && wire.in_flight.front().arrival <= clock_.now) {
        InFlight flight = std::move(wire.in_flight.front());
        wire.in_flight.pop_front();
        arrive(std::move(flight));
    }
    arm_arrival(cable, side);
}

void DataPlane::arrive(InFlight&& flight)
{
    Route to;
    to.cable = flight.cable;
    to.side = flight.side;
    to.lane = flight.lane;
    to.hop = flight.hop;
    find_ring(to);
    Wire& wire = flight.cable->wires[flight.side];
    if (!to.arrives) {
        ++wire.stats.dropped;
        release(std::move(flight));
        return;
    }
    std::deque<InFlight>& parked = to.peer->rx[to.ring].parked;
    const bool wait = !parked.empty() ||
                      deliver_flight(*to.peer, to.ring, flight) == Outcome::no_buffer;
    if (wait && !flight.copy)
        parked.push_back(std::move(flight));
    else
        release(std::move(flight));
}

DataPlane::Outcome DataPlane::deliver_flight(Host& peer, unsigned ring,
                                             const InFlight& flight)
{
    Wire& wire = flight.cable->wires[flight.side];
    const nhi::Frame frame{flight.data->data(), flight.length, flight.sof, flight.eof};
    const bool may_overrun =
        !flight.e2e && !flight.copy && (peer.config.overrun || wire.faults.spec().overrun);
    const Outcome outcome = deliver(peer, ring, frame, flight.corrupt, may_overrun, wire);
    if (flight.copy && outcome == Outcome::delivered)
        ++wire.stats.duplicated;
    return outcome;
}

void DataPlane::release(InFlight&& flight)
{
    if (!flight.copy) {
        Host& source = *flight.cable->end(flight.side).host;
        TxState& state = source.tx[flight.source_ring];
        --state.in_flight;
        if (state.wire_full) {
            state.wire_full = false;
            source.dirty |= bit(flight.source_ring);
        }
    }
    pool_.put(std::move(flight.data));
}

/** Loses frames; of one cable or all. */
void DataPlane::discard(std::deque<InFlight>& frames, const Cable* only)
{
    std::deque<InFlight> kept;
    for (InFlight& flight : frames) {
        if (only && flight.cable != only) {
            kept.push_back(std::move(flight));
            continue;
        }
        ++flight.cable->wires[flight.side].stats.dropped;
        release(std::move(flight));
    }
    frames = std::move(kept);
}

void DataPlane::wait_for_rate(const Route& to, unsigned ring)
{
    Wire& wire = to.cable->wires[to.side];
    wire.rate_waiters |= bit(ring);
    const Time free = wire.rate.wait();
    if (wire.rate_timer)
        return;
    Host& sender = *to.cable->end(to.side).host;
    wire.rate_timer = clock_.timers.at(free, [&wire, &sender] {
        wire.rate_timer.reset();
        sender.dirty |= std::exchange(wire.rate_waiters, 0);
    });
}

void DataPlane::wait_for_engine(Host& host, unsigned ring)
{
    const Time free = host.engine.wait();
    if (!host.engine_waiters) {
        clock_.timers.at(free, [&host] {
            host.dirty |= std::exchange(host.engine_waiters, 0);
        });
    }
    host.engine_waiters |= bit(ring);
}

void DataPlane::wake(Host& host)
{
    host.dirty |= data_rings(host);
}

void DataPlane::tx_stopped(Host& host, unsigned ring)
{
    host.dirty &= ~bit(ring);
    host.tx[ring].fate.reset();
    host.tx[ring].wire_full = false;
}

void DataPlane::rx_posted(Host& host, unsigned ring)
{
    RxState& state = host.rx[ring];
    while (!state.parked.empty()) {
        if (deliver_flight(host, ring, state.parked.front()) == Outcome::no_buffer)
            return;
        InFlight flight = std::move(state.parked.front());
        state.parked.pop_front();
        release(std::move(flight));
    }
    for (const auto& [sender, sender_ring] : state.waiters)
        sender->dirty |= bit(sender_ring);
    state.waiters.clear();
}

void DataPlane::rx_stopped(Host& host, unsigned ring)
{
    discard(host.rx[ring].parked);
}

void DataPlane::routes_changed(Host& host)
{
    wake(host);
    for (const Port& port : host.ports) {
        if (port.cable)
            wake(*port.cable->end(1 - port.side).host);
    }
}

void DataPlane::link_changed(Cable& cable)
{
    for (unsigned side = 0; side < 2; ++side) {
        Host& host = *cable.end(side).host;
        if (!cable.up()) {
            discard(cable.wires[side].in_flight);
            for (RxState& state : host.rx)
                discard(state.parked, &cable);
        }
        wake(host);
    }
}

void DataPlane::was_reset(Host& host)
{
    for (RxState& state : host.rx) {
        discard(state.parked);
        state.waiters.clear();
    }
    for (TxState& state : host.tx) {
        state.fate.reset();
        state.wire_full = false;
    }
    host.dirty = 0;
    routes_changed(host);
}

void DataPlane::set_fault(Cable& cable, unsigned side, const FaultSpec& fault)
{
    Wire& wire = cable.wires[side];
    wire.faults.set(fault);
    wire.rate.set(fault.rate);
    wake(*cable.end(side).host);
}

} // namespace tblab::cable
