// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/agent.hpp"
#include "test/lab/guest/error.hpp"

#include <boost/test/unit_test.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <functional>
#include <thread>

using namespace std::chrono_literals;
using nlohmann::json;
using tblab::GuestAgent;
using tblab::JsonSocket;

namespace {

/** Plays qemu-ga: answers each request with what `reply` makes of it; a null answer is silence.
 */
class FakeAgent {
  public:
    explicit FakeAgent(std::function<json(const json&)> reply) : reply_(std::move(reply))
    {
        std::string pattern = "/tmp/agent-test-XXXXXX";
        BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
        directory_ = pattern;
        listener_ = tblab::listen_unix(path());
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeAgent()
    {
        shutdown(listener_, SHUT_RDWR);
        thread_.join();
        close(listener_);
        std::filesystem::remove_all(directory_);
    }
    std::filesystem::path path() const { return directory_ / "agent"; }

  private:
    void serve()
    {
        const int fd = accept(listener_, nullptr, nullptr);
        if (fd < 0) {
            return;
        }
        JsonSocket client(fd);
        try {
            while (auto request = client.receive(JsonSocket::Clock::now() + 2s)) {
                if (request->at("execute") == "guest-sync-delimited") {
                    client.send({{"return", 424242}}); // the answer to a client before us
                    client.send({{"return", request->at("arguments").at("id")}});
                } else if (const auto answer = reply_(*request); !answer.is_null()) {
                    client.send(answer);
                }
            }
        } catch (const tblab::LabError&) {
            // the test is over
        }
    }

    std::function<json(const json&)> reply_;
    std::filesystem::path directory_;
    int listener_ = -1;
    std::thread thread_;
};

} // namespace

BOOST_AUTO_TEST_SUITE(base64)

BOOST_AUTO_TEST_CASE(known_answers)
{
    // RFC 4648, section 10
    BOOST_TEST(tblab::base64_encode("") == "");
    BOOST_TEST(tblab::base64_encode("f") == "Zg==");
    BOOST_TEST(tblab::base64_encode("fo") == "Zm8=");
    BOOST_TEST(tblab::base64_encode("foo") == "Zm9v");
    BOOST_TEST(tblab::base64_encode("foob") == "Zm9vYg==");
    BOOST_TEST(tblab::base64_decode("Zm9vYmFy") == "foobar");
    BOOST_CHECK_THROW(tblab::base64_decode("Zm9v!"), tblab::LabError);
}

BOOST_AUTO_TEST_CASE(every_byte_survives)
{
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes += static_cast<char>(i);
        BOOST_TEST((tblab::base64_decode(tblab::base64_encode(bytes)) == bytes));
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(agent)

BOOST_AUTO_TEST_CASE(a_command_is_started_and_asked_for)
{
    unsigned asked = 0;
    FakeAgent fake([&](const json& request) -> json {
        if (request.at("execute") == "guest-exec") {
            BOOST_TEST(request.at("arguments").at("path") == "/bin/sh");
            return {{"return", {{"pid", 7}}}};
        }
        return ++asked < 2 ? json{{"return", {{"exited", false}}}}
                           : json{{"return",
                                   {{"exited", true},
                                    {"exitcode", 3},
                                    {"out-data", "b3V0"},
                                    {"err-data", "ZXJy"}}}};
    });
    GuestAgent agent(fake.path());
    const auto pid = agent.exec({"/bin/sh", "-c", "true"});
    tblab::CommandResult result;
    BOOST_TEST(!agent.finished(pid, result));
    BOOST_TEST(agent.finished(pid, result));
    BOOST_TEST(result.rc == 3);
    BOOST_TEST(result.out == "out");
    BOOST_TEST(result.err == "err");
}

BOOST_AUTO_TEST_CASE(a_signal_is_told_as_shells_do)
{
    FakeAgent fake([](const json&) -> json {
        return {{"return", {{"exited", true}, {"signal", 9}}}};
    });
    GuestAgent agent(fake.path());
    tblab::CommandResult result;
    BOOST_TEST(agent.finished(1, result));
    BOOST_TEST(result.rc == 137);
}

BOOST_AUTO_TEST_CASE(an_error_carries_the_agents_words)
{
    FakeAgent fake([](const json&) -> json {
        return {{"error", {{"class", "GenericError"}, {"desc", "no such file"}}}};
    });
    GuestAgent agent(fake.path());
    BOOST_CHECK_EXCEPTION(
        agent.read_file("/x"), tblab::LabError, [](const tblab::LabError& error) {
            return std::string(error.what()).find("no such file") != std::string::npos;
        });
}

BOOST_AUTO_TEST_CASE(nobody_there)
{
    GuestAgent agent("/nonexistent/agent");
    BOOST_TEST(!agent.sync(50ms));
}

BOOST_AUTO_TEST_SUITE_END()
