// SPDX-License-Identifier: Apache-2.0
#include "test/lab/lab/lab.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace tblab {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

} // namespace

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout,
                std::chrono::milliseconds pause)
{
    const auto deadline = Clock::now() + timeout;
    while (!condition()) {
        if (Clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(pause);
    }
    return true;
}

Lab::Lab(Options options) : options_(std::move(options)), image_(Image::get())
{
    if (options_.hosts == 0 || options_.hosts > 16) {
        throw LabError("a lab has 1 to 16 hosts");
    }
    HostConfig router;
    try {
        router = preset(options_.preset, options_.router_version);
    } catch (const std::invalid_argument& error) {
        throw LabError(error.what());
    }
    plan_ = topology(options_.topology, options_.hosts, router.ports);
    make_directory();
    if (!options_.extra_tree.empty()) {
        image_.pack(options_.extra_tree, directory_ / "extra.squashfs");
    }
    for (unsigned i = 0; i < options_.hosts; ++i) {
        guests_.push_back(std::make_unique<Guest>(image_, guest_config(i)));
        HostConfig config = router;
        config.name = guests_.back()->name();
        config.socket = guests_.back()->config().nhi_socket;
        if (options_.configure) {
            options_.configure(config);
        }
        host_ids_.push_back(emulator_.add_host(config));
    }
    for (const auto& cable : plan_) {
        cables_.push_back(emulator_.add_cable(host_ids_.at(cable.host_a), cable.port_a,
                                              host_ids_.at(cable.host_b), cable.port_b));
        if (options_.plugged) {
            emulator_.plug(cables_.back());
        }
    }
    for (auto& guest : guests_) {
        guest->start();
    }
}

Lab::~Lab()
{
    guests_.clear();
    if (own_directory_) {
        std::error_code ignored;
        fs::remove_all(directory_, ignored);
    }
}

void Lab::make_directory()
{
    directory_ = options_.directory;
    if (!directory_.empty()) {
        fs::create_directories(directory_);
        return;
    }
    // Not $TMPDIR: test runners put it deep, and a socket's path may have 107 characters.
    std::string pattern = "/tmp/tblab-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
        throw LabError("cannot create " + pattern);
    }
    directory_ = pattern;
    own_directory_ = true;
}

GuestConfig Lab::guest_config(unsigned index) const
{
    GuestConfig config;
    config.name = fmt::format("h{}", index);
    config.index = index;
    config.directory = directory_;
    config.nhi_socket = directory_ / (config.name + ".nhi");
    if (!options_.extra_tree.empty()) {
        config.extra_disk = directory_ / "extra.squashfs";
    }
    const bool own = index < options_.kernels.size() && !options_.kernels[index].empty();
    config.kernel = image_.kernel(own ? options_.kernels[index] : options_.kernel);
    config.boot = options_.boot;
    config.modules = options_.modules;
    config.cpus = options_.cpus;
    config.memory_mib = options_.memory_mib;
    config.append = options_.append;
    return config;
}

void Lab::wait_ready(std::chrono::milliseconds timeout)
{
    const auto deadline = Clock::now() + timeout;
    for (auto& guest : guests_) {
        guest->wait_ready(std::max<std::chrono::milliseconds>(
            1s, std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now())));
    }
}

Guest& Lab::host(unsigned index)
{
    if (index >= guests_.size()) {
        throw LabError(fmt::format("there is no host {}; there are {}", index, guests_.size()));
    }
    return *guests_[index];
}

HostId Lab::host_id(unsigned index) const
{
    if (index >= host_ids_.size()) {
        throw LabError(
            fmt::format("there is no host {}; there are {}", index, host_ids_.size()));
    }
    return host_ids_[index];
}

CableId Lab::cable(unsigned index) const
{
    if (index >= cables_.size()) {
        throw LabError(
            fmt::format("there is no cable {}; there are {}", index, cables_.size()));
    }
    return cables_[index];
}

const CablePlan& Lab::cable_plan(unsigned index) const
{
    (void)cable(index);
    return plan_[index];
}

bool Lab::wait_link(unsigned cable, bool up, std::chrono::milliseconds timeout) const
{
    const auto id = this->cable(cable);
    return eventually([&] { return emulator_.link_up(id) == up; }, timeout, 20ms);
}

std::string Lab::report()
{
    std::string text;
    for (auto& guest : guests_) {
        text += fmt::format("--- {} console ({})\n{}", guest->name(),
                            guest->console_log().string(), guest->console_tail());
        if (guest->running()) {
            text += fmt::format("--- {} kernel log\n{}", guest->name(), guest->dmesg());
        }
    }
    try {
        text +=
            "--- counters\n" + nlohmann::json::parse(to_json(emulator_.stats())).dump() + "\n";
    } catch (const std::exception& error) {
        text += std::string("no counters: ") + error.what() + "\n";
    }
    return text;
}

} // namespace tblab
