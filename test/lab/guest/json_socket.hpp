// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace tblab {

/**
 * A Unix stream socket that carries one JSON object a line: QEMU's monitor
 * (QMP), its guest agent and the lab's own control socket all do.
 */
class JsonSocket {
  public:
    using Clock = std::chrono::steady_clock;

    JsonSocket() = default;
    /** Takes over a connected socket. */
    explicit JsonSocket(int fd) : fd_(fd) {}
    ~JsonSocket();
    JsonSocket(JsonSocket&& other) noexcept;
    JsonSocket& operator=(JsonSocket&& other) noexcept;

    /** @return false if nobody listens there (yet) */
    bool connect(const std::filesystem::path& path);
    bool connected() const { return fd_ >= 0; }
    void close();

    /** @throws LabError if the peer is gone */
    void send(const nlohmann::json& message);
    void send_raw(const std::string& bytes);
    /** The next complete line that is JSON; others are skipped. Empty when the
     *  time is over. @throws LabError if the peer is gone */
    std::optional<nlohmann::json> receive(Clock::time_point deadline);

  private:
    std::optional<std::string> line();

    int fd_ = -1;
    std::string input_;
};

/** Connects to a Unix socket. @return the descriptor, or -1 with errno */
int connect_unix(const std::filesystem::path& path);
/** Listens at a Unix socket, replacing a stale one. @throws std::system_error */
int listen_unix(const std::filesystem::path& path);

} // namespace tblab
