// SPDX-License-Identifier: Apache-2.0
// The running daemon: event loop, module coming and going, signals, Varlink.
#pragma once

#include "tbibd/engine.hpp"
#include "tbibd/kernel_world.hpp"
#include "tbibd/varlink_server.hpp"

#include <systemd/sd-event.h>

#include <memory>
#include <string>

namespace tbib {

struct AppOptions {
    std::string config_path = "/etc/tbib/tbibd.conf";
    bool config_optional = true;  ///< the default path need not exist
    std::string socket_path = "/run/tbib/io.tbib";
    bool load_module = true;
};

/// One thread; errors stop at each event's boundary.
class App {
public:
    /// Throws ConfigError, nl::Error, std::system_error: the daemon cannot run.
    explicit App(const AppOptions& options);
    ~App();
    /// Runs until SIGTERM or SIGINT. Return: exit status.
    int run();

private:
    static int on_module(sd_event_source*, int fd, uint32_t, void* self);
    static int on_control(sd_event_source*, int fd, uint32_t, void* self);
    static int on_interfaces(sd_event_source*, int fd, uint32_t, void* self);
    static int on_tick(sd_event_source*, uint64_t, void* self);
    static int on_hangup(sd_event_source*, const signalfd_siginfo*, void* self);
    void guarded(void (App::*f)());
    void connect();
    void disconnect(const char* why);
    void start();
    void adopt_guid();
    void drain();
    void apply(const nl::Event& e);
    void apply_interface();
    void on_admin(bool up);
    void use_interface(uint32_t ifindex);
    void watch_interfaces();
    void check_collisions();
    void tick();
    void reload();
    void settle();
    void report();
    Millis now() const;

    AppOptions options_;
    sd_event* event_ = nullptr;
    KernelWorld world_;
    Engine engine_;
    nl::Socket control_;  ///< genetlink's own events: the family comes and goes
    nl::Socket interfaces_;  ///< rtnetlink's events of network interfaces
    VarlinkService service_;
    std::unique_ptr<VarlinkServer> server_;
    sd_event_source* module_source_ = nullptr;
    std::vector<sd_event_source*> sources_;
    std::vector<Collision> collisions_;
    std::map<Guid, bool> reported_refusals_;
    bool restart_ = false;
    bool away_ = false;  ///< tbib0 has left this network namespace
    uint32_t up_ = 0;    ///< index that tbib0 had when it was seen up, 0 = not yet
    uint32_t down_ = 0;  ///< ... and with which somebody has set it down since
    std::string last_status_;
};

/// modprobe tbib. Return: "" or one line that says why not.
std::string load_module();

}  // namespace tbib
