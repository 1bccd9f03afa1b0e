// SPDX-License-Identifier: Apache-2.0
#include "tbibctl/varlink_client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tbib {

namespace {

constexpr size_t kMaxReply = 8 << 20;

/// Closes a descriptor at the end of its scope.
struct Closer {
    int fd;
    ~Closer() { close(fd); }
};

[[noreturn]] void fail(const std::string& path)
{
    const int code = errno;
    const char* hint = code == ENOENT || code == ECONNREFUSED
                           ? " (is tbibd running? systemctl status tbibd)"
                           : "";
    throw CallError(code, fmt::format("{}: {}{}", path, strerror(code), hint));
}

}  // namespace

nlohmann::json varlink_call(const std::string& path, const std::string& method)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw CallError(ENAMETOOLONG, path + ": name is too long for a socket");
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const Closer socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const timeval limit{5, 0};
    setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(socket.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
        fail(path);
    std::string request = nlohmann::json{{"method", method}}.dump() + '\0';
    if (send(socket.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
        fail(path);
    std::string reply;
    while (reply.empty() || reply.back() != '\0') {
        char buf[8192];
        const ssize_t n = recv(socket.fd, buf, sizeof buf, 0);
        if (n < 0)
            fail(path);
        if (n == 0 || reply.size() > kMaxReply)
            throw CallError(EPROTO, path + ": tbibd closed the connection");
        reply.append(buf, static_cast<size_t>(n));
    }
    reply.pop_back();
    const auto j = nlohmann::json::parse(reply, nullptr, false);
    if (!j.is_object() || !j.contains("parameters"))
        throw CallError(EPROTO, path + ": malformed answer");
    if (j.contains("error"))
        throw CallError(EPROTO, fmt::format("{}: {}", method, j["error"].dump()));
    return j["parameters"];
}

}  // namespace tbib
