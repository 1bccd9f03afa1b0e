// SPDX-License-Identifier: Apache-2.0
#include "tbibd/config.hpp"

#include "tbibd/addresses.hpp"

#include <boost/test/unit_test.hpp>

using namespace tbib;

namespace {

std::string error_of(const std::string& text)
{
    try {
        parse_config(text, "f");
    } catch (const ConfigError& e) {
        return e.what();
    }
    return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config)

BOOST_AUTO_TEST_CASE(empty_file_is_the_defaults)
{
    BOOST_TEST((parse_config("", "f") == default_config()));
    BOOST_TEST((parse_config("# only a comment\n[peers]\n", "f") == default_config()));
}

BOOST_AUTO_TEST_CASE(values)
{
    const Config c = parse_config("[peers]\npolicy = known\nknown = 0011:22ff:fe33:4455, "
                                  "0011:22ff:fe33:4456\n[addresses]\nipv4 = off\n"
                                  "ipv6 = fd00:1::/64\n[node]\nname = left\n",
                                  "f");
    BOOST_TEST((c.policy == Policy::Known));
    BOOST_TEST(c.known.size() == 2);
    BOOST_TEST(!c.ipv4);
    BOOST_TEST(to_string(*c.ipv6) == "fd00:1::/64");
    BOOST_TEST(c.name == "left");
}

BOOST_AUTO_TEST_CASE(each_mistake_is_one_clear_line)
{
    BOOST_TEST(error_of("[peers]\npolcy = any\n") == "f:2: unknown key 'polcy' in section [peers]");
    BOOST_TEST(error_of("[peers]\npolicy = all\n") == "f:2: unknown policy 'all' (any, known)");
    BOOST_TEST(error_of("[peer]\npolicy = any\n") == "f:2: unknown section [peer]");
    BOOST_TEST(error_of("policy = any\n") == "f:1: unknown section []");
    BOOST_TEST(error_of("[peers]\nknown = 12\n") ==
               "f:2: '12' is not a node GUID (16 hex digits)");
    BOOST_TEST(error_of("[addresses]\nipv4 = 10.0.0.1/24\n").find("f:2: '10.0.0.1/24' is not") ==
               0u);
    BOOST_TEST(error_of("[addresses]\nipv4 = fd00::/64\n").find("f:2:") == 0u);
    BOOST_TEST(error_of("[addresses]\nipv6 = fd00::/48\n").find("f:2:") == 0u);
    BOOST_TEST(error_of("nonsense\n") == "f:1: not 'key = value' and not a [section]");
}

BOOST_AUTO_TEST_CASE(addresses_of_a_node)
{
    Config c = default_config();
    BOOST_TEST(to_string(ipv4_address(c, 7)) == "10.86.66.7");
    BOOST_TEST(!ipv4_address(c, kLidNone));
    BOOST_TEST(!ipv4_address(c, 255));
    BOOST_TEST(to_string(ipv6_address(c, Guid{0x001122fffe334455})) ==
               "fd74:6269:6200:0:11:22ff:fe33:4455");
    c.ipv4.reset();
    BOOST_TEST(!ipv4_address(c, 7));
}

BOOST_AUTO_TEST_CASE(collisions_are_found_on_other_interfaces_only)
{
    const Config c = default_config();
    const std::vector<nl::IpRoute> routes = {{*parse_prefix("10.86.0.0/16"), 2},
                                             {*parse_prefix("10.86.66.0/24"), 5},
                                             {*parse_prefix("192.168.0.0/16"), 2}};
    const auto found = find_collisions(c, routes, 5);
    BOOST_TEST(found.size() == 1);
    BOOST_TEST(to_string(found.at(0).route) == "10.86.0.0/16");
}

BOOST_AUTO_TEST_SUITE_END()
