// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/commands.hpp"

#include "test/lab/cli/fault_text.hpp"
#include "test/lab/cli/names.hpp"
#include "test/lab/cli/server.hpp"
#include "test/lab/cli/shell.hpp"
#include "test/lab/cli/tables.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <thread>

namespace tblab {
namespace fs = std::filesystem;

using namespace std::chrono_literals;
using nlohmann::json;

Commands::Commands(CLI::App& app)
{
    app.add_option("--name", name_, "Which lab, if there are several")->capture_default_str();
    add_up(app);
    add_guest_commands(app);
    add_cable_commands(app);
    add_reports(app);
    add(app, "down", "End the lab", [this] { return down(); });
}

int Commands::run()
{
    if (!action_) {
        throw LabError("which command? see: tblab --help");
    }
    return action_();
}

CLI::App* Commands::add(CLI::App& parent, const char* name, const char* help,
                        std::function<int()> action)
{
    auto* command = parent.add_subcommand(name, help);
    command->callback([this, action = std::move(action)] { action_ = action; });
    return command;
}

void Commands::add_up(CLI::App& app)
{
    auto* up =
        add(app, "up", "Start hosts and plug their cables", [this] { return this->up(); });
    up->add_option("--hosts", options_.hosts, "How many")->capture_default_str();
    up->add_option("--topology", options_.topology,
                   "chain, ring, none, or cables like 0:0-1:0,0:1-1:1")
        ->capture_default_str();
    up->add_option("--kernel", options_.kernel,
                   "stable, newest, debug, the beginning of a release, or a folder")
        ->capture_default_str();
    up->add_option("--preset", options_.preset,
                   "Host routers: strix (3 ring pairs) or intel (12)")
        ->capture_default_str();
    up->add_option("--router", options_.router_version, "USB4 version of the host routers")
        ->check(CLI::IsMember({1, 2}))
        ->capture_default_str();
    up->add_option("--boot", boot_, "fast (a few seconds, no systemd) or systemd")
        ->check(CLI::IsMember({"fast", "systemd"}))
        ->capture_default_str();
    up->add_option("--modules", modules_, "Modules to load in a fast boot, default thunderbolt")
        ->delimiter(',');
    up->add_option("--extra", options_.extra_tree, "A folder that guests see at /opt/tbib");
    up->add_option("--cpus", options_.cpus, "CPUs of each guest")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    up->add_option("--memory", options_.memory_mib, "MiB of each guest")
        ->check(CLI::Range(256, 65536))
        ->capture_default_str();
    up->add_option("--append", options_.append, "More words for the kernel command line");
    up->add_flag("--unplugged", unplugged_, "Leave the cables out");
}

void Commands::add_guest_commands(CLI::App& app)
{
    auto* run = app.add_subcommand("run", "Run a shell command in a host; exits with its code");
    run->callback([this, run] { action_ = [this, run] { return run_in_guest(*run); }; });
    run->add_option("--timeout", timeout_, "Seconds until it is killed")->capture_default_str();
    run->add_option("host", host_, "Host")->required();
    run->prefix_command();

    auto* shell = add(app, "shell", "A root shell in a host; Ctrl-] leaves",
                      [this] { return this->shell(); });
    auto* console = add(app, "console", "What the host's serial console said",
                        [this] { return this->console(); });
    auto* put = add(app, "put", "Copy a file into a host", [this] {
        ask({{"op", "put"},
             {"host", parse_host(host_)},
             {"local", fs::absolute(local_)},
             {"remote", remote_}});
        return 0;
    });
    auto* get = add(app, "get", "Copy a file out of a host", [this] {
        ask({{"op", "get"},
             {"host", parse_host(host_)},
             {"local", fs::absolute(local_)},
             {"remote", remote_}});
        return 0;
    });
    for (auto* command : {shell, console, put, get}) {
        command->add_option("host", host_, "Host")->required();
    }
    put->add_option("local", local_, "File here")->required()->check(CLI::ExistingFile);
    put->add_option("remote", remote_, "File or folder there")->required();
    get->add_option("remote", remote_, "File there")->required();
    get->add_option("local", local_, "File or folder here")->required();
    for (const auto& [name, help] :
         {std::pair("kill", "Cut a host's power"), std::pair("start", "Boot a killed host"),
          std::pair("reset", "Press a host's reset button")}) {
        add(app, name, help,
            [this, name = std::string(name)] {
                ask({{"op", name}, {"host", parse_host(host_)}});
                return 0;
            })
            ->add_option("host", host_, "Host")
            ->required();
    }
}

void Commands::add_cable_commands(CLI::App& app)
{
    for (const auto& [name, help] :
         {std::pair("plug", "Plug a cable in"), std::pair("unplug", "Pull a cable")}) {
        add(app, name, help,
            [this, name = std::string(name)] {
                ask({{"op", name}, {"cable", parse_cable_index(cable_)}});
                return 0;
            })
            ->add_option("cable", cable_, "Cable")
            ->required();
    }
    auto* fault = add(app, "fault", "Make a cable misbehave, or: fault clear", [this] {
        if (cable_ == "clear" && words_.empty()) {
            ask({{"op", "fault-clear"}});
        } else if (words_.empty()) {
            throw LabError("which fault? see: tblab fault --help");
        } else {
            ask({{"op", "fault"},
                 {"cable", parse_cable_index(cable_)},
                 {"direction", direction_},
                 {"words", words_}});
        }
        return 0;
    });
    fault->add_option("cable", cable_, "Cable, or clear")->required();
    fault->add_option("--direction", direction_, "a-b, b-a or both")
        ->check(CLI::IsMember({"a-b", "b-a", "both"}))
        ->capture_default_str();
    fault->add_option("faults", words_, "NAME=VALUE...");
    fault->footer(fault_help());

    auto* set =
        add(app, "set",
            "Options of a host router: throttling=on|off overrun=on|off frame-rate=N", [this] {
                ask({{"op", "set"}, {"host", parse_host(host_)}, {"words", words_}});
                return 0;
            });
    set->add_option("host", host_, "Host")->required();
    set->add_option("options", words_, "NAME=VALUE...")->required();

    auto* interrupt =
        add(app, "interrupt", "Send a host spurious interrupts, or lose its next ones", [this] {
            ask({{"op", "interrupt"}, {"host", parse_host(host_)}, {"lose", lose_}});
            return 0;
        });
    interrupt->add_option("host", host_, "Host")->required();
    interrupt->add_option("--lose", lose_, "How many to lose");
}

void Commands::add_reports(CLI::App& app)
{
    add(app, "status", "Hosts and cables", [this] {
        return status();
    })->add_flag("--json", json_, "For programs");
    auto* stats =
        add(app, "stats", "Counters of rings and cables", [this] { return this->stats(); });
    stats->add_flag("--json", json_, "For programs");
    stats->add_flag("--reset", reset_, "Set them to zero afterwards");
}

json Commands::ask(json request) const
{
    JsonSocket server;
    if (!server.connect(control_socket(name_))) {
        throw LabError("no lab" + (name_ == "default" ? std::string() : " '" + name_ + "'") +
                       " is running; start one with: tblab up");
    }
    server.send(request);
    const auto reply = server.receive(JsonSocket::Clock::now() + std::chrono::hours(24));
    if (!reply) {
        throw LabError("the lab does not answer");
    }
    if (reply->contains("error")) {
        throw LabError((*reply)["error"].get<std::string>());
    }
    return *reply;
}

int Commands::up()
{
    options_.boot = boot_ == "fast" ? Boot::fast : Boot::systemd;
    options_.plugged = !unplugged_;
    if (!modules_.empty()) {
        options_.modules = modules_;
    }
    if (options_.boot == Boot::systemd && options_.memory_mib < 768) {
        options_.memory_mib = 768; // apt and dkms work in a memory overlay
    }
    start_server(options_, name_,
                 [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
    return 0;
}

int Commands::down()
{
    const pid_t server = ask({{"op", "down"}}).at("pid").get<pid_t>();
    for (auto until = JsonSocket::Clock::now() + 10s; JsonSocket::Clock::now() < until;) {
        if (kill(server, 0) < 0) {
            return 0;
        }
        std::this_thread::sleep_for(20ms);
    }
    throw LabError("process " + std::to_string(server) + " does not end");
}

int Commands::run_in_guest(const CLI::App& command)
{
    std::string line;
    for (const auto& word : command.remaining()) {
        line += (line.empty() ? "" : " ") + word;
    }
    if (line.empty()) {
        throw LabError("which command? tblab run HOST COMMAND...");
    }
    const auto reply = ask(
        {{"op", "run"}, {"host", parse_host(host_)}, {"command", line}, {"timeout", timeout_}});
    std::cout << reply.at("out").get<std::string>() << std::flush;
    std::cerr << reply.at("err").get<std::string>() << std::flush;
    return reply.at("rc").get<int>();
}

int Commands::shell()
{
    const auto host = parse_host(host_);
    const auto hosts = ask({{"op", "status"}}).at("hosts");
    if (host >= hosts.size()) {
        throw LabError(fmt::format("there is no host {}; there are {}", host, hosts.size()));
    }
    interactive_shell(lab_directory(name_) / fmt::format("h{}.shell", host));
    return 0;
}

int Commands::console()
{
    const auto host = parse_host(host_);
    const auto hosts = ask({{"op", "status"}}).at("hosts");
    if (host >= hosts.size()) {
        throw LabError(fmt::format("there is no host {}; there are {}", host, hosts.size()));
    }
    const std::ifstream log(hosts[host].at("console").get<std::string>(), std::ios::binary);
    std::cout << log.rdbuf() << std::flush;
    return 0;
}

int Commands::stats()
{
    const auto counters = ask({{"op", "stats"}, {"reset", reset_}}).at("stats");
    std::cout << (json_ ? counters.dump(2) + "\n" : stats_table(counters));
    return 0;
}

int Commands::status()
{
    const auto state = ask({{"op", "status"}});
    std::cout << (json_ ? state.dump(2) + "\n" : status_table(state));
    return 0;
}

} // namespace tblab
