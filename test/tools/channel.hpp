// SPDX-License-Identifier: Apache-2.0
/** A TCP connection between the two sides of a test program. */
#ifndef TBIB_TEST_TOOLS_CHANNEL_HPP
#define TBIB_TEST_TOOLS_CHANNEL_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

/** Talks to the other side; every call throws std::runtime_error if that one is gone. */
class Channel {
public:
    /** Waits for a client. */
    static Channel accept(int port);
    /** Connects to a server that may need some seconds to come up. */
    static Channel connect(const std::string& host, int port);

    Channel(Channel&& other) noexcept;
    Channel& operator=(Channel&&) = delete;
    ~Channel();

    /** Sends mine and returns the other side's. */
    template <typename T>
    T exchange(const T& mine) {
        static_assert(std::is_trivially_copyable_v<T>);
        T theirs{};
        send(&mine, sizeof(mine));
        receive(&theirs, sizeof(theirs));
        return theirs;
    }

    /** Returns when the other side has come to the same point. */
    void barrier();

    void send(const void* data, std::size_t size);
    void receive(void* data, std::size_t size);

private:
    explicit Channel(int fd) : fd_(fd) {}

    int fd_;
    std::uint32_t barriers_ = 0;
};

#endif
