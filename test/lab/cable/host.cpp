// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/host.hpp"

#include "test/lab/cable/cable.hpp"

namespace tblab::cable {

Host::Host(HostId id, const HostConfig& host_config, Clock& clock, HostListener& listener)
    : id(id), config(host_config),
      nhi(config.hops, config.router_version, static_cast<nhi::Events&>(*this)),
      router(config.ports, config.hops, config.router_version, config.uid,
             static_cast<router::Events&>(*this)),
      pci(nhi, config.intel_vendor, [this] { power_on(); }), ports(config.ports),
      tx(config.hops), rx(config.hops), listener_(listener)
{
    nhi.interrupts().set_throttling(config.throttling);
    engine.set(config.frame_rate);
    for (unsigned port = 0; port < config.ports; ++port) {
        ports[port].notifier = std::make_unique<PlugNotifier>(clock, [this, port](bool unplug) {
            if (!nhi.rx_enabled(0))
                return false;
            send_control(router::make_plug_event(router::Router::lane0(port), unplug));
            ++(unplug ? counters.unplug_events : counters.plug_events);
            return true;
        });
    }
}

void Host::attach(GuestMemory& memory, vfio_user::IrqSink& irqs)
{
    nhi.set_memory(&memory);
    sink = &irqs;
    power_on();
}

void Host::detach()
{
    nhi.set_memory(nullptr);
    sink = nullptr;
    power_on();
}

void Host::power_on()
{
    nhi.reset();
    router.reset();
    pending_.clear();
    for (Port& port : ports)
        port.notifier->reset();
    listener_.was_reset(*this);
}

void Host::rx_changed(unsigned ring)
{
    if (ring == 0) {
        pending_.clear();
        if (nhi.rx_enabled(0)) {
            for (Port& port : ports)
                port.notifier->control_ring_ready();
        }
    }
    listener_.rx_changed(*this, ring);
}

bool Host::send_control(const router::ControlPacket& packet)
{
    return send_control(static_cast<std::uint8_t>(packet.type), router::encode(packet));
}

bool Host::send_control(std::uint8_t type, std::vector<std::byte> bytes)
{
    if (!nhi.rx_enabled(0) || pending_.size() >= max_pending) {
        ++counters.control_drops;
        return false;
    }
    pending_.push_back({type, std::move(bytes)});
    flush_control();
    return true;
}

void Host::flush_control()
{
    while (!pending_.empty()) {
        const PendingPacket& packet = pending_.front();
        // SOF is zero, EOF is the type: the driver warns otherwise.
        const nhi::Frame frame{packet.bytes.data(),
                               static_cast<std::uint32_t>(packet.bytes.size()), 0,
                               packet.type};
        const nhi::RxResult result = nhi.rx_deliver(0, frame);
        if (result == nhi::RxResult::no_buffer)
            return;
        ++(result == nhi::RxResult::delivered ? counters.control_out : counters.control_drops);
        pending_.pop_front();
    }
}

void Host::update_notifier(unsigned port)
{
    const Cable* cable = ports[port].cable;
    ports[port].notifier->update(cable && cable->up(),
                                 router.enumerated() && router.hot_plug_enabled(port));
}

} // namespace tblab::cable
