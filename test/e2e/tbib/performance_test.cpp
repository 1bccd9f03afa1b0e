// SPDX-License-Identifier: Apache-2.0
/**
 * Floors of throughput and latency, as ratios within one run: tbib, rxe over
 * thunderbolt_net, TCP over thunderbolt_net and raw rings take turns on the same
 * cable, and medians are compared.
 */
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <fmt/format.h>

#include "test/e2e/stock_network.hpp"
#include "test/e2e/tbib/fabric.hpp"

namespace {

using namespace e2e;
using namespace std::chrono_literals;

constexpr int kRounds = 5;
/** Moved in one run: seconds of work, for a guest that emulates warms up slowly. rxe moves a quarter. */
constexpr unsigned kBytes = 192U << 20;
constexpr unsigned kRawFrames = 40000;

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v.at(v.size() / 2);
}

/** Both guests with tbib and, on the same cable, thunderbolt_net with rxe on it. */
class Arena {
public:
    explicit Arena(FabricOptions options) : fabric_(std::move(options)) {
        for (unsigned i = 0; i < 2; ++i) {
            auto& g = fabric_.host(i);
            const auto netdev = wait_interface(g);
            set_address(g, netdev, fmt::format("10.9.0.{}/24", i + 1));
            g.must("ip link set " + netdev + " mtu 65520; modprobe rdma_rxe; rdma link add rxe0 type rxe netdev " + netdev);
            g.must("insmod /opt/tbib/tbib_rawring-$(uname -r | cut -d. -f1,2).ko");
        }
        BOOST_REQUIRE(wait_ping(fabric_.host(0), "10.9.0.2"));
    }

    double write(const std::string& device, unsigned size) {
        const auto n = (device == "rxe0" ? kBytes / 4 : kBytes) / size;
        const auto c = fmt::format("ib_write_bw -d {} -F -s {} -n {} --report_gbits{}", device, size, n,
                                   device == "rxe0" ? " -x 1" : "");
        return bandwidth_gbps(fabric_.pair(c, c + " " + server(device), 90s));
    }

    double latency(const std::string& device, bool events) {
        const auto c = fmt::format("ib_send_lat -d {} -F -s 64 -n 300{}{}", device, events ? " -e" : "",
                                   device == "rxe0" ? " -x 1" : "");
        return latency_us(fabric_.pair(c, c + " " + server(device), 90s));
    }

    double tcp(const std::string& address) { return tcp_mbits(fabric_.host(1), fabric_.host(0), address, 2) / 1000; }

    /** What rings alone reach: from the first to the last frame at the receiver. */
    double raw() {
        const std::string dir = "cd $(ls -d /sys/kernel/debug/tbib_rawring/*/ | head -n 1); ";
        for (unsigned i = 0; i < 2; ++i) {
            fabric_.host(i).must(dir + "echo 1 >reset");
        }
        fabric_.host(1).must(dir + fmt::format("echo {} >send", kRawFrames));
        BOOST_REQUIRE(tblab::eventually(
            [&] { return fabric_.host(0).must(dir + "cat report").find(fmt::format("rx frames={} ", kRawFrames)) != std::string::npos; }, 20s));
        const auto out = fabric_.host(0).must(dir + "grep ^rx report");
        const auto at = out.find("gbps=");
        BOOST_REQUIRE(at != std::string::npos);
        return std::stod(out.substr(at + 5));
    }

    Fabric& fabric() { return fabric_; }

private:
    std::string server(const std::string& device) { return device == "rxe0" ? "10.9.0.1" : "@"; }

    Fabric fabric_;
};

/** Rows of the matrix that have thunderbolt_net beside; --all takes each kernel and preset. */
std::vector<size_t> rows() {
    std::vector<size_t> out;
    for (size_t i = 0; i < matrix().size(); ++i) {
        if (matrix().at(i).stock_net && (all() || out.empty())) {
            out.push_back(i);
        }
    }
    return out;
}

} // namespace

BOOST_AUTO_TEST_SUITE(tbib_performance)

BOOST_DATA_TEST_CASE(throughput_floors, boost::unit_test::data::make(rows()), row) {
    BOOST_TEST_MESSAGE(e2e::name(matrix().at(row)));
    Arena a(matrix().at(row));
    // Of strix's three ring pairs tbib and thunderbolt_net leave none for raw frames.
    const bool have_raw = matrix().at(row).preset != "strix";
    for (const unsigned size : {65536U, 1048576U}) {
        std::vector<double> ours, rxe, tcp, raw;
        for (int i = 0; i < kRounds; ++i) {
            ours.push_back(a.write("tbib0", size));
            rxe.push_back(a.write("rxe0", size));
            tcp.push_back(a.tcp("10.9.0.1"));
            raw.push_back(have_raw ? a.raw() : 0);
        }
        const double best_tcp = *std::max_element(tcp.begin(), tcp.end());
        BOOST_TEST_MESSAGE(fmt::format("WRITE {} KiB, Gb/s: tbib {:.3f}, rxe {:.3f}, TCP median {:.3f} best {:.3f}, raw {:.3f}",
                                       size / 1024, median(ours), median(rxe), median(tcp), best_tcp, median(raw)));
        BOOST_TEST(median(ours) >= 2.5 * median(rxe));
        BOOST_TEST(median(ours) >= 1.0 * best_tcp);
        if (have_raw) {
            BOOST_TEST(median(ours) >= 0.65 * median(raw));
        }
    }
    BOOST_TEST(a.fabric().complaints() == "");
}

BOOST_DATA_TEST_CASE(latency_floors, boost::unit_test::data::make(rows()), row) {
    BOOST_TEST_MESSAGE(e2e::name(matrix().at(row)));
    Arena a(matrix().at(row));
    for (const bool events : {false, true}) {
        std::vector<double> ours, rxe;
        for (int i = 0; i < kRounds; ++i) {
            ours.push_back(a.latency("tbib0", events));
            rxe.push_back(a.latency("rxe0", events));
        }
        BOOST_TEST_MESSAGE(fmt::format("SEND 64 B{}, us: tbib {:.0f}, rxe {:.0f}", events ? " with events" : "",
                                       median(ours), median(rxe)));
        BOOST_TEST(median(ours) <= (events ? 0.8 : 0.5) * median(rxe));
    }
}

BOOST_AUTO_TEST_SUITE_END()
