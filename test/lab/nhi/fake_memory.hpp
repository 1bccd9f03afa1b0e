// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <vector>

#include "test/lab/nhi/registers.hpp"
#include "test/lab/vfio_user/device.hpp"
#include "test/lab/vfio_user/guest_memory.hpp"

namespace tblab {

/** Guest memory for tests: one range that does not begin at zero. */
class FakeMemory : public GuestMemory {
public:
    static constexpr std::uint64_t base = 0x100000;

    explicit FakeMemory(std::size_t size = 4u << 20) : bytes_(size) {}

    std::byte* translate(std::uint64_t address, std::size_t length, bool) override
    {
        if (address < base || address - base > bytes_.size() ||
            length > bytes_.size() - (address - base))
            return nullptr;
        return bytes_.data() + (address - base);
    }
    std::uint64_t generation() const override { return generation_; }
    void changed() { ++generation_; }

    std::byte* at(std::uint64_t address) { return bytes_.data() + (address - base); }
    nhi::Descriptor descriptor(std::uint64_t ring, unsigned index)
    {
        nhi::Descriptor d;
        std::memcpy(&d, at(ring + index * sizeof d), sizeof d);
        return d;
    }
    void set_descriptor(std::uint64_t ring, unsigned index, const nhi::Descriptor& d)
    {
        std::memcpy(at(ring + index * sizeof d), &d, sizeof d);
    }

private:
    std::vector<std::byte> bytes_;
    std::uint64_t generation_ = 1;
};

/** Counts interrupt messages. */
struct FakeIrqs : vfio_user::IrqSink {
    std::vector<unsigned> vectors;

    void signal(unsigned vector) override { vectors.push_back(vector); }
    std::size_t take()
    {
        const std::size_t n = vectors.size();
        vectors.clear();
        return n;
    }
};

} // namespace tblab
