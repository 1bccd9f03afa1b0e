// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/tsc.hpp"

#if defined(__x86_64__)
#include <x86intrin.h>

#include <chrono>
#include <cstdint>
#include <thread>

namespace tblab {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Reading {
    Clock::time_point time;
    std::uint64_t ticks;
};

/** Both at one time: the reading that took the shortest. */
Reading read()
{
    Reading best{};
    auto shortest = Clock::duration::max();
    for (int n = 0; n < 64; ++n) {
        const auto before = Clock::now();
        const std::uint64_t ticks = __rdtsc();
        const auto took = Clock::now() - before;
        if (took < shortest) {
            shortest = took;
            best = {before + took / 2, ticks};
        }
    }
    return best;
}

unsigned long measure()
{
    const Reading first = read();
    std::this_thread::sleep_for(20ms);
    const Reading last = read();
    const std::chrono::duration<double, std::milli> passed = last.time - first.time;
    return static_cast<unsigned long>(static_cast<double>(last.ticks - first.ticks) / passed.count());
}

} // namespace

unsigned long tsc_khz()
{
    static const unsigned long khz = measure();
    return khz;
}

} // namespace tblab

#else

unsigned long tblab::tsc_khz()
{
    return 0;
}

#endif
