// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "test/lab/cable/fabric.hpp"
#include "test/lab/nhi/fake_memory.hpp"

namespace tblab::cable {

/** A frame as a driver's RX callback sees it. */
struct Received {
    std::vector<std::byte> data;
    unsigned sof = 0, eof = 0;
    bool crc_error = false;
    bool overrun = false;
};

/**
 * Plays a guest: memory, interrupts, and what the Thunderbolt driver does with
 * the registers, without any of its policy. One bump allocator, rings of 16.
 */
class MiniDriver {
public:
    static constexpr unsigned ring_size = 16;

    MiniDriver(Fabric& fabric, HostId host);

    /** Connects the guest and starts the control ring. */
    void probe();
    void disconnect() { self().detach(); }
    /** What the driver does to a v1 router at start: sets and clears DPR. */
    void reset_ports();
    /** Sets V and clears DHP: plug events are reported from now on. */
    void enumerate();

    // Control channel.
    void send_control(const router::ControlPacket& packet, bool break_crc = false);
    /** Takes the oldest packet received; checks its CRC. */
    std::optional<router::ControlPacket> receive_control();
    /** The next packet that is no plug event; runs the fabric first. */
    std::optional<router::ControlPacket> answer();
    std::uint32_t read(router::Space space, unsigned adapter, unsigned offset,
                       std::uint64_t route = 0);
    void write(router::Space space, unsigned adapter, unsigned offset, std::uint32_t value);
    /** @return the error code of a read, -1 if it succeeds */
    int read_error(std::uint64_t route, router::Space space, unsigned adapter,
                   unsigned offset);
    void acknowledge(unsigned adapter, bool unplug);
    /** Adapters of plug (+) and unplug (-) events received; acknowledges them. */
    std::vector<int> plug_events(bool acknowledge_them = true);
    unsigned bad_crcs() const { return bad_crcs_; }

    // Data rings.
    void start_tx(unsigned ring, std::uint32_t options = nhi::option_enable);
    void start_rx(unsigned ring, std::uint32_t options = nhi::option_enable,
                  unsigned sof_mask = 0xffff, unsigned eof_mask = 0xffff);
    void stop_tx(unsigned ring);
    void stop_rx(unsigned ring);
    /** Path entries of a tunnel that sends ring -> wire HopID through `port`. */
    void path_out(unsigned ring, unsigned port, unsigned hop);
    /** ... and of one that receives. */
    void path_in(unsigned port, unsigned hop, unsigned ring);
    void clear_path_in(unsigned port, unsigned hop);
    void post(unsigned ring, unsigned buffers);
    void send(unsigned ring, const std::vector<std::byte>& data, unsigned sof = 1,
              unsigned eof = 2);
    /** Frames of the TX ring that the hardware has completed so far. */
    unsigned completed(unsigned ring);
    std::vector<Received> receive(unsigned ring);

    Host& self() { return fabric_.host(id_); }
    nhi::Nhi& nhi() { return self().nhi; }
    FakeIrqs irqs;
    FakeMemory memory;

private:
    struct Ring {
        std::uint64_t descriptors = 0, buffers = 0;
        unsigned produced = 0; ///< next descriptor the driver fills
        unsigned seen = 0;     ///< next descriptor whose completion it looks for
        unsigned done = 0;     ///< TX completions in all
    };

    std::uint64_t allocate(std::size_t size);
    void program(Ring& ring, bool tx, unsigned number, std::uint32_t size_word);

    Fabric& fabric_;
    HostId id_;
    std::uint64_t free_ = FakeMemory::base;
    std::vector<Ring> tx_, rx_;
    std::deque<router::ControlPacket> events_;
    unsigned bad_crcs_ = 0;
};

/** Bytes that tell frames apart. */
std::vector<std::byte> pattern(std::size_t size, unsigned seed);

} // namespace tblab::cable
