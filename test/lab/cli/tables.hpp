// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace tblab {

/** What `tblab status` prints of the server's answer. */
std::string status_table(const nlohmann::json& status);
/** What `tblab stats` prints of the emulator's counters: rows that are not all zero. */
std::string stats_table(const nlohmann::json& stats);

} // namespace tblab
