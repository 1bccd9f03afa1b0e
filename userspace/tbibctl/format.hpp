// SPDX-License-Identifier: Apache-2.0
// The status as text for people. Pure: JSON in, text out.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace tbib {

/// The answer of io.tbib.GetStatus as a few aligned lines.
std::string format_status(const nlohmann::json& status);
/// "40 Gb/s", "2.5 Gb/s", "no speed".
std::string format_speed(uint64_t mbps);

}  // namespace tbib
