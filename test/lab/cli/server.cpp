// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/server.hpp"

#include "test/lab/cli/fault_text.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <system_error>
#include <thread>

namespace tblab {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

unsigned index_of(const json& request, const char* key)
{
    return request.at(key).get<unsigned>();
}

std::vector<std::string> words_of(const json& request)
{
    return request.at("words").get<std::vector<std::string>>();
}

using Operation = json (*)(Lab&, const json&);

json run(Lab& lab, const json& request)
{
    const auto seconds = std::chrono::seconds(request.value("timeout", 600U));
    const auto result = lab.host(index_of(request, "host"))
                            .run(request.at("command").get<std::string>(), seconds);
    return {{"rc", result.rc}, {"out", result.out}, {"err", result.err}};
}

json put(Lab& lab, const json& request)
{
    lab.host(index_of(request, "host"))
        .put_file(request.at("local").get<std::string>(),
                  request.at("remote").get<std::string>());
    return json::object();
}

json get(Lab& lab, const json& request)
{
    lab.host(index_of(request, "host"))
        .get_file(request.at("remote").get<std::string>(),
                  request.at("local").get<std::string>());
    return json::object();
}

json plug(Lab& lab, const json& request)
{
    lab.plug(index_of(request, "cable"));
    return json::object();
}

json unplug(Lab& lab, const json& request)
{
    lab.unplug(index_of(request, "cable"));
    return json::object();
}

json fault(Lab& lab, const json& request)
{
    const auto spec = parse_faults(words_of(request));
    const auto cable = lab.cable(index_of(request, "cable"));
    const auto direction = request.at("direction").get<std::string>();
    if (direction != "b-a") {
        lab.emulator().set_fault(cable, Direction::a_to_b, spec);
    }
    if (direction != "a-b") {
        lab.emulator().set_fault(cable, Direction::b_to_a, spec);
    }
    return json::object();
}

json fault_clear(Lab& lab, const json&)
{
    lab.emulator().clear_faults();
    return json::object();
}

json set_option(Lab& lab, const json& request)
{
    lab.emulator().set_option(lab.host_id(index_of(request, "host")),
                              parse_host_options(words_of(request)));
    return json::object();
}

json interrupt(Lab& lab, const json& request)
{
    const auto host = lab.host_id(index_of(request, "host"));
    if (const auto lose = request.value("lose", 0U); lose > 0) {
        lab.emulator().lose_interrupt(host, lose);
    } else {
        lab.emulator().spurious_interrupt(host);
    }
    return json::object();
}

json stats(Lab& lab, const json& request)
{
    json result{{"stats", json::parse(to_json(lab.emulator().stats()))}};
    if (request.value("reset", false)) {
        lab.emulator().reset_stats();
    }
    return result;
}

json kill_guest(Lab& lab, const json& request)
{
    lab.host(index_of(request, "host")).kill();
    return json::object();
}

json start_guest(Lab& lab, const json& request)
{
    auto& guest = lab.host(index_of(request, "host"));
    if (guest.running()) {
        throw LabError(guest.name() + " is running");
    }
    guest.start();
    guest.wait_ready();
    return json::object();
}

json reset_guest(Lab& lab, const json& request)
{
    auto& guest = lab.host(index_of(request, "host"));
    guest.reset();
    guest.wait_ready();
    return json::object();
}

const std::map<std::string, Operation> operations{
    {"run", run},
    {"put", put},
    {"get", get},
    {"plug", plug},
    {"unplug", unplug},
    {"fault", fault},
    {"fault-clear", fault_clear},
    {"set", set_option},
    {"interrupt", interrupt},
    {"stats", stats},
    {"kill", kill_guest},
    {"start", start_guest},
    {"reset", reset_guest},
};

int signal_descriptor()
{
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    return signalfd(-1, &ending, SFD_CLOEXEC);
}

} // namespace

Server::Server(Lab& lab, const std::filesystem::path& socket)
    : lab_(lab), listener_(listen_unix(socket)), stop_(eventfd(0, EFD_CLOEXEC))
{}

Server::~Server()
{
    close(listener_);
    close(stop_);
}

void Server::serve()
{
    const int signals = signal_descriptor();
    std::vector<std::thread> clients;
    std::array<pollfd, 3> waiting{
        {{listener_, POLLIN, 0}, {stop_, POLLIN, 0}, {signals, POLLIN, 0}}};
    while (true) {
        if (poll(waiting.data(), waiting.size(), -1) < 0) {
            continue; // EINTR
        }
        if (waiting[1].revents != 0 || waiting[2].revents != 0) {
            break;
        }
        const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client >= 0) {
            clients.emplace_back([this, client] { handle(client); });
        }
    }
    close(signals);
    // Commands under way end with their guests.
    for (auto& guest : lab_.guests()) {
        guest->kill();
    }
    for (auto& client : clients) {
        client.join();
    }
}

void Server::handle(int fd)
{
    JsonSocket client(fd);
    try {
        const auto request = client.receive(JsonSocket::Clock::now() + 10s);
        if (!request) {
            return;
        }
        json reply;
        try {
            reply = answer(*request);
        } catch (const json::exception&) {
            reply = {{"error", "malformed request"}};
        } catch (const std::exception& error) {
            reply = {{"error", error.what()}};
        }
        client.send(reply);
    } catch (const LabError&) {
        // The client has gone; there is nobody to tell.
    }
}

json Server::answer(const json& request)
{
    const auto name = request.at("op").get<std::string>();
    if (name == "status") {
        return status();
    }
    if (name == "down") {
        eventfd_write(stop_, 1);
        return {{"pid", getpid()}};
    }
    const auto found = operations.find(name);
    if (found == operations.end()) {
        throw LabError("unknown operation '" + name + "'");
    }
    return found->second(lab_, request);
}

json Server::status()
{
    const auto counters = lab_.emulator().stats();
    json hosts = json::array();
    for (unsigned i = 0; i < lab_.hosts(); ++i) {
        auto& guest = lab_.host(i);
        const auto& router = counters.hosts.at(lab_.host_id(i));
        hosts.push_back({{"name", guest.name()},
                         {"kernel", guest.config().kernel.release},
                         {"running", guest.running()},
                         {"attached", router.attached},
                         {"enumerated", router.enumerated},
                         {"console", guest.console_log().string()}});
    }
    json cables = json::array();
    for (unsigned i = 0; i < lab_.cables(); ++i) {
        const auto& plan = lab_.cable_plan(i);
        const auto& cable = counters.cables.at(lab_.cable(i));
        cables.push_back({{"a", fmt::format("h{}:{}", plan.host_a, plan.port_a)},
                          {"b", fmt::format("h{}:{}", plan.host_b, plan.port_b)},
                          {"plugged", cable.plugged},
                          {"up", cable.up},
                          {"width", cable.width}});
    }
    return {{"pid", getpid()},
            {"directory", lab_.directory().string()},
            {"preset", lab_.options().preset},
            {"router", lab_.options().router_version},
            {"hosts", hosts},
            {"cables", cables}};
}

} // namespace tblab
