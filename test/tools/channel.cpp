// SPDX-License-Identifier: Apache-2.0
#include "channel.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace {

constexpr int tries = 200;
constexpr std::chrono::milliseconds between_tries{100};

int connect_once(const addrinfo& to) {
    const int fd = socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC, 0);
    if (fd >= 0 && ::connect(fd, to.ai_addr, to.ai_addrlen) == 0) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

} // namespace

Channel Channel::accept(int port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(static_cast<std::uint16_t>(port));
    if (bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0 ||
        listen(listener, 1) != 0) {
        throw std::runtime_error("cannot listen on port " + std::to_string(port));
    }
    const int fd = ::accept(listener, nullptr, nullptr);
    close(listener);
    if (fd < 0) {
        throw std::runtime_error("cannot accept a connection");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return Channel(fd);
}

Channel Channel::connect(const std::string& host, int port) {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
        throw std::runtime_error("no such host: " + host);
    }
    int fd = -1;
    for (int i = 0; i < tries && fd < 0; i++) {
        fd = connect_once(*found);
        if (fd < 0) {
            std::this_thread::sleep_for(between_tries);
        }
    }
    freeaddrinfo(found);
    if (fd < 0) {
        throw std::runtime_error("no server at " + host + " port " + std::to_string(port));
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return Channel(fd);
}

Channel::Channel(Channel&& other) noexcept : fd_(other.fd_), barriers_(other.barriers_) {
    other.fd_ = -1;
}

Channel::~Channel() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

void Channel::send(const void* data, std::size_t size) {
    for (const char* at = static_cast<const char*>(data); size > 0;) {
        const ssize_t n = ::send(fd_, at, size, MSG_NOSIGNAL);
        if (n <= 0) {
            throw std::runtime_error("the other side is gone");
        }
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}

void Channel::receive(void* data, std::size_t size) {
    for (char* at = static_cast<char*>(data); size > 0;) {
        const ssize_t n = recv(fd_, at, size, 0);
        if (n <= 0) {
            throw std::runtime_error("the other side is gone");
        }
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}

void Channel::barrier() {
    barriers_++;
    if (exchange(barriers_) != barriers_) {
        throw std::runtime_error("the sides are not at the same point");
    }
}
