// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "test/lab/emulator/types.hpp"
#include "test/lab/nhi/interrupts.hpp"
#include "test/lab/nhi/registers.hpp"
#include "test/lab/vfio_user/guest_memory.hpp"

namespace tblab::nhi {

/** One frame on its way; the bytes are in guest memory or on the wire. */
struct Frame {
    const std::byte* data = nullptr;
    std::uint32_t length = 0; ///< 1..max_frame
    std::uint8_t sof = 0;
    std::uint8_t eof = 0;
};

/** What the host interface tells the router above it. */
class Events {
public:
    virtual ~Events() = default;
    virtual void tx_doorbell(unsigned ring) = 0;
    virtual void tx_stopped(unsigned ring) = 0;
    /** Buffers were posted. */
    virtual void rx_posted(unsigned ring) = 0;
    /** The ring was started, stopped or given other options. */
    virtual void rx_changed(unsigned ring) = 0;
    /** The driver has reset the host router. */
    virtual void host_reset() = 0;
};

enum class RxResult {
    delivered,
    no_buffer, ///< the ring runs but has no free descriptor
    no_ring,   ///< the ring does not exist or is stopped
    refused,   ///< PDF filter or too long for the ring
    error,     ///< descriptor or buffer outside guest memory
};

/**
 * The register file and the DMA rings of one host interface. It moves single
 * frames between guest memory and its caller and knows nothing of routers.
 *
 * The guest may write anything into registers and descriptors: every index,
 * length and address is checked when it is used.
 */
class Nhi {
public:
    Nhi(unsigned hops, unsigned router_version, Events& events);

    /** Power-on state. The memory stays. */
    void reset();
    /** The guest's memory; nullptr: no guest. */
    void set_memory(GuestMemory* memory);

    std::uint32_t read(std::uint32_t offset);
    void write(std::uint32_t offset, std::uint32_t value);

    unsigned hops() const { return hops_; }
    Interrupts& interrupts() { return interrupts_; }
    const Interrupts& interrupts() const { return interrupts_; }

    /** Looks at the oldest frame of a TX ring. Frames with unusable descriptors
     *  are completed and skipped. @return false if there is none */
    bool tx_peek(unsigned ring, Frame& frame);
    /** Completes the frame that tx_peek() returned. */
    void tx_complete(unsigned ring);
    bool tx_enabled(unsigned ring) const { return enabled(tx_, ring); }
    bool tx_e2e(unsigned ring) const;

    /** Copies a frame into the next buffer of an RX ring.
     *  @param flags desc_crc_error or 0 */
    RxResult rx_deliver(unsigned ring, const Frame& frame, std::uint32_t flags = 0);
    /** A frame for this ring was lost for lack of a buffer. */
    void rx_overrun(unsigned ring);
    bool rx_enabled(unsigned ring) const { return enabled(rx_, ring); }

    RingStats& tx_stats(unsigned ring) { return tx_[ring].stats; }
    RingStats& rx_stats(unsigned ring) { return rx_[ring].stats; }
    std::uint64_t reads() const { return reads_; }
    std::uint64_t writes() const { return writes_; }
    void reset_stats();

private:
    struct Ring {
        std::uint64_t base = 0;
        std::uint32_t size_word = 0; ///< [15:0] entries, RX [31:16] maximal frame
        std::uint32_t options = 0;
        std::uint32_t pdf_masks = 0; ///< RX: [31:16] SOF, [15:0] EOF
        std::uint32_t driver_index = 0;
        std::uint32_t hw_index = 0;
        bool overrun = false; ///< RX: the next completion must say so
        std::byte* descriptors = nullptr; ///< cached translation of base
        std::uint64_t generation = 0;     ///< of that translation, 0 = none
        RingStats stats;

        std::uint32_t size() const { return size_word & 0xffff; }
        std::uint32_t max_length() const;
        void stop();
    };

    static bool enabled(const std::vector<Ring>& rings, unsigned ring)
    {
        return ring < rings.size() && (rings[ring].options & option_enable);
    }
    std::uint32_t read_ring(std::uint32_t offset) const;
    void write_ring(std::uint32_t offset, std::uint32_t value);
    std::uint32_t read_options(std::uint32_t offset) const;
    void write_options(std::uint32_t offset, std::uint32_t value);
    std::byte* descriptor(Ring& ring);
    void complete(Ring& ring, std::byte* descriptor, std::uint32_t word, unsigned index);

    unsigned hops_;
    unsigned version_;
    Events& events_;
    GuestMemory* memory_ = nullptr;
    std::vector<Ring> tx_, rx_;
    Interrupts interrupts_;
    std::uint64_t reads_ = 0, writes_ = 0;
};

} // namespace tblab::nhi
