// SPDX-License-Identifier: Apache-2.0
// Who this host is: node GUID and name.
#pragma once

#include "base/types.hpp"

#include <array>
#include <string>

namespace tbib {

/// A locally administered unicast MAC made of 16 random bytes.
Mac mac_from_bytes(const std::array<uint8_t, 16>& bytes);
/// GUID from /etc/machine-id (keyed, so the id itself does not leak); nullopt
/// when the host has none.
std::optional<Guid> machine_guid();
/// Host name without the domain, at most 63 bytes.
std::string host_name();

}  // namespace tbib
