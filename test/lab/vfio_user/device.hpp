// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tblab::vfio_user {

/** The PCI device behind a session. Offsets and sizes are already checked
 *  against the region's size. */
class Device {
public:
    virtual ~Device() = default;

    /** @return the size of a region, 0 if it does not exist */
    virtual std::uint64_t region_size(unsigned region) const = 0;
    /** @return the number of MSI-X vectors */
    virtual unsigned vectors() const = 0;

    virtual void read(unsigned region, std::uint64_t offset, std::span<std::byte> data) = 0;
    virtual void write(unsigned region, std::uint64_t offset,
                       std::span<const std::byte> data) = 0;
    /** Power-on state: at the start of a machine and when it is reset. */
    virtual void reset() = 0;
};

/** Where a device sends its MSI-X messages. */
class IrqSink {
public:
    virtual ~IrqSink() = default;
    virtual void signal(unsigned vector) = 0;
};

} // namespace tblab::vfio_user
