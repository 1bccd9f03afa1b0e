// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/json_socket.hpp"

#include "test/lab/guest/error.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace tblab {
namespace {

/** @return false if the path is too long for a socket address */
bool unix_address(const std::filesystem::path& path, sockaddr_un& address)
{
    const std::string& text = path.native();
    address = {};
    address.sun_family = AF_UNIX;
    if (text.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    return true;
}

} // namespace

int connect_unix(const std::filesystem::path& path)
{
    sockaddr_un address{};
    if (!unix_address(path, address)) {
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
        const int error = errno;
        ::close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int listen_unix(const std::filesystem::path& path)
{
    sockaddr_un address{};
    int fd = -1;
    unlink(path.c_str());
    if (!unix_address(path, address) ||
        (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
        listen(fd, 16) < 0) {
        const int error = errno;
        if (fd >= 0) {
            ::close(fd);
        }
        throw std::system_error(error, std::generic_category(), path.string());
    }
    return fd;
}

JsonSocket::~JsonSocket()
{
    close();
}

JsonSocket::JsonSocket(JsonSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), input_(std::move(other.input_))
{}

JsonSocket& JsonSocket::operator=(JsonSocket&& other) noexcept
{
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        input_ = std::move(other.input_);
    }
    return *this;
}

bool JsonSocket::connect(const std::filesystem::path& path)
{
    close();
    fd_ = connect_unix(path);
    return fd_ >= 0;
}

void JsonSocket::close()
{
    if (fd_ >= 0) {
        ::close(fd_);
    }
    fd_ = -1;
    input_.clear();
}

void JsonSocket::send(const nlohmann::json& message)
{
    // Output of programs need not be UTF-8; one odd byte must not lose the rest.
    send_raw(message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void JsonSocket::send_raw(const std::string& bytes)
{
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            throw LabError(std::string("connection lost: ") + std::strerror(errno));
        }
    }
}

std::optional<std::string> JsonSocket::line()
{
    const auto end = input_.find('\n');
    if (end == std::string::npos) {
        return std::nullopt;
    }
    std::string result = input_.substr(0, end);
    input_.erase(0, end + 1);
    // The agent marks the answer to guest-sync-delimited with a byte that is in no JSON text.
    result.erase(std::remove(result.begin(), result.end(), '\xff'), result.end());
    return result;
}

std::optional<nlohmann::json> JsonSocket::receive(Clock::time_point deadline)
{
    while (true) {
        while (auto text = line()) {
            auto message = nlohmann::json::parse(*text, nullptr, false);
            if (message.is_object()) {
                return message;
            }
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd waiting{fd_, POLLIN, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(std::max<long>(0, left.count())));
        if (ready == 0) {
            return std::nullopt;
        }
        std::array<char, 65536> buffer;
        const ssize_t n = ready < 0 ? -1 : recv(fd_, buffer.data(), buffer.size(), 0);
        if (n > 0) {
            input_.append(buffer.data(), static_cast<std::size_t>(n));
        } else if (n == 0) {
            throw LabError("connection closed");
        } else if (errno != EINTR) {
            throw LabError(std::string("connection lost: ") + std::strerror(errno));
        }
    }
}

} // namespace tblab
