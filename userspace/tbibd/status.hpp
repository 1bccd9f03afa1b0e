// SPDX-License-Identifier: Apache-2.0
// The daemon's state as JSON: what io.tbib.GetStatus answers.
#pragma once

#include "tbibd/addresses.hpp"
#include "tbibd/engine.hpp"

#include <nlohmann/json.hpp>

namespace tbib {

/// Version of the daemon, also of the packages.
extern const char* const kVersion;
/// Interface io.tbib in Varlink's definition language.
extern const char* const kInterface;

/// @p module_loaded: the daemon is connected to the kernel module.
nlohmann::json status_json(const Engine& engine, bool module_loaded,
                           const std::vector<Collision>& collisions);

}  // namespace tbib
