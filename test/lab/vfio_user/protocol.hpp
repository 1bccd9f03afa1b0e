// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/**
 * The vfio-user wire format (docs/interop/vfio-user.rst of QEMU), as far as a
 * server needs it. All integers are little endian; so is every host we run on.
 */
namespace tblab::vfio_user {

enum class Command : std::uint16_t {
    version = 1,
    dma_map = 2,
    dma_unmap = 3,
    get_info = 4,
    get_region_info = 5,
    get_irq_info = 7,
    set_irqs = 8,
    region_read = 9,
    region_write = 10,
    reset = 13,
    region_write_multi = 15,
    device_feature = 16,
};

struct Header {
    std::uint16_t id;
    std::uint16_t command;
    std::uint32_t size; ///< of the whole message, header included
    std::uint32_t flags;
    std::uint32_t error;
};
static_assert(sizeof(Header) == 16);

inline constexpr std::uint32_t flag_type_mask = 0xf;
inline constexpr std::uint32_t flag_reply = 1;
inline constexpr std::uint32_t flag_no_reply = 1u << 4;
inline constexpr std::uint32_t flag_error = 1u << 5;

/** Most data of one region access, and so a bound on every message. */
inline constexpr std::uint32_t max_transfer = 1u << 20;
inline constexpr std::uint32_t max_message = max_transfer + 4096;
inline constexpr unsigned max_fds = 16;

struct Version {
    std::uint16_t major;
    std::uint16_t minor; ///< followed by NUL-terminated JSON
};
static_assert(sizeof(Version) == 4);

struct DmaMap {
    std::uint32_t argsz;
    std::uint32_t flags; ///< bit 0 readable, bit 1 writable by the device
    std::uint64_t offset;
    std::uint64_t address;
    std::uint64_t size;
};
static_assert(sizeof(DmaMap) == 32);

inline constexpr std::uint32_t dma_readable = 1;
inline constexpr std::uint32_t dma_writable = 2;

struct DmaUnmap {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint64_t address;
    std::uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24);

inline constexpr std::uint32_t unmap_all = 2;

struct DeviceInfo {
    std::uint32_t argsz;
    std::uint32_t flags; ///< bit 0 reset supported, bit 1 PCI
    std::uint32_t regions;
    std::uint32_t irqs;
};
static_assert(sizeof(DeviceInfo) == 16);

/** PCI indices of the VFIO interface (linux/vfio.h). */
inline constexpr unsigned pci_regions = 9;
inline constexpr unsigned pci_irqs = 5;
inline constexpr unsigned region_bar0 = 0;
inline constexpr unsigned region_bar2 = 2;
inline constexpr unsigned region_config = 7;
inline constexpr unsigned irq_msix = 2;
inline constexpr unsigned irq_error = 3;
inline constexpr unsigned irq_request = 4;

struct RegionInfo {
    std::uint32_t argsz;
    std::uint32_t flags; ///< bit 0 readable, bit 1 writable
    std::uint32_t index;
    std::uint32_t cap_offset;
    std::uint64_t size;
    std::uint64_t offset;
};
static_assert(sizeof(RegionInfo) == 32);

struct IrqInfo {
    std::uint32_t argsz;
    std::uint32_t flags; ///< bit 0: signalled by an eventfd
    std::uint32_t index;
    std::uint32_t count;
};
static_assert(sizeof(IrqInfo) == 16);

struct SetIrqs {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
};
static_assert(sizeof(SetIrqs) == 20);

inline constexpr std::uint32_t irq_data_none = 1u << 0;
inline constexpr std::uint32_t irq_data_eventfd = 1u << 2;
inline constexpr std::uint32_t irq_action_trigger = 1u << 5;

/** Head of REGION_READ, REGION_WRITE and their replies; data follows. */
struct RegionAccess {
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

/** REGION_WRITE_MULTI: a u64 count, then entries with the data inside. */
struct WriteMultiEntry {
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count;
    std::uint8_t data[8];
};
static_assert(sizeof(WriteMultiEntry) == 24);

} // namespace tblab::vfio_user
