// SPDX-License-Identifier: Apache-2.0
#include "test/lab/nhi/interrupts.hpp"

#include <algorithm>
#include <bit>

namespace tblab::nhi {

void Interrupts::reset()
{
    status_ = enable_ = signalled_ = newer_ = 0;
    overflow_ = 0;
    dma_misc_ = 0;
    vector_map_ = {};
    throttle_ = {};
    not_before_ = {};
    waiting_ = 0;
    deadline_ = Time::max();
}

void Interrupts::raise(unsigned index)
{
    const std::uint64_t bit = std::uint64_t{1} << index;
    if (signalled_ & bit)
        newer_ |= bit;
    status_ |= bit;
}

/** Dword i of the linear array: TX, RX, then overflow bits. */
std::uint32_t Interrupts::status_word(unsigned i) const
{
    using Wide = unsigned __int128;
    const Wide all = Wide{status_} | (Wide{overflow_} << (2 * hops_));
    return static_cast<std::uint32_t>(all >> (32 * i));
}

void Interrupts::clear_status(unsigned i, std::uint32_t bits)
{
    using Wide = unsigned __int128;
    const Wide mask = Wide{bits} << (32 * i);
    const auto overflow = static_cast<std::uint32_t>(mask >> (2 * hops_));
    const auto rings = static_cast<std::uint64_t>(mask);
    overflow_ &= ~overflow;
    status_ &= ~(rings & ~newer_);
    signalled_ &= ~rings;
    newer_ &= ~rings;
}

unsigned Interrupts::vector_of(unsigned index) const
{
    return (vector_map_[index / 8] >> (4 * (index % 8))) & 0xf;
}

std::uint32_t Interrupts::read(std::uint32_t offset)
{
    if (offset >= status && offset < status_clear) {
        const unsigned i = (offset - status) / 4;
        const std::uint32_t value = status_word(i);
        if (!(dma_misc_ & dma_misc_no_read_clear))
            clear_status(i, value);
        return value;
    }
    if (offset >= enable && offset < enable_clear)
        return static_cast<std::uint32_t>(enable_ >> (8 * (offset - enable)));
    if (offset >= throttle && offset < throttle_end)
        return throttle_[(offset - throttle) / 4];
    if (offset >= vector_map && offset < vector_map_end)
        return vector_map_[(offset - vector_map) / 4];
    if (offset == dma_misc)
        return dma_misc_;
    return 0;
}

void Interrupts::write(std::uint32_t offset, std::uint32_t value)
{
    if (offset >= status_clear && offset < status_end) {
        clear_status((offset - status_clear) / 4, value);
    } else if (offset >= enable && offset < enable_end) {
        const unsigned shift = 8 * ((offset - enable) % 8);
        const std::uint64_t word = std::uint64_t{value} << shift;
        const std::uint64_t before = enable_;
        if (offset >= enable_clear)
            enable_ &= ~word;
        else
            enable_ = (enable_ & ~(std::uint64_t{0xffffffff} << shift)) | word;
        signalled_ &= ~(before & ~enable_); // masked: to be told again when unmasked
        newer_ &= signalled_;
    } else if (offset >= throttle && offset < throttle_end) {
        throttle_[(offset - throttle) / 4] = value;
    } else if (offset >= vector_map && offset < vector_map_end) {
        vector_map_[(offset - vector_map) / 4] = value;
    } else if (offset == dma_misc) {
        dma_misc_ = value;
    }
}

void Interrupts::flush(Time now, vfio_user::IrqSink& sink)
{
    deadline_ = Time::max();
    std::uint64_t left = status_ & enable_ & ~signalled_;
    if (!left) {
        waiting_ = 0;
        return;
    }
    std::array<std::uint64_t, vectors> bits{};
    std::uint32_t due = 0;
    for (; left; left &= left - 1) {
        const auto index = static_cast<unsigned>(std::countr_zero(left));
        const unsigned vector = vector_of(index);
        bits[vector] |= std::uint64_t{1} << index;
        due |= 1u << vector;
    }
    waiting_ &= due;
    for (; due; due &= due - 1) {
        const auto vector = static_cast<unsigned>(std::countr_zero(due));
        if (!throttling_ || now >= not_before_[vector]) {
            send(vector, bits[vector], now, sink);
            continue;
        }
        if (!(waiting_ & (1u << vector)))
            ++counters_.throttled;
        waiting_ |= 1u << vector;
        deadline_ = std::min(deadline_, not_before_[vector]);
    }
}

void Interrupts::send(unsigned vector, std::uint64_t bits, Time now, vfio_user::IrqSink& sink)
{
    waiting_ &= ~(1u << vector);
    not_before_[vector] = now + Time((throttle_[vector] & 0xffff) * throttle_unit_ns);
    newer_ &= ~bits;
    if (dma_misc_ & dma_misc_auto_clear)
        status_ &= ~bits; // Intel: the message consumes the status
    else
        signalled_ |= bits;
    if (lose_) {
        --lose_;
        ++counters_.lost;
        return;
    }
    ++counters_.messages;
    for (std::uint64_t left = bits; left; left &= left - 1)
        ++counters_.by_index[static_cast<unsigned>(std::countr_zero(left))];
    sink.signal(vector);
}

void Interrupts::spurious(vfio_user::IrqSink& sink)
{
    for (unsigned vector = 0; vector < vectors; ++vector)
        sink.signal(vector);
}

} // namespace tblab::nhi
