// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/fault_text.hpp"
#include "test/lab/cli/names.hpp"
#include "test/lab/guest/error.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace std::chrono_literals;
using tblab::LabError;
using tblab::parse_faults;

BOOST_AUTO_TEST_SUITE(fault_text)

BOOST_AUTO_TEST_CASE(words_set_their_fields)
{
    const auto fault = parse_faults(
        {"drop=0.001", "drop-frames=1000,1001", "crc-error=1", "delay=200us", "rate=10g",
         "overrun", "control-drop-next=3", "service-repeat=2",
         "unplug-at=5000", "dead", "seed=7"});
    BOOST_TEST(fault.drop == 0.001);
    BOOST_TEST(fault.drop_frames == (std::vector<std::uint64_t>{1000, 1001}),
               boost::test_tools::per_element());
    BOOST_TEST(fault.crc_error == 1.0);
    BOOST_TEST(fault.delay.count() == 200000);
    BOOST_TEST(fault.rate == 10000000000U);
    BOOST_TEST(fault.overrun);
    BOOST_TEST(fault.control_drop_next == 3U);
    BOOST_TEST(fault.service_repeat == 2U);
    BOOST_TEST(fault.unplug_at == 5000U);
    BOOST_TEST(fault.dead);
    BOOST_TEST(fault.seed == 7U);
    BOOST_TEST(fault.duplicate == 0.0);
}

BOOST_AUTO_TEST_CASE(units_scale)
{
    BOOST_TEST((parse_faults({"delay=3ms"}).delay == 3ms));
    BOOST_TEST((parse_faults({"delay=2s"}).delay == 2s));
    BOOST_TEST((parse_faults({"delay=9ns"}).delay == 9ns));
    BOOST_TEST(parse_faults({"rate=500"}).rate == 500U);
    BOOST_TEST(parse_faults({"rate=5k"}).rate == 5000U);
    BOOST_TEST(!parse_faults({"overrun=off"}).overrun);
}

const char* const wrong[] = {"",
                             "drop",
                             "drop=",
                             "drop=1.1",
                             "drop=-0.1",
                             "drop=nan",
                             "drop=half",
                             "delay=5",
                             "delay=us",
                             "delay=-1us",
                             "rate=10x",
                             "rate=g",
                             "seed=1x",
                             "seed=-1",
                             "drop-frames=1,,2",
                             "drop-frames=",
                             "fire=1",
                             "dead=maybe",
                             "delay=99999999999999s",
                             "control-drop-next=4294967296",
                             "rate=99999999999999999999"};

BOOST_DATA_TEST_CASE(wrong_words_are_refused_by_name, boost::unit_test::data::make(wrong), word)
{
    const std::string text(word);
    BOOST_CHECK_EXCEPTION(parse_faults({text}), LabError, [&](const LabError& error) {
        return std::string(error.what()).find(text.substr(0, text.find('='))) !=
               std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(every_word_is_explained)
{
    const auto help = tblab::fault_help();
    for (const char* word : {"drop=P", "delay=TIME", "unplug-at=N", "dead"}) {
        BOOST_TEST(help.find(word) != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(host_options)
{
    const auto options = tblab::parse_host_options({"throttling=off", "frame-rate=400000"});
    BOOST_TEST(options.throttling.value() == false);
    BOOST_TEST(options.frame_rate.value() == 400000U);
    BOOST_TEST(!options.overrun.has_value());
    BOOST_CHECK_THROW(tblab::parse_host_options({"throttle=on"}), LabError);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(names)

BOOST_AUTO_TEST_CASE(hosts_and_cables_are_numbers)
{
    BOOST_TEST(tblab::parse_host("1") == 1U);
    BOOST_TEST(tblab::parse_host("h12") == 12U);
    BOOST_TEST(tblab::parse_cable_index("c0") == 0U);
    for (const char* text : {"", "h", "x1", "1h", "-1", "99999999999"}) {
        BOOST_CHECK_THROW(tblab::parse_host(text), LabError);
    }
}

BOOST_AUTO_TEST_CASE(a_name_stays_in_its_folder)
{
    for (const char* text :
         {"", "..", "a/b", "/etc", "an-endless-name-that-makes-a-socket-path-too-long"}) {
        BOOST_CHECK_THROW(tblab::lab_directory(text), LabError);
    }
    BOOST_TEST(tblab::control_socket("x").filename() == "control");
}

BOOST_AUTO_TEST_SUITE_END()
