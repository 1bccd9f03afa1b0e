// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace tblab {

/**
 * Joins this terminal with a guest's root shell until Ctrl-] or until the guest
 * goes. @throws LabError
 */
void interactive_shell(const std::filesystem::path& socket);

} // namespace tblab
