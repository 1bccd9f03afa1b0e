// SPDX-License-Identifier: Apache-2.0
/** Wrong input gives one clear line and a non-zero exit. */
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include "test/e2e/tbib/fabric.hpp"

namespace {

using namespace e2e;

void one_clear_line(tblab::Guest& g, const std::string& command, const std::string& part) {
    const auto r = g.run(command);
    const auto text = r.out + r.err;
    BOOST_TEST(r.rc != 0, command);
    BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 1, command + ": " + text);
    BOOST_TEST(text.find(part) != std::string::npos, command + ": " + text);
}

} // namespace

BOOST_AUTO_TEST_SUITE(tbib_input)

BOOST_AUTO_TEST_CASE(mistakes_are_named) {
    FabricOptions o;
    o.hosts = 1;
    o.plugged = false;
    o.daemon = false;
    Fabric f(o);
    auto& g = f.host(0);
    auto conf = [&](const std::string& text) { g.must("mkdir -p /run/tbib; printf '" + text + "' >/run/tbib/conf"); };
    const std::string tbibd = "/opt/tbib/tbibd --socket /run/tbib/x -c /run/tbib/conf ";
    conf("[peers]\\npolcy = any\\n");
    one_clear_line(g, tbibd, "/run/tbib/conf:2: unknown key 'polcy' in section [peers]");
    conf("[peers]\\npolicy = all\\n");
    one_clear_line(g, tbibd, "unknown policy 'all'");
    one_clear_line(g, "/opt/tbib/tbibd -c /nowhere", "/nowhere: No such file");
    conf("");
    one_clear_line(g, "setpriv --bounding-set -net_admin --inh-caps -net_admin " + tbibd, "CAP_NET_ADMIN");
    one_clear_line(g, "/opt/tbib/tbibctl --socket /nowhere status", "is tbibd running?");
    f.start_daemon(0);
    BOOST_TEST(tblab::eventually([&] { return g.run("test -S /run/tbib/io.tbib").rc == 0; }));
    one_clear_line(g, tbibd, "another manager");
    // Garbage on the daemon's socket closes that connection and no more.
    g.must("printf 'nonsense\\0' | nc -U -w 2 /run/tbib/io.tbib; true");
    BOOST_TEST(g.run("/opt/tbib/tbibctl status").rc == 0);
    // No cable: doctor says so and fails.
    const auto doctor = g.run("/opt/tbib/tbibctl doctor");
    BOOST_TEST(doctor.rc == 1);
    BOOST_TEST(doctor.out.find("no cable to another host") != std::string::npos, doctor.out);
    BOOST_TEST(f.port_state(0) == "DOWN");
    // Without the module.
    g.must("kill $(cat /run/tbib/pid); sleep 0.5; rmmod tbib");
    one_clear_line(g, tbibd, "cannot load kernel module tbib for kernel");
    BOOST_TEST(f.complaints() == "");
}

BOOST_AUTO_TEST_SUITE_END()
