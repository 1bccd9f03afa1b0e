// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "test/lab/cable/faults.hpp"
#include "test/lab/cable/rate_limit.hpp"
#include "test/lab/cable/timers.hpp"
#include "test/lab/nhi/registers.hpp"

namespace tblab::cable {

class Cable;

using FrameBuffer = std::array<std::byte, nhi::max_frame>;

/** Recycles frame buffers, so that frames cost no allocation. */
class BufferPool {
public:
    std::unique_ptr<FrameBuffer> get()
    {
        if (free_.empty())
            return std::make_unique<FrameBuffer>();
        auto buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
    }
    void put(std::unique_ptr<FrameBuffer> buffer) { free_.push_back(std::move(buffer)); }

private:
    std::vector<std::unique_ptr<FrameBuffer>> free_;
};

/** A frame that has left its TX ring and not reached an RX buffer. */
struct InFlight {
    Time arrival;
    std::unique_ptr<FrameBuffer> data;
    Cable* cable;
    unsigned side; ///< of the sender
    unsigned source_ring;
    unsigned lane; ///< 0 or 1
    unsigned hop;  ///< HopID on the wire
    std::uint32_t length;
    std::uint8_t sof, eof;
    bool corrupt;
    bool e2e;
    bool copy; ///< a duplicate: never waits for a buffer, not in in_flight
};

/** One direction of a cable. */
struct Wire {
    Faults faults;
    RateLimit rate;
    std::deque<InFlight> in_flight; ///< by arrival
    std::optional<Timers::Id> arrival_timer;
    std::optional<Timers::Id> rate_timer;
    std::uint32_t rate_waiters = 0; ///< bit = TX ring of the sending host
    WireStats stats;

    /** Frames go straight from guest to guest. */
    bool immediate() const
    {
        return in_flight.empty() && !rate.limited() && faults.spec().delay.count() == 0;
    }
};

} // namespace tblab::cable
