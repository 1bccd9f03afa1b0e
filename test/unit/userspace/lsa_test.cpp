// SPDX-License-Identifier: Apache-2.0
#include "tbibd/lsa.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace tbib;

namespace {

Lsa sample()
{
    Lsa l;
    l.origin = Guid{0x001122fffe334455};
    l.sequence = 1234567890123456;
    l.epoch = 77;
    l.lid = 9;
    l.name = "left";
    l.ipv4 = *parse_ip("10.86.66.9");
    l.ipv6 = *parse_ip("fd74::1");
    l.neighbours = {{Guid{0x11}, 40}, {Guid{0x12}, 80}};
    return l;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lsa)

BOOST_AUTO_TEST_CASE(round_trip)
{
    const auto m = decode(encode({Message::Type::Lsa, sample()}));
    BOOST_REQUIRE(m);
    BOOST_TEST((m->type == Message::Type::Lsa));
    BOOST_TEST((m->lsa == sample()));
    const auto sync = decode(encode(Message{}));
    BOOST_REQUIRE(sync);
    BOOST_TEST((sync->type == Message::Type::Sync));
}

BOOST_AUTO_TEST_CASE(hostile_datagrams_are_refused)
{
    const char* bad[] = {
        "", "{", "[]", "null", "{\"v\":2,\"t\":\"sync\"}", "{\"v\":1}", "{\"v\":1,\"t\":\"x\"}",
        R"({"v":1,"t":"lsa"})",
        R"({"v":1,"t":"lsa","o":"0","s":1,"e":1,"l":1,"h":"x","n":[]})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":-1,"e":1,"l":1,"h":"x","n":[]})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":1,"e":1,"l":256,"h":"x","n":[]})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":1,"e":1,"l":1,"h":"x\n","n":[]})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":1,"e":1,"l":1,"h":"x","n":[[1,2]]})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":1,"e":1,"l":1,"h":"x","n":{}})",
        R"({"v":1,"t":"lsa","o":"0000:0000:0000:0001","s":1,"e":1,"l":1,"h":"x","n":[],"4":"fd00::1"})",
    };
    for (const char* text : bad)
        BOOST_TEST(!decode(text), text);
    BOOST_TEST(!decode(std::string(kMaxDatagram + 1, ' ')));
    BOOST_TEST(!decode(std::string(kMaxDatagram, '[')));
}

BOOST_AUTO_TEST_CASE(a_full_neighbour_list_fits_one_datagram)
{
    Lsa l = sample();
    l.name.assign(63, 'x');
    l.neighbours.clear();
    for (uint64_t i = 0; i < kMaxNeighbours; i++)
        l.neighbours[Guid{UINT64_MAX - i}] = 100000;
    const std::string data = encode({Message::Type::Lsa, l});
    BOOST_TEST(data.size() <= kMaxDatagram);
    BOOST_REQUIRE(decode(data));
    l.neighbours[Guid{1}] = 1;
    BOOST_TEST(!decode(encode({Message::Type::Lsa, l})));
}

BOOST_AUTO_TEST_CASE(changed_bytes_never_break_the_decoder)
{
    std::mt19937 random(1);
    const std::string good = encode({Message::Type::Lsa, sample()});
    for (int i = 0; i < 20000; i++) {
        std::string s = good;
        for (int n = static_cast<int>(random() % 4) + 1; n > 0; n--)
            s[random() % s.size()] = static_cast<char>(random());
        s.resize(random() % (s.size() + 1));
        const auto m = decode(s);
        if (m && m->type == Message::Type::Lsa)
            BOOST_TEST(m->lsa.neighbours.size() <= kMaxNeighbours);
    }
}

BOOST_AUTO_TEST_SUITE_END()
