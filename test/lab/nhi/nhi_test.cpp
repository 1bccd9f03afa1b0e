// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <stdexcept>

#include "test/lab/nhi/fake_memory.hpp"
#include "test/lab/nhi/nhi.hpp"

using namespace tblab;
using namespace tblab::nhi;

namespace {

constexpr unsigned hops = 12;
constexpr std::uint64_t ring_memory = FakeMemory::base + 0x1000;
constexpr std::uint64_t buffers = FakeMemory::base + 0x10000;
constexpr std::uint32_t posted = desc_posted | desc_interrupt;

struct Fixture : Events {
    FakeMemory memory;
    Nhi nhi{hops, 2, *this};
    FakeIrqs irqs;
    std::vector<unsigned> doorbells, rx_posts, stopped, changed;
    int resets = 0;

    Fixture() { nhi.set_memory(&memory); }

    void tx_doorbell(unsigned ring) override { doorbells.push_back(ring); }
    void tx_stopped(unsigned ring) override { stopped.push_back(ring); }
    void rx_posted(unsigned ring) override { rx_posts.push_back(ring); }
    void rx_changed(unsigned ring) override { changed.push_back(ring); }
    void host_reset() override { ++resets; }

    void start_tx(unsigned ring, unsigned size, std::uint32_t options = option_enable)
    {
        nhi.write(tx_ring + ring * ring_stride + ring_base_lo, ring_memory & 0xffffffff);
        nhi.write(tx_ring + ring * ring_stride + ring_base_hi, ring_memory >> 32);
        nhi.write(tx_ring + ring * ring_stride + tblab::nhi::ring_size, size);
        nhi.write(tx_options + ring * options_stride, options);
    }
    void start_rx(unsigned ring, unsigned size, std::uint32_t options = option_enable,
                  std::uint32_t masks = ~0u)
    {
        nhi.write(rx_ring + ring * ring_stride + ring_base_lo, ring_memory & 0xffffffff);
        nhi.write(rx_ring + ring * ring_stride + ring_base_hi, ring_memory >> 32);
        nhi.write(rx_ring + ring * ring_stride + tblab::nhi::ring_size, size);
        nhi.write(rx_options + ring * options_stride + 4, masks);
        nhi.write(rx_options + ring * options_stride, options);
    }
    void doorbell(unsigned ring, unsigned producer)
    {
        nhi.write(tx_ring + ring * ring_stride + ring_index, producer << 16);
    }
    void post(unsigned ring, unsigned consumer)
    {
        nhi.write(rx_ring + ring * ring_stride + ring_index, consumer);
    }
    void describe(unsigned index, std::uint32_t word, std::uint64_t address)
    {
        memory.set_descriptor(ring_memory, index, {address, word, 0});
    }
    std::uint32_t word(unsigned index) { return memory.descriptor(ring_memory, index).word; }
};

constexpr std::uint32_t tx_word(std::uint32_t length, unsigned sof = 1, unsigned eof = 2)
{
    return (length & 0xfff) | eof << desc_eof_shift | sof << desc_sof_shift | posted;
}

const std::byte payload[4096] = {std::byte{1}, std::byte{2}, std::byte{3}};

Frame frame_of(std::uint32_t length, std::uint8_t sof = 1, std::uint8_t eof = 2)
{
    return {payload, length, sof, eof};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(nhi, Fixture)

BOOST_AUTO_TEST_CASE(hop_counts_the_driver_can_handle)
{
    for (const unsigned bad : {0u, 1u, 17u, 31u, 33u})
        BOOST_CHECK_THROW(Nhi(bad, 1, *this), std::invalid_argument);
    BOOST_TEST(Nhi(3, 1, *this).read(capabilities) == (3u | 0x10u << 16));
    BOOST_TEST(Nhi(32, 2, *this).read(capabilities) == (32u | 0x40u << 16));
}

BOOST_AUTO_TEST_CASE(sends_frames_in_order)
{
    start_tx(1, 4);
    memory.at(buffers)[0] = std::byte{0x11};
    describe(0, tx_word(100), buffers);
    describe(1, tx_word(0, 3, 4), buffers + 4096); // 0 means 4096
    doorbell(1, 2);
    BOOST_TEST((doorbells == std::vector<unsigned>{1}));

    Frame frame;
    BOOST_REQUIRE(nhi.tx_peek(1, frame));
    BOOST_TEST(frame.length == 100u);
    BOOST_TEST((frame.data[0] == std::byte{0x11}));
    BOOST_TEST(frame.sof == 1);
    BOOST_TEST(frame.eof == 2);
    nhi.tx_complete(1);
    BOOST_TEST((word(0) & desc_completed) != 0u);
    BOOST_TEST((word(1) & desc_completed) == 0u);
    BOOST_REQUIRE(nhi.tx_peek(1, frame));
    BOOST_TEST(frame.length == 4096u);
    BOOST_TEST(frame.sof == 3);
    BOOST_TEST(frame.eof == 4);
    nhi.tx_complete(1);
    BOOST_TEST(!nhi.tx_peek(1, frame));
    BOOST_TEST(nhi.read(tx_ring + ring_stride + ring_index) == (2u << 16 | 2u));
    BOOST_TEST(nhi.tx_stats(1).frames == 2u);
    BOOST_TEST(nhi.tx_stats(1).bytes == 4196u);
}

BOOST_AUTO_TEST_CASE(indices_wrap)
{
    start_tx(1, 3);
    Frame frame;
    unsigned producer = 0;
    for (int i = 0; i < 10; ++i) {
        describe(producer, tx_word(64), buffers);
        producer = (producer + 1) % 3;
        doorbell(1, producer);
        BOOST_REQUIRE(nhi.tx_peek(1, frame));
        nhi.tx_complete(1);
        BOOST_REQUIRE(!nhi.tx_peek(1, frame));
    }
}

BOOST_AUTO_TEST_CASE(interrupts_only_when_asked)
{
    nhi.write(vector_map, 0x0000'0040); // index 1 -> vector 4
    nhi.write(enable, 1u << 1);
    start_tx(1, 4);
    describe(0, tx_word(64) & ~desc_interrupt, buffers);
    describe(1, tx_word(64), buffers);
    doorbell(1, 2);
    Frame frame;
    nhi.tx_peek(1, frame);
    nhi.tx_complete(1);
    BOOST_TEST(!nhi.interrupts().pending());
    nhi.tx_peek(1, frame);
    nhi.tx_complete(1);
    nhi.interrupts().flush(Time{0}, irqs);
    BOOST_TEST((irqs.vectors == std::vector<unsigned>{4}));
}

BOOST_AUTO_TEST_CASE(receives_into_posted_buffers)
{
    start_rx(2, 4);
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::no_buffer));
    describe(0, posted, buffers);
    describe(1, posted, buffers + 4096);
    post(2, 2);
    BOOST_TEST((rx_posts == std::vector<unsigned>{2}));
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::delivered));
    BOOST_TEST((memory.at(buffers)[1] == std::byte{2}));
    // Completed, and POSTED cleared: the driver takes that bit for an overrun.
    BOOST_TEST(word(0) == (64u | 2u << desc_eof_shift | 1u << desc_sof_shift |
                           desc_completed | desc_interrupt));
    BOOST_TEST((nhi.rx_deliver(2, frame_of(4096), desc_crc_error) == RxResult::delivered));
    BOOST_TEST((word(1) & 0xfff) == 0u);
    BOOST_TEST((word(1) & desc_crc_error) != 0u);
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::no_buffer));
    BOOST_TEST(nhi.read(rx_ring + 2 * ring_stride + ring_index) == (2u << 16 | 2u));
    BOOST_TEST(nhi.rx_stats(2).crc_errors == 1u);
}

