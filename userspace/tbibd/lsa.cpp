// SPDX-License-Identifier: Apache-2.0
#include "tbibd/lsa.hpp"

#include <nlohmann/json.hpp>

namespace tbib {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;

std::optional<uint64_t> number(const json& j, const char* key, uint64_t most)
{
    const auto it = j.find(key);
    if (it == j.end() || !it->is_number_unsigned())
        return std::nullopt;
    const auto v = it->get<uint64_t>();
    return v <= most ? std::optional(v) : std::nullopt;
}

std::optional<std::string> text(const json& j, const char* key, size_t most)
{
    const auto it = j.find(key);
    if (it == j.end() || !it->is_string())
        return std::nullopt;
    auto s = it->get<std::string>();
    for (unsigned char c : s)
        if (c < 0x20 || c == 0x7f)
            return std::nullopt;
    return s.size() <= most ? std::optional(std::move(s)) : std::nullopt;
}

/// An absent or empty address is "none"; a wrong one makes the message wrong.
bool address(const json& j, const char* key, int family, IpAddress& out)
{
    const auto s = text(j, key, 64);
    if (!s)
        return !j.contains(key);
    if (s->empty())
        return true;
    const auto ip = parse_ip(*s);
    if (!ip || ip->family != family)
        return false;
    out = *ip;
    return true;
}

bool neighbours(const json& j, std::map<Guid, uint32_t>& out)
{
    const auto it = j.find("n");
    if (it == j.end() || !it->is_array() || it->size() > kMaxNeighbours)
        return false;
    for (const json& row : *it) {
        if (!row.is_array() || row.size() != 2 || !row[0].is_string() ||
            !row[1].is_number_unsigned())
            return false;
        const auto g = parse_guid(row[0].get<std::string>());
        const auto speed = row[1].get<uint64_t>();
        if (!g || speed > 100000)
            return false;
        out[*g] = static_cast<uint32_t>(speed);
    }
    return true;
}

std::optional<Lsa> read_lsa(const json& j)
{
    Lsa l;
    const auto origin = text(j, "o", 32);
    const auto guid = origin ? parse_guid(*origin) : std::nullopt;
    const auto sequence = number(j, "s", UINT64_MAX);
    const auto epoch = number(j, "e", UINT32_MAX);
    const auto lid = number(j, "l", kLidMax);
    const auto name = text(j, "h", 63);
    if (!guid || !sequence || !epoch || !lid || !name)
        return std::nullopt;
    l.origin = *guid;
    l.sequence = *sequence;
    l.epoch = static_cast<uint32_t>(*epoch);
    l.lid = static_cast<Lid>(*lid);
    l.name = *name;
    if (!address(j, "4", 4, l.ipv4) || !address(j, "6", 6, l.ipv6) || !neighbours(j, l.neighbours))
        return std::nullopt;
    return l;
}

}  // namespace

bool Lsa::same_state(const Lsa& other) const
{
    Lsa copy = other;
    copy.sequence = sequence;
    return *this == copy;
}

std::string encode(const Message& m)
{
    json j = {{"v", kVersion}};
    if (m.type == Message::Type::Sync) {
        j["t"] = "sync";
        return j.dump();
    }
    const Lsa& l = m.lsa;
    j["t"] = "lsa";
    j["o"] = to_string(l.origin);
    j["s"] = l.sequence;
    j["e"] = l.epoch;
    j["l"] = l.lid;
    j["h"] = l.name;
    if (l.ipv4)
        j["4"] = to_string(l.ipv4);
    if (l.ipv6)
        j["6"] = to_string(l.ipv6);
    json n = json::array();
    for (const auto& [guid, speed] : l.neighbours)
        n.push_back({to_string(guid), speed});
    j["n"] = std::move(n);
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Message> decode(std::string_view data)
{
    if (data.size() > kMaxDatagram)
        return std::nullopt;
    const json j = json::parse(data.begin(), data.end(), nullptr, false);
    if (!j.is_object() || number(j, "v", UINT32_MAX) != kVersion)
        return std::nullopt;
    const auto type = text(j, "t", 8);
    if (type == "sync")
        return Message{};
    if (type != "lsa")
        return std::nullopt;
    const auto lsa = read_lsa(j);
    if (!lsa)
        return std::nullopt;
    return Message{Message::Type::Lsa, *lsa};
}

}  // namespace tbib
