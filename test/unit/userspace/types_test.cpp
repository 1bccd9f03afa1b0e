// SPDX-License-Identifier: Apache-2.0
#include "base/types.hpp"

#include <boost/test/unit_test.hpp>

using namespace tbib;

BOOST_AUTO_TEST_SUITE(types)

BOOST_AUTO_TEST_CASE(guid_is_the_eui64_of_the_mac)
{
    const Mac mac{0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
    const Guid g = guid_from_mac(mac);
    BOOST_TEST(to_string(g) == "0011:22ff:fe33:4455");
    BOOST_TEST((mac_from_guid(g) == mac));
}

BOOST_AUTO_TEST_CASE(guid_text)
{
    BOOST_TEST(parse_guid("0011:22ff:fe33:4455")->value == 0x001122fffe334455u);
    BOOST_TEST(parse_guid("0x001122fffe334455")->value == 0x001122fffe334455u);
    for (const char* bad : {"", "0", "0011:22ff:fe33:445", "0011:22ff:fe33:44555",
                            "0000:0000:0000:0000", "001:122ff:fe33:4455", "g011:22ff:fe33:4455"})
        BOOST_TEST(!parse_guid(bad), bad);
}

BOOST_AUTO_TEST_CASE(prefixes)
{
    BOOST_TEST(to_string(*parse_prefix("10.1.0.0/16")) == "10.1.0.0/16");
    BOOST_TEST(to_string(*parse_prefix("fd00::/64")) == "fd00::/64");
    for (const char* bad : {"10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x",
                            "fd00::1/64", "fd00::/129", "/8", "hello/8"})
        BOOST_TEST(!parse_prefix(bad), bad);
    auto over = [](const char* a, const char* b) {
        return overlaps(*parse_prefix(a), *parse_prefix(b));
    };
    BOOST_TEST(over("10.0.0.0/8", "10.86.66.0/24"));
    BOOST_TEST(over("10.86.66.0/24", "10.0.0.0/8"));
    BOOST_TEST(!over("10.86.66.0/24", "10.86.67.0/24"));
    BOOST_TEST(!over("10.0.0.0/8", "fd00::/64"));
}

BOOST_AUTO_TEST_SUITE_END()
