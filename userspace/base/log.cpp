// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace tbib::log {

namespace {

Level threshold = Level::Info;

bool to_journal(Level level, std::string_view text, std::initializer_list<Field> fields)
{
    // systemd sets this when stderr is a journal stream: then fields survive.
    if (!getenv("JOURNAL_STREAM"))
        return false;
    std::vector<std::string> lines;
    lines.push_back(fmt::format("MESSAGE={}", text));
    lines.push_back(fmt::format("PRIORITY={}", static_cast<int>(level)));
    for (const auto& [name, value] : fields)
        lines.push_back(fmt::format("{}={}", name, value));
    std::vector<iovec> iov;
    for (auto& l : lines)
        iov.push_back({l.data(), l.size()});
    return sd_journal_sendv(iov.data(), static_cast<int>(iov.size())) == 0;
}

}  // namespace

void set_level(Level level)
{
    threshold = level;
}

void write(Level level, std::string_view text, std::initializer_list<Field> fields)
{
    if (level > threshold || to_journal(level, text, fields))
        return;
    std::string line = getenv("INVOCATION_ID") ? fmt::format("<{}>", static_cast<int>(level)) : "";
    line += text;
    line += '\n';
    const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
    static_cast<void>(n);
}

}  // namespace tbib::log
