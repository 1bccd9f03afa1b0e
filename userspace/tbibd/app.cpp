// SPDX-License-Identifier: Apache-2.0
#include "tbibd/app.hpp"

#include "base/log.hpp"
#include "tbibd/identity.hpp"
#include "tbibd/status.hpp"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <cerrno>
#include <system_error>

namespace tbib {

namespace {

constexpr uint64_t kTickUsec = 1000000;

uint64_t realtime_usec()
{
    timespec ts{};
    clock_gettime(CLOCK_REALTIME, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * 1000000 + static_cast<uint64_t>(ts.tv_nsec) / 1000;
}

sd_event* new_event()
{
    sd_event* e = nullptr;
    const int r = sd_event_default(&e);
    if (r < 0)
        throw std::system_error(-r, std::generic_category(), "event loop");
    return e;
}

}  // namespace

App::App(const AppOptions& options)
    : options_(options), event_(new_event()),
      engine_(load_config(options.config_path, options.config_optional), world_, host_name(),
              realtime_usec()),
      control_(NETLINK_GENERIC), interfaces_(NETLINK_ROUTE),
      service_("io.tbib", kInterface, kVersion)
{
    control_.join(GENL_ID_CTRL);
    interfaces_.join(RTNLGRP_LINK);
    if (!nl::find_family(control_) && options_.load_module) {
        const std::string why = load_module();
        if (!why.empty())
            throw nl::Error(ENOENT, why);
    }
    service_.add("GetStatus", [this](const nlohmann::json&) {
        return VarlinkReply{status_json(engine_, world_.connected(), collisions_), ""};
    });
    server_ = std::make_unique<VarlinkServer>(event_, options_.socket_path, service_);

    sigset_t set;
    sigemptyset(&set);
    for (int s : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&set, s);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    sources_.resize(6);
    sd_event_add_signal(event_, &sources_[0], SIGTERM, nullptr, nullptr);
    sd_event_add_signal(event_, &sources_[1], SIGINT, nullptr, nullptr);
    sd_event_add_signal(event_, &sources_[2], SIGHUP, on_hangup, this);
    sd_event_add_io(event_, &sources_[3], control_.fd(), EPOLLIN, on_control, this);
    sd_event_add_time_relative(event_, &sources_[4], CLOCK_MONOTONIC, kTickUsec, 0, on_tick, this);
    sd_event_add_io(event_, &sources_[5], interfaces_.fd(), EPOLLIN, on_interfaces, this);
    sd_event_set_watchdog(event_, true);
    connect();
}

App::~App()
{
    disconnect(nullptr);
    server_.reset();
    for (auto* s : sources_)
        sd_event_source_disable_unref(s);
    sd_event_unref(event_);
}

Millis App::now() const
{
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Millis(static_cast<int64_t>(ts.tv_sec) * 1000 + ts.tv_nsec / 1000000);
}

int App::run()
{
    sd_notify(0, "READY=1");
    settle();
    const int r = sd_event_loop(event_);
    sd_notify(0, "STOPPING=1");
    // Routes, addresses and the LID stay: traffic goes on without us.
    return r < 0 ? 1 : r;
}

void App::guarded(void (App::*f)())
{
    try {
        (this->*f)();
    } catch (const nl::Error& e) {
        log::warning("{}", e.what());
        restart_ = true;
    } catch (const std::exception& e) {
        log::error("{}", e.what());
    }
}

void App::connect()
{
    try {
        world_.connect();
    } catch (const nl::Error& e) {
        if (e.code() == EPERM)
            throw nl::Error(EPERM, "needs CAP_NET_ADMIN (run as root, or by systemd)");
        if (e.code() == EBUSY)
            throw nl::Error(EBUSY, "another manager of the tbib module is running");
        throw;
    }
    sd_event_add_io(event_, &module_source_, world_.fd(), EPOLLIN, on_module, this);
    start();
}

void App::disconnect(const char* why)
{
    if (!world_.connected())
        return;
    if (why)
        log::notice("{}", why);
    module_source_ = sd_event_source_disable_unref(module_source_);
    world_.disconnect();
}

void App::start()
{
    restart_ = false;
    away_ = false;
    adopt_guid();
    const nl::Node node = world_.client().node();
    use_interface(node.ifindex);
    engine_.start(node, world_.client().links(), world_.client().routes(), now());
    const auto& name = engine_.config().name;
    world_.client().set_desc(name.empty() ? host_name() : name);
    check_collisions();
    log::info("node {} LID {} port {}, module {}", to_string(node.guid), node.lid,
              nl::name(node.port_state), node.version);
}

void App::adopt_guid()
{
    const auto wanted = machine_guid();
    const nl::Node node = world_.client().node();
    if (!wanted || node.guid == *wanted)
        return;
    try {
        world_.client().set_guid(*wanted);
    } catch (const nl::Error& e) {
        log::warning("node GUID stays {} (wanted {}): {}", to_string(node.guid),
                     to_string(*wanted), e.what());
    }
}

void App::drain()
{
    if (!world_.manager().drain([this](const nl::Event& e) { apply(e); }))
        restart_ = true;
    settle();
}

void App::apply(const nl::Event& e)
{
    using Kind = nl::Event::Kind;
    if (e.kind == Kind::Node) {
        // that a port has another state does not bring back a tbib0 that is away
        const auto before = engine_.node().ifindex;
        engine_.on_node(e.node);
        if (engine_.node().ifindex != before)
            apply_interface();
    } else if (e.kind == Kind::LinkGone) {
        log::notice("link {} is gone", e.link_id);
        engine_.on_link_gone(e.link_id);
    } else if (e.kind == Kind::Mgmt) {
        engine_.on_datagram(e.link_id, e.data);
    } else if (e.kind == Kind::Link) {
        const auto& l = e.link;
        if (l.state == nl::LinkState::Refused)
            log::write(log::Level::Error,
                       fmt::format("link {} to {} refused: {}", l.id, l.peer_name,
                                   nl::refused_text(l.refused)),
                       {{"TBIB_LINK", std::to_string(l.id)}, {"TBIB_PEER", to_string(l.peer)}});
        else
            log::info("link {} to {}: {}{}{}", l.id, l.peer_name, nl::name(l.state),
                      l.refused ? ", " : "", nl::refused_text(l.refused));
        engine_.on_link(l);
    }
}

// Who moves tbib0 to another network namespace configures it there. When it comes back, because
// that namespace goes too, it is down and has no addresses. Who sets it down takes addresses and
// neighbours away from it; they come back when it is set up again.
void App::watch_interfaces()
{
    interfaces_.drain([this](const nlmsghdr* h) {
        const auto change = nl::parse_interface(h);
        if (!change || !world_.connected())
            return;
        if (change->gone) {
            away_ = away_ || change->ifindex == engine_.node().ifindex;
            up_ = change->ifindex == up_ ? 0 : up_;
            down_ = change->ifindex == down_ ? 0 : down_;
        } else if (away_ && change->ifindex == world_.client().node().ifindex) {
            restart_ = true;
        } else if (change->ifindex == engine_.node().ifindex) {
            on_admin(change->up);
        }
    });
    if (!restart_)
        return;
    if (away_)
        log::notice("tbib0 is back in this network namespace");
    tick();
}

void App::on_admin(bool up)
{
    const uint32_t ifindex = engine_.node().ifindex;
    if (up) {
        up_ = ifindex;
        if (down_ != ifindex)
            return;
        log::notice("tbib0 is set up again");
        down_ = 0;
        restart_ = true;
    } else if (up_ == ifindex && down_ != ifindex) {
        log::notice("tbib0 is set down, and with it the RDMA port: left alone until it is set up");
        down_ = ifindex;
        use_interface(ifindex);
    }
}

// What an administrator has set down stays down: the daemon leaves it alone.
void App::use_interface(uint32_t ifindex)
{
    world_.set_interface(ifindex == down_ ? 0 : ifindex);
}

void App::apply_interface()
{
    away_ = false;
    use_interface(engine_.node().ifindex);
    check_collisions();
}

void App::check_collisions()
{
    auto found = world_.collisions(engine_.config());
    if (found == collisions_)
        return;
    collisions_ = std::move(found);
    bool v4 = false, v6 = false;
    for (const auto& c : collisions_) {
        (c.prefix.address.family == 4 ? v4 : v6) = true;
        log::error("prefix {} collides with the route {} of interface {}: not used; "
                   "choose another in [addresses] of {}",
                   to_string(c.prefix), to_string(c.route), c.ifindex, options_.config_path);
    }
    engine_.set_collisions(v4, v6);
}

void App::tick()
{
    if (!world_.connected()) {
        if (nl::find_family(control_)) {
            log::notice("module tbib is there");
            connect();
        }
    } else if (restart_ || world_.take_failed()) {
        start();
    } else {
        check_collisions();
    }
    settle();
}

void App::settle()
{
    if (world_.connected())
        engine_.settle(now());
    report();
}

void App::report()
{
    const std::string text =
        world_.connected()
            ? fmt::format("{} {}, {} link(s), {} peer(s)", "tbib0",
                          nl::name(engine_.node().port_state), engine_.links().size(),
                          engine_.peers().size())
            : std::string("kernel module tbib is not loaded");
    if (text == last_status_)
        return;
    last_status_ = text;
    sd_notifyf(0, "STATUS=%s", text.c_str());
}

void App::reload()
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(now().count()) * 1000);
    try {
        engine_.reload(load_config(options_.config_path, options_.config_optional));
        log::notice("configuration read again");
    } catch (const ConfigError& e) {
        log::error("{}; the old configuration stays", e.what());
    }
    if (world_.connected())
        check_collisions();
    settle();
    sd_notify(0, "READY=1");
}

