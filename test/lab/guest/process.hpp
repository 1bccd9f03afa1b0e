// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace tblab {

/** A child process that dies with this one, whatever ends it. */
class Process {
  public:
    Process() = default;
    /** Starts argv with stdout and stderr appended to `log`.
     *  @throws std::system_error */
    Process(const std::vector<std::string>& argv, const std::filesystem::path& log);
    ~Process();
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;

    pid_t pid() const { return pid_; }
    bool running() const;
    /** True if the process ended within the time. */
    bool wait(std::chrono::milliseconds timeout) const;
    /** SIGKILL and reap; harmless if it is not running. */
    void kill();

  private:
    pid_t pid_ = -1;
    int pidfd_ = -1;
};

/** Runs a helper program to its end. @return its exit code and standard output */
struct Output {
    int rc = -1;
    std::string text;
};
Output capture(const std::vector<std::string>& argv);

} // namespace tblab
