// SPDX-License-Identifier: Apache-2.0
/** Guests under command, one boot for each kind of start. */
#include "test/lab/lab/lab.hpp"

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include <chrono>

#include "test/lab/guest/tsc.hpp"

using namespace std::chrono_literals;
using tblab::Lab;
using tblab::LabError;

BOOST_AUTO_TEST_SUITE(lab)

BOOST_AUTO_TEST_CASE(wrong_options_are_refused_before_anything_starts)
{
    BOOST_CHECK_THROW(Lab({.hosts = 0}), LabError);
    BOOST_CHECK_THROW(Lab({.topology = "0:0-9:0"}), LabError);
    BOOST_CHECK_THROW(Lab({.preset = "amiga"}), LabError);
    BOOST_CHECK_THROW(Lab({.router_version = 3}), LabError);
    BOOST_CHECK_THROW(Lab({.kernel = "2.4"}), LabError);
    BOOST_CHECK_THROW(Lab({.extra_tree = "/nonexistent"}), LabError);
}

BOOST_AUTO_TEST_CASE(a_guest_obeys)
{
    Lab lab({.hosts = 1});
    lab.wait_ready();
    auto& guest = lab.host(0);
    BOOST_CHECK_THROW(lab.host(1), LabError);

    const auto result = guest.run("echo out; echo err >&2; exit 3");
    BOOST_TEST(result.rc == 3);
    BOOST_TEST(result.out == "out\n");
    BOOST_TEST(result.err == "err\n");
    BOOST_CHECK_THROW(guest.must("false"), LabError);
    BOOST_TEST(guest.must("printf '\\0\\377' | od -An -tx1") == " 00 ff\n");

    // A command that hangs is killed with its children and does not take the guest along.
    const auto start = std::chrono::steady_clock::now();
    BOOST_CHECK_THROW(guest.run("sleep 100 & sleep 100; wait", 1s), LabError);
    BOOST_TEST((std::chrono::steady_clock::now() - start < 10s));
    BOOST_TEST(tblab::eventually([&] { return !guest.run("pgrep -x sleep").ok(); },
                                 5s)); // init must reap them first

    auto job = guest.start("sleep 100");
    BOOST_TEST(job.running());
    job.kill();
    BOOST_TEST(job.wait(5s).rc != 0);

    // Writes go to memory and a reset forgets them.
    guest.must("echo here >/root/file");
    guest.reset();
    guest.wait_ready();
    BOOST_TEST(!guest.run("test -e /root/file").ok());

    guest.kill();
    BOOST_TEST(!guest.running());
    BOOST_CHECK_THROW(guest.run("true"), LabError);
    BOOST_TEST(tblab::eventually([&] { return !lab.emulator().attached(lab.host_id(0)); }, 5s));
    guest.start();
    guest.wait_ready();
    BOOST_TEST(guest.must("hostname") == "h0\n");
    BOOST_TEST(lab.report().find("h0 kernel log") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_guest_is_told_how_fast_its_clock_runs)
{
    Lab lab({.hosts = 1});
    lab.wait_ready();
    // in MHz; the kernel says it a second time if it has found another one for the processor
    const auto told = lab.host(0).must("dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/\\1/p' "
                                       "| tail -n 1");
    BOOST_TEST_REQUIRE(tblab::tsc_khz() != 0U);
    BOOST_TEST(std::stod(told) * 1000 == static_cast<double>(tblab::tsc_khz()),
               boost::test_tools::tolerance(0.001));
    // which is right with luck only on a busy host
    BOOST_TEST(lab.host(0).must("dmesg | grep -c 'tsc: .*reference calibration' || true") == "0\n");
}

BOOST_AUTO_TEST_CASE(a_kernel_panic_is_told)
{
    Lab lab({.hosts = 1, .append = "rdinit=/nonexistent"});
    BOOST_CHECK_EXCEPTION(lab.wait_ready(60s), LabError, [](const LabError& error) {
        const std::string text(error.what());
        return text.find("h0 did not boot") == 0 &&
               text.find("Kernel panic") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(systemd_boots_from_the_same_image)
{
    Lab lab({.hosts = 1, .kernel = "newest", .boot = tblab::Boot::systemd, .memory_mib = 768});
    lab.wait_ready();
    auto& guest = lab.host(0);
    BOOST_TEST(guest.must("systemctl is-system-running --wait", 90s) == "running\n");
    // udev loads the driver without being asked.
    BOOST_TEST(tblab::eventually(
        [&] {
            return guest.run("cat /sys/bus/pci/drivers/thunderbolt/0000:*/power/control").out ==
                   "on\n";
        },
        30s));
}

BOOST_AUTO_TEST_SUITE_END()
