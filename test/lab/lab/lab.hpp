// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/emulator/emulator.hpp"
#include "test/lab/guest/guest.hpp"
#include "test/lab/lab/topology.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tblab {

struct LabOptions {
    unsigned hosts = 2;
    std::string topology = "chain";     ///< see tblab::topology()
    std::string preset = "intel";       ///< host routers: "strix" or "intel"
    unsigned router_version = 2;        ///< USB4 version; 2 links faster
    std::string kernel = "stable";      ///< see Image::kernel()
    std::vector<std::string> kernels{}; ///< per host, where it is not `kernel`
    Boot boot = Boot::fast;
    std::vector<std::string> modules{"thunderbolt"}; ///< loaded in a fast boot
    unsigned cpus = 1;
    unsigned memory_mib = 512;
    std::string append{};               ///< more words for the kernel command lines
    std::filesystem::path extra_tree{}; ///< a folder that guests see at /opt/tbib; empty = none
    bool plugged = true;                ///< cables are in from the start
    std::filesystem::path
        directory{}; ///< for sockets and logs, a short path; empty = a temporary one
    std::function<void(HostConfig&)> configure{}; ///< last say about a host router
};

/**
 * A virtual Thunderbolt fabric with its guests: the emulator, the cables and
 * one virtual machine per host. Ends all of it when it goes.
 */
class Lab {
  public:
    using Options = LabOptions;

    /** Creates routers and cables and starts all guests; does not wait. @throws LabError */
    explicit Lab(Options options);
    Lab(const Lab&) = delete;
    Lab& operator=(const Lab&) = delete;
    ~Lab();

    /** Waits until every guest answers. @throws LabError naming the one that does not */
    void wait_ready(std::chrono::milliseconds timeout = std::chrono::seconds(120));

    unsigned hosts() const { return static_cast<unsigned>(guests_.size()); }
    /** @throws LabError if there is no such host */
    Guest& host(unsigned index);
    /** All guests, for a range-based for. */
    std::vector<std::unique_ptr<Guest>>& guests() { return guests_; }

    unsigned cables() const { return static_cast<unsigned>(cables_.size()); }
    /** The emulator's id of a cable, in the order of the topology. @throws LabError */
    CableId cable(unsigned index) const;
    const CablePlan& cable_plan(unsigned index) const;
    /** The emulator's id of a host. @throws LabError */
    HostId host_id(unsigned index) const;
    Emulator& emulator() { return emulator_; }

    void plug(unsigned cable) { emulator_.plug(this->cable(cable)); }
    void unplug(unsigned cable) { emulator_.unplug(this->cable(cable)); }
    /** True if both ends of the cable reached the state within the time. */
    bool wait_link(unsigned cable, bool up = true,
                   std::chrono::milliseconds timeout = std::chrono::seconds(30)) const;

    const std::filesystem::path& directory() const { return directory_; }
    const Options& options() const { return options_; }
    /** Consoles, kernel logs and counters: what a failed test should print. Never throws. */
    std::string report();

  private:
    void make_directory();
    GuestConfig guest_config(unsigned index) const;

    Options options_;
    Image image_;
    bool own_directory_ = false;
    std::filesystem::path directory_;
    std::vector<CablePlan> plan_;
    Emulator emulator_;
    std::vector<HostId> host_ids_;
    std::vector<CableId> cables_;
    std::vector<std::unique_ptr<Guest>> guests_; // after emulator_: guests go first
};

/**
 * Asks again until the answer is true. The last resort where no event can be
 * waited for, like a netdev that appears in a guest.
 * @return false if it was still false when the time was over
 */
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds timeout = std::chrono::seconds(30),
                std::chrono::milliseconds pause = std::chrono::milliseconds(100));

} // namespace tblab
