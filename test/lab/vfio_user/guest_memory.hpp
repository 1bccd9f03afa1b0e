// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace tblab {

/** What a device sees of its guest's memory. */
class GuestMemory {
public:
    virtual ~GuestMemory() = default;

    /** @return where guest address `address` is mapped here, or nullptr unless
     *  all `length` bytes lie in one mapping that allows the access. Valid until
     *  generation() changes. */
    virtual std::byte* translate(std::uint64_t address, std::size_t length, bool write) = 0;

    /** Changes whenever an earlier translation may have become invalid. */
    virtual std::uint64_t generation() const = 0;
};

} // namespace tblab
