// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "test/lab/emulator/types.hpp"
#include "test/lab/vfio_user/unique_fd.hpp"

namespace tblab {

/** epoll, the monotonic clock, and work posted by other threads. */
class EventLoop {
public:
    using Handler = std::function<void(std::uint32_t events)>;

    EventLoop();

    // For the loop's own thread.
    void watch(int fd, std::uint32_t events, Handler handler);
    void modify(int fd, std::uint32_t events);
    void forget(int fd);
    /** Waits until something happens or `deadline`, and calls the handlers.
     *  @param woken called with the time before the first handler */
    void wait(Time deadline, const std::function<void(Time now)>& woken);
    Time now() const;

    /** From any thread: runs `work` in the loop's thread. */
    void post(std::function<void()> work);

private:
    void run_posted();

    UniqueFd epoll_;
    UniqueFd wakeup_;
    Time start_;
    std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
    std::mutex mutex_; ///< guards posted_
    std::vector<std::function<void()>> posted_;
};

} // namespace tblab
