// SPDX-License-Identifier: Apache-2.0
#include "test/lab/vfio_user/receiver.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>

namespace tblab::vfio_user {

namespace {

constexpr std::size_t chunk = 64 * 1024;

void take_fds(msghdr& message, std::vector<UniqueFd>& fds)
{
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
}

} // namespace

Receiver::Receiver() : buffer_(2 * chunk) {}

void Receiver::make_room()
{
    if (start_ == end_)
        start_ = end_ = 0;
    if (buffer_.size() - end_ >= chunk)
        return;
    std::memmove(buffer_.data(), buffer_.data() + start_, end_ - start_);
    end_ -= start_;
    start_ = 0;
    if (buffer_.size() - end_ < chunk)
        buffer_.resize(end_ + chunk); // bounded: parse() refuses larger messages
}

Receiver::Result Receiver::receive(int socket, const Handler& handler)
{
    make_room();
    iovec iov{buffer_.data() + end_, buffer_.size() - end_};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds)];
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? Result::drained : Result::closed;
    if (n == 0)
        return Result::closed;

    if (message.msg_controllen) {
        FdBatch batch{position_ + (end_ - start_), 0, {}};
        batch.end = batch.begin + static_cast<std::uint64_t>(n);
        take_fds(message, batch.fds);
        batches_.push_back(std::move(batch));
    }
    end_ += static_cast<std::size_t>(n);
    if (!parse(handler))
        return Result::closed;
    // A read that carried descriptors stops behind them, whatever follows.
    const bool full = static_cast<std::size_t>(n) == iov.iov_len;
    return full || message.msg_controllen ? Result::more : Result::drained;
}

bool Receiver::feed(std::span<const std::byte> data, std::vector<UniqueFd> fds,
                    const Handler& handler)
{
    if (!fds.empty()) {
        const std::uint64_t begin = position_ + (end_ - start_);
        batches_.push_back({begin, begin + data.size(), std::move(fds)});
    }
    while (!data.empty()) {
        make_room();
        const std::size_t n = std::min(data.size(), buffer_.size() - end_);
        std::memcpy(buffer_.data() + end_, data.data(), n);
        end_ += n;
        data = data.subspan(n);
        if (data.empty() || buffer_.size() == end_) {
            if (!parse(handler))
                return false;
        }
    }
    return true;
}

bool Receiver::parse(const Handler& handler)
{
    while (end_ - start_ >= sizeof(Header)) {
        Header header;
        std::memcpy(&header, buffer_.data() + start_, sizeof header);
        if (header.size < sizeof header || header.size > max_message)
            return false;
        if (end_ - start_ < header.size)
            break;
        std::vector<UniqueFd> fds;
        if (!batches_.empty())
            fds = claim(position_, position_ + header.size);
        const std::byte* body = buffer_.data() + start_ + sizeof header;
        handler(header, {body, header.size - sizeof header}, fds);
        start_ += header.size;
        position_ += header.size;
    }
    return true;
}

/** Descriptors of the message at stream positions [begin, end). */
std::vector<UniqueFd> Receiver::claim(std::uint64_t begin, std::uint64_t end)
{
    while (!batches_.empty() && batches_.front().end <= begin)
        batches_.pop_front(); // attached to no message's beginning: closed
    if (batches_.empty() || begin < batches_.front().begin || end < batches_.front().end)
        return {};
    std::vector<UniqueFd> fds = std::move(batches_.front().fds);
    batches_.pop_front();
    return fds;
}

} // namespace tblab::vfio_user
