// SPDX-License-Identifier: Apache-2.0
/** verbs_scale: its parts. */
#ifndef TBIB_TEST_TOOLS_VERBS_SCALE_HPP
#define TBIB_TEST_TOOLS_VERBS_SCALE_HPP

#include <infiniband/verbs.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "channel.hpp"
#include "rdma.hpp"

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{60};

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

inline std::vector<ibv_wc> wait_for(ibv_cq* cq, Clock::time_point end) {
    while (Clock::now() < end) {
        auto found = rdma::poll(cq);
        if (!found.empty()) {
            return found;
        }
    }
    throw std::runtime_error("no completion in time");
}

/**
 * One of everything, used and destroyed. Or @p abandon: ends the process while work is under way,
 * so that the kernel has to clean up.
 */
void make_and_use(const std::string& device, int number, bool abandon);

/** Throws if a word that QPs of both sides and threads add to at once is not their sum. */
void atomics(Channel& channel, const std::string& device, bool client, int qps);

/**
 * As many CQs, SRQs and QPs as the device says that it has, one kind after the other, and of MRs
 * and MWs if it is to be @p all; throws if there are fewer or more. Ends the process with 0 and
 * leaves the QPs to the kernel.
 */
[[noreturn]] void limits(const std::string& device, bool all);

#endif
