// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/agent.hpp"

#include "test/lab/guest/error.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

namespace tblab {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

/// An emulated CPU that other guests compete for may take this long to answer.
constexpr auto request_time = 30s;
/// Bytes per guest-file-write: long lines cost the agent's JSON reader memory.
constexpr std::size_t chunk = 256 * 1024;

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string decoded(const json& object, const char* key)
{
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? base64_decode(it->get<std::string>())
                                                 : std::string();
}

} // namespace

std::string base64_encode(const std::string& bytes)
{
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::array<unsigned, 3> in{};
        const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
        for (std::size_t k = 0; k < n; ++k) {
            in[k] = static_cast<unsigned char>(bytes[i + k]);
        }
        const unsigned word = in[0] << 16 | in[1] << 8 | in[2];
        for (std::size_t k = 0; k < 4; ++k) {
            text += k <= n ? alphabet[word >> (18 - 6 * k) & 63] : '=';
        }
    }
    return text;
}

std::string base64_decode(const std::string& text)
{
    static const auto values = [] {
        std::array<signed char, 256> table{};
        table.fill(-1);
        for (std::size_t i = 0; i < alphabet.size(); ++i) {
            table[static_cast<unsigned char>(alphabet[i])] = static_cast<signed char>(i);
        }
        return table;
    }();
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    unsigned word = 0;
    int bits = 0;
    for (const char c : text) {
        if (c == '=') {
            break;
        }
        const int value = values[static_cast<unsigned char>(c)];
        if (value < 0) {
            throw LabError("the guest agent sent something that is not base64");
        }
        word = word << 6 | static_cast<unsigned>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes += static_cast<char>(word >> bits & 255);
        }
    }
    return bytes;
}

GuestAgent::GuestAgent(std::filesystem::path socket) : path_(std::move(socket)) {}

bool GuestAgent::sync(std::chrono::milliseconds timeout)
{
    std::lock_guard lock(mutex_);
    synced_ = false;
    return sync_locked(JsonSocket::Clock::now() + timeout);
}

bool GuestAgent::sync_locked(JsonSocket::Clock::time_point deadline)
{
    while (!synced_ && JsonSocket::Clock::now() < deadline) {
        if (!socket_.connected() && !socket_.connect(path_)) {
            std::this_thread::sleep_for(20ms);
            continue;
        }
        // The byte ff makes the agent's parser forget a half-read request of an earlier client.
        // The request waits in the channel until the agent opens it, so one is enough; the
        // second one is for an agent that was reset.
        const unsigned id = next_id_++;
        try {
            socket_.send_raw(
                "\xff" +
                json{{"execute", "guest-sync-delimited"}, {"arguments", {{"id", id}}}}.dump() +
                "\n");
            const auto until = std::min(deadline, JsonSocket::Clock::now() + 5s);
            while (auto answer = socket_.receive(until)) {
                if (answer->value("return", json()) == json(id)) {
                    synced_ = true;
                    break;
                }
            }
        } catch (const LabError&) {
            socket_.close();
            std::this_thread::sleep_for(20ms);
        }
    }
    return synced_;
}

json GuestAgent::request(const std::string& command, json arguments)
{
    std::lock_guard lock(mutex_);
    const auto deadline = JsonSocket::Clock::now() + request_time;
    if (!sync_locked(deadline)) {
        throw LabError("the guest agent does not answer");
    }
    try {
        socket_.send({{"execute", command}, {"arguments", std::move(arguments)}});
        while (auto answer = socket_.receive(deadline)) {
            if (const auto error = answer->find("error"); error != answer->end()) {
                throw LabError(command + ": " + error->value("desc", "unknown error"));
            }
            if (const auto result = answer->find("return"); result != answer->end()) {
                return *result;
            }
        }
    } catch (const LabError&) {
        if (!socket_.connected()) {
            synced_ = false;
        }
        throw;
    }
    synced_ = false; // a late answer must not be taken for the next request's
    throw LabError("the guest agent did not answer " + command + " in time");
}

long GuestAgent::exec(const std::vector<std::string>& argv)
{
    const auto result =
        request("guest-exec", {{"path", argv.at(0)},
                               {"arg", std::vector<std::string>(argv.begin() + 1, argv.end())},
                               {"capture-output", true}});
    return result.at("pid").get<long>();
}

bool GuestAgent::finished(long pid, CommandResult& result)
{
    const auto status = request("guest-exec-status", {{"pid", pid}});
    if (!status.value("exited", false)) {
        return false;
    }
    result.rc = status.contains("signal") ? 128 + status["signal"].get<int>()
                                          : status.value("exitcode", -1);
    result.out = decoded(status, "out-data");
    result.err = decoded(status, "err-data");
    return true;
}

void GuestAgent::write_file(const std::string& path, const std::string& content)
{
    const auto handle = request("guest-file-open", {{"path", path}, {"mode", "w"}});
    for (std::size_t done = 0; done < content.size(); done += chunk) {
        request("guest-file-write",
                {{"handle", handle}, {"buf-b64", base64_encode(content.substr(done, chunk))}});
    }
    request("guest-file-close", {{"handle", handle}});
}

std::string GuestAgent::read_file(const std::string& path)
{
    const auto handle = request("guest-file-open", {{"path", path}, {"mode", "r"}});
    std::string content;
    for (bool eof = false; !eof;) {
        const auto part = request("guest-file-read", {{"handle", handle}, {"count", chunk}});
        content += decoded(part, "buf-b64");
        eof = part.value("eof", true);
    }
    request("guest-file-close", {{"handle", handle}});
    return content;
}

} // namespace tblab
