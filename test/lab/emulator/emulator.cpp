// SPDX-License-Identifier: Apache-2.0
#include "test/lab/emulator/emulator.hpp"

#include <cerrno>
#include <cstring>
#include <future>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <thread>
#include <type_traits>
#include <unistd.h>

#include "test/lab/cable/fabric.hpp"
#include "test/lab/emulator/event_loop.hpp"
#include "test/lab/vfio_user/session.hpp"

namespace tblab {

namespace {

UniqueFd listen_at(const std::filesystem::path& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = path.string();
    if (name.empty() || name.size() >= sizeof address.sun_path)
        throw std::invalid_argument("socket path is empty or too long: " + name);
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    std::filesystem::remove(path); // left behind by an earlier run
    if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
        listen(fd.get(), 4) < 0)
        throw std::system_error(errno, std::generic_category(), "listen at " + name);
    return fd;
}

} // namespace

class Emulator::Impl {
public:
    Impl() : thread_([this] { loop(); }) {}

    ~Impl()
    {
        events_.post([this] { stop_ = true; });
        thread_.join();
        for (const auto& slot : slots_) {
            std::error_code ignored;
            std::filesystem::remove(slot->path, ignored);
        }
    }

    /** Runs `work` in the emulator's thread, followed by a fabric turn, and
     *  returns (or throws) what it does. */
    template <class Work> auto call(Work work) -> std::invoke_result_t<Work>
    {
        std::packaged_task<std::invoke_result_t<Work>()> task(std::move(work));
        auto result = task.get_future();
        events_.post([this, &task] {
            task();
            fabric.run();
        });
        return result.get();
    }

    HostId add_host(const HostConfig& config)
    {
        UniqueFd listener = listen_at(config.socket);
        const HostId id = fabric.add_host(config);
        slots_.push_back(std::make_unique<Slot>());
        Slot& slot = *slots_.back();
        slot.id = id;
        slot.path = config.socket;
        slot.listener = std::move(listener);
        accept_more(slot);
        return id;
    }

    cable::Fabric fabric; ///< only touched by the emulator's thread

private:
    /** A host's socket and whoever is connected to it. */
    struct Slot {
        HostId id = 0;
        std::filesystem::path path;
        UniqueFd listener;
        std::unique_ptr<vfio_user::Session> session;
        bool wants_write = false;
    };

    /** Hardware does not wait until the guests leave it a CPU, and it needs
     *  little: be woken on time and before them. Neither is vital. */
    static void act_like_hardware()
    {
        constexpr unsigned long slack_ns = 1000; // default 50 us, a third of a gap
        prctl(PR_SET_TIMERSLACK, slack_ns);
        setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), -10);
    }

    void loop()
    {
        act_like_hardware();
        while (!stop_) {
            events_.wait(fabric.next_event(), [this](Time now) { fabric.advance(now); });
            fabric.run();
        }
        for (const auto& slot : slots_) {
            if (slot->session)
                disconnect(*slot);
        }
    }

    void accept_more(Slot& slot)
    {
        events_.watch(slot.listener.get(), EPOLLIN,
                      [this, &slot](std::uint32_t) { connect(slot); });
    }

    /** One guest at a time: the next one waits in the listener's backlog. */
    void connect(Slot& slot)
    {
        UniqueFd socket(
            accept4(slot.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket)
            return;
        events_.forget(slot.listener.get());
        cable::Host& host = fabric.host(slot.id);
        slot.session = std::make_unique<vfio_user::Session>(std::move(socket), host.pci);
        slot.wants_write = false;
        host.attach(slot.session->memory(), *slot.session);
        events_.watch(slot.session->fd(), EPOLLIN,
                      [this, &slot](std::uint32_t events) { serve(slot, events); });
    }

    void disconnect(Slot& slot)
    {
        events_.forget(slot.session->fd());
        fabric.host(slot.id).detach(); // before the memory goes
        slot.session.reset();
    }

    void serve(Slot& slot, std::uint32_t events)
    {
        vfio_user::Session& session = *slot.session;
        bool alive = true;
        if (events & EPOLLOUT)
            alive = session.on_writable();
        if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
            alive = session.on_readable();
        if (!alive) {
            disconnect(slot);
            accept_more(slot);
            return;
        }
        if (session.wants_write() != slot.wants_write) {
            slot.wants_write = session.wants_write();
            events_.modify(session.fd(), slot.wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
    }

    EventLoop events_;
    std::vector<std::unique_ptr<Slot>> slots_; ///< indexed by HostId
    bool stop_ = false;
    std::thread thread_; ///< last: everything above exists while it runs
};

Emulator::Emulator() : impl_(std::make_unique<Impl>()) {}
Emulator::~Emulator() = default;

HostId Emulator::add_host(const HostConfig& config)
{
    return impl_->call([&] { return impl_->add_host(config); });
}

CableId Emulator::add_cable(HostId a, unsigned port_a, HostId b, unsigned port_b)
{
    return impl_->call([&] { return impl_->fabric.add_cable(a, port_a, b, port_b); });
}

void Emulator::plug(CableId cable)
{
    impl_->call([&] { impl_->fabric.cable(cable).set_plugged(true); });
}

void Emulator::unplug(CableId cable)
{
    impl_->call([&] { impl_->fabric.cable(cable).set_plugged(false); });
}

bool Emulator::plugged(CableId cable) const
{
    return impl_->call([&] { return impl_->fabric.cable(cable).plugged(); });
}

bool Emulator::link_up(CableId cable) const
{
    return impl_->call([&] { return impl_->fabric.cable(cable).up(); });
}

void Emulator::set_fault(CableId cable, Direction direction, const FaultSpec& fault)
{
    impl_->call([&] { impl_->fabric.set_fault(cable, direction, fault); });
}

void Emulator::clear_faults()
{
    impl_->call([&] { impl_->fabric.clear_faults(); });
}

void Emulator::set_option(HostId host, const HostOptions& options)
{
    impl_->call([&] { impl_->fabric.set_option(host, options); });
}

void Emulator::lose_interrupt(HostId host, unsigned count)
{
    impl_->call([&] { impl_->fabric.host(host).nhi.interrupts().lose(count); });
}

void Emulator::spurious_interrupt(HostId host)
{
    impl_->call([&] {
        cable::Host& target = impl_->fabric.host(host);
        if (target.sink)
            target.nhi.interrupts().spurious(*target.sink);
    });
}

bool Emulator::attached(HostId host) const
{
    return impl_->call([&] { return impl_->fabric.host(host).attached(); });
}

bool Emulator::enumerated(HostId host) const
{
    return impl_->call([&] { return impl_->fabric.host(host).router.enumerated(); });
}

Stats Emulator::stats() const
{
    return impl_->call([&] { return impl_->fabric.stats(); });
}

void Emulator::reset_stats()
{
    impl_->call([&] { impl_->fabric.reset_stats(); });
}

} // namespace tblab
