// SPDX-License-Identifier: Apache-2.0
#include "tbibctl/doctor.hpp"

#include "tbibctl/format.hpp"

#include <boost/test/unit_test.hpp>

using namespace tbib;
using nlohmann::json;

namespace {

json good_status()
{
    return json::parse(R"({"version":"1","module":true,"policy":"any","route_generation":3,
      "bad_datagrams":0,"collisions":[],
      "node":{"guid":"0011:22ff:fe33:4455","mac":"02:11:22:33:44:55","lid":1,
              "port_state":"ACTIVE","speed_mbps":40000,"ifindex":3,"ibdev":"tbib0",
              "name":"left","module_version":"1","addresses":["10.86.66.1/24"]},
      "links":[{"id":1,"state":"up","refused":"","authorised":true,"peer":"0011:22ff:fe33:4456",
                "peer_name":"right","domain":0,"route":"1","local_uuid":"","remote_uuid":"",
                "speed_gbps":20,"width":2,"rings":2,"mgmt_drops":0}],
      "peers":[{"guid":"0011:22ff:fe33:4456","name":"right","lid":2,"reachable":true,
                "via":"0011:22ff:fe33:4456","ipv4":"10.86.66.2","ipv6":""}]})");
}

Facts good()
{
    Facts f;
    f.kernel = "6.12";
    f.thunderbolt_host = f.thunderbolt_module = f.module_loaded = f.module_installed = true;
    f.ibdevs = {"tbib0"};
    f.uverbs = f.librxe = true;
    f.status = good_status();
    return f;
}

bool complains(const Facts& f, const std::string& text)
{
    for (const auto& x : diagnose(f))
        if (x.level == Finding::Level::Problem && x.text.find(text) != std::string::npos)
            return true;
    return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(doctor)

BOOST_AUTO_TEST_CASE(a_healthy_host_has_no_problem)
{
    for (const auto& f : diagnose(good()))
        BOOST_TEST((f.level != Finding::Level::Problem), f.text);
    BOOST_TEST(format_findings(diagnose(good())).find("RDMA over tbib0 is usable") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(each_fault_is_named)
{
    Facts f = good();
    f.module_loaded = f.module_installed = false;
    BOOST_TEST(complains(f, "not built for kernel 6.12"));
    f.module_installed = f.secure_boot = true;
    BOOST_TEST(complains(f, "Secure Boot"));
    f = good();
    f.status.reset();
    f.daemon_error = "no such file";
    BOOST_TEST(complains(f, "tbibd does not answer: no such file"));
    f = good();
    (*f.status)["node"]["port_state"] = "INIT";
    BOOST_TEST(complains(f, "INIT, not ACTIVE"));
    f = good();
    f.interface_down = true;
    BOOST_TEST(complains(f, "tbib0 is set down"));
    f = good();
    (*f.status)["links"][0]["state"] = "refused";
    (*f.status)["links"][0]["refused"] = "another version";
    BOOST_TEST(complains(f, "refused: another version"));
    f = good();
    (*f.status)["links"][0]["state"] = "login";
    (*f.status)["links"][0]["refused"] = "peer is not ready";
    BOOST_TEST(complains(f, "is not up yet: login, peer is not ready"));
    (*f.status)["links"][0]["refused"] = "no ring pair of the host router is to be had";
    BOOST_TEST(complains(f, "is not up: no ring pair"));
    f = good();
    (*f.status)["links"][0]["authorised"] = false;
    BOOST_TEST(complains(f, "not authorised"));
    f = good();
    (*f.status)["links"] = json::array();
    BOOST_TEST(complains(f, "no cable"));
    f = good();
    f.librxe = false;
    BOOST_TEST(complains(f, "no rxe provider"));
    f = good();
    f.thunderbolt_host = false;
    BOOST_TEST(complains(f, "no Thunderbolt or USB4"));
}

BOOST_AUTO_TEST_CASE(status_text)
{
    const std::string s = format_status(good_status());
    for (const char* part : {"port ACTIVE, 40 Gb/s, LID 1", "link 1", "up", "right", "direct"})
        BOOST_TEST(s.find(part) != std::string::npos, part);
    BOOST_TEST(format_status(json{{"module", false}, {"version", "1"}}) ==
               "tbibd 1: kernel module tbib is not loaded\n");
    BOOST_TEST(format_speed(2500) == "2.5 Gb/s");
}

BOOST_AUTO_TEST_SUITE_END()