BOOST_AUTO_TEST_CASE(filters_by_pdf_and_length)
{
    // What thunderbolt_net asks for.
    start_rx(2, 4, option_enable | option_e2e, 0x2u << 16 | 0x4u);
    describe(0, posted, buffers);
    post(2, 1);
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64, 2, 2)) == RxResult::refused));
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64, 1, 3)) == RxResult::refused));
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64, 1, 2)) == RxResult::delivered));
    BOOST_TEST(nhi.rx_stats(2).drops == 2u);

    start_rx(3, 0x100u << 16 | 4, option_enable | option_raw, 0); // raw: no masks, 256 bytes
    describe(0, posted, buffers);
    post(3, 1);
    BOOST_TEST((nhi.rx_deliver(3, frame_of(257, 0, 5)) == RxResult::refused));
    BOOST_TEST((nhi.rx_deliver(3, frame_of(256, 0, 5)) == RxResult::delivered));
}

BOOST_AUTO_TEST_CASE(overrun_is_told_by_the_next_frame)
{
    start_rx(2, 4);
    nhi.rx_overrun(2);
    describe(0, posted, buffers);
    describe(1, posted, buffers);
    post(2, 2);
    nhi.rx_deliver(2, frame_of(64));
    nhi.rx_deliver(2, frame_of(64));
    BOOST_TEST((word(0) & desc_overrun) != 0u);
    BOOST_TEST((word(1) & desc_overrun) == 0u);
    BOOST_TEST(nhi.rx_stats(2).overruns == 1u);
}

