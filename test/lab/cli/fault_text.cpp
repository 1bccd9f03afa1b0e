// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/fault_text.hpp"

#include "test/lab/guest/error.hpp"

#include <charconv>
#include <functional>
#include <string_view>
#include <utility>

namespace tblab {
namespace {

[[noreturn]] void reject(std::string_view value, const char* wanted)
{
    throw LabError("'" + std::string(value) + "' is no " + wanted);
}

std::uint64_t number(std::string_view text)
{
    std::uint64_t value = 0;
    const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || next != text.data() + text.size()) {
        reject(text, "number");
    }
    return value;
}

unsigned small_number(std::string_view text)
{
    const auto value = number(text);
    if (value > 0xffffffffU) {
        reject(text, "number below 2^32");
    }
    return static_cast<unsigned>(value);
}

double probability(std::string_view text)
{
    double value = -1;
    const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || next != text.data() + text.size() ||
        !(value >= 0 && value <= 1)) {
        reject(text, "probability between 0 and 1");
    }
    return value;
}

std::vector<std::uint64_t> numbers(std::string_view text)
{
    std::vector<std::uint64_t> result;
    for (std::size_t at = 0; at <= text.size();) {
        const auto comma = std::min(text.find(',', at), text.size());
        result.push_back(number(text.substr(at, comma - at)));
        at = comma + 1;
    }
    return result;
}

/** A number with one of the suffixes, each standing for a factor. */
std::uint64_t scaled(std::string_view text,
                     const std::vector<std::pair<std::string_view, std::uint64_t>>& suffixes,
                     const char* wanted)
{
    for (const auto& [suffix, factor] : suffixes) {
        if (text.size() > suffix.size() && text.substr(text.size() - suffix.size()) == suffix) {
            const auto digits = text.substr(0, text.size() - suffix.size());
            if (digits.find_first_not_of("0123456789") == std::string_view::npos) {
                const auto value = number(digits);
                if (value > UINT64_MAX / factor) {
                    break;
                }
                return value * factor;
            }
        }
    }
    reject(text, wanted);
}

std::chrono::nanoseconds duration(std::string_view text)
{
    const auto value =
        scaled(text, {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}},
               "time with unit, like 50us");
    if (value > INT64_MAX) {
        reject(text, "time");
    }
    return std::chrono::nanoseconds(static_cast<std::int64_t>(value));
}

std::uint64_t bits_per_second(std::string_view text)
{
    return scaled(text, {{"g", 1000000000}, {"m", 1000000}, {"k", 1000}, {"", 1}},
                  "rate in bits/s, like 10g");
}

bool on_off(std::string_view text)
{
    if (text == "on" || text.empty()) {
        return true;
    }
    if (text != "off") {
        reject(text, "choice of on and off");
    }
    return false;
}

struct FaultWord {
    std::string_view name;
    const char* value;
    const char* meaning;
    void (*set)(FaultSpec&, std::string_view);
};

constexpr FaultWord fault_words[] = {
    {"drop", "P", "lose a frame with probability P",
     [](FaultSpec& f, std::string_view v) { f.drop = probability(v); }},
    {"drop-frames", "N,...", "lose exactly these frames, counted from 1",
     [](FaultSpec& f, std::string_view v) { f.drop_frames = numbers(v); }},
    {"crc-error", "P", "damage and flag a frame",
     [](FaultSpec& f, std::string_view v) { f.crc_error = probability(v); }},
    {"crc-error-frames", "N,...", "damage exactly these frames",
     [](FaultSpec& f, std::string_view v) { f.crc_error_frames = numbers(v); }},
    {"duplicate", "P", "deliver a frame twice",
     [](FaultSpec& f, std::string_view v) { f.duplicate = probability(v); }},
    {"duplicate-frames", "N,...", "deliver exactly these frames twice",
     [](FaultSpec& f, std::string_view v) { f.duplicate_frames = numbers(v); }},
    {"delay", "TIME", "time on the wire: 200us, 5ms",
     [](FaultSpec& f, std::string_view v) { f.delay = duration(v); }},
    {"rate", "BITS", "bits/s on the wire: 500m, 10g",
     [](FaultSpec& f, std::string_view v) { f.rate = bits_per_second(v); }},
    {"overrun", "", "lose frames for which the receiver has no buffer",
     [](FaultSpec& f, std::string_view v) { f.overrun = on_off(v); }},
    {"control-drop", "P", "lose a control packet",
     [](FaultSpec& f, std::string_view v) { f.control_drop = probability(v); }},
    {"control-drop-next", "N", "lose the next N control packets",
     [](FaultSpec& f, std::string_view v) { f.control_drop_next = small_number(v); }},
    {"control-crc-error", "P", "damage a control packet",
     [](FaultSpec& f, std::string_view v) { f.control_crc_error = probability(v); }},
    {"control-crc-error-next", "N", "damage the next N control packets",
     [](FaultSpec& f, std::string_view v) { f.control_crc_error_next = small_number(v); }},
    {"service-repeat", "N", "deliver a service's control packet N more times, 1 ms apart",
     [](FaultSpec& f, std::string_view v) { f.service_repeat = small_number(v); }},
    {"unplug-at", "N", "pull the cable when frame N is sent",
     [](FaultSpec& f, std::string_view v) { f.unplug_at = number(v); }},
    {"dead", "", "swallow everything and report nothing",
     [](FaultSpec& f, std::string_view v) { f.dead = on_off(v); }},
    {"seed", "N", "of the random numbers",
     [](FaultSpec& f, std::string_view v) { f.seed = number(v); }},
};

struct OptionWord {
    std::string_view name;
    void (*set)(HostOptions&, std::string_view);
};

constexpr OptionWord option_words[] = {
    {"throttling", [](HostOptions& o, std::string_view v) { o.throttling = on_off(v); }},
    {"overrun", [](HostOptions& o, std::string_view v) { o.overrun = on_off(v); }},
    {"frame-rate", [](HostOptions& o, std::string_view v) { o.frame_rate = number(v); }},
};

/** Applies "name=value" words to a struct by a table of setters. */
template <typename Target, typename Table>
Target parse_words(const std::vector<std::string>& words, const Table& table, const char* what)
{
    Target target;
    for (const std::string_view word : words) {
        const auto equals = std::min(word.find('='), word.size());
        const auto name = word.substr(0, equals);
        const auto value = equals < word.size() ? word.substr(equals + 1) : std::string_view();
        bool known = false;
        for (const auto& entry : table) {
            if (entry.name == name) {
                try {
                    entry.set(target, value);
                } catch (const LabError& error) {
                    throw LabError(std::string(name) + ": " + error.what());
                }
                known = true;
            }
        }
        if (!known) {
            throw LabError("unknown " + std::string(what) + " '" + std::string(name) + "'");
        }
    }
    return target;
}

} // namespace

FaultSpec parse_faults(const std::vector<std::string>& words)
{
    return parse_words<FaultSpec>(words, fault_words, "fault");
}

HostOptions parse_host_options(const std::vector<std::string>& words)
{
    return parse_words<HostOptions>(words, option_words, "host option");
}

std::string fault_help()
{
    std::string text =
        "Faults of a cable's direction; each command replaces the former ones:\n";
    for (const auto& word : fault_words) {
        std::string left =
            "  " + std::string(word.name) + (*word.value != '\0' ? "=" : "") + word.value;
        left.resize(std::max<std::size_t>(left.size() + 1, 30), ' ');
        text += left + word.meaning + "\n";
    }
    return text;
}

} // namespace tblab
