// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "test/lab/vfio_user/protocol.hpp"
#include "test/lab/vfio_user/unique_fd.hpp"

namespace tblab::vfio_user {

/**
 * Cuts the byte stream of a socket into messages and finds the message that
 * each received file descriptor belongs to.
 *
 * recvmsg() on a stream socket may return several messages without descriptors
 * and then one that has some, and stops there. So descriptors belong to the
 * *last* message that begins in the data they arrived with, not to the first.
 */
class Receiver {
public:
    using Handler = std::function<void(const Header& header, std::span<const std::byte> body,
                                       std::vector<UniqueFd>& fds)>;
    enum class Result {
        drained, ///< nothing more to read now
        more,    ///< the socket may hold more
        closed,  ///< end of stream, a socket error, or bytes that are no messages
    };

    Receiver();

    /** Reads once and hands every complete message to `handler`, which may take
     *  descriptors out of `fds`; what it leaves is closed. */
    Result receive(int socket, const Handler& handler);

    /** The same for bytes that have arrived by other means.
     *  @return false if they are no messages */
    bool feed(std::span<const std::byte> data, std::vector<UniqueFd> fds,
              const Handler& handler);

private:
    struct FdBatch {
        std::uint64_t begin, end; ///< stream positions of the data it came with
        std::vector<UniqueFd> fds;
    };

    bool parse(const Handler& handler);
    std::vector<UniqueFd> claim(std::uint64_t begin, std::uint64_t end);
    void make_room();

    std::vector<std::byte> buffer_;
    std::size_t start_ = 0, end_ = 0; ///< unparsed bytes within buffer_
    std::uint64_t position_ = 0;      ///< stream position of start_
    std::deque<FdBatch> batches_;
};

} // namespace tblab::vfio_user
