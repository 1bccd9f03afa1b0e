// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "test/lab/vfio_user/protocol.hpp"
#include "test/lab/vfio_user/unique_fd.hpp"

namespace tblab {

/** The QEMU side of vfio-user over a real socket: memory, one interrupt per
 *  vector, register access. For tests. */
class VfioClient {
public:
    static constexpr std::uint64_t memory_base = 0x100000;
    static constexpr std::size_t memory_size = 1u << 20;

    /** Connects, negotiates, maps memory and installs interrupts. */
    explicit VfioClient(const std::filesystem::path& socket);
    ~VfioClient();
    VfioClient(const VfioClient&) = delete;
    VfioClient& operator=(const VfioClient&) = delete;

    std::uint32_t read(std::uint32_t offset);
    /** As QEMU does it for BAR0: nobody waits for a reply. */
    void write(std::uint32_t offset, std::uint32_t value);
    void reset();
    /** @return false if none comes within the time */
    bool wait_interrupt(unsigned vector, int milliseconds);
    std::byte* at(std::uint64_t address) { return memory_ + (address - memory_base); }

private:
    std::vector<std::byte> request(vfio_user::Command command,
                                   std::span<const std::byte> body, int fd = -1);
    void send(vfio_user::Command command, std::span<const std::byte> body,
              std::uint32_t flags, int fd);

    UniqueFd socket_;
    UniqueFd memory_fd_;
    std::byte* memory_ = nullptr;
    std::vector<UniqueFd> events_;
    std::uint16_t next_id_ = 1;
};

} // namespace tblab
