// SPDX-License-Identifier: Apache-2.0
/** Losses, cut cables, daemons that die, modules that come and go. */
#include <algorithm>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include <boost/test/data/test_case.hpp>
#include <boost/test/results_collector.hpp>
#include <boost/test/unit_test.hpp>

#include <fmt/format.h>

#include "test/e2e/stock_network.hpp"
#include "test/e2e/tbib/fabric.hpp"

namespace {

using namespace e2e;
using namespace std::chrono_literals;

const std::string kCheck = "/opt/tbib/verbs_check -d tbib0 ";

void check_data(Fabric& f, const std::string& args, std::chrono::seconds timeout = 120s) {
    const auto out = f.pair(kCheck + args, kCheck + args + " @", timeout);
    BOOST_TEST(out.find("no difference") != std::string::npos, out);
}

double write_gbps(Fabric& f) {
    const std::string command = "ib_write_bw -d tbib0 -F -s 65536 -n 1500 --report_gbits";
    return bandwidth_gbps(f.pair(command, command + " @", 90s));
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v.at(v.size() / 2);
}

unsigned long carrier_changes(Fabric& f, unsigned host) {
    return std::stoul(f.host(host).must("cat /sys/class/net/tbib0/carrier_changes"));
}

/** A workload in the background of both hosts that verifies its data. */
struct Load {
    tblab::Job server, client;
    Load(Fabric& f, int steps, const std::string& more = "")
        : server(f.host(0).start(kCheck + fmt::format("-q 2 -n {} {}", steps, more))),
          client(f.host(1).start(fmt::format("sleep 1; {}-q 2 -n {} {} {}", kCheck, steps, more, f.address(0)))) {}
    void finish(std::chrono::seconds timeout) {
        const auto c = client.wait(timeout);
        BOOST_TEST(c.rc == 0, c.out + c.err);
        const auto s = server.wait(30s);
        BOOST_TEST(s.rc == 0, s.out + s.err);
    }
};

/** What runs on both hosts and has no end: one that only polls mapped memory, one that sleeps for events. */
struct Programs {
    tblab::Job far_bw, far_rping, bw, rping;
    explicit Programs(Fabric& f)
        : far_bw(f.host(1).start("ib_write_bw -d tbib0 -F -D 60")),
          far_rping(f.host(1).start("rping -s -a " + f.address(1) + " -C 1000000")),
          bw(f.host(0).start("sleep 1; ib_write_bw -d tbib0 -F -D 60 " + f.address(1))),
          rping(f.host(0).start("sleep 1; rping -c -C 1000000 -a " + f.address(1))) {
        std::this_thread::sleep_for(4s);
        BOOST_TEST(bw.running());
        BOOST_TEST(rping.running());
    }
    /** Those of host 0 have lost their device, and know it. */
    void told() {
        BOOST_TEST(tblab::eventually([&] { return !bw.running() && !rping.running(); }, 2s));
        for (auto* job : {&bw, &rping}) {
            if (!job->running()) {
                BOOST_TEST(job->wait(1s).rc != 0);
            }
            job->kill();
        }
    }
    void end() {
        far_bw.kill();
        far_rping.kill();
    }
};

/**
 * Two hosts for a case that leaves them as it found them: those of the case before if that passed, for hosts take
 * longer to boot than most cases to run.
 */
class SharedFabric {
public:
    SharedFabric() {
        if (!fabric_) {
            fabric_ = std::make_unique<Fabric>();
        }
    }
    ~SharedFabric() {
        const auto& results = boost::unit_test::results_collector.results(
            boost::unit_test::framework::current_test_case_id());
        if (std::uncaught_exceptions() > 0 || results.p_assertions_failed.get() > 0) {
            end();
        }
    }
    SharedFabric(const SharedFabric&) = delete;
    SharedFabric& operator=(const SharedFabric&) = delete;
    Fabric& operator*() { return *fabric_; }
    static void end() { fabric_.reset(); }

private:
    static inline std::unique_ptr<Fabric> fabric_;
};

struct EndOfShared {
    ~EndOfShared() { SharedFabric::end(); }
};

} // namespace

BOOST_TEST_GLOBAL_FIXTURE(EndOfShared);

BOOST_AUTO_TEST_SUITE(tbib_faults)

