// SPDX-License-Identifier: Apache-2.0
#include "test/lab/router/router.hpp"

#include <stdexcept>

namespace tblab::router {

namespace {

constexpr std::uint32_t vendor = 0x1b36; // not in the driver's quirk lists
constexpr std::uint32_t device = 0x0fe4;
constexpr std::uint32_t vendor_device = vendor | device << 16;
constexpr unsigned lane_buffers = 120;
constexpr unsigned host_buffers = 28;
constexpr unsigned control_hop_credits = 2;

/** Which bits of a register the connection manager may write. */
struct Writable {
    unsigned first, last;
    std::uint32_t mask;
};

constexpr std::uint32_t all = ~0u;

constexpr Writable router_writable[] = {
    {router_cs_1, router_cs_1, 7u << 20}, // depth
    {2, router_cs_3, all},                // route, valid
    {router_cs_4, router_cs_4, 0xffff},   // notification timeout, CM version
    {router_cs_5, router_cs_5, all},
    {router_cs_9, router_cs_26, all},     // router operations
    {router_tmu + 1, router_tmu_end - 1, all},
};

constexpr Writable lane_writable[] = {
    {adp_cs_4, adp_cs_4, cs_4_locked | 0x3ff}, // lock, non-flow-controlled credits
    {adp_cs_5, adp_cs_5, cs_5_no_hot_plug},
    {lane_cs_1, lane_cs_1, 0xffff & ~lane_bonding},
    {cap_lane + 2, cap_lane + 2, all},
    {cap_tmu + 1, cap_tmu_end - 1, all},
};

/** Lane 0 of a port in addition. */
constexpr Writable port_writable[] = {
    {port_cs_1, cap_usb4 + 0x11, all}, // sideband command and data
    {port_cs_19, port_cs_19, all},
};

constexpr Writable host_writable[] = {
    {adp_cs_4, adp_cs_4, cs_4_locked | 0x3ff},
    {adp_cs_5, adp_cs_5, cs_5_no_hot_plug},
};

template <std::size_t N>
std::uint32_t writable(const Writable (&table)[N], unsigned offset)
{
    for (const Writable& entry : table) {
        if (offset >= entry.first && offset <= entry.last)
            return entry.mask;
    }
    return 0;
}

} // namespace

Router::Router(unsigned ports, unsigned hops, unsigned version, std::uint64_t uid,
               Events& events)
    : ports_(ports), hops_(hops), version_(version), uid_(uid), events_(events)
{
    if (ports < 1 || ports > 4)
        throw std::invalid_argument("ports must be 1..4");
    if (version < 1 || version > 2)
        throw std::invalid_argument("router version must be 1 or 2");
    reset();
}

void Router::reset()
{
    const unsigned count = host_adapter() + 1;
    adapters_.assign(count, Adapter{});
    paths_.assign(count, {});
    bonding_requested_.assign(ports_, false);
    reset_router_space();
    for (unsigned number = 1; number < count; ++number)
        reset_adapter(number);
}

void Router::reset_router_space()
{
    router_ = {};
    router_[0] = vendor_device;
    router_[router_cs_1] =
        router_tmu | host_adapter() << 8 | host_adapter() << 14 | 1u << 24; // revision 1
    router_[router_cs_4] = (version_ == 1 ? 0x20u : 0x40u) << 24;
    router_[router_cs_6] = cs_6_tns | cs_6_rr | cs_6_cr;
    router_[router_cs_7] = static_cast<std::uint32_t>(uid_);
    router_[router_cs_7 + 1] = static_cast<std::uint32_t>(uid_ >> 32);
    router_[router_tmu] = 3u << 8 | bit(30); // TMU, unidirectional capable
}

void Router::reset_adapter(unsigned number)
{
    Adapter& a = adapters_[number];
    const bool lane = number != host_adapter();
    const bool lane0 = lane && number % 2 == 1;
    const unsigned hop = max_hop(number);
    const std::uint32_t usb4_version = version_ == 1 ? 0x20 : 0x40;
    a[0] = vendor_device;
    a[1] = (lane ? cap_tmu : 0) | 1u << 24;
    a[adp_cs_2] = (lane ? type_lane : type_host_interface) | usb4_version << 24;
    a[adp_cs_3] = number << 20;
    a[adp_cs_4] = (lane ? lane_buffers : host_buffers) << 20;
    a[adp_cs_5] = hop | hop << 11 | cs_5_no_hot_plug;
    paths_[number].assign(2 * (hop + 1), 0);
    if (!lane)
        return;
    a[cap_tmu] = cap_lane | 3u << 8;
    const std::uint32_t speeds = version_ == 1 ? 0xc : 0xe;
    a[cap_lane] = (lane0 ? cap_usb4 : 0) | 1u << 8 | speeds << 16 | 3u << 20;
    a[lane_cs_1] = 0xc | 1u << 4; // target: Gen 2 or 3, single lane
    if (lane0) {
        a[cap_usb4] = 6u << 8;
        a[port_cs_18] = port_cs_18_bonding_enabled;
    }
    set_lane(number, state_unplugged);
    // HopID 0 is the control path: always there.
    paths_[number][0] = path_valid | control_hop_credits << 17;
}

unsigned Router::max_hop(unsigned adapter) const
{
    return adapter == host_adapter() ? hops_ - 1 : lane_max_hop;
}

std::optional<unsigned> Router::port_of_lane(unsigned adapter) const
{
    if (adapter == 0 || adapter >= host_adapter())
        return std::nullopt;
    return (adapter - 1) / 2;
}

std::optional<unsigned> Router::port_of_lane0(unsigned adapter) const
{
    return adapter % 2 == 1 ? port_of_lane(adapter) : std::nullopt;
}

std::optional<PathHop> Router::path(unsigned adapter, unsigned hop) const
{
    if (adapter >= paths_.size() || 2 * hop >= paths_[adapter].size())
        return std::nullopt;
    const std::uint32_t entry = paths_[adapter][2 * hop];
    if (!(entry & path_valid))
        return std::nullopt;
    return PathHop{entry >> 11 & 0x3f, entry & 0x7ff};
}

std::optional<ControlPacket> Router::handle(const ControlPacket& request)
{
    switch (request.type) {
    case PacketType::read:
    case PacketType::write: {
        if (request.dwords.size() < 3)
            return std::nullopt;
        const auto address = ConfigAddress::decode(request.dwords[2]);
        if (const auto error = check(address))
            return make_error(request.route(), *error, address.adapter);
        if (request.type == PacketType::read)
            return read(request);
        if (request.dwords.size() < 3 + address.length)
            return std::nullopt;
        return write(request);
    }
    case PacketType::reset:
        return ControlPacket{PacketType::reset,
                             {request.dwords[0] | to_manager, request.dwords[1]}};
    default:
        return std::nullopt;
    }
}

/** @return why an address cannot be accessed, if so */
std::optional<ErrorCode> Router::check(const ConfigAddress& address) const
{
    if (address.length == 0 || address.length > max_config_dwords)
        return ErrorCode::invalid_space;
    const unsigned end = address.offset + address.length;
    if (address.space == Space::router)
        return end <= router_size ? std::nullopt : std::optional(ErrorCode::invalid_space);
    if (address.adapter > host_adapter())
        return ErrorCode::no_such_adapter;
    std::size_t size = 0; // adapter 0 and the counters have no space
    if (address.adapter != 0 && address.space == Space::adapter)
        size = adapter_size;
    if (address.adapter != 0 && address.space == Space::path)
        size = paths_[address.adapter].size();
    return end <= size ? std::nullopt : std::optional(ErrorCode::invalid_space);
}

std::uint32_t Router::load(const ConfigAddress& address, unsigned i) const
{
    switch (address.space) {
    case Space::router:
        return router_[address.offset + i];
    case Space::adapter:
        return adapters_[address.adapter][address.offset + i];
    default:
        return paths_[address.adapter][address.offset + i];
    }
}

ControlPacket Router::read(const ControlPacket& request) const
{
    const auto address = ConfigAddress::decode(request.dwords[2]);
    std::uint32_t echo = request.dwords[2];
    // The driver learns its upstream adapter from here.
    if (address.space == Space::router)
        echo = (echo & ~(0x3fu << 19)) | host_adapter() << 19;
    ControlPacket response{PacketType::read,
                           {request.dwords[0] | to_manager, request.dwords[1], echo}};
    for (unsigned i = 0; i < address.length; ++i)
        response.dwords.push_back(load(address, i));
    return response;
}

ControlPacket Router::write(const ControlPacket& request)
{
    const auto address = ConfigAddress::decode(request.dwords[2]);
    for (unsigned i = 0; i < address.length; ++i) {
        const std::uint32_t value = request.dwords[3 + i];
        switch (address.space) {
        case Space::router:
            store_router(address.offset + i, value);
            break;
        case Space::adapter:
            store_adapter(address.adapter, address.offset + i, value);
            break;
        default:
            store_path(address.adapter, address.offset + i, value);
            break;
        }
    }
    ControlPacket response{
        PacketType::write,
        {request.dwords[0] | to_manager, request.dwords[1], request.dwords[2]}};
    if (address.space == Space::path)
        events_.paths_changed();
    else
        events_.config_changed();
    return response;
}

void Router::store_router(unsigned offset, std::uint32_t value)
{
    const std::uint32_t mask = writable(router_writable, offset);
    router_[offset] = (router_[offset] & ~mask) | (value & mask);
    if (offset == router_cs_5) {
        // Sleep ready follows the sleep bit at once.
        const bool sleep = value & cs_5_slp;
        router_[router_cs_6] = (router_[router_cs_6] & ~cs_6_slpr) | (sleep ? cs_6_slpr : 0);
    }
    if (offset == router_cs_26 && (value & cs_26_operation_valid))
        run_operation();
}

/** Router operations complete within the write that starts them. */
void Router::run_operation()
{
    std::uint32_t& control = router_[router_cs_26];
    const unsigned opcode = control & 0xffff;
    control = opcode; // valid and status cleared
    if (opcode != op_buffer_allocation) {
        control |= cs_26_not_supported;
        return;
    }
    // Baseline credits by index: maximal USB3, minimal DP aux and main, maximal
    // PCIe, maximal host interface. Zero leaves all lane credits to DMA paths.
    constexpr std::uint32_t allocation[] = {0, 0, 0, 0, 14};
    std::uint32_t index = 0;
    for (const std::uint32_t credits : allocation) {
        router_[router_cs_9 + index] = (index + 1) | credits << 16;
        ++index;
    }
    router_[router_cs_25] = index;
}

void Router::store_adapter(unsigned adapter, unsigned offset, std::uint32_t value)
{
    std::uint32_t& reg = adapters_[adapter][offset];
    const auto port = port_of_lane(adapter);
    const bool lane0 = port_of_lane0(adapter).has_value();
    std::uint32_t mask = port ? writable(lane_writable, offset)
                              : writable(host_writable, offset);
    if (lane0)
        mask |= writable(port_writable, offset);
    reg = (reg & ~mask) | (value & mask);
    if (!port)
        return;
    if (offset == lane_cs_1 && (value & lane_bonding))
        bonding_requested_[*port] = true; // the bit itself reads as zero
    if (lane0 && offset == port_cs_1 && (value & port_cs_1_pending)) {
        reg &= ~port_cs_1_pending;
        const unsigned target = value >> 16 & 7;
        constexpr unsigned retimer = 2;
        if (target == retimer)
            reg |= port_cs_1_no_response; // there is none: ends the driver's scan
    }
}

void Router::store_path(unsigned adapter, unsigned offset, std::uint32_t value)
{
    paths_[adapter][offset] = offset % 2 ? value & ~path_pending : value;
}

bool Router::enumerated() const
{
    return router_[router_cs_3] & cs_3_valid;
}

bool Router::hot_plug_enabled(unsigned port) const
{
    return !(adapters_[lane0(port)][adp_cs_5] & cs_5_no_hot_plug);
}

bool Router::locked(unsigned port) const
{
    return adapters_[lane0(port)][adp_cs_4] & cs_4_locked;
}

bool Router::lane_disabled(unsigned port, unsigned lane) const
{
    return adapters_[lane0(port) + lane][lane_cs_1] & lane_disable;
}

bool Router::port_in_reset(unsigned port) const
{
    return adapters_[lane0(port)][port_cs_19] & port_cs_19_reset;
}

bool Router::both_lanes_target_dual(unsigned port) const
{
    for (unsigned lane = 0; lane < 2; ++lane) {
        if ((adapters_[lane0(port) + lane][lane_cs_1] & lane_width_mask) != lane_width_dual)
            return false;
    }
    return true;
}

void Router::set_lane(unsigned adapter, unsigned state)
{
    std::uint32_t& reg = adapters_[adapter][lane_cs_1];
    if (reg & lane_disable)
        state = state_disabled;
    reg = (reg & ~(0xfu << lane_state_shift)) | state << lane_state_shift;
}

void Router::set_lanes(unsigned port, unsigned state)
{
    set_lane(lane0(port), state);
    set_lane(lane0(port) + 1, state);
    if (state != state_cl0) {
        set_width(port, 1);
        forget_bonding(port);
    }
}

void Router::set_link_up(unsigned port, bool gen4)
{
    set_lanes(port, state_cl0);
    for (unsigned lane = 0; lane < 2; ++lane) {
        std::uint32_t& reg = adapters_[lane0(port) + lane][lane_cs_1];
        reg &= ~(0xfu << lane_speed_shift);
        reg |= (gen4 ? speed_gen4 : speed_gen3) << lane_speed_shift;
    }
    // Gen 4 links are born with both lanes; Gen 3 lanes are bonded by the CMs.
    set_width(port, gen4 ? 2 : 1);
    adapters_[lane0(port)][adp_cs_4] |= cs_4_locked;
}

void Router::set_width(unsigned port, unsigned width)
{
    for (unsigned lane = 0; lane < 2; ++lane) {
        std::uint32_t& reg = adapters_[lane0(port) + lane][lane_cs_1];
        reg = (reg & ~(0x3fu << lane_current_width_shift)) | width << lane_current_width_shift;
    }
}

unsigned Router::width(unsigned port) const
{
    return adapters_[lane0(port)][lane_cs_1] >> lane_current_width_shift & 0x3f;
}

} // namespace tblab::router
