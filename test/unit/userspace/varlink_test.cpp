// SPDX-License-Identifier: Apache-2.0
#include "tbibd/varlink_server.hpp"

#include <boost/test/unit_test.hpp>

using namespace tbib;
using nlohmann::json;

namespace {

VarlinkService sample()
{
    VarlinkService s("io.tbib", "interface io.tbib\n", "1");
    s.add("Echo", [](const json& p) { return VarlinkReply{p, ""}; });
    return s;
}

json call(const std::string& text)
{
    const auto s = sample();
    const auto reply = s.handle(text);
    BOOST_REQUIRE(reply);
    return json::parse(*reply);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(varlink)

BOOST_AUTO_TEST_CASE(calls)
{
    BOOST_TEST(call(R"({"method":"io.tbib.Echo","parameters":{"a":1}})")["parameters"]["a"] == 1);
    const json info = call(R"({"method":"org.varlink.service.GetInfo"})");
    BOOST_TEST(info["parameters"]["interfaces"].size() == 2);
    const json d = call(R"({"method":"org.varlink.service.GetInterfaceDescription",
                            "parameters":{"interface":"io.tbib"}})");
    BOOST_TEST(d["parameters"]["description"] == "interface io.tbib\n");
}

BOOST_AUTO_TEST_CASE(errors)
{
    BOOST_TEST(call(R"({"method":"io.tbib.Nope"})")["error"] ==
               "org.varlink.service.MethodNotFound");
    BOOST_TEST(call(R"({"method":"io.other.X"})")["error"] ==
               "org.varlink.service.InterfaceNotFound");
    BOOST_TEST(call(R"({"method":"io.tbib.Echo","parameters":[]})")["error"] ==
               "org.varlink.service.InvalidParameter");
    const auto s = sample();
    for (const char* bad : {"", "{", "[]", "{}", R"({"method":1})"})
        BOOST_TEST(!s.handle(bad), bad);
    BOOST_TEST(*s.handle(R"({"method":"io.tbib.Echo","oneway":true})") == "");
}

BOOST_AUTO_TEST_SUITE_END()
