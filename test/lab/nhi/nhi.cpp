// SPDX-License-Identifier: Apache-2.0
#include "test/lab/nhi/nhi.hpp"

#include <atomic>
#include <cstring>
#include <stdexcept>

namespace tblab::nhi {

namespace {

/** Descriptor indices of a 16-bit field never reach a ring of this size. */
constexpr std::uint32_t low_half = 0xffff;

struct DescriptorView {
    std::uint64_t address;
    std::uint32_t word;
};

/** Takes one copy: the guest may change the descriptor while we use it. */
DescriptorView load(const std::byte* at)
{
    DescriptorView view;
    std::memcpy(&view.address, at, sizeof view.address);
    std::memcpy(&view.word, at + offsetof(Descriptor, word), sizeof view.word);
    return view;
}

std::uint32_t length_of(std::uint32_t word)
{
    const std::uint32_t length = word & desc_length_mask;
    return length ? length : max_frame;
}

} // namespace

std::uint32_t Nhi::Ring::max_length() const
{
    const std::uint32_t length = size_word >> 16;
    return length ? length : max_frame;
}

void Nhi::Ring::stop()
{
    hw_index = driver_index = 0;
    overrun = false;
}

Nhi::Nhi(unsigned hops, unsigned router_version, Events& events)
    : hops_(hops), version_(router_version >= 2 ? version_2 : version_1), events_(events),
      tx_(hops), rx_(hops), interrupts_(hops)
{
    // For 17..31 the driver clears an RX ring's status bit in the wrong dword.
    if (hops < 2 || hops > max_hops || (hops > 16 && hops < 32))
        throw std::invalid_argument("hops must be 2..16 or 32");
}

void Nhi::reset()
{
    for (auto* rings : {&tx_, &rx_}) {
        for (Ring& ring : *rings) {
            const RingStats stats = ring.stats;
            ring = Ring{};
            ring.stats = stats;
        }
    }
    interrupts_.reset();
}

void Nhi::set_memory(GuestMemory* memory)
{
    memory_ = memory;
    for (auto* rings : {&tx_, &rx_}) {
        for (Ring& ring : *rings)
            ring.generation = 0;
    }
}

void Nhi::reset_stats()
{
    for (auto* rings : {&tx_, &rx_}) {
        for (Ring& ring : *rings)
            ring.stats = {};
    }
    interrupts_.reset_counters();
    reads_ = writes_ = 0;
}

std::uint32_t Nhi::read(std::uint32_t offset)
{
    ++reads_;
    offset &= ~3u;
    if (offset < tx_options)
        return read_ring(offset);
    if (offset < status)
        return read_options(offset);
    switch (offset) {
    case capabilities:
        return hops_ | version_ << 16;
    case nhi::reset:
        return 0; // the reset bit clears itself at once
    default:
        return interrupts_.read(offset);
    }
}

void Nhi::write(std::uint32_t offset, std::uint32_t value)
{
    ++writes_;
    offset &= ~3u;
    if (offset < tx_options)
        write_ring(offset, value);
    else if (offset < status)
        write_options(offset, value);
    else if (offset == nhi::reset && (value & reset_host_router))
        events_.host_reset();
    else
        interrupts_.write(offset, value);
}

std::uint32_t Nhi::read_ring(std::uint32_t offset) const
{
    const bool is_tx = offset < rx_ring;
    const std::uint32_t at = is_tx ? offset : offset - rx_ring;
    const std::uint32_t number = at / ring_stride;
    if (number >= hops_)
        return 0;
    const Ring& ring = (is_tx ? tx_ : rx_)[number];
    switch (at % ring_stride) {
    case ring_base_lo:
        return static_cast<std::uint32_t>(ring.base);
    case ring_base_hi:
        return static_cast<std::uint32_t>(ring.base >> 32);
    case ring_index:
        return is_tx ? ring.driver_index << 16 | ring.hw_index
                     : ring.hw_index << 16 | ring.driver_index;
    default:
        return ring.size_word;
    }
}

void Nhi::write_ring(std::uint32_t offset, std::uint32_t value)
{
    const bool is_tx = offset < rx_ring;
    const std::uint32_t at = is_tx ? offset : offset - rx_ring;
    const std::uint32_t number = at / ring_stride;
    if (number >= hops_)
        return;
    Ring& ring = (is_tx ? tx_ : rx_)[number];
    switch (at % ring_stride) {
    case ring_base_lo:
        ring.base = (ring.base & ~std::uint64_t{low_half | low_half << 16}) | value;
        ring.generation = 0;
        break;
    case ring_base_hi:
        ring.base = (ring.base & 0xffffffff) | std::uint64_t{value} << 32;
        ring.generation = 0;
        break;
    case ring_index:
        if (!(ring.options & option_enable))
            break; // a doorbell of a stopped ring means nothing
        ring.driver_index = is_tx ? value >> 16 : value & low_half;
        ++ring.stats.doorbells;
        if (is_tx)
            events_.tx_doorbell(number);
        else
            events_.rx_posted(number);
        break;
    default:
        ring.size_word = value;
        ring.generation = 0;
        if (ring.hw_index >= ring.size())
            ring.hw_index = 0;
        break;
    }
}

std::uint32_t Nhi::read_options(std::uint32_t offset) const
{
    const bool is_tx = offset < rx_options;
    const std::uint32_t at = offset - (is_tx ? tx_options : rx_options);
    const std::uint32_t number = at / options_stride;
    if (number >= hops_)
        return 0;
    const Ring& ring = (is_tx ? tx_ : rx_)[number];
    switch (at % options_stride) {
    case 0:
        return ring.options;
    case 4:
        return ring.pdf_masks;
    default:
        return 0;
    }
}

void Nhi::write_options(std::uint32_t offset, std::uint32_t value)
{
    const bool is_tx = offset < rx_options;
    const std::uint32_t at = offset - (is_tx ? tx_options : rx_options);
    const std::uint32_t number = at / options_stride;
    if (number >= hops_)
        return;
    Ring& ring = (is_tx ? tx_ : rx_)[number];
    if (at % options_stride == 4)
        ring.pdf_masks = value;
    if (at % options_stride != 0)
        return;
    const bool stopped = (ring.options & option_enable) && !(value & option_enable);
    ring.options = value;
    if (stopped)
        ring.stop();
    if (!is_tx)
        events_.rx_changed(number);
    else if (stopped)
        events_.tx_stopped(number);
}

/** @return the descriptor at the hardware index, or nullptr if the ring does
 *  not lie in guest memory */
std::byte* Nhi::descriptor(Ring& ring)
{
    if (!memory_)
        return nullptr;
    if (ring.generation != memory_->generation()) {
        // The low bits are reserved; the alignment is what atomic access needs.
        const std::uint64_t base = ring.base & ~std::uint64_t{sizeof(Descriptor) - 1};
        ring.descriptors = memory_->translate(base, ring.size() * sizeof(Descriptor), true);
        ring.generation = memory_->generation();
    }
    return ring.descriptors ? ring.descriptors + ring.hw_index * sizeof(Descriptor) : nullptr;
}

/** Gives a descriptor back to the driver and advances. */
void Nhi::complete(Ring& ring, std::byte* descriptor, std::uint32_t word, unsigned index)
{
    auto& target =
        *reinterpret_cast<std::uint32_t*>(descriptor + offsetof(Descriptor, word));
    std::atomic_ref<std::uint32_t>(target).store(word, std::memory_order_release);
    ring.hw_index = ring.hw_index + 1 < ring.size() ? ring.hw_index + 1 : 0;
    if (word & desc_interrupt)
        interrupts_.raise(index);
}

bool Nhi::tx_peek(unsigned number, Frame& frame)
{
    if (!tx_enabled(number))
        return false;
    Ring& ring = tx_[number];
    while (ring.hw_index != ring.driver_index && ring.driver_index < ring.size()) {
        std::byte* at = descriptor(ring);
        if (!at) {
            ++ring.stats.errors;
            ring.driver_index = ring.hw_index; // a broken ring makes no work
            return false;
        }
        const DescriptorView view = load(at);
        frame.length = length_of(view.word);
        frame.sof = view.word >> desc_sof_shift & 0xf;
        frame.eof = view.word >> desc_eof_shift & 0xf;
        frame.data = memory_->translate(view.address, frame.length, false);
        if (frame.data)
            return true;
        ++ring.stats.errors;
        complete(ring, at, view.word | desc_completed, number);
    }
    return false;
}

void Nhi::tx_complete(unsigned number)
{
    Ring& ring = tx_[number];
    std::byte* at = descriptor(ring);
    if (!at)
        return;
    const std::uint32_t word = load(at).word;
    ++ring.stats.frames;
    ring.stats.bytes += length_of(word);
    complete(ring, at, word | desc_completed, number);
}

bool Nhi::tx_e2e(unsigned ring) const
{
    return ring < hops_ && (tx_[ring].options & option_e2e);
}

RxResult Nhi::rx_deliver(unsigned number, const Frame& frame, std::uint32_t flags)
{
    if (!rx_enabled(number))
        return RxResult::no_ring;
    Ring& ring = rx_[number];
    const bool raw = ring.options & option_raw;
    const std::uint32_t sof_mask = ring.pdf_masks >> 16, eof_mask = ring.pdf_masks & low_half;
    if (frame.length > ring.max_length() ||
        (!raw && !((sof_mask >> frame.sof & 1) && (eof_mask >> frame.eof & 1)))) {
        ++ring.stats.drops;
        return RxResult::refused;
    }
    if (ring.hw_index == ring.driver_index || ring.driver_index >= ring.size())
        return RxResult::no_buffer;
    std::byte* at = descriptor(ring);
    if (!at) {
        ++ring.stats.errors;
        return RxResult::error;
    }
    const DescriptorView view = load(at);
    std::byte* buffer = memory_->translate(view.address, frame.length, true);
    if (buffer)
        std::memcpy(buffer, frame.data, frame.length);
    else
        flags |= desc_crc_error; // what has not been written must not be believed
    if (ring.overrun)
        flags |= desc_overrun;
    ring.overrun = false;
    if (flags & desc_crc_error)
        ++ring.stats.crc_errors;
    ++ring.stats.frames;
    ring.stats.bytes += frame.length;
    const std::uint32_t word = (frame.length & desc_length_mask) |
                               std::uint32_t{frame.eof} << desc_eof_shift |
                               std::uint32_t{frame.sof} << desc_sof_shift | flags |
                               desc_completed | (view.word & desc_interrupt);
    complete(ring, at, word, hops_ + number);
    if (buffer)
        return RxResult::delivered;
    ++ring.stats.errors;
    return RxResult::error;
}

void Nhi::rx_overrun(unsigned number)
{
    Ring& ring = rx_[number];
    ring.overrun = true;
    ++ring.stats.overruns;
    interrupts_.raise_overflow(number);
}

} // namespace tblab::nhi
