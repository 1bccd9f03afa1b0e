// SPDX-License-Identifier: Apache-2.0
#include "nl/socket.hpp"

#include "nl/attr.hpp"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace tbib::nl {

namespace {

constexpr size_t kReceive = 65536;

[[noreturn]] void fail(const char* what)
{
    const int code = errno;
    throw Error(code, fmt::format("{}: {}", what, strerror(code)));
}

/// Text of the extended ack in an error message, or "".
std::string extack(const nlmsghdr* h)
{
    const auto* err = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(h));
    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
        return "";
    size_t skip = sizeof(*err);
    if (!(h->nlmsg_flags & NLM_F_CAPPED))
        skip += mnl_nlmsg_get_payload_len(h) >= sizeof(*err) + err->msg.nlmsg_len - sizeof(nlmsghdr)
                    ? err->msg.nlmsg_len - sizeof(nlmsghdr)
                    : 0;
    std::string text;
    each_attr(h, skip, [&](const nlattr* a) {
        if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG && mnl_attr_get_payload_len(a) > 0)
            text.assign(static_cast<const char*>(mnl_attr_get_payload(a)),
                        mnl_attr_get_payload_len(a) - 1);
    });
    return text;
}

}  // namespace

Request::Request(uint16_t type, uint16_t flags, size_t size) : buffer_(size)
{
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
}

void Request::check(size_t len) const
{
    if (header_->nlmsg_len + len + 64 > buffer_.size())
        throw Error(EMSGSIZE, "netlink request too large");
}

Socket::Socket(int bus) : socket_(mnl_socket_open2(bus, SOCK_CLOEXEC))
{
    if (!socket_)
        fail("netlink socket");
    if (mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID) < 0)
        fail("netlink bind");
    int on = 1;
    mnl_socket_setsockopt(socket_, NETLINK_EXT_ACK, &on, sizeof on);
    mnl_socket_setsockopt(socket_, NETLINK_CAP_ACK, &on, sizeof on);
}

Socket::~Socket()
{
    mnl_socket_close(socket_);
}

int Socket::fd() const
{
    return mnl_socket_get_fd(socket_);
}

void Socket::join(uint32_t group)
{
    if (mnl_socket_setsockopt(socket_, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        fail("netlink group");
}

void Socket::request(Request& r, const Handler& on)
{
    nlmsghdr* h = r.header();
    h->nlmsg_seq = ++seq_;
    if (mnl_socket_sendto(socket_, h, h->nlmsg_len) < 0)
        fail("netlink send");
    std::vector<char> buf(kReceive);
    for (;;) {
        const ssize_t n = mnl_socket_recvfrom(socket_, buf.data(), buf.size());
        if (n < 0)
            fail("netlink receive");
        int left = static_cast<int>(n);
        for (auto* m = reinterpret_cast<const nlmsghdr*>(buf.data()); mnl_nlmsg_ok(m, left);
             m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_seq != seq_)
                continue;
            if (m->nlmsg_type == NLMSG_ERROR) {
                const auto* err = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(m));
                if (err->error == 0)
                    return;
                const std::string text = extack(m);
                throw Error(-err->error, text.empty() ? strerror(-err->error) : text);
            }
            if (m->nlmsg_type == NLMSG_DONE)
                return;
            if (m->nlmsg_type >= NLMSG_MIN_TYPE && on)
                on(m);
        }
    }
}

bool Socket::drain(const Handler& on)
{
    std::vector<char> buf(kReceive);
    for (;;) {
        const ssize_t n = recv(fd(), buf.data(), buf.size(), MSG_DONTWAIT);
        if (n < 0) {
            if (errno == ENOBUFS)
                return false;
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                return true;
            fail("netlink receive");
        }
        int left = static_cast<int>(n);
        for (auto* m = reinterpret_cast<const nlmsghdr*>(buf.data()); mnl_nlmsg_ok(m, left);
             m = mnl_nlmsg_next(m, &left))
            if (m->nlmsg_type >= NLMSG_MIN_TYPE)
                on(m);
    }
}

}  // namespace tbib::nl
