// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/error.hpp"
#include "test/lab/guest/json_socket.hpp"

#include <boost/test/unit_test.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

using namespace std::chrono_literals;
using tblab::JsonSocket;

namespace {

struct Pair {
    Pair()
    {
        std::array<int, 2> ends{};
        BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
        near = JsonSocket(ends[0]);
        far = ends[1];
    }
    ~Pair()
    {
        if (far >= 0) {
            close(far);
        }
    }
    void write(const std::string& bytes) const
    {
        BOOST_REQUIRE(::write(far, bytes.data(), bytes.size()) ==
                      static_cast<ssize_t>(bytes.size()));
    }
    auto receive() { return near.receive(JsonSocket::Clock::now() + 20ms); }

    JsonSocket near;
    int far = -1;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(json_socket, Pair)

BOOST_AUTO_TEST_CASE(a_message_may_come_in_pieces)
{
    write("{\"a\"");
    BOOST_TEST(!receive().has_value());
    write(":1}\n{\"b\":2}\n");
    BOOST_TEST(receive()->at("a") == 1);
    BOOST_TEST(receive()->at("b") == 2);
    BOOST_TEST(!receive().has_value());
}

BOOST_AUTO_TEST_CASE(what_is_no_object_is_skipped)
{
    write("rubbish\n\n[1]\n\xff{\"a\":1}\n");
    BOOST_TEST(receive()->at("a") == 1);
}

BOOST_AUTO_TEST_CASE(a_message_is_one_line_even_with_odd_bytes)
{
    near.send({{"text", "line\nbreak and \xfe"}});
    std::array<char, 256> buffer{};
    const auto n = read(far, buffer.data(), buffer.size());
    const std::string text(buffer.data(), static_cast<std::size_t>(n));
    BOOST_TEST(text.find('\n') == text.size() - 1);
}

BOOST_AUTO_TEST_CASE(a_lost_peer_is_an_error)
{
    close(far);
    far = -1;
    BOOST_CHECK_THROW(receive(), tblab::LabError);
    BOOST_CHECK_THROW(near.send({{"a", 1}}), tblab::LabError);
}

BOOST_AUTO_TEST_CASE(nobody_listens)
{
    BOOST_TEST(!JsonSocket().connect("/nonexistent/socket"));
    BOOST_TEST(!JsonSocket().connect(std::string(200, 'x'))); // longer than a socket address
    BOOST_CHECK_THROW(tblab::listen_unix(std::string(200, 'x')), std::system_error);
}

BOOST_AUTO_TEST_SUITE_END()
