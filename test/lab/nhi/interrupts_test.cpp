// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include "test/lab/nhi/fake_memory.hpp"
#include "test/lab/nhi/interrupts.hpp"

using namespace tblab;
using namespace tblab::nhi;
using namespace std::chrono_literals;

namespace {

constexpr unsigned hops = 12;

struct Fixture {
    Interrupts interrupts{hops};
    FakeIrqs irqs;
    Time now{0};

    /** Routes ring interrupt index `index` to a vector and enables it. */
    void setup(unsigned index, unsigned vector)
    {
        const std::uint32_t map = vector_map + 4 * (index / 8);
        interrupts.write(map, (interrupts.read(map) & ~(0xfu << 4 * (index % 8))) |
                                  vector << 4 * (index % 8));
        unmask(index);
    }
    void mask(unsigned index)
    {
        interrupts.write(enable, interrupts.read(enable) & ~(1u << index));
    }
    void unmask(unsigned index)
    {
        interrupts.write(enable, interrupts.read(enable) | 1u << index);
    }
    void clear(unsigned index) { interrupts.write(status_clear, 1u << index); }
    std::size_t flush()
    {
        interrupts.flush(now, irqs);
        return irqs.take();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(interrupts, Fixture)

BOOST_AUTO_TEST_CASE(one_message_per_edge)
{
    setup(3, 5);
    interrupts.raise(3);
    interrupts.flush(now, irqs);
    BOOST_TEST((irqs.vectors == std::vector<unsigned>{5}));
    irqs.take();
    BOOST_TEST(flush() == 0u); // not twice for one completion
    clear(3);
    BOOST_TEST(flush() == 0u);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
}

BOOST_AUTO_TEST_CASE(completions_before_the_message_share_it)
{
    setup(3, 5);
    interrupts.raise(3);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
    clear(3);
    BOOST_TEST(flush() == 0u);
}

BOOST_AUTO_TEST_CASE(a_completion_between_message_and_clear_is_not_lost)
{
    setup(3, 5);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
    interrupts.raise(3); // the driver's clear is still on its way
    BOOST_TEST(flush() == 0u);
    clear(3);
    BOOST_TEST(flush() == 1u);
    clear(3);
    BOOST_TEST(flush() == 0u);
}

BOOST_AUTO_TEST_CASE(unmask_fires_if_pending)
{
    setup(hops + 1, 2);
    interrupts.raise(hops + 1);
    BOOST_TEST(flush() == 1u);
    clear(hops + 1);
    mask(hops + 1);
    interrupts.raise(hops + 1); // a frame while NAPI polls
    BOOST_TEST(flush() == 0u);
    unmask(hops + 1);
    BOOST_TEST(flush() == 1u);
}

BOOST_AUTO_TEST_CASE(unmask_fires_again_for_an_uncleared_status)
{
    setup(1, 2);
    interrupts.raise(1);
    BOOST_TEST(flush() == 1u);
    mask(1);
    unmask(1);
    BOOST_TEST(flush() == 1u);
}

BOOST_AUTO_TEST_CASE(enable_clear_register_masks)
{
    setup(1, 2);
    setup(2, 3);
    interrupts.write(enable_clear, 1u << 1);
    interrupts.raise(1);
    interrupts.raise(2);
    BOOST_TEST(flush() == 1u);
    BOOST_TEST(interrupts.read(enable) == 1u << 2);
}

BOOST_AUTO_TEST_CASE(two_rings_on_one_vector_share_a_message)
{
    setup(1, 7);
    setup(2, 7);
    interrupts.raise(1);
    interrupts.raise(2);
    BOOST_TEST(flush() == 1u);
    BOOST_TEST(interrupts.counters().messages == 1u);
    BOOST_TEST(interrupts.counters().by_index[1] == 1u);
    BOOST_TEST(interrupts.counters().by_index[2] == 1u);
}

BOOST_AUTO_TEST_CASE(intel_auto_clear_consumes_the_status)
{
    interrupts.write(dma_misc, dma_misc_auto_clear);
    setup(3, 5);
    for (int i = 0; i < 3; ++i) {
        interrupts.raise(3);
        BOOST_TEST(flush() == 1u); // the driver never writes the clear register
    }
}

BOOST_AUTO_TEST_CASE(throttling_delays_but_loses_nothing)
{
    setup(3, 5);
    interrupts.write(throttle + 4 * 5, 500); // 128 us
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u); // the first one after idle is immediate
    clear(3);
    now += 10us;
    interrupts.raise(3);
    BOOST_TEST(flush() == 0u);
    BOOST_TEST((interrupts.deadline() == Time(128us)));
    now = 127us;
    BOOST_TEST(flush() == 0u);
    now = 128us;
    BOOST_TEST(flush() == 1u);
    BOOST_TEST((interrupts.deadline() == Time::max()));
    BOOST_TEST(interrupts.counters().throttled == 1u);
    clear(3);
    now += 1ms;
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u); // idle again
}

BOOST_AUTO_TEST_CASE(throttling_is_per_vector_and_optional)
{
    setup(3, 5);
    setup(4, 6);
    interrupts.write(throttle + 4 * 5, 500);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
    clear(3);
    interrupts.raise(3);
    interrupts.raise(4);
    BOOST_TEST(flush() == 1u); // only vector 6
    interrupts.set_throttling(false);
    BOOST_TEST(flush() == 1u);
}

BOOST_AUTO_TEST_CASE(a_throttled_message_is_forgotten_when_masked)
{
    setup(3, 5);
    interrupts.write(throttle + 4 * 5, 500);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
    clear(3);
    interrupts.raise(3);
    BOOST_TEST(flush() == 0u);
    mask(3);
    now = 1ms;
    BOOST_TEST(flush() == 0u);
    BOOST_TEST((interrupts.deadline() == Time::max()));
    unmask(3);
    BOOST_TEST(flush() == 1u);
}

BOOST_AUTO_TEST_CASE(lost_and_spurious_messages)
{
    setup(3, 5);
    interrupts.lose(1);
    interrupts.raise(3);
    BOOST_TEST(flush() == 0u);
    BOOST_TEST(flush() == 0u); // really lost: the hardware believes it has told
    BOOST_TEST(interrupts.counters().lost == 1u);
    clear(3);
    interrupts.raise(3);
    BOOST_TEST(flush() == 1u);
    interrupts.spurious(irqs);
    BOOST_TEST(irqs.take() == vectors);
}

BOOST_AUTO_TEST_CASE(status_is_cleared_by_reading_unless_forbidden)
{
    interrupts.raise(3);
    interrupts.raise(hops + 9); // bit 21
    interrupts.raise_overflow(9); // bit 33
    BOOST_TEST(interrupts.read(status) == (1u << 3 | 1u << 21));
    BOOST_TEST(interrupts.read(status + 4) == 1u << 1);
    BOOST_TEST(interrupts.read(status) == 0u);
    BOOST_TEST(interrupts.read(status + 4) == 0u);
    interrupts.write(dma_misc, dma_misc_no_read_clear);
    interrupts.raise(3);
    BOOST_TEST(interrupts.read(status) == 1u << 3);
    BOOST_TEST(interrupts.read(status) == 1u << 3);
    interrupts.write(status_clear, ~0u);
    BOOST_TEST(interrupts.read(status) == 0u);
}

BOOST_AUTO_TEST_CASE(a_32_ring_host_uses_two_dwords)
{
    Interrupts wide(32);
    wide.write(enable + 4, 1u << 31);
    wide.write(vector_map + 4 * 7, 0xfu << 28);
    wide.raise(63);
    wide.flush(now, irqs);
    BOOST_TEST((irqs.vectors == std::vector<unsigned>{15}));
    BOOST_TEST(wide.read(status + 4) == 1u << 31);
}

BOOST_AUTO_TEST_SUITE_END()
