// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "test/lab/emulator/types.hpp"
#include "test/lab/nhi/registers.hpp"
#include "test/lab/vfio_user/device.hpp"

namespace tblab::nhi {

/**
 * Interrupt status, mask, vectors and throttling of one NHI.
 *
 * A ring interrupt index is h for TX ring h and hops + h for RX ring h. An
 * index is *pending* when its status and enable bits are set and no message
 * has told so yet. It is told again once the driver has cleared the status or
 * has masked and unmasked it: a NAPI driver relies on the unmask firing for
 * frames that came while it was masked.
 *
 * A completion that comes after the message but before the driver's (posted,
 * so late) clear keeps the status set through that clear. Otherwise a driver
 * that has looked at the ring in between would never be told.
 */
class Interrupts {
public:
    explicit Interrupts(unsigned hops) : hops_(hops) {}

    void reset();
    void set_throttling(bool on) { throttling_ = on; }

    /** A completion with the interrupt flag. */
    void raise(unsigned index);
    /** RX ring `ring` had no buffer: status only, there is no message. */
    void raise_overflow(unsigned ring) { overflow_ |= 1u << ring; }

    std::uint32_t read(std::uint32_t offset);
    void write(std::uint32_t offset, std::uint32_t value);

    bool pending() const { return (status_ & enable_ & ~signalled_) != 0; }
    /** Sends the messages that are due at `now`. Vectors of pending messages
     *  that must wait set deadline(). */
    void flush(Time now, vfio_user::IrqSink& sink);
    /** When flush() has to be called again, Time::max() if not by time. */
    Time deadline() const { return deadline_; }

    void lose(unsigned count) { lose_ += count; }
    void spurious(vfio_user::IrqSink& sink);

    /** Counters; messages is indexed by ring interrupt index. */
    struct Counters {
        std::uint64_t messages = 0, lost = 0, throttled = 0;
        std::array<std::uint64_t, 2 * max_hops> by_index{};
    };
    const Counters& counters() const { return counters_; }
    void reset_counters() { counters_ = {}; }

private:
    std::uint32_t status_word(unsigned i) const;
    void clear_status(unsigned i, std::uint32_t bits);
    unsigned vector_of(unsigned index) const;
    void send(unsigned vector, std::uint64_t bits, Time now, vfio_user::IrqSink& sink);

    unsigned hops_;
    // Bit = ring interrupt index.
    std::uint64_t status_ = 0;
    std::uint64_t enable_ = 0;
    std::uint64_t signalled_ = 0; ///< a message has told of this status bit
    std::uint64_t newer_ = 0;     ///< completed since that message
    std::uint32_t overflow_ = 0;  ///< bit = RX ring
    std::uint32_t dma_misc_ = 0;
    std::array<std::uint32_t, 8> vector_map_{};
    std::array<std::uint32_t, vectors> throttle_{};
    std::array<Time, vectors> not_before_{};
    std::uint32_t waiting_ = 0; ///< bit = vector with a message held by throttling
    bool throttling_ = true;
    unsigned lose_ = 0;
    Time deadline_ = Time::max();
    Counters counters_;
};

} // namespace tblab::nhi
