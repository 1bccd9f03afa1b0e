// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/tables.hpp"

#include <fmt/format.h>

#include <array>

namespace tblab {
namespace {

using nlohmann::json;

const char* yes_no(const json& value)
{
    return value.get<bool>() ? "yes" : "no";
}

std::string link_text(const json& cable)
{
    if (!cable.at("plugged").get<bool>()) {
        return "unplugged";
    }
    if (!cable.at("up").get<bool>()) {
        return "plugged, link down";
    }
    return fmt::format("up, {} lane(s)", cable.at("width").get<unsigned>());
}

constexpr std::array ring_columns{"frames", "bytes", "doorbells", "interrupts",
                                  "stalls", "drops", "overruns",  "crc_errors"};
constexpr std::array wire_columns{"frames",  "bytes",     "delivered",
                                  "dropped", "corrupted", "control"};

/** A row of right-aligned columns behind a title. */
template <typename Columns>
std::string row(const std::string& title, const Columns& columns, const json& counters)
{
    std::string text = fmt::format("{:<12}", title);
    for (const auto* column : columns) {
        text += fmt::format(" {:>12}", counters.at(column).template get<std::uint64_t>());
    }
    return text + "\n";
}

template <typename Columns>
std::string header(const std::string& title, const Columns& columns)
{
    std::string text = fmt::format("{:<12}", title);
    for (const auto* column : columns) {
        text += fmt::format(" {:>12}", column);
    }
    return text + "\n";
}

} // namespace

std::string status_table(const json& status)
{
    std::string text = fmt::format(
        "lab {} (process {}), preset {}, USB4 v{}\n", status.at("directory").get<std::string>(),
        status.at("pid").get<int>(), status.at("preset").get<std::string>(),
        status.at("router").get<unsigned>());
    for (const auto& host : status.at("hosts")) {
        text +=
            fmt::format("{:<4} {:<28} running {:<4} router attached {:<4} driver loaded {}\n",
                        host.at("name").get<std::string>(),
                        host.at("kernel").get<std::string>(), yes_no(host.at("running")),
                        yes_no(host.at("attached")), yes_no(host.at("enumerated")));
    }
    unsigned index = 0;
    for (const auto& cable : status.at("cables")) {
        text += fmt::format("c{:<3} {} - {}  {}\n", index++, cable.at("a").get<std::string>(),
                            cable.at("b").get<std::string>(), link_text(cable));
    }
    return text;
}

std::string stats_table(const json& stats)
{
    std::string text = header("rings", ring_columns);
    for (const auto& host : stats.at("hosts")) {
        for (const auto* side : {"tx", "rx"}) {
            for (const auto& ring : host.at(side)) {
                text += row(fmt::format("{} {} {}", host.at("name").get<std::string>(), side,
                                        ring.at("ring").get<unsigned>()),
                            ring_columns, ring);
            }
        }
    }
    text += header("cables", wire_columns);
    for (const auto& cable : stats.at("cables")) {
        for (const auto& [direction, name] :
             {std::pair("a_to_b", "a-b"), std::pair("b_to_a", "b-a")}) {
            text += row(fmt::format("c{} {}", cable.at("cable").get<unsigned>(), name),
                        wire_columns, cable.at(direction));
        }
    }
    return text;
}

} // namespace tblab
