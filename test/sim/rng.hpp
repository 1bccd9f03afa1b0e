// SPDX-License-Identifier: Apache-2.0
// A small fast generator whose numbers are the same everywhere.
#pragma once

#include <cstdint>

namespace tbib::sim {

class Rng {
public:
    explicit Rng(std::uint64_t seed) : state_(seed) {}

    /// splitmix64
    std::uint64_t operator()()
    {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }

    /// 0 .. n - 1
    std::uint64_t below(std::uint64_t n) { return n ? ((*this)() >> 11) % n : 0; }
    /// a .. b
    std::uint64_t range(std::uint64_t a, std::uint64_t b) { return a + below(b - a + 1); }
    bool chance(double p) { return static_cast<double>((*this)() >> 11) * 0x1p-53 < p; }

private:
    std::uint64_t state_;
};

} // namespace tbib::sim
