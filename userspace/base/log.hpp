// SPDX-License-Identifier: Apache-2.0
// Logging: to the journal with fields when the journal is there, else to
// stderr as one line with an sd-daemon(3) level prefix.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tbib::log {

enum class Level { Error = 3, Warning = 4, Notice = 5, Info = 6, Debug = 7 };

/// A journal field, e.g. {"TBIB_PEER", "0011:..."}; names are upper case.
using Field = std::pair<std::string_view, std::string>;

/// Lines below this level are dropped (default Info).
void set_level(Level level);
/// Writes one line. Thread: the main thread.
void write(Level level, std::string_view text, std::initializer_list<Field> fields = {});

template <typename... A>
void error(fmt::format_string<A...> f, A&&... a)
{
    write(Level::Error, fmt::format(f, std::forward<A>(a)...));
}
template <typename... A>
void warning(fmt::format_string<A...> f, A&&... a)
{
    write(Level::Warning, fmt::format(f, std::forward<A>(a)...));
}
template <typename... A>
void notice(fmt::format_string<A...> f, A&&... a)
{
    write(Level::Notice, fmt::format(f, std::forward<A>(a)...));
}
template <typename... A>
void info(fmt::format_string<A...> f, A&&... a)
{
    write(Level::Info, fmt::format(f, std::forward<A>(a)...));
}
template <typename... A>
void debug(fmt::format_string<A...> f, A&&... a)
{
    write(Level::Debug, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace tbib::log
