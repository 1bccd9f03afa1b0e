// SPDX-License-Identifier: Apache-2.0
#include "tbibd/identity.hpp"

#include <systemd/sd-id128.h>
#include <unistd.h>

#include <algorithm>

namespace tbib {

namespace {

// Random, made for this purpose: the key of our machine-id derivation.
constexpr sd_id128_t kAppId = SD_ID128_ARRAY(c3, 5f, 1b, 62, 9e, 0d, 4a, 77, 8b, 21, 50, e4, d6,
                                             3a, 7f, 19);

}  // namespace

Mac mac_from_bytes(const std::array<uint8_t, 16>& bytes)
{
    Mac mac;
    std::copy_n(bytes.begin(), mac.size(), mac.begin());
    mac[0] = static_cast<uint8_t>((mac[0] & 0xfc) | 0x02);
    return mac;
}

std::optional<Guid> machine_guid()
{
    sd_id128_t id;
    if (sd_id128_get_machine_app_specific(kAppId, &id) < 0)
        return std::nullopt;
    std::array<uint8_t, 16> bytes;
    std::copy_n(id.bytes, bytes.size(), bytes.begin());
    return guid_from_mac(mac_from_bytes(bytes));
}

std::string host_name()
{
    char buf[256] = "";
    if (gethostname(buf, sizeof buf - 1) < 0)
        return "unknown";
    std::string name(buf);
    name.resize(std::min({name.size(), name.find('.'), size_t{63}}));
    return name.empty() ? "unknown" : name;
}

}  // namespace tbib
