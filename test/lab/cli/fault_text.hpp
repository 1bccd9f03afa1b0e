// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/emulator/types.hpp"

#include <string>
#include <vector>

namespace tblab {

/**
 * Faults as a person writes them: "drop=0.001", "drop-frames=1000,1001",
 * "delay=200us", "rate=10g", "unplug-at=5000", "dead".
 * @throws LabError that names the word that is wrong
 */
FaultSpec parse_faults(const std::vector<std::string>& words);

/** Host options: "throttling=on", "overrun=off", "frame-rate=400000". @throws LabError */
HostOptions parse_host_options(const std::vector<std::string>& words);

/** One line for each word that parse_faults() knows. */
std::string fault_help();

} // namespace tblab
