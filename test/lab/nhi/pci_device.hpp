// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "test/lab/nhi/nhi.hpp"
#include "test/lab/vfio_user/device.hpp"

namespace tblab::nhi {

/** The PCI function that a guest sees: configuration space, BAR0 with the
 *  NHI's registers and BAR2, where QEMU keeps the MSI-X table. */
class PciDevice : public vfio_user::Device {
public:
    /** @param on_reset called for a reset of the whole device */
    PciDevice(Nhi& nhi, bool intel_vendor, std::function<void()> on_reset);

    std::uint64_t region_size(unsigned region) const override;
    unsigned vectors() const override { return nhi::vectors; }
    void read(unsigned region, std::uint64_t offset, std::span<std::byte> data) override;
    void write(unsigned region, std::uint64_t offset,
               std::span<const std::byte> data) override;
    void reset() override;

private:
    void power_on();

    Nhi& nhi_;
    bool intel_vendor_;
    std::function<void()> on_reset_;
    std::array<std::uint8_t, 256> config_{};
};

} // namespace tblab::nhi
