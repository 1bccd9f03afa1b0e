// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/**
 * Configuration spaces of a USB4 router (USB4 specification, chapter 8), by the
 * names the Linux driver gives them (drivers/thunderbolt/tb_regs.h). Offsets are
 * in dwords.
 */
namespace tblab::router {

inline constexpr std::uint32_t bit(unsigned n) { return 1u << n; }

// Router configuration space.
inline constexpr unsigned router_size = 0x200;
inline constexpr unsigned router_cs_1 = 1;
inline constexpr unsigned router_cs_3 = 3;
inline constexpr std::uint32_t cs_3_valid = bit(31);
inline constexpr unsigned router_cs_4 = 4;
inline constexpr unsigned router_cs_5 = 5;
inline constexpr std::uint32_t cs_5_slp = bit(0);
inline constexpr unsigned router_cs_6 = 6;
inline constexpr std::uint32_t cs_6_slpr = bit(0);
inline constexpr std::uint32_t cs_6_tns = bit(1);
inline constexpr std::uint32_t cs_6_rr = bit(24);
inline constexpr std::uint32_t cs_6_cr = bit(25);
inline constexpr unsigned router_cs_7 = 7; // and 8: unique id
inline constexpr unsigned router_cs_9 = 9; // ..24: data of router operations
inline constexpr unsigned router_cs_25 = 25; // metadata
inline constexpr unsigned router_cs_26 = 26; // opcode and status
inline constexpr std::uint32_t cs_26_not_supported = bit(30);
inline constexpr std::uint32_t cs_26_operation_valid = bit(31);
inline constexpr unsigned router_tmu = 0x30;
inline constexpr unsigned router_tmu_end = 0x50;

inline constexpr unsigned op_buffer_allocation = 0x33;

// Adapter configuration space.
inline constexpr unsigned adapter_size = 0x80;
inline constexpr unsigned adp_cs_2 = 2;
inline constexpr unsigned adp_cs_3 = 3;
inline constexpr unsigned adp_cs_4 = 4;
inline constexpr std::uint32_t cs_4_locked = bit(31);
inline constexpr unsigned adp_cs_5 = 5;
inline constexpr std::uint32_t cs_5_no_hot_plug = bit(31);

inline constexpr unsigned type_lane = 1;
inline constexpr unsigned type_host_interface = 2;

// Lane adapter capability.
inline constexpr unsigned cap_lane = 0x10;
inline constexpr unsigned lane_cs_1 = cap_lane + 1;
inline constexpr std::uint32_t lane_width_mask = 3u << 4;
inline constexpr std::uint32_t lane_width_dual = 3u << 4;
inline constexpr std::uint32_t lane_disable = bit(14);
inline constexpr std::uint32_t lane_bonding = bit(15);
inline constexpr unsigned lane_speed_shift = 16;
inline constexpr unsigned lane_current_width_shift = 20;
inline constexpr unsigned lane_state_shift = 26;
inline constexpr unsigned state_disabled = 0;
inline constexpr unsigned state_training = 1;
inline constexpr unsigned state_cl0 = 2;
inline constexpr unsigned state_unplugged = 7;
inline constexpr unsigned speed_gen3 = 4;
inline constexpr unsigned speed_gen4 = 2;

// USB4 port capability (lane 0 only).
inline constexpr unsigned cap_usb4 = 0x20;
inline constexpr unsigned cap_usb4_end = cap_usb4 + 0x14;
inline constexpr unsigned port_cs_1 = cap_usb4 + 1; // sideband command
inline constexpr std::uint32_t port_cs_1_no_response = bit(25);
inline constexpr std::uint32_t port_cs_1_pending = bit(31);
inline constexpr unsigned port_cs_18 = cap_usb4 + 0x12;
inline constexpr std::uint32_t port_cs_18_bonding_enabled = bit(8);
inline constexpr unsigned port_cs_19 = cap_usb4 + 0x13;
inline constexpr std::uint32_t port_cs_19_reset = bit(0); // DPR

// TMU adapter capability.
inline constexpr unsigned cap_tmu = 0x40;
inline constexpr unsigned cap_tmu_end = 0x50;

// Path configuration space: two dwords a HopID.
inline constexpr unsigned lane_max_hop = 63;
inline constexpr std::uint32_t path_valid = bit(31);
inline constexpr std::uint32_t path_pending = bit(28); // in dword 1

} // namespace tblab::router
