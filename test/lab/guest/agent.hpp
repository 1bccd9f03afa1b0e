// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/guest/json_socket.hpp"

#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>

namespace tblab {

/** What a command in a guest left behind. */
struct CommandResult {
    int rc = -1;     ///< exit code, or 128 + signal
    std::string out; ///< standard output
    std::string err; ///< standard error

    bool ok() const { return rc == 0; }
};

/**
 * The client of one qemu-guest-agent. Methods may be called from any thread;
 * one request is under way at a time, a running command does not block others.
 */
class GuestAgent {
  public:
    explicit GuestAgent(std::filesystem::path socket);

    /** True once the agent answers; waits at most that long. */
    bool sync(std::chrono::milliseconds timeout);

    /** Starts argv in the guest. @return its pid there @throws LabError */
    long exec(const std::vector<std::string>& argv);
    /** True when the process has ended; then `result` is filled. @throws LabError */
    bool finished(long pid, CommandResult& result);

    /** Writes a whole file in the guest. @throws LabError */
    void write_file(const std::string& path, const std::string& content);
    /** Reads a whole file of the guest, also of /proc and /sys. @throws LabError */
    std::string read_file(const std::string& path);

  private:
    nlohmann::json request(const std::string& command, nlohmann::json arguments);
    bool sync_locked(JsonSocket::Clock::time_point deadline);

    const std::filesystem::path path_;
    std::mutex mutex_; // guards what follows: one request on the wire at a time
    JsonSocket socket_;
    bool synced_ = false;
    unsigned next_id_ = 1;
};

std::string base64_encode(const std::string& bytes);
/** @throws LabError on anything that is not base64 */
std::string base64_decode(const std::string& text);

} // namespace tblab
