// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "test/lab/vfio_user/receiver.hpp"

using namespace tblab;
using namespace tblab::vfio_user;

namespace {

std::vector<std::byte> message(std::uint16_t id, std::size_t body)
{
    std::vector<std::byte> out(sizeof(Header) + body);
    const Header header{id, 1, static_cast<std::uint32_t>(out.size()), 0, 0};
    std::memcpy(out.data(), &header, sizeof header);
    return out;
}

std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/** What a receiver handed out. */
struct Seen {
    std::vector<std::uint16_t> ids;
    std::vector<std::size_t> bodies;
    std::vector<std::size_t> fds;

    Receiver::Handler handler()
    {
        return [this](const Header& header, std::span<const std::byte> body,
                      std::vector<UniqueFd>& got) {
            ids.push_back(header.id);
            bodies.push_back(body.size());
            fds.push_back(got.size());
        };
    }
};

std::vector<UniqueFd> one_fd()
{
    std::vector<UniqueFd> fds;
    fds.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return fds;
}

} // namespace

BOOST_AUTO_TEST_SUITE(receiver)

BOOST_AUTO_TEST_CASE(cuts_messages_at_any_byte)
{
    const auto stream = message(1, 0) + message(2, 5) + message(3, 100);
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        Receiver receiver;
        Seen seen;
        const auto all = std::span(stream);
        BOOST_REQUIRE(receiver.feed(all.first(cut), {}, seen.handler()));
        BOOST_REQUIRE(receiver.feed(all.subspan(cut), {}, seen.handler()));
        BOOST_REQUIRE((seen.ids == std::vector<std::uint16_t>{1, 2, 3}));
        BOOST_REQUIRE((seen.bodies == std::vector<std::size_t>{0, 5, 100}));
    }
}

BOOST_AUTO_TEST_CASE(fds_belong_to_the_last_message_that_begins)
{
    Receiver receiver;
    Seen seen;
    BOOST_TEST(receiver.feed(message(1, 8) + message(2, 8) + message(3, 8), one_fd(),
                             seen.handler()));
    BOOST_TEST(receiver.feed(message(4, 8), {}, seen.handler()));
    BOOST_TEST((seen.fds == std::vector<std::size_t>{0, 0, 1, 0}));
}

BOOST_AUTO_TEST_CASE(fds_of_a_message_that_is_not_complete_yet)
{
    Receiver receiver;
    Seen seen;
    const auto third = message(3, 64);
    const auto data = std::span(third);
    auto first = message(1, 8) + message(2, 8);
    first.insert(first.end(), data.begin(), data.begin() + 5); // not even a whole header
    BOOST_TEST(receiver.feed(first, one_fd(), seen.handler()));
    BOOST_TEST(receiver.feed(data.subspan(5, 20), {}, seen.handler()));
    BOOST_TEST((seen.fds == std::vector<std::size_t>{0, 0}));
    BOOST_TEST(receiver.feed(data.subspan(25), {}, seen.handler()));
    BOOST_TEST((seen.fds == std::vector<std::size_t>{0, 0, 1}));
}

BOOST_AUTO_TEST_CASE(fds_in_the_middle_of_a_message_are_nobodys)
{
    Receiver receiver;
    Seen seen;
    const auto one = message(1, 64);
    BOOST_TEST(receiver.feed(std::span(one).first(30), {}, seen.handler()));
    BOOST_TEST(receiver.feed(std::span(one).subspan(30, 10), one_fd(), seen.handler()));
    BOOST_TEST(receiver.feed(std::span(one).subspan(40), {}, seen.handler()));
    BOOST_TEST(receiver.feed(message(2, 0), {}, seen.handler()));
    BOOST_TEST((seen.fds == std::vector<std::size_t>{0, 0}));
}

BOOST_AUTO_TEST_CASE(refuses_impossible_sizes)
{
    for (const std::uint32_t size : {0u, 15u, max_message + 1, ~0u}) {
        auto bytes = message(1, 0);
        std::memcpy(bytes.data() + 4, &size, sizeof size);
        Receiver receiver;
        Seen seen;
        BOOST_TEST(!receiver.feed(bytes, {}, seen.handler()));
        BOOST_TEST(seen.ids.empty());
    }
}

BOOST_AUTO_TEST_CASE(takes_the_largest_message)
{
    Receiver receiver;
    Seen seen;
    BOOST_TEST(receiver.feed(message(7, max_message - sizeof(Header)) + message(8, 1), {},
                             seen.handler()));
    BOOST_TEST((seen.ids == std::vector<std::uint16_t>{7, 8}));
}

BOOST_AUTO_TEST_CASE(the_kernel_delivers_fds_as_assumed)
{
    int ends[2];
    BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd sender(ends[0]), other(ends[1]);
    // Like a burst of DMA_MAP: without, without, with, without, with.
    for (std::uint16_t id = 1; id <= 5; ++id) {
        auto bytes = message(id, 32);
        iovec iov{bytes.data(), bytes.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
        msghdr header{};
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        const int fd = sender.get();
        if (id == 3 || id == 5) {
            header.msg_control = control;
            header.msg_controllen = sizeof control;
            cmsghdr* c = CMSG_FIRSTHDR(&header);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
        }
        BOOST_REQUIRE(sendmsg(sender.get(), &header, 0) == static_cast<ssize_t>(bytes.size()));
    }
    Receiver receiver;
    Seen seen;
    Receiver::Result result = Receiver::Result::more;
    while (result == Receiver::Result::more)
        result = receiver.receive(other.get(), seen.handler());
    BOOST_TEST((result == Receiver::Result::drained));
    BOOST_TEST((seen.ids == std::vector<std::uint16_t>{1, 2, 3, 4, 5}));
    BOOST_TEST((seen.fds == std::vector<std::size_t>{0, 0, 1, 0, 1}));
}

BOOST_AUTO_TEST_SUITE_END()
