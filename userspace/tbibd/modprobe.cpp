// SPDX-License-Identifier: Apache-2.0
#include "tbibd/app.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace tbib {

namespace {

/// Runs modprobe and returns its exit status (-1: not run) and its first line.
int run_modprobe(std::string& line)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
    const char* argv[] = {"modprobe", "tbib", nullptr};
    pid_t pid = 0;
    const int r = posix_spawnp(&pid, "modprobe", &actions, nullptr, const_cast<char**>(argv),
                               environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    std::string text;
    char buf[512];
    ssize_t n;
    while (r == 0 && (n = read(fds[0], buf, sizeof buf)) > 0 && text.size() < 4096)
        text.append(buf, static_cast<size_t>(n));
    close(fds[0]);
    line = text.substr(0, text.find('\n'));
    int status = 0;
    if (r != 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::string load_module()
{
    std::string line;
    const int status = run_modprobe(line);
    if (status == 0)
        return "";
    utsname u{};
    uname(&u);
    return fmt::format("cannot load kernel module tbib for kernel {}: {} (is tbib-dkms installed "
                       "and built? see 'dkms status tbib')",
                       u.release, line.empty() ? "modprobe could not be run" : line);
}

}  // namespace tbib
