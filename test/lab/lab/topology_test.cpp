// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/error.hpp"
#include "test/lab/lab/topology.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using tblab::CablePlan;
using tblab::topology;

BOOST_AUTO_TEST_SUITE(topology_text)

BOOST_AUTO_TEST_CASE(a_chain_of_one_host_has_no_cable)
{
    BOOST_TEST(topology("chain", 1, 2).empty());
    BOOST_TEST(topology("ring", 1, 2).empty());
}

BOOST_AUTO_TEST_CASE(a_chain_joins_neighbours)
{
    const auto cables = topology("chain", 4, 2);
    BOOST_REQUIRE(cables.size() == 3U);
    BOOST_TEST((cables[0] == CablePlan{0, 0, 1, 0}));
    BOOST_TEST((cables[1] == CablePlan{1, 1, 2, 0}));
    BOOST_TEST((cables[2] == CablePlan{2, 1, 3, 0}));
}

BOOST_AUTO_TEST_CASE(a_ring_uses_every_port)
{
    BOOST_TEST(topology("ring", 3, 2).size() == 3U);
    const auto two = topology("ring", 2, 2);
    BOOST_REQUIRE(two.size() == 2U);
    BOOST_TEST((two[1] == CablePlan{1, 1, 0, 1}));
}

BOOST_AUTO_TEST_CASE(cables_can_be_listed)
{
    BOOST_TEST(topology("none", 2, 2).empty());
    const auto cables = topology("0:0-1:0,0:1-1:1", 2, 2);
    BOOST_REQUIRE(cables.size() == 2U);
    BOOST_TEST((cables[1] == CablePlan{0, 1, 1, 1}));
}

const char* const wrong[] = {"",         "star",
                             "0:0",      "0:0-1",
                             "0:0-1:",   "0:0-1:0,",
                             "0:0-1:0x", "-1:0-1:0",
                             "0:0-2:0",  "0:2-1:0",
                             "0:0-0:1",  "0:0-1:0,0:0-1:1",
                             "0:0 1:0",  "99999999999:0-1:0"};

BOOST_DATA_TEST_CASE(wrong_text_is_refused, boost::unit_test::data::make(wrong), text)
{
    BOOST_CHECK_THROW(topology(text, 2, 2), tblab::LabError);
}

BOOST_AUTO_TEST_CASE(a_ring_needs_two_ports)
{
    BOOST_CHECK_THROW(topology("ring", 3, 1), tblab::LabError);
}

BOOST_AUTO_TEST_SUITE_END()
