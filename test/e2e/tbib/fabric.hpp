// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "test/lab/lab/lab.hpp"

/**
 * A lab whose guests run tbib: the module built for their kernel, tbibd, and
 * the programs that scenarios use.
 */
namespace e2e {

struct FabricOptions {
    unsigned hosts = 2;
    std::string topology = "chain";
    std::string preset = "intel";
    unsigned router_version = 2;
    std::string kernel = "stable";   ///< "stable" or "newest"
    bool stock_net = false;          ///< thunderbolt_net loaded beside
    bool plugged = true;
    bool daemon = true;              ///< start tbibd
    unsigned cpus = 1;
};

/** Every combination that --all tests; the first one is what the default samples. */
std::vector<FabricOptions> matrix();
std::string name(const FabricOptions& options);
/** True when the full matrix was asked for. */
bool all();

class Fabric {
public:
    /** Boots the guests and loads the module; waits for ACTIVE when plugged. @throws tblab::LabError */
    explicit Fabric(FabricOptions options = {});
    ~Fabric();
    Fabric(const Fabric&) = delete;
    Fabric& operator=(const Fabric&) = delete;

    tblab::Lab& lab() { return *lab_; }
    tblab::Guest& host(unsigned i) { return lab_->host(i); }
    const FabricOptions& options() const { return options_; }

    void load_module(unsigned host);
    void start_daemon(unsigned host, const std::string& arguments = "");
    /** True if `rdma link show` says ACTIVE on every host within the time. */
    bool wait_active(std::chrono::milliseconds timeout = std::chrono::seconds(40));
    /** Port state of tbib0 as `rdma link show` prints it, "" if there is no such device. */
    std::string port_state(unsigned host);
    /** Address that tbibd gave to tbib0; waits for it. @throws tblab::LabError */
    std::string address(unsigned host, int family = 4);

    /**
     * Runs a program on both sides: `server` in the background on one host,
     * `client` on the other until its end, "@" in it being the server's address.
     * @return the client's output @throws tblab::LabError when either fails
     */
    std::string pair(const std::string& server, const std::string& client,
                     std::chrono::milliseconds timeout = std::chrono::seconds(60),
                     unsigned server_host = 0, unsigned client_host = 1);
    /** One number of tbib's hw counters or of `tbibctl`'s module counters. */
    unsigned long long counter(unsigned host, const std::string& name);

    /** Lines of kernel logs that tell of a kernel bug, of all hosts. */
    std::string complaints();

private:
    FabricOptions options_;
    std::filesystem::path tree_;
    std::unique_ptr<tblab::Lab> lab_;
};

/**
 * verbs_check's operations that a cable pulled in the middle delays. It may lose a datagram that is under way, which
 * nobody sends again: delivery is what UD does not promise (IBTA 9.8.3).
 */
inline constexpr const char* kRepeated = " -o SEND,SEND_IMM,WRITE,WRITE_IMM,READ,CAS,FAA ";

/** Average Gb/s of the last size in a perftest bandwidth output. */
double bandwidth_gbps(const std::string& perftest_output);
/** Typical latency in microseconds of a perftest latency output. */
double latency_us(const std::string& perftest_output);

} // namespace e2e
