// SPDX-License-Identifier: Apache-2.0
#include "test/lab/vfio_user/dma_table.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>
#include <sys/stat.h>

#include "test/lab/vfio_user/protocol.hpp"

namespace tblab::vfio_user {

namespace {

constexpr std::uint64_t page_mask = 4095;
constexpr std::size_t max_ranges = 65535; // what we announce as max_dma_maps

/** Touching a mapping beyond the end of its file would be a SIGBUS for all
 *  guests, so the file must be as long as it is said to be. */
bool backed(int fd, std::uint64_t offset, std::uint64_t size)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size < 0)
        return false;
    const auto length = static_cast<std::uint64_t>(st.st_size);
    return offset <= length && size <= length - offset;
}

} // namespace

int DmaTable::map(std::uint64_t address, std::uint64_t size, std::uint32_t flags, int fd,
                  std::uint64_t offset)
{
    if (size == 0 || address + size < address)
        return EINVAL;
    if (ranges_.size() >= max_ranges)
        return ENOSPC;
    auto next = std::upper_bound(
        ranges_.begin(), ranges_.end(), address,
        [](std::uint64_t value, const Range& range) { return value < range.address; });
    if (next != ranges_.end() && next->address - address < size)
        return EEXIST;
    if (next != ranges_.begin() && address - std::prev(next)->address < std::prev(next)->size)
        return EEXIST;

    Range range{address, size, nullptr, (flags & dma_readable) != 0,
                (flags & dma_writable) != 0};
    if (fd >= 0) {
        if ((address | size | offset) & page_mask)
            return EINVAL;
        if (!backed(fd, offset, size))
            return EINVAL;
        const int prot = (range.readable ? PROT_READ : 0) | (range.writable ? PROT_WRITE : 0);
        void* host = mmap(nullptr, size, prot, MAP_SHARED, fd, static_cast<off_t>(offset));
        if (host == MAP_FAILED)
            return errno;
        range.host = static_cast<std::byte*>(host);
    }
    ranges_.insert(next, range);
    ++generation_;
    return 0;
}

int DmaTable::unmap(std::uint64_t address, std::uint64_t size)
{
    auto it = std::lower_bound(
        ranges_.begin(), ranges_.end(), address,
        [](const Range& range, std::uint64_t value) { return range.address < value; });
    if (it == ranges_.end() || it->address != address || it->size != size)
        return ENOENT;
    if (it->host)
        munmap(it->host, it->size);
    ranges_.erase(it);
    ++generation_;
    return 0;
}

void DmaTable::clear()
{
    for (const Range& range : ranges_) {
        if (range.host)
            munmap(range.host, range.size);
    }
    ranges_.clear();
    ++generation_;
}

bool DmaTable::covers(const Range& range, std::uint64_t address, std::size_t length) const
{
    return address >= range.address && address - range.address <= range.size &&
           length <= range.size - (address - range.address);
}

std::byte* DmaTable::translate(std::uint64_t address, std::size_t length, bool write)
{
    if (last_ >= ranges_.size() || !covers(ranges_[last_], address, length)) {
        auto next = std::upper_bound(
            ranges_.begin(), ranges_.end(), address,
            [](std::uint64_t value, const Range& range) { return value < range.address; });
        if (next == ranges_.begin() || !covers(*std::prev(next), address, length))
            return nullptr;
        last_ = static_cast<std::size_t>(std::prev(next) - ranges_.begin());
    }
    const Range& range = ranges_[last_];
    if (!range.host || !(write ? range.writable : range.readable))
        return nullptr;
    return range.host + (address - range.address);
}

} // namespace tblab::vfio_user
