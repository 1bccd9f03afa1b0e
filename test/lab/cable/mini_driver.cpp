// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cable/mini_driver.hpp"

#include <cstring>
#include <stdexcept>

namespace tblab::cable {

using router::PacketType;
using router::Router;
using router::Space;

MiniDriver::MiniDriver(Fabric& fabric, HostId host)
    : fabric_(fabric), id_(host), tx_(fabric.host(host).nhi.hops()),
      rx_(fabric.host(host).nhi.hops())
{
}

std::uint64_t MiniDriver::allocate(std::size_t size)
{
    const std::uint64_t at = free_;
    free_ += (size + 4095) & ~std::size_t{4095};
    return at;
}

void MiniDriver::probe()
{
    free_ = FakeMemory::base;
    tx_.assign(tx_.size(), {});
    rx_.assign(rx_.size(), {});
    events_.clear();
    self().attach(memory, irqs);
    nhi().write(nhi::enable, 0xffffffff);
    // Every ring interrupt on a vector of its own, as far as they go.
    for (unsigned index = 0; index < 2 * nhi().hops(); ++index) {
        const std::uint32_t at = nhi::vector_map + 4 * (index / 8);
        nhi().write(at, nhi().read(at) | (index % nhi::vectors) << 4 * (index % 8));
    }
    start_tx(0, nhi::option_enable | nhi::option_raw);
    start_rx(0, nhi::option_enable | nhi::option_raw, 0, 0);
    post(0, 10);
}

void MiniDriver::reset_ports()
{
    for (unsigned port = 0; port < self().ports.size(); ++port) {
        const unsigned adapter = Router::lane0(port);
        write(Space::adapter, adapter, router::port_cs_19, router::port_cs_19_reset);
        fabric_.run_until(fabric_.clock().now + std::chrono::milliseconds(10));
        write(Space::adapter, adapter, router::port_cs_19, 0);
    }
}

void MiniDriver::enumerate()
{
    write(Space::router, 0, router::router_cs_3, router::cs_3_valid);
    for (unsigned port = 0; port < self().ports.size(); ++port)
        write(Space::adapter, Router::lane0(port), router::adp_cs_5, 0);
}

void MiniDriver::send_control(const router::ControlPacket& packet, bool break_crc)
{
    std::vector<std::byte> bytes = encode(packet);
    if (break_crc)
        bytes.back() ^= std::byte{1};
    const auto type = static_cast<unsigned>(packet.type);
    send(0, bytes, type, type);
}

std::optional<router::ControlPacket> MiniDriver::receive_control()
{
    for (const Received& frame : receive(0)) {
        if (auto packet = router::decode(static_cast<std::uint8_t>(frame.eof), frame.data))
            events_.push_back(std::move(*packet));
        else
            ++bad_crcs_;
    }
    if (events_.empty())
        return std::nullopt;
    auto packet = std::move(events_.front());
    events_.pop_front();
    return packet;
}

std::optional<router::ControlPacket> MiniDriver::answer()
{
    fabric_.run();
    std::deque<router::ControlPacket> put_back;
    std::optional<router::ControlPacket> found;
    while (auto packet = receive_control()) {
        if (!found && packet->type != PacketType::event)
            found = std::move(packet);
        else
            put_back.push_back(std::move(*packet));
    }
    events_ = std::move(put_back);
    return found;
}

std::uint32_t MiniDriver::read(Space space, unsigned adapter, unsigned offset,
                               std::uint64_t route)
{
    send_control({PacketType::read,
                  {static_cast<std::uint32_t>(route >> 32), static_cast<std::uint32_t>(route),
                   offset | 1u << 13 | adapter << 19 | static_cast<unsigned>(space) << 25}});
    const auto packet = answer();
    if (!packet || packet->type != PacketType::read || packet->dwords.size() != 4)
        throw std::runtime_error("configuration read failed");
    return packet->dwords[3];
}

void MiniDriver::write(Space space, unsigned adapter, unsigned offset, std::uint32_t value)
{
    send_control({PacketType::write,
                  {0, 0,
                   offset | 1u << 13 | adapter << 19 | static_cast<unsigned>(space) << 25,
                   value}});
    const auto packet = answer();
    if (!packet || packet->type != PacketType::write)
        throw std::runtime_error("configuration write failed");
}

int MiniDriver::read_error(std::uint64_t route, Space space, unsigned adapter,
                           unsigned offset)
{
    send_control({PacketType::read,
                  {static_cast<std::uint32_t>(route >> 32), static_cast<std::uint32_t>(route),
                   offset | 1u << 13 | adapter << 19 | static_cast<unsigned>(space) << 25}});
    const auto packet = answer();
    if (!packet)
        throw std::runtime_error("no answer");
    return packet->type == PacketType::error ? static_cast<int>(packet->dwords[2] & 0xff) : -1;
}

void MiniDriver::acknowledge(unsigned adapter, bool unplug)
{
    const unsigned code = static_cast<unsigned>(router::ErrorCode::plug_acknowledged);
    send_control({PacketType::error, {0, 0, code | adapter << 8 | (unplug ? 3u : 2u) << 30}});
    fabric_.run();
}

std::vector<int> MiniDriver::plug_events(bool acknowledge_them)
{
    std::vector<int> list;
    fabric_.run();
    while (auto packet = receive_control()) {
        if (packet->type != PacketType::event)
            continue;
        const std::uint32_t word = packet->dwords.at(2);
        const bool unplug = word >> 31;
        const unsigned adapter = word & 0x3f;
        list.push_back(unplug ? -static_cast<int>(adapter) : static_cast<int>(adapter));
        if (acknowledge_them)
            acknowledge(adapter, unplug); // may bring the next event
    }
    return list;
}

void MiniDriver::program(Ring& ring, bool tx, unsigned number, std::uint32_t size_word)
{
    if (!ring.descriptors) {
        ring.descriptors = allocate(ring_size * sizeof(nhi::Descriptor));
        ring.buffers = allocate(ring_size * nhi::max_frame);
    }
    ring.produced = ring.seen = 0;
    const std::uint32_t at = (tx ? nhi::tx_ring : nhi::rx_ring) + number * nhi::ring_stride;
    nhi().write(at + nhi::ring_base_lo, static_cast<std::uint32_t>(ring.descriptors));
    nhi().write(at + nhi::ring_base_hi, static_cast<std::uint32_t>(ring.descriptors >> 32));
    nhi().write(at + nhi::ring_size, size_word);
}

void MiniDriver::start_tx(unsigned ring, std::uint32_t options)
{
    program(tx_[ring], true, ring, ring_size);
    nhi().write(nhi::tx_options + ring * nhi::options_stride, options);
}

void MiniDriver::start_rx(unsigned ring, std::uint32_t options, unsigned sof_mask,
                          unsigned eof_mask)
{
    const std::uint32_t max_frame = options & nhi::option_raw ? 0x100u << 16 : 0;
    program(rx_[ring], false, ring, ring_size | max_frame);
    const std::uint32_t at = nhi::rx_options + ring * nhi::options_stride;
    nhi().write(at + 4, sof_mask << 16 | eof_mask);
    nhi().write(at, options);
}

void MiniDriver::stop_tx(unsigned ring)
{
    nhi().write(nhi::tx_options + ring * nhi::options_stride, 0);
}

void MiniDriver::stop_rx(unsigned ring)
{
    nhi().write(nhi::rx_options + ring * nhi::options_stride, 0);
}

void MiniDriver::path_out(unsigned ring, unsigned port, unsigned hop)
{
    write(Space::path, self().router.host_adapter(), 2 * ring,
          router::path_valid | Router::lane0(port) << 11 | hop);
}

void MiniDriver::path_in(unsigned port, unsigned hop, unsigned ring)
{
    write(Space::path, Router::lane0(port), 2 * hop,
          router::path_valid | self().router.host_adapter() << 11 | ring);
}

void MiniDriver::clear_path_in(unsigned port, unsigned hop)
{
    write(Space::path, Router::lane0(port), 2 * hop, 0);
}

void MiniDriver::post(unsigned number, unsigned buffers)
{
    Ring& ring = rx_[number];
    for (; buffers; --buffers) {
        memory.set_descriptor(ring.descriptors, ring.produced,
                              {ring.buffers + ring.produced * nhi::max_frame,
                               nhi::desc_posted | nhi::desc_interrupt, 0});
        ring.produced = (ring.produced + 1) % ring_size;
    }
    nhi().write(nhi::rx_ring + number * nhi::ring_stride + nhi::ring_index, ring.produced);
}

void MiniDriver::send(unsigned number, const std::vector<std::byte>& data, unsigned sof,
                      unsigned eof)
{
    Ring& ring = tx_[number];
    const std::uint64_t buffer = ring.buffers + ring.produced * nhi::max_frame;
    std::memcpy(memory.at(buffer), data.data(), data.size());
    const auto length = static_cast<std::uint32_t>(data.size());
    memory.set_descriptor(ring.descriptors, ring.produced,
                          {buffer,
                           (length & nhi::desc_length_mask) | eof << nhi::desc_eof_shift |
                               sof << nhi::desc_sof_shift | nhi::desc_posted |
                               nhi::desc_interrupt,
                           0});
    ring.produced = (ring.produced + 1) % ring_size;
    nhi().write(nhi::tx_ring + number * nhi::ring_stride + nhi::ring_index,
                ring.produced << 16);
}

unsigned MiniDriver::completed(unsigned number)
{
    Ring& ring = tx_[number];
    while (ring.seen != ring.produced &&
           (memory.descriptor(ring.descriptors, ring.seen).word & nhi::desc_completed)) {
        ring.seen = (ring.seen + 1) % ring_size;
        ++ring.done;
    }
    return ring.done;
}

std::vector<Received> MiniDriver::receive(unsigned number)
{
    Ring& ring = rx_[number];
    std::vector<Received> list;
    while (ring.seen != ring.produced) {
        const nhi::Descriptor d = memory.descriptor(ring.descriptors, ring.seen);
        if (!(d.word & nhi::desc_completed))
            break;
        Received frame;
        const std::uint32_t field = d.word & nhi::desc_length_mask;
        const std::byte* data = memory.at(d.address);
        frame.data.assign(data, data + (field ? field : nhi::max_frame));
        frame.eof = d.word >> nhi::desc_eof_shift & 0xf;
        frame.sof = d.word >> nhi::desc_sof_shift & 0xf;
        frame.crc_error = d.word & nhi::desc_crc_error;
        frame.overrun = d.word & nhi::desc_overrun;
        list.push_back(std::move(frame));
        ring.seen = (ring.seen + 1) % ring_size;
    }
    if (number == 0 && !list.empty())
        post(0, static_cast<unsigned>(list.size())); // the control ring is kept full
    return list;
}

std::vector<std::byte> pattern(std::size_t size, unsigned seed)
{
    std::vector<std::byte> data(size);
    for (std::size_t i = 0; i < size; ++i)
        data[i] = static_cast<std::byte>(i * 7 + seed * 131 + (i >> 8));
    return data;
}

} // namespace tblab::cable
