// SPDX-License-Identifier: Apache-2.0
// trunk_sim --seeds A..B [--trains N] [--no-faults]: runs the seeds, says what broke.
#include "trunk_sim.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

int main(int argc, char **argv)
{
    using namespace tbib::sim;
    unsigned long long first = 0, last = 99;
    TrunkSimOptions options;
    bool usage = false;

    for (int i = 1; i < argc && !usage; i++) {
        if (!std::strcmp(argv[i], "--no-faults"))
            options.faults = false;
        else if (!std::strcmp(argv[i], "--trace"))
            options.trace = true;
        else if (i + 1 < argc && !std::strcmp(argv[i], "--trains"))
            options.trains = std::strtoull(argv[++i], nullptr, 0);
        else if (i + 1 < argc && !std::strcmp(argv[i], "--seeds"))
            usage = std::sscanf(argv[++i], "%llu..%llu", &first, &last) != 2 || last < first;
        else
            usage = true;
    }
    if (usage) {
        std::fprintf(stderr, "usage: trunk_sim [--seeds A..B] [--trains N] [--no-faults]\n");
        return 2;
    }

    TrunkSimStats sum;
    unsigned long long failed = 0;
    auto start = std::chrono::steady_clock::now();
    for (unsigned long long seed = first; seed <= last; seed++) {
        try {
            sum += run_trunk_sim(seed, options);
        } catch (const std::exception &e) {
            failed++;
            std::printf("FAILED %s\n  %s\n", describe_trunk_sim(seed).c_str(), e.what());
        }
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
    std::printf("%llu trains, %llu frames, %llu packets in %.1f s (%.2f M trains a minute)\n",
                n(sum.trains), n(sum.frames), n(sum.packets), s,
                static_cast<double>(sum.trains) / s * 60 / 1e6);
    std::printf("retries %llu, probes %llu, control %llu, lost frames %llu, overruns %llu, "
                "torn %llu, gaps %llu, crc %llu, stale %llu, duplicates %llu, no slot %llu, "
                "flaps %llu, resets %llu, trains dropped by resets %llu\n",
                n(sum.retries), n(sum.probes), n(sum.control), n(sum.lost_frames),
                n(sum.overruns), n(sum.torn), n(sum.gaps), n(sum.crc), n(sum.stale),
                n(sum.duplicates), n(sum.no_slot), n(sum.flaps), n(sum.resets),
                n(sum.dropped_trains));
    std::printf("%llu passed, %llu failed\n", last - first + 1 - failed, failed);
    return failed != 0;
}
