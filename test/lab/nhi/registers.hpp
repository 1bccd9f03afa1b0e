// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/**
 * Register file of a USB4 host interface (BAR0) and its descriptors, as the
 * Linux driver (drivers/thunderbolt/nhi_regs.h) uses them.
 */
namespace tblab::nhi {

inline constexpr std::uint32_t bar0_size = 0x40000;
inline constexpr unsigned max_hops = 32;
inline constexpr unsigned vectors = 16;

// Ring descriptor registers: 16 bytes a ring.
inline constexpr std::uint32_t tx_ring = 0x00000;
inline constexpr std::uint32_t rx_ring = 0x08000;
inline constexpr std::uint32_t ring_stride = 16;
inline constexpr std::uint32_t ring_base_lo = 0;
inline constexpr std::uint32_t ring_base_hi = 4;
inline constexpr std::uint32_t ring_index = 8;
inline constexpr std::uint32_t ring_size = 12;

// Ring option registers: 32 bytes a ring.
inline constexpr std::uint32_t tx_options = 0x19800;
inline constexpr std::uint32_t rx_options = 0x29800;
inline constexpr std::uint32_t options_stride = 32;
inline constexpr std::uint32_t option_enable = 1u << 31;
inline constexpr std::uint32_t option_raw = 1u << 30;
inline constexpr std::uint32_t option_e2e = 1u << 28;

// Interrupts: TX rings, then RX rings, then (status only) RX overflow.
inline constexpr std::uint32_t status = 0x37800;
inline constexpr std::uint32_t status_clear = 0x37808;
inline constexpr std::uint32_t status_end = 0x37814;
inline constexpr std::uint32_t enable = 0x38200;
inline constexpr std::uint32_t enable_clear = 0x38208;
inline constexpr std::uint32_t enable_end = 0x38210;
inline constexpr std::uint32_t throttle = 0x38c00;
inline constexpr std::uint32_t throttle_end = 0x38c40;
inline constexpr std::uint32_t vector_map = 0x38c40;
inline constexpr std::uint32_t vector_map_end = 0x38c60;
inline constexpr unsigned throttle_unit_ns = 256;

inline constexpr std::uint32_t capabilities = 0x39640;
inline constexpr std::uint32_t dma_misc = 0x39864;
inline constexpr std::uint32_t dma_misc_auto_clear = 1u << 2;
inline constexpr std::uint32_t dma_misc_no_read_clear = 1u << 17;
inline constexpr std::uint32_t reset = 0x39898;
inline constexpr std::uint32_t reset_host_router = 1u << 0;

inline constexpr std::uint32_t version_1 = 0x10;
inline constexpr std::uint32_t version_2 = 0x40;

/** One descriptor in guest memory. */
struct Descriptor {
    std::uint64_t address;
    std::uint32_t word; ///< length 11:0, EOF 15:12, SOF 19:16, flags 31:20
    std::uint32_t time;
};
static_assert(sizeof(Descriptor) == 16);
static_assert(offsetof(Descriptor, word) == 8);

inline constexpr std::uint32_t max_frame = 4096; ///< a length field of 0 means this
inline constexpr std::uint32_t desc_length_mask = 0xfff;
inline constexpr unsigned desc_eof_shift = 12;
inline constexpr unsigned desc_sof_shift = 16;
inline constexpr std::uint32_t desc_crc_error = 1u << 20;
inline constexpr std::uint32_t desc_completed = 1u << 21;
/** Posted in a request; BUFFER_OVERRUN in an RX completion. */
inline constexpr std::uint32_t desc_posted = 1u << 22;
inline constexpr std::uint32_t desc_overrun = 1u << 22;
inline constexpr std::uint32_t desc_interrupt = 1u << 23;

} // namespace tblab::nhi
