// SPDX-License-Identifier: Apache-2.0
#include "base/types.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace tbib {

namespace {

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool bit(const IpAddress& ip, unsigned n)
{
    return ip.bytes[n / 8] >> (7 - n % 8) & 1;
}

}  // namespace

Guid guid_from_mac(const Mac& m)
{
    const uint8_t eui[8] = {static_cast<uint8_t>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4],
                            m[5]};
    uint64_t v = 0;
    for (uint8_t b : eui)
        v = v << 8 | b;
    return Guid{v};
}

Mac mac_from_guid(Guid guid)
{
    auto byte = [&](int i) { return static_cast<uint8_t>(guid.value >> (56 - 8 * i)); };
    return {static_cast<uint8_t>(byte(0) ^ 2), byte(1), byte(2), byte(5), byte(6), byte(7)};
}

std::string to_string(Guid guid)
{
    const uint64_t v = guid.value;
    return fmt::format("{:04x}:{:04x}:{:04x}:{:04x}", v >> 48, v >> 32 & 0xffff, v >> 16 & 0xffff,
                       v & 0xffff);
}

std::string to_string(const Mac& m)
{
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4],
                       m[5]);
}

std::string to_string(const Uuid& uuid)
{
    std::string out;
    for (size_t i = 0; i < uuid.size(); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out += '-';
        out += fmt::format("{:02x}", uuid[i]);
    }
    return out;
}

std::optional<Guid> parse_guid(std::string_view text)
{
    if (text.starts_with("0x") || text.starts_with("0X"))
        text.remove_prefix(2);
    uint64_t v = 0;
    unsigned digits = 0;
    for (char c : text) {
        if (c == ':' && digits % 4 == 0 && digits > 0)
            continue;
        const int d = hex_digit(c);
        if (d < 0 || ++digits > 16)
            return std::nullopt;
        v = v << 4 | static_cast<unsigned>(d);
    }
    if (digits != 16 || v == 0)
        return std::nullopt;
    return Guid{v};
}

std::string to_string(const IpAddress& ip)
{
    char buf[INET6_ADDRSTRLEN] = "";
    if (ip)
        inet_ntop(ip.family == 4 ? AF_INET : AF_INET6, ip.bytes.data(), buf, sizeof buf);
    return buf;
}

std::optional<IpAddress> parse_ip(std::string_view text)
{
    const std::string s(text);
    IpAddress ip;
    if (inet_pton(AF_INET, s.c_str(), ip.bytes.data()) == 1) {
        ip.family = 4;
        return ip;
    }
    if (inet_pton(AF_INET6, s.c_str(), ip.bytes.data()) == 1) {
        ip.family = 6;
        return ip;
    }
    return std::nullopt;
}

std::string to_string(const IpPrefix& p)
{
    return fmt::format("{}/{}", to_string(p.address), p.length);
}

std::optional<IpPrefix> parse_prefix(std::string_view text)
{
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos)
        return std::nullopt;
    const auto ip = parse_ip(text.substr(0, slash));
    if (!ip)
        return std::nullopt;
    const std::string_view len = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, ec] = std::from_chars(len.data(), len.data() + len.size(), length);
    if (ec != std::errc() || end != len.data() + len.size() || length > ip->size() * 8)
        return std::nullopt;
    for (unsigned i = length; i < ip->size() * 8; i++)
        if (bit(*ip, i))
            return std::nullopt;
    return IpPrefix{*ip, length};
}

bool overlaps(const IpPrefix& a, const IpPrefix& b)
{
    if (a.address.family != b.address.family)
        return false;
    const unsigned n = std::min(a.length, b.length);
    for (unsigned i = 0; i < n; i++)
        if (bit(a.address, i) != bit(b.address, i))
            return false;
    return true;
}

}  // namespace tbib