int App::on_module(sd_event_source*, int, uint32_t, void* self)
{
    static_cast<App*>(self)->guarded(&App::drain);
    return 0;
}

int App::on_control(sd_event_source*, int, uint32_t, void* user)
{
    auto* self = static_cast<App*>(user);
    bool gone = false;
    try {
        self->control_.drain([&](const nlmsghdr* h) {
            if (mnl_nlmsg_get_payload_len(h) < sizeof(genlmsghdr))
                return;
            const auto* g = static_cast<const genlmsghdr*>(mnl_nlmsg_get_payload(h));
            gone = gone || g->cmd == CTRL_CMD_DELFAMILY;
        });
        // Some family went, or came and went: look whether ours is still there.
        if (gone && self->world_.connected() && !nl::find_family(self->control_))
            self->disconnect("module tbib has been unloaded");
    } catch (const nl::Error& e) {
        log::warning("{}", e.what());
    }
    self->guarded(&App::tick);
    return 0;
}

int App::on_interfaces(sd_event_source*, int, uint32_t, void* self)
{
    static_cast<App*>(self)->guarded(&App::watch_interfaces);
    return 0;
}

int App::on_tick(sd_event_source* source, uint64_t, void* user)
{
    auto* self = static_cast<App*>(user);
    self->guarded(&App::tick);
    sd_event_source_set_time_relative(source, kTickUsec);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

int App::on_hangup(sd_event_source*, const signalfd_siginfo*, void* self)
{
    static_cast<App*>(self)->guarded(&App::reload);
    return 0;
}

}  // namespace tbib
