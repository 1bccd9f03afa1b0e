// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/shell.hpp"

#include "test/lab/guest/error.hpp"
#include "test/lab/guest/json_socket.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace tblab {
namespace {

constexpr char leave_key = 0x1d; // Ctrl-], as telnet and virsh have it
constexpr int quiet_ms = 500; // after the end of piped input: no output for so long means done

/** The terminal in raw mode for as long as this lives. */
class RawTerminal {
  public:
    RawTerminal() : active_(tcgetattr(STDIN_FILENO, &saved_) == 0)
    {
        if (active_) {
            termios raw = saved_;
            cfmakeraw(&raw);
            tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        }
    }
    ~RawTerminal()
    {
        if (active_) {
            tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
        }
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    bool active() const { return active_; }

  private:
    termios saved_{};
    bool active_;
};

bool write_all(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t n = write(fd, bytes.data(), bytes.size());
        if (n > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/** A virtual console knows neither the size nor the kind of our terminal. */
std::string greeting()
{
    winsize size{};
    const char* term = std::getenv("TERM");
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0) {
        return "\r";
    }
    return fmt::format(" export TERM={}; stty rows {} cols {}\r",
                       term != nullptr ? term : "vt100", size.ws_row, size.ws_col);
}

} // namespace

void interactive_shell(const std::filesystem::path& socket)
{
    const int guest = connect_unix(socket);
    if (guest < 0) {
        throw LabError(std::string("no shell: ") + std::strerror(errno));
    }
    const RawTerminal terminal;
    if (terminal.active()) {
        fmt::print(stderr, "Ctrl-] leaves the shell\r\n");
        write_all(guest, greeting());
    }
    std::array<pollfd, 2> waiting{{{STDIN_FILENO, POLLIN, 0}, {guest, POLLIN, 0}}};
    std::array<char, 4096> buffer;
    bool open = true;
    while (open) {
        const int ready =
            poll(waiting.data(), waiting.size(), waiting[0].fd < 0 ? quiet_ms : -1);
        if (ready == 0) {
            break;
        }
        if (ready < 0) {
            continue; // EINTR
        }
        if (waiting[1].revents != 0) {
            const ssize_t n = read(guest, buffer.data(), buffer.size());
            open =
                n > 0 && write_all(STDOUT_FILENO, {buffer.data(), static_cast<std::size_t>(n)});
        }
        if (waiting[0].revents != 0) {
            const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
            const std::string_view typed(buffer.data(),
                                         n > 0 ? static_cast<std::size_t>(n) : 0);
            if (n <= 0) {
                waiting[0].fd = -1;
            } else if (terminal.active() && typed.find(leave_key) != std::string_view::npos) {
                open = false;
            } else {
                open = open && write_all(guest, typed);
            }
        }
    }
    close(guest);
}

} // namespace tblab
