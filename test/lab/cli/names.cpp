// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/names.hpp"

#include "test/lab/guest/error.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace tblab {
namespace fs = std::filesystem;
namespace {

unsigned parse_index(const std::string& text, char prefix, const char* what)
{
    const char* begin = text.data();
    const char* const end = begin + text.size();
    if (begin != end && *begin == prefix) {
        ++begin;
    }
    unsigned value = 0;
    const auto [next, error] = std::from_chars(begin, end, value);
    if (error != std::errc() || next != end) {
        throw LabError("'" + text + "' is no " + what + "; they are numbered from 0");
    }
    return value;
}

} // namespace

fs::path lab_directory(const std::string& name)
{
    if (name.empty() || name.size() > 32 || name.find_first_of("/.") != std::string::npos) {
        throw LabError("'" + name + "' is no name for a lab");
    }
    // Root's own folder, not that of a login session: sudo and a root shell must find the same
    // lab.
    if (geteuid() == 0) {
        return fs::path("/run/tblab") / name;
    }
    if (const char* runtime = std::getenv("XDG_RUNTIME_DIR");
        runtime != nullptr && *runtime == '/') {
        return fs::path(runtime) / "tblab" / name;
    }
    return fs::path("/tmp/tblab-" + std::to_string(geteuid())) / name;
}

fs::path control_socket(const std::string& name)
{
    return lab_directory(name) / "control";
}

unsigned parse_host(const std::string& text)
{
    return parse_index(text, 'h', "host");
}

unsigned parse_cable_index(const std::string& text)
{
    return parse_index(text, 'c', "cable");
}

} // namespace tblab
