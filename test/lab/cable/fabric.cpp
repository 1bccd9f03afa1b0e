// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/fabric.hpp"

#include <algorithm>
#include <stdexcept>

namespace tblab::cable {

namespace {

/** A byte range of XDomain UUIDs that no real router uses as a prefix. */
constexpr std::uint64_t default_uid = 0x7462'6c61'6200'0000; // "tblab"
constexpr Time copy_gap = std::chrono::milliseconds(1); // of FaultSpec::service_repeat

} // namespace

Fabric::Fabric() : data_(clock_, [](Cable& cable) { cable.set_plugged(false); }) {}

HostId Fabric::add_host(HostConfig config)
{
    const auto id = static_cast<HostId>(hosts_.size());
    if (config.name.empty())
        config.name = "h" + std::to_string(id);
    if (config.uid == 0)
        config.uid = default_uid + id + 1;
    for (const auto& other : hosts_) {
        if (other->config.uid == config.uid)
            throw std::invalid_argument("two hosts with one uid");
    }
    hosts_.push_back(
        std::make_unique<Host>(id, config, clock_, static_cast<HostListener&>(*this)));
    return id;
}

CableId Fabric::add_cable(HostId a, unsigned port_a, HostId b, unsigned port_b)
{
    Host& host_a = host(a);
    Host& host_b = host(b);
    if (port_a >= host_a.ports.size() || port_b >= host_b.ports.size())
        throw std::invalid_argument("no such port");
    if (host_a.ports[port_a].cable || host_b.ports[port_b].cable ||
        (a == b && port_a == port_b))
        throw std::invalid_argument("port already has a cable");
    const auto id = static_cast<CableId>(cables_.size());
    cables_.push_back(std::make_unique<Cable>(id, End{&host_a, port_a}, End{&host_b, port_b},
                                              clock_,
                                              [this](Cable& cable) { link_changed(cable); }));
    host_a.ports[port_a].cable = cables_.back().get();
    host_a.ports[port_a].side = 0;
    host_b.ports[port_b].cable = cables_.back().get();
    host_b.ports[port_b].side = 1;
    return id;
}

void Fabric::set_fault(CableId id, Direction direction, const FaultSpec& fault)
{
    data_.set_fault(cable(id), static_cast<unsigned>(direction), fault);
}

void Fabric::clear_faults()
{
    for (const auto& cable : cables_) {
        for (unsigned side = 0; side < 2; ++side)
            data_.set_fault(*cable, side, FaultSpec{});
    }
}

void Fabric::set_option(HostId id, const HostOptions& options)
{
    Host& target = host(id);
    if (options.throttling) {
        target.config.throttling = *options.throttling;
        target.nhi.interrupts().set_throttling(*options.throttling);
    }
    if (options.overrun) {
        target.config.overrun = *options.overrun;
        data_.routes_changed(target); // those that wait for a buffer overrun now
    }
    if (options.frame_rate) {
        target.config.frame_rate = *options.frame_rate;
        target.engine.set(*options.frame_rate);
        data_.routes_changed(target);
    }
}

void Fabric::advance(Time now)
{
    clock_.now = std::max(clock_.now, now);
}

void Fabric::run()
{
    do {
        clock_.timers.run(clock_.now);
        for (const auto& host : hosts_) {
            pump_control(*host);
            data_.pump(*host);
        }
    } while (work_left());
    for (const auto& host : hosts_) {
        if (host->sink)
            host->nhi.interrupts().flush(clock_.now, *host->sink);
    }
}

bool Fabric::work_left() const
{
    // Work of one host may make work for another that had its turn before.
    return clock_.timers.next() <= clock_.now ||
           std::any_of(hosts_.begin(), hosts_.end(),
                       [](const auto& host) { return host->dirty != 0; });
}

Time Fabric::next_event() const
{
    Time next = clock_.timers.next();
    for (const auto& host : hosts_) {
        if (host->sink)
            next = std::min(next, host->nhi.interrupts().deadline());
    }
    return next;
}

void Fabric::run_until(Time until)
{
    run();
    for (Time next = next_event(); next <= until; next = next_event()) {
        advance(next);
        run();
    }
    advance(until);
}

void Fabric::tx_doorbell(Host& host, unsigned ring)
{
    host.dirty |= 1u << ring;
}

void Fabric::tx_stopped(Host& host, unsigned ring)
{
    data_.tx_stopped(host, ring);
}

void Fabric::rx_posted(Host& host, unsigned ring)
{
    if (ring == 0)
        host.flush_control();
    else
        data_.rx_posted(host, ring);
}

void Fabric::rx_changed(Host& host, unsigned ring)
{
    if (ring == 0)
        return;
    if (!host.nhi.rx_enabled(ring))
        data_.rx_stopped(host, ring);
    data_.routes_changed(host);
}

void Fabric::paths_changed(Host& host)
{
    data_.routes_changed(host);
}

void Fabric::config_changed(Host& host)
{
    for (unsigned port = 0; port < host.ports.size(); ++port) {
        if (Cable* cable = host.ports[port].cable)
            cable->evaluate();
        host.update_notifier(port);
    }
}

void Fabric::was_reset(Host& host)
{
    for (const Port& port : host.ports) {
        if (port.cable)
            port.cable->bounce();
    }
    data_.was_reset(host);
}

void Fabric::link_changed(Cable& cable)
{
    for (unsigned side = 0; side < 2; ++side)
        cable.end(side).host->update_notifier(cable.end(side).port);
    data_.link_changed(cable);
}

/** Takes packets from the control ring of a host. */
void Fabric::pump_control(Host& host)
{
    if (!(host.dirty & 1))
        return;
    host.dirty &= ~1u;
    nhi::Frame frame;
    while (host.nhi.tx_peek(0, frame)) {
        control_packet(host, frame);
        host.nhi.tx_complete(0);
    }
}

void Fabric::control_packet(Host& host, const nhi::Frame& frame)
{
    // A copy: the guest may change its buffer while we look at it.
    std::vector<std::byte> bytes;
    if (frame.length <= router::max_packet)
        bytes.assign(frame.data, frame.data + frame.length);
    const auto packet = router::decode(frame.eof, bytes);
    if (!packet) {
        ++host.counters.control_drops;
        return;
    }
    ++host.counters.control_in;
    const std::uint64_t route = packet->route();
    if (packet->type == router::PacketType::error) {
        // How the connection manager acknowledges a plug event.
        if (packet->dwords.size() < 3)
            return;
        const std::uint32_t word = packet->dwords[2];
        const auto port = host.router.port_of_lane0(word >> 8 & 0x3f);
        if (port && (word & 0xff) ==
                        static_cast<unsigned>(router::ErrorCode::plug_acknowledged))
            host.ports[*port].notifier->acknowledged(word >> 30 == 3);
        return;
    }
    if (route == 0) {
        if (const auto answer = host.router.handle(*packet))
            host.send_control(*answer);
        return;
    }
    const unsigned adapter = route & 0xff;
    if (const auto port = host.router.port_of_lane0(adapter)) {
        inter_domain(host, *port, *packet);
    } else if (packet->type == router::PacketType::read ||
               packet->type == router::PacketType::write) {
        host.send_control(
            router::make_error(route, router::ErrorCode::no_such_adapter, adapter));
    }
}

/** A packet that leaves the host through `port`. */
void Fabric::inter_domain(Host& host, unsigned port, const router::ControlPacket& packet)
{
    using router::ErrorCode;
    using router::PacketType;

    const bool config =
        packet.type == PacketType::read || packet.type == PacketType::write;
    const bool request = config || packet.type == PacketType::xdomain_request;
    const bool response = packet.type == PacketType::xdomain_response;
    if (!request && !response)
        return;
    const unsigned adapter = router::Router::lane0(port);
    const auto refuse = [&](ErrorCode code) {
        host.send_control(router::make_error(packet.route(), code, adapter));
    };
    Cable* cable = host.ports[port].cable;
    if (!cable || !cable->up()) {
        if (request || host.config.error_dead_response)
            refuse(ErrorCode::not_connected);
        return;
    }
    if (config) {
        // The far end belongs to another connection manager. This error makes
        // ours treat it as an XDomain.
        refuse(host.router.locked(port) ? ErrorCode::locked : ErrorCode::enumeration);
        return;
    }
    if (packet.route() >> 8)
        return; // nobody forwards XDomain packets beyond the neighbour
    carry(*cable, host.ports[port].side, packet);
}

/** Takes an XDomain packet to the other end of a cable. */
void Fabric::carry(Cable& cable, unsigned side, const router::ControlPacket& packet)
{
    Wire& wire = cable.wires[side];
    ++wire.stats.control;
    const ControlFate fate = wire.faults.next_control();
    if (fate.drop) {
        ++wire.stats.control_dropped;
        return;
    }
    const End& far = cable.end(1 - side);
    router::ControlPacket received = packet;
    received.dwords[0] = router::to_manager;
    received.dwords[1] = router::Router::lane0(far.port);
    std::vector<std::byte> bytes = router::encode(received);
    if (fate.corrupt) {
        ++wire.stats.control_corrupted;
        bytes.back() ^= std::byte{0xff};
    }
    const auto type = static_cast<std::uint8_t>(packet.type);
    const Time delay = wire.faults.spec().delay;
    const unsigned copies = router::is_discovery(packet) ? 0 : wire.faults.spec().service_repeat;
    for (unsigned i = 0; i <= copies; ++i)
        arrive(cable, *far.host, type, bytes, delay + i * copy_gap);
}

/** Gives a control packet to a host when it has been on the wire for @p delay. */
void Fabric::arrive(Cable& cable, Host& host, std::uint8_t type,
                    const std::vector<std::byte>& bytes, Time delay)
{
    if (delay.count() == 0) {
        host.send_control(type, bytes);
        return;
    }
    clock_.after(delay, [&cable, &host, type, bytes, session = cable.session] {
        if (cable.up() && cable.session == session)
            host.send_control(type, bytes);
    });
}

} // namespace tblab::cable
