// SPDX-License-Identifier: Apache-2.0
#include "tbibd/config.hpp"

#include <fmt/format.h>
#include <ini.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace tbib {

namespace {

struct Parser {
    Config config = default_config();
    std::string problem;
};

std::optional<IpPrefix> prefix_or_off(const std::string& value, int family, std::string& problem)
{
    if (value == "off")
        return std::nullopt;
    const auto p = parse_prefix(value);
    const unsigned longest = family == 4 ? 30 : 64;
    if (!p || p->address.family != family)
        problem = fmt::format("'{}' is not an IPv{} prefix (address/length, host bits zero) or 'off'",
                              value, family);
    else if (family == 6 && p->length != 64)
        problem = fmt::format("IPv6 prefix '{}' must have length 64", value);
    else if (p->length < 8 || p->length > longest)
        problem = fmt::format("prefix length of '{}' must be 8..{}", value, longest);
    return p;
}

std::set<Guid> guid_list(const std::string& value, std::string& problem)
{
    std::set<Guid> out;
    std::istringstream in(value);
    std::string word;
    while (in >> word) {
        while (!word.empty() && word.back() == ',')
            word.pop_back();
        if (word.empty())
            continue;
        if (const auto g = parse_guid(word))
            out.insert(*g);
        else
            problem = fmt::format("'{}' is not a node GUID (16 hex digits)", word);
    }
    return out;
}

std::string set_value(Config& c, const std::string& section, const std::string& key,
                      const std::string& value)
{
    std::string problem;
    if (section == "peers" && key == "policy") {
        if (value == "any")
            c.policy = Policy::Any;
        else if (value == "known")
            c.policy = Policy::Known;
        else
            problem = fmt::format("unknown policy '{}' (any, known)", value);
    } else if (section == "peers" && key == "known") {
        // A list may be continued on further lines of the same key.
        for (Guid g : guid_list(value, problem))
            c.known.insert(g);
    } else if (section == "addresses" && key == "ipv4") {
        c.ipv4 = prefix_or_off(value, 4, problem);
    } else if (section == "addresses" && key == "ipv6") {
        c.ipv6 = prefix_or_off(value, 6, problem);
    } else if (section == "node" && key == "name") {
        c.name = value;
        if (value.size() > 63)
            problem = "name is longer than 63 bytes";
    } else if (section != "peers" && section != "addresses" && section != "node") {
        problem = fmt::format("unknown section [{}]", section);
    } else {
        problem = fmt::format("unknown key '{}' in section [{}]", key, section);
    }
    return problem;
}

int on_key(void* user, const char* section, const char* key, const char* value)
{
    auto* p = static_cast<Parser*>(user);
    if (!p->problem.empty())
        return 1;
    p->problem = set_value(p->config, section, key, value ? value : "");
    return p->problem.empty() ? 1 : 0;
}

}  // namespace

Config default_config()
{
    Config c;
    c.ipv4 = parse_prefix("10.86.66.0/24");
    c.ipv6 = parse_prefix("fd74:6269:6200::/64");
    return c;
}

Config parse_config(const std::string& text, const std::string& name)
{
    Parser p;
    const int line = ini_parse_string(text.c_str(), on_key, &p);
    if (line > 0 && p.problem.empty())
        p.problem = "not 'key = value' and not a [section]";
    if (line != 0 || !p.problem.empty())
        throw ConfigError(fmt::format("{}:{}: {}", name, line, p.problem));
    return p.config;
}

Config load_config(const std::string& path, bool optional)
{
    std::ifstream in(path);
    if (!in) {
        if (optional && errno == ENOENT)
            return default_config();
        throw ConfigError(fmt::format("{}: {}", path, strerror(errno)));
    }
    std::ostringstream text;
    text << in.rdbuf();
    return parse_config(text.str(), path);
}

}  // namespace tbib
