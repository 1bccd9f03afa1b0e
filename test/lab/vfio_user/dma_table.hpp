// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "test/lab/vfio_user/guest_memory.hpp"

namespace tblab::vfio_user {

/** The guest memory that a vfio-user client has shared with us. */
class DmaTable : public GuestMemory {
public:
    DmaTable() = default;
    DmaTable(const DmaTable&) = delete;
    DmaTable& operator=(const DmaTable&) = delete;
    ~DmaTable() override { clear(); }

    /** Maps a range. `fd` may be -1: the range is known then, but not
     *  accessible (QEMU announces ROMs so); the caller keeps `fd`.
     *  @return 0 or an errno */
    int map(std::uint64_t address, std::uint64_t size, std::uint32_t flags, int fd,
            std::uint64_t offset);
    /** Removes exactly one mapped range. @return 0 or an errno */
    int unmap(std::uint64_t address, std::uint64_t size);
    void clear();

    std::byte* translate(std::uint64_t address, std::size_t length, bool write) override;
    std::uint64_t generation() const override { return generation_; }
    std::size_t size() const { return ranges_.size(); }

private:
    struct Range {
        std::uint64_t address;
        std::uint64_t size;
        std::byte* host; ///< nullptr: not accessible
        bool readable;
        bool writable;
    };

    bool covers(const Range& range, std::uint64_t address, std::size_t length) const;

    std::vector<Range> ranges_; ///< sorted by address, not overlapping
    std::size_t last_ = 0;      ///< index of the range that answered last
    std::uint64_t generation_ = 1;
};

} // namespace tblab::vfio_user
