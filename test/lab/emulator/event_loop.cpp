// SPDX-License-Identifier: Apache-2.0
#include "test/lab/emulator/event_loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>

namespace tblab {

namespace {

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

Time monotonic()
{
    return std::chrono::duration_cast<Time>(
        std::chrono::steady_clock::now().time_since_epoch());
}

} // namespace

EventLoop::EventLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), wakeup_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      start_(monotonic())
{
    if (!epoll_)
        fail("epoll_create1");
    if (!wakeup_)
        fail("eventfd");
    watch(wakeup_.get(), EPOLLIN, [this](std::uint32_t) { run_posted(); });
}

Time EventLoop::now() const
{
    return monotonic() - start_;
}

void EventLoop::watch(int fd, std::uint32_t events, Handler handler)
{
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
    handlers_[fd] = std::make_shared<Handler>(std::move(handler));
}

void EventLoop::modify(int fd, std::uint32_t events)
{
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) < 0)
        fail("epoll_ctl");
}

void EventLoop::forget(int fd)
{
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    handlers_.erase(fd);
}

void EventLoop::wait(Time deadline, const std::function<void(Time)>& woken)
{
    timespec timeout{};
    if (deadline != Time::max()) {
        const auto left = std::max(deadline - now(), Time{0}).count();
        timeout.tv_sec = static_cast<time_t>(left / 1'000'000'000);
        timeout.tv_nsec = static_cast<long>(left % 1'000'000'000);
    }
    std::array<epoll_event, 64> events;
    // Nanoseconds: the throttling gaps are shorter than epoll_wait()'s unit.
    const int n = epoll_pwait2(epoll_.get(), events.data(), events.size(),
                               deadline == Time::max() ? nullptr : &timeout, nullptr);
    if (n < 0 && errno != EINTR)
        fail("epoll_pwait2");
    woken(now());
    for (int i = 0; i < n; ++i) {
        const auto handler = handlers_.find(events[i].data.fd);
        if (handler == handlers_.end())
            continue; // forgotten by an earlier handler
        const auto keep = handler->second; // it may forget itself
        (*keep)(events[i].events);
    }
}

void EventLoop::post(std::function<void()> work)
{
    {
        const std::lock_guard lock(mutex_);
        posted_.push_back(std::move(work));
    }
    eventfd_write(wakeup_.get(), 1);
}

void EventLoop::run_posted()
{
    eventfd_t count;
    eventfd_read(wakeup_.get(), &count);
    std::vector<std::function<void()>> work;
    {
        const std::lock_guard lock(mutex_);
        work.swap(posted_);
    }
    for (const auto& item : work)
        item();
}

} // namespace tblab
