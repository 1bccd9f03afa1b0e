// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <cstring>
#include <limits>
#include <sys/mman.h>

#include "test/lab/vfio_user/dma_table.hpp"
#include "test/lab/vfio_user/protocol.hpp"
#include "test/lab/vfio_user/unique_fd.hpp"

using namespace tblab;
using namespace tblab::vfio_user;

namespace {

constexpr std::uint32_t read_write = dma_readable | dma_writable;

UniqueFd memory_file(std::size_t size)
{
    UniqueFd fd(memfd_create("test", MFD_CLOEXEC));
    BOOST_REQUIRE(ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
    return fd;
}

} // namespace

BOOST_AUTO_TEST_SUITE(dma_table)

BOOST_AUTO_TEST_CASE(translates_within_one_range_only)
{
    const UniqueFd fd = memory_file(0x4000);
    DmaTable table;
    BOOST_TEST(table.map(0x1000, 0x2000, read_write, fd.get(), 0x1000) == 0);
    BOOST_TEST(table.map(0x3000, 0x1000, read_write, fd.get(), 0) == 0);

    std::byte* at = table.translate(0x1010, 16, true);
    BOOST_REQUIRE(at != nullptr);
    std::memcpy(at, "hello", 5);
    char back[5];
    BOOST_REQUIRE(pread(fd.get(), back, 5, 0x1010) == 5);
    BOOST_TEST(std::memcmp(back, "hello", 5) == 0);

    BOOST_TEST((table.translate(0x1000, 0x2000, true) != nullptr));
    BOOST_TEST((table.translate(0x2fff, 1, false) != nullptr));
    BOOST_TEST((table.translate(0x2fff, 2, false) == nullptr)); // two ranges
    BOOST_TEST((table.translate(0xfff, 1, false) == nullptr));
    BOOST_TEST((table.translate(0x4000, 1, false) == nullptr));
    BOOST_TEST((table.translate(0x1000, 0x2001, false) == nullptr));
}

BOOST_AUTO_TEST_CASE(hostile_translations_do_not_overflow)
{
    const UniqueFd fd = memory_file(0x1000);
    DmaTable table;
    BOOST_TEST(table.map(0x1000, 0x1000, read_write, fd.get(), 0) == 0);
    const auto max = std::numeric_limits<std::uint64_t>::max();
    BOOST_TEST((table.translate(max, 1, true) == nullptr));
    BOOST_TEST((table.translate(max - 4095, 4096, true) == nullptr));
    BOOST_TEST((table.translate(0x1800, std::numeric_limits<std::size_t>::max(), true) ==
                nullptr));
    BOOST_TEST((table.translate(0, 0x2000, true) == nullptr));
}

BOOST_AUTO_TEST_CASE(refuses_wrong_maps)
{
    const UniqueFd fd = memory_file(0x2000);
    DmaTable table;
    BOOST_TEST(table.map(0, 0, read_write, fd.get(), 0) == EINVAL);
    BOOST_TEST(table.map(0x800, 0x1000, read_write, fd.get(), 0) == EINVAL);
    BOOST_TEST(table.map(0, 0x3000, read_write, fd.get(), 0) == EINVAL); // file too short
    BOOST_TEST(table.map(0, 0x1000, read_write, fd.get(), 0x2000) == EINVAL);
    BOOST_TEST(table.map(~std::uint64_t{0xfff}, 0x2000, read_write, fd.get(), 0) == EINVAL);
    BOOST_TEST(table.map(0x1000, 0x2000, read_write, fd.get(), 0) == 0);
    BOOST_TEST(table.map(0x1000, 0x1000, read_write, fd.get(), 0) == EEXIST);
    BOOST_TEST(table.map(0x2000, 0x1000, read_write, fd.get(), 0) == EEXIST);
    BOOST_TEST(table.map(0, 0x2000, read_write, fd.get(), 0) == EEXIST);
    BOOST_TEST(table.map(0, 0x1000, read_write, fd.get(), 0) == 0);
}

BOOST_AUTO_TEST_CASE(unmaps_exactly_and_tells_by_generation)
{
    const UniqueFd fd = memory_file(0x2000);
    DmaTable table;
    BOOST_TEST(table.map(0x1000, 0x2000, read_write, fd.get(), 0) == 0);
    const auto before = table.generation();
    BOOST_TEST(table.unmap(0x1000, 0x1000) == ENOENT);
    BOOST_TEST(table.unmap(0x2000, 0x1000) == ENOENT);
    BOOST_TEST(table.generation() == before);
    BOOST_TEST(table.unmap(0x1000, 0x2000) == 0);
    BOOST_TEST(table.generation() != before);
    BOOST_TEST((table.translate(0x1000, 1, false) == nullptr));
    BOOST_TEST(table.size() == 0u);
}

BOOST_AUTO_TEST_CASE(honours_access_rights)
{
    const UniqueFd fd = memory_file(0x1000);
    DmaTable table;
    BOOST_TEST(table.map(0x1000, 0x1000, dma_readable, fd.get(), 0) == 0);
    BOOST_TEST(table.map(0x2000, 0x1000, read_write, -1, 0) == 0); // a ROM without memory
    BOOST_TEST((table.translate(0x1000, 16, false) != nullptr));
    BOOST_TEST((table.translate(0x1000, 16, true) == nullptr));
    BOOST_TEST((table.translate(0x2000, 16, false) == nullptr));
    BOOST_TEST(table.unmap(0x2000, 0x1000) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
