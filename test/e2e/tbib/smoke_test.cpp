// SPDX-License-Identifier: Apache-2.0
/** What a person sees and tries first, on every kernel and preset. */
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <fmt/format.h>

#include "test/e2e/tbib/fabric.hpp"

namespace {

using namespace e2e;

/** Index into the matrix; the default samples the first and the last row. */
std::vector<size_t> sample() {
    std::vector<size_t> rows;
    for (size_t i = 0; i < matrix().size(); ++i) {
        if (all() || i == 0 || i + 1 == matrix().size()) {
            rows.push_back(i);
        }
    }
    return rows;
}

void shows_itself(Fabric& f) {
    for (unsigned i = 0; i < 2; ++i) {
        const auto link = f.host(i).must("rdma link show");
        BOOST_TEST(link.find("link tbib0/1 state ACTIVE physical_state LINK_UP netdev tbib0") != std::string::npos,
                   link);
        const auto status = f.host(i).must("/opt/tbib/tbibctl status");
        BOOST_TEST(status.find("port ACTIVE") != std::string::npos, status);
        BOOST_TEST(f.host(i).run("/opt/tbib/tbibctl doctor").rc == 0);
        // Nothing but the distribution's provider.
        BOOST_TEST(f.host(i).must("dpkg -S /usr/lib/x86_64-linux-gnu/libibverbs/librxe*").find("ibverbs-providers") == 0U);
    }
}

void pingpongs(Fabric& f) {
    const auto rc = f.pair("ibv_rc_pingpong -d tbib0 -g 1 -n 200 -c", "ibv_rc_pingpong -d tbib0 -g 1 -n 200 -c @");
    BOOST_TEST(rc.find("200 iters") != std::string::npos, rc);
    const auto ud = f.pair("ibv_ud_pingpong -d tbib0 -g 1 -n 200", "ibv_ud_pingpong -d tbib0 -g 1 -n 200 @");
    BOOST_TEST(ud.find("200 iters") != std::string::npos, ud);
    const auto address = f.address(0);
    f.pair("rping -s -a " + address + " -v -C 100", "rping -c -a @ -v -C 100");
}

void perftest(Fabric& f, unsigned qps) {
    for (const char* op : {"write", "send", "read"}) {
        const auto command = fmt::format("ib_{}_bw -d tbib0 -F -a -n 5 -q {}", op, qps);
        const auto out = f.pair(command, command + " @", std::chrono::seconds(120));
        BOOST_TEST(out.find(" 8388608 ") != std::string::npos, out);
    }
    if (qps != 1) {
        return;  // the latency tools have one
    }
    for (const char* op : {"write", "send", "read"}) {
        const auto command = fmt::format("ib_{}_lat -d tbib0 -F -a -n 5", op);
        const auto out = f.pair(command, command + " @", std::chrono::seconds(120));
        BOOST_TEST(out.find(" 8388608 ") != std::string::npos, out);
    }
}

void data_arrives_byte_by_byte(Fabric& f) {
    for (const char* args : {"-n 300", "-n 200 -q 4 -S 2", "-n 100 -e -S 3", "-n 100 -s -S 4 -o SEND"}) {
        const auto command = fmt::format("/opt/tbib/verbs_check -d tbib0 {}", args);
        const auto out = f.pair(command, command + " @", std::chrono::seconds(120));
        BOOST_TEST(out.find("no difference") != std::string::npos, out);
    }
    const auto self = f.host(0).must("/opt/tbib/verbs_check -d tbib0 -L -n 200 -E", std::chrono::seconds(60));
    BOOST_TEST(self.find("no difference") != std::string::npos, self);
}

/** TX rings are polled: each, however often it was set up, interrupts once at most. */
void sends_without_interrupts(Fabric& f) {
    for (const auto& host : f.lab().emulator().stats().hosts) {
        for (size_t ring = 1; ring < host.tx.size(); ++ring) {
            if (host.tx[ring].frames > 500) {
                BOOST_TEST(host.tx[ring].interrupts < 10U);
            }
        }
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(tbib_smoke)

BOOST_DATA_TEST_CASE(tools_run_and_data_arrives, boost::unit_test::data::make(sample()), row) {
    const auto options = matrix().at(row);
    BOOST_TEST_MESSAGE(e2e::name(options));
    Fabric f(options);
    shows_itself(f);
    data_arrives_byte_by_byte(f);
    sends_without_interrupts(f);
    pingpongs(f);
    perftest(f, 1);
    perftest(f, 4);
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_SUITE_END()
