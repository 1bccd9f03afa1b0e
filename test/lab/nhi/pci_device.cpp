// SPDX-License-Identifier: Apache-2.0
#include "test/lab/nhi/pci_device.hpp"

#include <cstring>

#include "test/lab/vfio_user/protocol.hpp"

namespace tblab::nhi {

namespace {

constexpr std::uint64_t bar2_size = 0x1000;
constexpr std::uint8_t msix_capability = 0x40;

} // namespace

PciDevice::PciDevice(Nhi& nhi, bool intel_vendor, std::function<void()> on_reset)
    : nhi_(nhi), intel_vendor_(intel_vendor), on_reset_(std::move(on_reset))
{
    power_on();
}

void PciDevice::power_on()
{
    config_ = {};
    const auto put16 = [this](unsigned at, unsigned value) {
        config_[at] = static_cast<std::uint8_t>(value);
        config_[at + 1] = static_cast<std::uint8_t>(value >> 8);
    };
    // Both device ids are unknown to the driver, which then matches by class.
    put16(0x00, intel_vendor_ ? 0x8086 : 0x1b36);
    put16(0x02, intel_vendor_ ? 0x7fff : 0x0fe4);
    put16(0x06, 0x0010); // status: capability list
    config_[0x08] = 1;   // revision
    config_[0x09] = 0x40; // class 0c0340: USB4 host interface
    config_[0x0a] = 0x03;
    config_[0x0b] = 0x0c;
    config_[0x10] = 0x04; // BAR0: 64-bit memory
    config_[0x18] = 0x04; // BAR2: 64-bit memory
    put16(0x2c, intel_vendor_ ? 0x8086 : 0x1b36);
    put16(0x2e, 0x0001);
    config_[0x34] = msix_capability;
    config_[msix_capability] = 0x11;
    put16(msix_capability + 2, nhi::vectors - 1);
    config_[msix_capability + 4] = 2; // table: BAR2 + 0
    put16(msix_capability + 8, 0x800 | 2); // pending bits: BAR2 + 0x800
}

std::uint64_t PciDevice::region_size(unsigned region) const
{
    switch (region) {
    case vfio_user::region_bar0:
        return bar0_size;
    case vfio_user::region_bar2:
        return bar2_size;
    case vfio_user::region_config:
        return config_.size();
    default:
        return 0;
    }
}

void PciDevice::read(unsigned region, std::uint64_t offset, std::span<std::byte> data)
{
    std::memset(data.data(), 0, data.size());
    if (region == vfio_user::region_config) {
        std::memcpy(data.data(), config_.data() + offset, data.size());
    } else if (region == vfio_user::region_bar0 && offset % 4 == 0) {
        for (std::size_t at = 0; at + 4 <= data.size(); at += 4) {
            const std::uint32_t value = nhi_.read(static_cast<std::uint32_t>(offset + at));
            std::memcpy(data.data() + at, &value, sizeof value);
        }
    }
}

void PciDevice::write(unsigned region, std::uint64_t offset, std::span<const std::byte> data)
{
    if (region == vfio_user::region_config) {
        // Command, interrupt line, BARs, MSI-X control: QEMU acts on them itself,
        // the identity above the BARs is read-only.
        for (std::size_t i = 0; i < data.size(); ++i) {
            const std::uint64_t at = offset + i;
            if (at == 4 || at == 5 || at == 0x3c || at == msix_capability + 3u)
                config_[at] = static_cast<std::uint8_t>(data[i]);
        }
    } else if (region == vfio_user::region_bar0 && offset % 4 == 0) {
        for (std::size_t at = 0; at + 4 <= data.size(); at += 4) {
            std::uint32_t value;
            std::memcpy(&value, data.data() + at, sizeof value);
            nhi_.write(static_cast<std::uint32_t>(offset + at), value);
        }
    }
}

void PciDevice::reset()
{
    power_on();
    on_reset_();
}

} // namespace tblab::nhi
