// SPDX-License-Identifier: Apache-2.0
// rc_sim --seeds A..B [--messages N] [--describe]
#include "rc_sim.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

int usage()
{
    fprintf(stderr, "usage: rc_sim --seeds A..B [--messages PER_QP] [--describe]\n");
    return 2;
}

void print(const tbib::sim::RcSimStats& s, double seconds)
{
    printf("%llu messages (%.1f million a minute), %llu MiB, %llu packets in %llu trains\n",
           s.messages, double(s.messages) / seconds * 60e-6, s.bytes >> 20, s.packets, s.trains);
    printf("fabric: lost %llu, repeated %llu, reordered %llu, resets %llu, stalls %llu, "
           "%.1f s virtual\n",
           s.lost, s.repeated, s.reordered, s.resets, s.stalls, double(s.virtual_ns) * 1e-9);
    printf("transport: retries %llu, timeouts %llu, probes %llu, naks %llu, rnr naks %llu, "
           "duplicates %llu, failed %llu, reconnects %llu, datagrams lost %llu\n",
           s.retries, s.timeouts, s.probes, s.naks, s.rnr_naks, s.duplicates, s.failed,
           s.reconnects, s.dropped);
}

} // namespace

int main(int argc, char** argv)
{
    unsigned long long first = 0, last = 0, messages = 200;
    bool seeds = false, describe = false;

    for (int i = 1; i < argc; i++) {
        std::string a = argv[i];
        if (a == "--seeds" && i + 1 < argc)
            seeds = sscanf(argv[++i], "%llu..%llu", &first, &last) == 2;
        else if (a == "--messages" && i + 1 < argc)
            messages = strtoull(argv[++i], nullptr, 10);
        else if (a == "--describe")
            describe = true;
        else
            return usage();
    }
    if (!seeds || first > last || !messages) return usage();

    tbib::sim::RcSimStats sum;
    unsigned long long failures = 0;
    auto start = std::chrono::steady_clock::now();
    for (auto seed = first; seed <= last; seed++) {
        if (describe) printf("%s\n", tbib::sim::describe(tbib::sim::make_rc_plan(seed)).c_str());
        try {
            sum += tbib::sim::run_rc_sim(seed, messages);
        } catch (const std::runtime_error& e) {
            failures++;
            printf("FAIL %s\n", e.what());
        }
    }
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    print(sum, took.count());
    printf("%llu seeds, %llu failed\n", last - first + 1, failures);
    return failures ? 1 : 0;
}
