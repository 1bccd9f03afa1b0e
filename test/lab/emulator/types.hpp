// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/**
 * Value types of the emulator's public interface: what a host router is made
 * of, what a cable may do wrong, and what was counted.
 */
namespace tblab {

using HostId = unsigned;
using CableId = unsigned;

/** Time since the emulator's clock began. The clock is injected. */
using Time = std::chrono::nanoseconds;

/** One emulated host router and the socket at which its guest finds it. */
struct HostConfig {
    std::string name;                 ///< for logs and statistics
    std::filesystem::path socket;     ///< AF_UNIX path, created by add_host()
    unsigned hops = 12;               ///< ring pairs, control ring included (2..16 or 32)
    unsigned ports = 2;               ///< USB4 ports (1..4), two lane adapters each
    unsigned router_version = 2;      ///< USB4 version: 1 = Gen3 with bonding, 2 = Gen4
    bool intel_vendor = false;        ///< vendor id 8086: the driver lets us clear the status
    std::uint64_t uid = 0;            ///< router UUID; 0 = chosen by add_host(), distinct
    bool throttling = true;           ///< honour the interrupt throttling registers
    /** Lose frames that find no RX buffer (as hardware does) rather than hold them
     *  back, unless their TX ring has E2E flow control. The next frame that is
     *  received carries BUFFER_OVERRUN. */
    bool overrun = false;
    std::uint64_t frame_rate = 0;     ///< frames/s of the NHI's transmit engine, 0 = unlimited
    /** Answer XDomain *responses* sent to a dead link with ERROR too: tbnet sends
     *  its logout request disguised as a response and waits for an answer. */
    bool error_dead_response = true;
};

/** "strix": 3 hops, non-Intel. "intel": 12 hops, Intel vendor id with auto clear.
 *  @throws std::invalid_argument on an unknown name or version. */
HostConfig preset(std::string_view name, unsigned router_version = 2);

/** Options of a host that may change while guests run; unset ones stay. */
struct HostOptions {
    std::optional<bool> throttling;
    std::optional<bool> overrun;
    std::optional<std::uint64_t> frame_rate;
};

/** Direction of a cable, from the point of view of add_cable()'s arguments. */
enum class Direction : unsigned { a_to_b = 0, b_to_a = 1 };

/**
 * What one direction of a cable does wrong. Frame numbers count data frames
 * (not control packets) in this direction from 1 since set_fault().
 */
struct FaultSpec {
    // Data frames. Probabilities are 0..1.
    double drop = 0;                               ///< lost on the wire
    std::vector<std::uint64_t> drop_frames;        ///< exactly these are lost
    double crc_error = 0;                          ///< damaged and flagged CRC_ERROR
    std::vector<std::uint64_t> crc_error_frames;   ///< exactly these are damaged
    double duplicate = 0;                          ///< delivered twice
    std::vector<std::uint64_t> duplicate_frames;   ///< exactly these are delivered twice
    std::chrono::nanoseconds delay{0};             ///< time on the wire
    std::uint64_t rate = 0;                        ///< bits/s, 0 = unlimited
    bool overrun = false;                          ///< as HostConfig::overrun of the receiver
    // Control packets.
    double control_drop = 0;                       ///< inter-domain packets lost
    unsigned control_drop_next = 0;                ///< so many next ones are lost
    double control_crc_error = 0;                  ///< delivered with a wrong CRC
    unsigned control_crc_error_next = 0;           ///< so many next ones get a wrong CRC
    unsigned service_repeat = 0;                   ///< copies of each packet of a service, 1 ms apart
    // The cable itself.
    std::uint64_t unplug_at = 0;                   ///< unplug when this data frame is sent
    bool dead = false;                             ///< swallow everything, report nothing
    std::uint64_t seed = 1;                        ///< of this direction's random numbers
};

/** Counters of one ring of one NHI. Ring 0 carries control packets. */
struct RingStats {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    std::uint64_t doorbells = 0;      ///< TX: producer writes; RX: buffer posts
    std::uint64_t interrupts = 0;     ///< messages sent with this ring's bit set
    std::uint64_t stalls = 0;         ///< TX: waited for an RX buffer, wire or path
    std::uint64_t drops = 0;          ///< TX: no path or link; RX: no ring, PDF filter, size
    std::uint64_t overruns = 0;       ///< RX: lost for lack of a buffer
    std::uint64_t crc_errors = 0;     ///< RX: delivered with the CRC error flag
    std::uint64_t errors = 0;         ///< descriptors or buffers outside guest memory
};

struct HostStats {
    std::string name;
    bool attached = false;
    bool enumerated = false;          ///< the guest's driver has configured the router
    std::uint64_t reads = 0;          ///< BAR0 register reads
    std::uint64_t writes = 0;         ///< BAR0 register writes
    std::uint64_t interrupts = 0;     ///< messages written to the guest
    std::uint64_t interrupts_lost = 0;
    std::uint64_t interrupts_throttled = 0; ///< delayed by the throttling register
    std::uint64_t control_in = 0;     ///< packets from the guest's connection manager
    std::uint64_t control_out = 0;    ///< packets to it
    std::uint64_t control_drops = 0;  ///< malformed, or no room, or no control ring
    std::uint64_t plug_events = 0;
    std::uint64_t unplug_events = 0;
    std::vector<RingStats> tx, rx;
};

struct WireStats {
    std::uint64_t frames = 0;         ///< data frames put on the wire
    std::uint64_t bytes = 0;
    std::uint64_t delivered = 0;
    std::uint64_t dropped = 0;        ///< by a fault, or lost with the link
    std::uint64_t corrupted = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t overruns = 0;
    std::uint64_t control = 0;        ///< inter-domain control packets
    std::uint64_t control_dropped = 0;
    std::uint64_t control_corrupted = 0;
};

struct CableStats {
    HostId a = 0, b = 0;
    unsigned port_a = 0, port_b = 0;
    bool plugged = false;
    bool up = false;
    unsigned width = 0;               ///< lanes in use: 0 down, 1 single, 2 bonded
    std::uint64_t link_ups = 0;
    std::array<WireStats, 2> direction; ///< indexed by Direction
};

struct Stats {
    std::vector<HostStats> hosts;     ///< indexed by HostId
    std::vector<CableStats> cables;   ///< indexed by CableId
};

} // namespace tblab
