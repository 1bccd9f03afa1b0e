// SPDX-License-Identifier: Apache-2.0
// stack_sim --seeds A..B [--messages PER_QP]
#include "stack_sim.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

int usage()
{
    fprintf(stderr, "usage: stack_sim --seeds A..B [--messages PER_QP]\n");
    return 2;
}

} // namespace

int main(int argc, char** argv)
{
    unsigned long long first = 0, last = 0, messages = 100;
    bool seeds = false;

    for (int i = 1; i < argc; i++) {
        std::string a = argv[i];
        if (a == "--seeds" && i + 1 < argc)
            seeds = sscanf(argv[++i], "%llu..%llu", &first, &last) == 2;
        else if (a == "--messages" && i + 1 < argc)
            messages = strtoull(argv[++i], nullptr, 10);
        else
            return usage();
    }
    if (!seeds || first > last || !messages) return usage();

    tbib::sim::RcSimStats qp;
    tbib::sim::TrunkSimStats trunk;
    unsigned long long failures = 0;
    auto start = std::chrono::steady_clock::now();
    for (auto seed = first; seed <= last; seed++) {
        try {
            auto s = tbib::sim::run_stack_sim(seed, messages);
            qp += s.qp;
            trunk += s.trunk;
        } catch (const std::runtime_error& e) {
            failures++;
            printf("FAIL %s\n", e.what());
        }
    }
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    printf("%llu messages (%.1f million a minute), %llu MiB, %llu packets in %llu trains\n",
           qp.messages, double(qp.messages) / took.count() * 60e-6, qp.bytes >> 20, qp.packets,
           qp.trains);
    printf("trunk: frames lost %llu, overruns %llu, retries %llu, probes %llu, outages %llu, "
           "resets %llu, trains lost by resets %llu\n",
           (unsigned long long)trunk.lost_frames, (unsigned long long)trunk.overruns,
           (unsigned long long)trunk.retries, (unsigned long long)trunk.probes,
           (unsigned long long)trunk.flaps, (unsigned long long)trunk.resets, qp.lost);
    printf("transport: retries %llu, timeouts %llu, probes %llu, naks %llu, rnr naks %llu, "
           "duplicates %llu, failed %llu, reconnects %llu, datagrams lost %llu\n",
           qp.retries, qp.timeouts, qp.probes, qp.naks, qp.rnr_naks, qp.duplicates, qp.failed,
           qp.reconnects, qp.dropped);
    printf("%llu seeds, %llu failed\n", last - first + 1, failures);
    return failures ? 1 : 0;
}
