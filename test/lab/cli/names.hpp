// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace tblab {

/** Where the lab of that name keeps its sockets and logs. */
std::filesystem::path lab_directory(const std::string& name);
/** The control socket in it. */
std::filesystem::path control_socket(const std::string& name);

/** "1" or "h1". @throws LabError */
unsigned parse_host(const std::string& text);
/** "0" or "c0". @throws LabError */
unsigned parse_cable_index(const std::string& text);

} // namespace tblab