// The core looks for the request of each packet that it is left to match, and can take a response that is being sent
// for one, which it then uses after it was freed (docs/thunderbolt.md).
BOOST_AUTO_TEST_CASE(the_core_matches_no_login) {
    Fabric f;
    // Our UUID's first dword; "tb_event" is each packet that comes, "tb_rx" those that no protocol's handler kept.
    const auto traced = [&](const std::string& event, const std::string& text) {
        return std::stoul(f.host(0).must("grep ' " + event + ":' /sys/kernel/tracing/trace | grep -c '" + text + "'; exit 0"));
    };
    tblab::FaultSpec fault;
    fault.service_repeat = 3;
    for (const auto direction : {tblab::Direction::a_to_b, tblab::Direction::b_to_a}) {
        f.lab().emulator().set_fault(f.lab().cable(0), direction, fault);
    }
    f.host(0).must("mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; "
                   "echo 1 >/sys/kernel/tracing/events/thunderbolt/enable");
    f.host(1).must("rmmod tbib", 30s);
    f.load_module(1);
    BOOST_TEST(f.wait_active(40s));
    const std::string ours = "0xd0476a3f", discovery = "0x0ed738b6";
    BOOST_TEST(tblab::eventually([&] { return traced("tb_rx", discovery) > 0U; }, 20s));
    BOOST_TEST(traced("tb_event", ours) > 10U);
    BOOST_TEST(traced("tb_rx", ours) == 0U);
    BOOST_TEST(f.complaints() == "");
}

// Nothing that a program has open or mapped keeps the module, and nothing of the module is needed when it ends.
BOOST_DATA_TEST_CASE(module_goes_under_programs, boost::unit_test::data::make({"stable", "newest"}), kernel) {
    FabricOptions o;
    o.kernel = kernel;
    Fabric f(o);
    Programs programs(f);
    // It has a queue pair and receives, and waits for a client.
    auto waits = f.host(0).start("ibv_rc_pingpong -d tbib0 -g 1 -p 18600");
    std::this_thread::sleep_for(1s);
    f.host(0).must("rmmod tbib", 20s);
    programs.told();
    BOOST_TEST(waits.running());
    waits.kill();
    programs.end();
    f.load_module(0);
    BOOST_TEST(f.wait_active(40s));
    BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(0), f.address(1), 3) == 0; }, 10s));
    check_data(f, "-n 100");
    BOOST_TEST(f.complaints() == "");
}

// Their sockets may hold 96 MiB, which is more than a ring has pages out.
BOOST_AUTO_TEST_CASE(programs_that_do_not_read) {
    Fabric f;
    const unsigned long before[] = {carrier_changes(f, 0), carrier_changes(f, 1)};
    f.host(0).must("echo 65536 131072 262144 >/proc/sys/net/ipv4/tcp_mem");
    f.host(1).must("echo 65536 131072 262144 >/proc/sys/net/ipv4/tcp_mem");
    // 33 and 32: SO_RCVBUFFORCE and SO_SNDBUFFORCE
    auto reader = f.host(0).start("python3 -c 'import socket, time; s = socket.socket(); s.setsockopt(1, 33, 1 << 24); "
                                  "s.bind((\"\", 7000)); s.listen(); c = [s.accept()[0] for _ in range(3)]; time.sleep(600)'");
    std::this_thread::sleep_for(1s);
    auto writer = f.host(1).start("python3 -c 'import socket, time\nfor _ in range(3):\n  c = socket.socket(); "
                                  "c.setsockopt(1, 32, 1 << 22); c.connect((\"" + f.address(0) + "\", 7000)); c.settimeout(3)\n"
                                  "  try:\n    while True: c.send(bytes(65536))\n  except OSError: globals()[str(_)] = c\n"
                                  "open(\"/run/full\", \"w\"); time.sleep(600)'");
    BOOST_TEST(tblab::eventually([&] { return f.host(1).run("[ -e /run/full ]").rc == 0; }, 60s));
    const auto held = std::stoul(f.host(0).must("ss -Htn 'sport = 7000' | awk '{ sum += $2 } END { print sum + 0 }'"));
    BOOST_TEST(held > 36000000UL);
    BOOST_TEST(lost_pings(f.host(1), f.address(0), 20) == 0U);
    check_data(f, "-n 200 -q 2");
    std::this_thread::sleep_for(11s); // a link on which nothing is acknowledged starts anew after ten
    for (unsigned i = 0; i < 2; ++i) {
        BOOST_TEST(carrier_changes(f, i) == before[i]);
    }
    BOOST_TEST(f.counter(0, "no_page") == 0U);
    reader.kill();
    writer.kill();
    BOOST_TEST(f.complaints() == "");
}

