// SPDX-License-Identifier: Apache-2.0
#include "test/lab/lab/topology.hpp"

#include "test/lab/guest/error.hpp"

#include <array>
#include <charconv>
#include <set>
#include <string>
#include <utility>

namespace tblab {
namespace {

/** One cable "host:port-host:port". */
CablePlan parse_cable(std::string_view text)
{
    std::array<unsigned, 4> numbers{};
    constexpr std::array<char, 4> after{':', '-', ':', '\0'};
    const char* at = text.data();
    const char* const end = at + text.size();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto [next, error] = std::from_chars(at, end, numbers[i]);
        const bool last = i + 1 == numbers.size();
        if (error != std::errc() || (last ? next != end : next == end || *next != after[i])) {
            throw LabError("'" + std::string(text) +
                           "' is no cable; write host:port-host:port, like 0:0-1:0");
        }
        at = last ? next : next + 1;
    }
    return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

std::vector<CablePlan> chain(unsigned hosts)
{
    std::vector<CablePlan> cables;
    for (unsigned h = 0; h + 1 < hosts; ++h) {
        cables.push_back({h, h == 0 ? 0U : 1U, h + 1, 0});
    }
    return cables;
}

} // namespace

std::vector<CablePlan> topology(std::string_view text, unsigned hosts, unsigned ports)
{
    std::vector<CablePlan> cables;
    if (text == "chain" || text == "ring") {
        cables = chain(hosts);
        if (text == "ring" && hosts > 1) {
            cables.push_back({hosts - 1, 1, 0, 1});
        }
    } else if (text != "none") {
        for (std::size_t at = 0; at <= text.size();) {
            const auto comma = std::min(text.find(',', at), text.size());
            cables.push_back(parse_cable(text.substr(at, comma - at)));
            at = comma + 1;
        }
    }
    std::set<std::pair<unsigned, unsigned>> used;
    for (const auto& cable : cables) {
        for (const auto& [host, port] :
             {std::pair(cable.host_a, cable.port_a), std::pair(cable.host_b, cable.port_b)}) {
            const auto name =
                "port " + std::to_string(port) + " of host " + std::to_string(host);
            if (host >= hosts || port >= ports) {
                throw LabError("there is no " + name);
            }
            if (!used.emplace(host, port).second) {
                throw LabError("two cables in " + name);
            }
        }
        if (cable.host_a == cable.host_b) {
            throw LabError("a cable from host " + std::to_string(cable.host_a) + " to itself");
        }
    }
    return cables;
}

} // namespace tblab
