// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/names.hpp"
#include "test/lab/cli/server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <system_error>

namespace tblab {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start)
{
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/**
 * Leaves the terminal, its signals and what the caller had open (a lock that
 * it holds must not be held by a lab that goes on); output goes to the log.
 * @return the descriptor `keep` under its new number
 */
int detach(const fs::path& log, int keep)
{
    setsid();
    const int kept = STDERR_FILENO + 1;
    if (keep != kept) {
        dup3(keep, kept, O_CLOEXEC);
    }
    close_range(static_cast<unsigned>(kept) + 1, ~0U, 0);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close(null);
    close(output);
    // serve() takes these from a descriptor, so no thread may be killed by them.
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, nullptr);
    return kept;
}

/** Several guests with a kernel that checks every access share two processors. */
constexpr auto kBootTime = std::chrono::minutes(5);

/** The background process: tells its steps over `parent`, then serves. Its parent going before
 * the end of the steps (Ctrl-C) ends it, because send() then throws. */
void background(LabOptions options, const std::string& name, JsonSocket parent)
{
    const auto start = Clock::now();
    try {
        Lab lab(std::move(options));
        Server server(lab, control_socket(name));
        for (auto& guest : lab.guests()) {
            guest->wait_ready(kBootTime);
            parent.send(
                {{"step", fmt::format("{}: {} up after {:.1f} s", guest->name(),
                                      guest->config().kernel.release, seconds_since(start))}});
        }
        for (unsigned i = 0; i < lab.cables() && lab.options().plugged; ++i) {
            const auto& plan = lab.cable_plan(i);
            const bool up = lab.wait_link(i, true, 15s);
            parent.send(
                {{"step", fmt::format("c{}: h{}:{} - h{}:{} {} after {:.1f} s", i, plan.host_a,
                                      plan.port_a, plan.host_b, plan.port_b,
                                      up ? "up" : "still down", seconds_since(start))}});
        }
        parent.send({{"ready", true}});
        parent.close();
        server.serve();
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        if (parent.connected()) {
            parent.send({{"error", error.what()}});
        }
    }
}

void prepare_directory(const std::string& name)
{
    const auto directory = lab_directory(name);
    if (const int running = connect_unix(control_socket(name)); running >= 0) {
        close(running);
        throw LabError("lab '" + name + "' is running already; end it with: tblab down");
    }
    std::error_code error;
    fs::remove_all(directory, error);
    if (!fs::create_directories(directory, error)) {
        throw LabError("cannot create " + directory.string() + ": " + error.message());
    }
    fs::permissions(directory, fs::perms::owner_all);
}

} // namespace

void start_server(const LabOptions& options, const std::string& name,
                  const std::function<void(const std::string&)>& progress)
{
    (void)Image::get(); // a missing image is built here, where its progress can be seen
    prepare_directory(name);
    LabOptions own = options;
    own.directory = lab_directory(name);

    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0) {
        throw std::system_error(errno, std::generic_category(), "socketpair");
    }
    const pid_t pid = fork();
    if (pid < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
    if (pid == 0) {
        const int parent = detach(own.directory / "server.log", ends[1]);
        try {
            background(std::move(own), name, JsonSocket(parent));
        } catch (const std::exception&) {
            // The parent went away; the lab has been taken down.
        }
        std::error_code ignored;
        fs::remove(control_socket(name), ignored);
        std::exit(0); // runs the destructor of the thread that forks
    }
    close(ends[1]);
    JsonSocket child(ends[0]);
    try {
        while (auto message = child.receive(Clock::now() + 5min)) {
            if (message->contains("ready")) {
                return;
            }
            if (message->contains("error")) {
                throw LabError((*message)["error"].get<std::string>());
            }
            progress(message->value("step", ""));
        }
    } catch (const LabError& error) {
        if (std::strcmp(error.what(), "connection closed") != 0) {
            throw;
        }
    }
    throw LabError("the lab ended unexpectedly; see " +
                   (lab_directory(name) / "server.log").string());
}

} // namespace tblab