// What comes of a cloned machine that is given a machine-id of its own, and then its old one again. Its neighbour knows
// the old name, and the sequences that were reached under it.
BOOST_AUTO_TEST_CASE(a_host_is_called_as_before) {
    Fabric f;
    const auto guid = [&] { return f.host(0).must("cat /sys/class/infiniband/tbib0/node_guid"); };
    const auto called = [&](const std::string& machine_id) {
        f.host(0).must("kill $(cat /run/tbib/pid); while kill -0 $(cat /run/tbib/pid) 2>/dev/null; do sleep .05; done; "
                       "ip link set tbib0 down; " + machine_id);
        f.start_daemon(0);
        BOOST_REQUIRE(f.wait_active(40s));
        BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(1), f.address(0), 3) == 0; }, 20s));
        check_data(f, "-n 100");
    };
    const auto first = guid();
    check_data(f, "-n 100");
    called("cp /etc/machine-id /run/machine-id; echo 0123456789abcdef0123456789abcdef >/etc/machine-id");
    BOOST_TEST(guid() != first);
    called("cp /run/machine-id /etc/machine-id");
    BOOST_TEST(guid() == first);
    BOOST_TEST(f.complaints() == "");
}

BOOST_DATA_TEST_CASE(one_frame_in_a_thousand, boost::unit_test::data::make({false, true}), crc) {
    SharedFabric shared;
    Fabric& f = *shared;
    write_gbps(f); // the guests' processors are emulated: what runs first runs slowly
    std::vector<double> clean{write_gbps(f), write_gbps(f)};
    tblab::FaultSpec fault;
    (crc ? fault.crc_error : fault.drop) = 0.001;
    for (const auto direction : {tblab::Direction::a_to_b, tblab::Direction::b_to_a}) {
        f.lab().emulator().set_fault(f.lab().cable(0), direction, fault);
    }
    const double lossy = median({write_gbps(f), write_gbps(f), write_gbps(f)});
    check_data(f, "-n 300 -q 2");
    check_data(f, "-n 100 -q 2 -e -S 7");
    f.pair("ibv_ud_pingpong -d tbib0 -g 1 -n 200", "ibv_ud_pingpong -d tbib0 -g 1 -n 200 @");
    f.pair("rping -s -a " + f.address(0) + " -v -C 100", "rping -c -a @ -v -C 100");
    BOOST_TEST(lost_pings(f.host(0), f.address(1), 100) == 0U);
    const auto stats = f.lab().emulator().stats();
    const auto& wire = stats.cables.at(0).direction;
    BOOST_TEST(wire[0].dropped + wire[1].dropped + wire[0].corrupted + wire[1].corrupted > 0U);
    for (const auto direction : {tblab::Direction::a_to_b, tblab::Direction::b_to_a}) {
        f.lab().emulator().set_fault(f.lab().cable(0), direction, tblab::FaultSpec{});
    }
    clean.push_back(write_gbps(f));
    BOOST_TEST_MESSAGE(fmt::format("WRITE 64 KiB, Gb/s, medians of three: {:.2f}, with faults {:.2f}", median(clean), lossy));
    BOOST_TEST(lossy > median(clean) / 2);
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_CASE(cable_out_for_five_seconds) {
    SharedFabric shared;
    Fabric& f = *shared;
    Load load(f, 3000, kRepeated);
    std::this_thread::sleep_for(3s);
    f.lab().unplug(0);
    BOOST_TEST(tblab::eventually([&] { return f.port_state(0) == "DOWN" && f.port_state(1) == "DOWN"; }, 4s));
    BOOST_TEST(f.host(0).must("cat /sys/class/net/tbib0/operstate") == "down\n");
    std::this_thread::sleep_for(5s);
    f.lab().plug(0);
    BOOST_TEST(f.wait_active(20s));
    load.finish(90s);
    BOOST_TEST(f.complaints() == "");
}

// What a host that hangs looks like from the other end: the cable is in, and nothing comes.
BOOST_AUTO_TEST_CASE(silent_peer) {
    SharedFabric shared;
    Fabric& f = *shared;
    tblab::FaultSpec fault;
    fault.drop = 1;
    const unsigned long before[] = {carrier_changes(f, 0), carrier_changes(f, 1)};
    f.lab().emulator().set_fault(f.lab().cable(0), tblab::Direction::a_to_b, fault);
    BOOST_TEST(tblab::eventually([&] { return !f.host(1).must("dmesg | grep 'tbib: link .*: nothing heard for 10 s'; exit 0").empty(); }, 20s));
    for (unsigned i = 0; i < 2; ++i) {
        BOOST_TEST(tblab::eventually([&] { return carrier_changes(f, i) > before[i]; }, 5s));
    }
    std::this_thread::sleep_for(2s);
    f.lab().emulator().set_fault(f.lab().cable(0), tblab::Direction::a_to_b, tblab::FaultSpec{});
    BOOST_TEST(f.wait_active(20s));
    BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(0), f.address(1), 3) == 0; }, 10s));
    check_data(f, "-n 100");
    BOOST_TEST(f.complaints() == "");
}

