// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "test/lab/vfio_user/device.hpp"
#include "test/lab/vfio_user/dma_table.hpp"
#include "test/lab/vfio_user/receiver.hpp"
#include "test/lab/vfio_user/unique_fd.hpp"

namespace tblab::vfio_user {

/** One connected client (a QEMU) and what it has handed to us: its memory and
 *  the eventfds of its interrupt vectors. */
class Session : public IrqSink {
public:
    /** @param socket a connected stream socket, non-blocking */
    Session(UniqueFd socket, Device& device);

    /** Serves what has arrived. @return false when the session is over */
    bool on_readable();
    /** Sends replies that did not fit into the socket before. @return as above */
    bool on_writable();
    bool wants_write() const { return sent_ < out_.size(); }

    void signal(unsigned vector) override;

    int fd() const { return socket_.get(); }
    DmaTable& memory() { return memory_; }

private:
    void handle(const Header& header, std::span<const std::byte> body,
                std::vector<UniqueFd>& fds);
    int execute(const Header& header, std::span<const std::byte> body,
                std::vector<UniqueFd>& fds);
    int version(const Header& header, std::span<const std::byte> body);
    int dma_map(const Header& header, std::span<const std::byte> body,
                std::vector<UniqueFd>& fds);
    int dma_unmap(const Header& header, std::span<const std::byte> body);
    int get_info(const Header& header);
    int region_info(const Header& header, std::span<const std::byte> body);
    int irq_info(const Header& header, std::span<const std::byte> body);
    int set_irqs(const Header& header, std::span<const std::byte> body,
                 std::vector<UniqueFd>& fds);
    int region_read(const Header& header, std::span<const std::byte> body);
    int region_write(const Header& header, std::span<const std::byte> body);
    int write_multi(const Header& header, std::span<const std::byte> body);

    bool in_region(std::uint32_t region, std::uint64_t offset, std::uint64_t count) const;
    /** Appends a reply header and room for `size` bytes, which it returns. */
    std::span<std::byte> reply(const Header& request, std::size_t size);
    template <class T> void reply_with(const Header& request, const T& body);
    void reply_error(const Header& request, int error);
    bool flush();

    UniqueFd socket_;
    Device& device_;
    DmaTable memory_;
    std::vector<UniqueFd> eventfds_; ///< indexed by MSI-X vector
    Receiver receiver_;
    std::vector<std::byte> out_; ///< replies, sent up to sent_
    std::size_t sent_ = 0;
    bool negotiated_ = false;
    bool failed_ = false;
};

} // namespace tblab::vfio_user