BOOST_AUTO_TEST_CASE(stopping_a_ring_rewinds_it)
{
    start_tx(1, 4);
    describe(0, tx_word(64), buffers);
    doorbell(1, 1);
    Frame frame;
    nhi.tx_peek(1, frame);
    nhi.tx_complete(1);
    nhi.write(tx_options + options_stride, 0);
    BOOST_TEST((stopped == std::vector<unsigned>{1}));
    doorbell(1, 3); // means nothing now
    BOOST_TEST(!nhi.tx_peek(1, frame));
    start_tx(1, 4);
    BOOST_TEST(nhi.read(tx_ring + ring_stride + ring_index) == 0u);
    BOOST_TEST(!nhi.tx_peek(1, frame));
    BOOST_TEST((nhi.rx_deliver(5, frame_of(64)) == RxResult::no_ring));
}

BOOST_AUTO_TEST_CASE(hostile_indices_and_sizes)
{
    Frame frame;
    for (const unsigned size : {0u, 1u, 4u, 0xffffu}) {
        for (const unsigned index : {0u, 1u, 4u, 5u, 0xfffeu, 0xffffu}) {
            nhi.reset();
            start_tx(1, size);
            start_rx(2, size);
            doorbell(1, index);
            post(2, index);
            for (unsigned n = 0; n < 0x10010 && nhi.tx_peek(1, frame); ++n)
                nhi.tx_complete(1);
            BOOST_TEST(!nhi.tx_peek(1, frame));
            for (unsigned n = 0; n < 16; ++n)
                nhi.rx_deliver(2, frame_of(64));
        }
    }
    // The ring shrinks under its own index.
    nhi.reset();
    start_rx(2, 8);
    for (unsigned i = 0; i < 8; ++i)
        describe(i, posted, buffers);
    post(2, 6);
    for (int n = 0; n < 6; ++n)
        BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::delivered));
    nhi.write(rx_ring + 2 * ring_stride + tblab::nhi::ring_size, 2);
    post(2, 1);
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::delivered));
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::no_buffer));
}

BOOST_AUTO_TEST_CASE(hostile_addresses)
{
    Frame frame;
    start_tx(1, 4);
    describe(0, tx_word(64), 0);                           // not memory
    describe(1, tx_word(64), ~std::uint64_t{0} - 10);      // wraps
    describe(2, tx_word(64), FakeMemory::base);            // fine
    doorbell(1, 3);
    BOOST_TEST(nhi.tx_peek(1, frame));
    BOOST_TEST(nhi.tx_stats(1).errors == 2u);
    BOOST_TEST((word(0) & desc_completed) != 0u);

    start_rx(2, 4);
    describe(0, posted, FakeMemory::base + (4u << 20) - 10); // ends behind the memory
    post(2, 1);
    BOOST_TEST((nhi.rx_deliver(2, frame_of(64)) == RxResult::error));
    BOOST_TEST((word(0) & desc_crc_error) != 0u);

    // Rings that are not in memory, or only in part, or not aligned.
    nhi.reset();
    start_tx(1, 0xffff);
    start_rx(2, 4);
    for (const std::uint32_t low : {0u, 0xffffff00u, 0x4ffff0u, 0x100003u}) {
        nhi.write(tx_ring + ring_stride + ring_base_lo, low);
        doorbell(1, 1);
        nhi.tx_peek(1, frame);
        nhi.write(rx_ring + 2 * ring_stride + ring_base_lo, low);
        post(2, 1);
        nhi.rx_deliver(2, frame_of(64));
    }
}

BOOST_AUTO_TEST_CASE(hostile_registers)
{
    for (std::uint32_t offset = 0; offset < bar0_size; offset += 4) {
        if (offset != tblab::nhi::reset)
            nhi.write(offset, 0xffffffff);
        nhi.read(offset);
    }
    Frame frame;
    for (unsigned ring = 0; ring < hops; ++ring) {
        nhi.tx_peek(ring, frame);
        nhi.rx_deliver(ring, frame_of(64));
    }
    BOOST_TEST(!nhi.rx_enabled(hops));
    nhi.interrupts().flush(Time{0}, irqs);
}

BOOST_AUTO_TEST_CASE(translations_are_renewed)
{
    start_tx(1, 4);
    describe(0, tx_word(64), buffers);
    doorbell(1, 1);
    Frame frame;
    BOOST_TEST(nhi.tx_peek(1, frame));
    FakeMemory other;
    nhi.set_memory(&other);
    BOOST_TEST(!nhi.tx_peek(1, frame)); // its descriptor there has no buffer
    nhi.set_memory(nullptr);
    doorbell(1, 2);
    BOOST_TEST(!nhi.tx_peek(1, frame));
}

BOOST_AUTO_TEST_CASE(reset_bit_clears_itself)
{
    nhi.write(tblab::nhi::reset, 1);
    BOOST_TEST(resets == 1);
    BOOST_TEST(nhi.read(tblab::nhi::reset) == 0u);
    start_tx(1, 4);
    nhi.reset();
    BOOST_TEST(!nhi.tx_enabled(1));
    BOOST_TEST(nhi.read(tx_ring + ring_stride + tblab::nhi::ring_size) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