// What firmware, a hypervisor or a driver that does not sleep do to a host. Nothing is lost by it, not even by UC.
BOOST_AUTO_TEST_CASE(a_host_stands_still) {
    SharedFabric shared;
    Fabric& f = *shared;
    const unsigned long before[] = {carrier_changes(f, 0), carrier_changes(f, 1)};
    const std::string pingpong = "ibv_uc_pingpong -d tbib0 -g 1 -c -n 5000 ";
    auto server = f.host(1).start(pingpong);
    auto client = f.host(0).start("sleep 1; " + pingpong + f.address(1));
    auto pings = f.host(0).start("ping -q -i 0.2 -c 50 -W 10 " + f.address(1));
    std::this_thread::sleep_for(2s);
    BOOST_TEST(client.running());
    f.host(1).stand_still(5s);
    BOOST_TEST(client.wait(90s).rc == 0);
    BOOST_TEST(server.wait(90s).rc == 0);
    const auto p = pings.wait(60s);
    BOOST_TEST(p.out.find(" 0% packet loss") != std::string::npos, p.out);
    for (unsigned i = 0; i < 2; ++i) {
        BOOST_TEST(carrier_changes(f, i) == before[i]);
    }
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_CASE(daemon_restarts_and_dies_during_traffic) {
    SharedFabric shared;
    Fabric& f = *shared;
    auto pings = f.host(0).start("ping -O -D -i 0.05 -c 200 -W 5 " + f.address(1) + " | grep -v 'bytes from'");
    Load load(f, 600);
    std::this_thread::sleep_for(2s);
    f.host(0).must("kill -TERM $(cat /run/tbib/pid)");
    std::this_thread::sleep_for(1s);
    f.start_daemon(0);
    std::this_thread::sleep_for(2s);
    f.host(1).must("kill -KILL $(cat /run/tbib/pid)");
    std::this_thread::sleep_for(1s);
    f.start_daemon(1);
    load.finish(120s);
    const auto p = pings.wait(60s);
    BOOST_TEST(p.out.find(" 0% packet loss") != std::string::npos, p.out);
    BOOST_TEST(f.wait_active(10s));
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_CASE(module_goes_and_comes) {
    SharedFabric shared;
    Fabric& f = *shared;
    for (int round = 0; round < 3; ++round) {
        f.host(round % 2).must("rmmod tbib", 30s);
        BOOST_TEST(tblab::eventually([&] { return f.port_state(1 - round % 2) == "DOWN"; }, 10s));
        f.load_module(round % 2);
        BOOST_TEST(f.wait_active(40s));
        BOOST_TEST(tblab::eventually([&] { return lost_pings(f.host(0), f.address(1), 3) == 0; }, 10s));
    }
    check_data(f, "-n 100");
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_CASE(rmmod_rdma_rxe) {
    SharedFabric shared;
    Fabric& f = *shared;
    f.host(0).must("modprobe rdma_rxe; rdma link add rxe0 type rxe netdev lo");
    const auto before = f.host(0).must("cat /sys/class/infiniband/tbib0/node_guid /sys/class/infiniband/tbib0/ports/1/gids/[0-3]");
    auto pings = f.host(0).start("ping -q -i 0.05 -c 160 -W 5 " + f.address(1));
    Programs programs(f);
    f.host(0).must("rmmod rdma_rxe", 20s);
    programs.told();
    BOOST_TEST(tblab::eventually([&] { return f.port_state(0) == "ACTIVE"; }, 1500ms));
    programs.end();
    const auto p = pings.wait(30s);
    const std::string drops = "ip -s -s link show tbib0; ethtool -S tbib0 | grep -v ' 0$'; dmesg | grep -E 'tbib|thunderbolt'";
    BOOST_TEST_MESSAGE(p.out + f.host(0).must(drops) + f.host(1).must(drops));
    BOOST_TEST(p.out.find(" 0% packet loss") != std::string::npos,
               p.out + f.host(0).must(drops) + f.host(1).must(drops));
    const auto after = f.host(0).must("cat /sys/class/infiniband/tbib0/node_guid /sys/class/infiniband/tbib0/ports/1/gids/[0-3]");
    BOOST_TEST(before == after);
    check_data(f, "-n 100");
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_SUITE_END()
