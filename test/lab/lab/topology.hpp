// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace tblab {

/** A cable between two ports; hosts and ports count from 0. */
struct CablePlan {
    unsigned host_a = 0, port_a = 0, host_b = 0, port_b = 0;

    bool operator==(const CablePlan&) const = default;
};

/**
 * Cables by name: "chain" (port 1 of a host to port 0 of the next, the first
 * host uses port 0), "ring" (a chain whose ends are joined; with two hosts two
 * cables), "none", or a list "0:0-1:0,0:1-1:1" of host:port-host:port.
 * @throws LabError on wrong text, an unknown host, or a port used twice
 */
std::vector<CablePlan> topology(std::string_view text, unsigned hosts, unsigned ports);

} // namespace tblab
