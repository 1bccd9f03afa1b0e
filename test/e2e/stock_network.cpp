// SPDX-License-Identifier: Apache-2.0
#include "test/e2e/stock_network.hpp"

#include <boost/test/results_collector.hpp>
#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <iostream>
#include <regex>
#include <sstream>

namespace e2e {

using namespace std::chrono_literals;
using tblab::Guest;
using tblab::LabError;

std::string wait_interface(Guest& guest, unsigned port)
{
    // A peer's route is the lane adapter that leads to it: port k has lanes 2k+1 and 2k+2. The
    // loop runs in the guest because a question over the agent costs it more than a look at a
    // folder.
    const auto result = guest.run(
        fmt::format("for i in $(seq 300); do\n"
                    "  ls /sys/bus/thunderbolt/devices/0-{}.*/net 2>/dev/null && exit\n"
                    "  sleep 0.1\n"
                    "done; exit 1",
                    2 * port + 1),
        60s);
    const auto name = result.out.substr(0, result.out.find('\n'));
    if (!result.ok() || name.empty()) {
        throw LabError(guest.name() + ": thunderbolt_net made no interface for port " +
                       std::to_string(port));
    }
    return name;
}

bool wait_no_interface(Guest& guest, std::chrono::milliseconds timeout)
{
    return tblab::eventually(
        [&] { return !guest.run("ls -d /sys/class/net/thunderbolt*").ok(); }, timeout);
}

void set_address(Guest& guest, const std::string& interface, const std::string& address)
{
    guest.must(
        fmt::format("ip addr add {1} dev {0} && ip link set {0} up", interface, address));
}

bool wait_ping(Guest& guest, const std::string& address, std::chrono::milliseconds timeout)
{
    return tblab::eventually([&] { return guest.run("ping -c 1 -W 1 " + address).ok(); },
                             timeout);
}

unsigned lost_pings(Guest& guest, const std::string& address, unsigned count)
{
    const auto result = guest.run(fmt::format("ping -q -c {} -i 0.05 -W 2 {}", count, address));
    std::smatch match;
    if (!std::regex_search(result.out, match,
                           std::regex("(\\d+) packets transmitted, (\\d+) received"))) {
        throw LabError(guest.name() + ": ping said: " + result.out + result.err);
    }
    return static_cast<unsigned>(std::stoul(match[1]) - std::stoul(match[2]));
}

double tcp_mbits(Guest& client, Guest& server, const std::string& server_address,
                 unsigned seconds)
{
    server.must("iperf3 -s -1 -D");
    // The server has detached before it listens.
    const auto report = client.must(fmt::format("for i in $(seq 20); do\n"
                                                "  iperf3 -J -c {} -t {} && exit\n"
                                                "  sleep 0.2\n"
                                                "done; exit 1",
                                                server_address, seconds),
                                    std::chrono::seconds(seconds + 30));
    const auto start = report.rfind("{\n\t\"start\"");
    const auto json = nlohmann::json::parse(
        start == std::string::npos ? report : report.substr(start), nullptr, false);
    if (json.is_discarded() || !json.contains("end") || !json["end"].contains("sum_received")) {
        throw LabError("iperf3 said: " + report);
    }
    return json["end"]["sum_received"].value("bits_per_second", 0.0) / 1e6;
}

namespace {

/**
 * The stock thunderbolt_net stops its ring without waiting for its NAPI. Where that has masked the
 * ring's interrupt just then, ring_interrupt_active() finds it "already disabled" and warns. Seen
 * with cables pulled under load, on kernels 6.12 and later; it is not ours and does no harm.
 */
bool is_stock_race(const std::string& splat)
{
    return splat.find("ring_interrupt_active") != std::string::npos &&
           splat.find("tbnet_") != std::string::npos;
}

bool is_complaint(const std::string& line)
{
    static const std::regex words("WARNING:|BUG:|Oops|general protection|cut here|Call Trace|"
                                  "rcu.*stall|detected stall|INFO: (task|trying)|refcount_t:|UBSAN:|"
                                  "(list_add|list_del|Memory) corruption|unregister_netdevice: waiting");
    return std::regex_search(line, words);
}

} // namespace

std::string kernel_complaints(Guest& guest)
{
    std::istringstream log(guest.run("dmesg").out);
    std::string line, found, splat;
    bool inside = false;
    while (std::getline(log, line)) {
        inside = inside || line.find("[ cut here ]") != std::string::npos;
        splat += line + "\n";
        if (inside && line.find("end trace") == std::string::npos) {
            continue;
        }
        if (!is_stock_race(splat)) {
            std::istringstream lines(splat);
            for (std::string l; std::getline(lines, l);) {
                found += is_complaint(l) ? l + "\n" : "";
            }
        }
        inside = false;
        splat.clear();
    }
    // One that has no end, because the machine came to its own.
    return inside ? found + splat : found;
}

ReportOnFailure::~ReportOnFailure()
{
    namespace ut = boost::unit_test;
    const auto test = ut::framework::current_test_case_id();
    if (std::uncaught_exceptions() > 0 || !ut::results_collector.results(test).passed()) {
        std::cerr << lab_.report();
    }
}

} // namespace e2e
