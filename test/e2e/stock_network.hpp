// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/lab/lab.hpp"

#include <string>

/**
 * What the scenarios with stock drivers share: finding the interface that
 * thunderbolt_net made for a port, and judging what a guest logged.
 */
namespace e2e {

/**
 * Waits until thunderbolt_net has an interface for the peer at this port.
 * @return its name
 * @throws tblab::LabError if there is none in time
 */
std::string wait_interface(tblab::Guest& guest, unsigned port = 0);

/** True if no interface of thunderbolt_net is left, within the time. */
bool wait_no_interface(tblab::Guest& guest, std::chrono::milliseconds timeout);

/** Gives the interface an address ("10.0.0.1/24") and sets it up; its carrier comes when the
 * peer's is up too. */
void set_address(tblab::Guest& guest, const std::string& interface, const std::string& address);

/** True if one ping was answered within the time; the first ones may be lost to the login. */
bool wait_ping(tblab::Guest& guest, const std::string& address,
               std::chrono::milliseconds timeout = std::chrono::seconds(20));

/** Packets lost of `count` pings in a row. @throws tblab::LabError if ping does not work at all
 */
unsigned lost_pings(tblab::Guest& guest, const std::string& address, unsigned count);

/** TCP throughput from `client` to the iperf3 server that this starts on `server`, in Mb/s. */
double tcp_mbits(tblab::Guest& client, tblab::Guest& server, const std::string& server_address,
                 unsigned seconds);

/** Lines of the kernel log that tell of a kernel bug, empty if there is none. */
std::string kernel_complaints(tblab::Guest& guest);

/** Prints the lab's report when it goes if the test case has failed until then. */
class ReportOnFailure {
  public:
    explicit ReportOnFailure(tblab::Lab& lab) : lab_(lab) {}
    ~ReportOnFailure();
    ReportOnFailure(const ReportOnFailure&) = delete;
    ReportOnFailure& operator=(const ReportOnFailure&) = delete;

  private:
    tblab::Lab& lab_;
};

} // namespace e2e
