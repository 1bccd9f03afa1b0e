// SPDX-License-Identifier: Apache-2.0
#define BOOST_TEST_MODULE emulator
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "test/lab/emulator/emulator.hpp"
#include "test/lab/emulator/vfio_client.hpp"
#include "test/lab/nhi/registers.hpp"
#include "test/lab/router/control_packet.hpp"

using namespace tblab;
using namespace std::chrono_literals;

namespace {

/** A folder for sockets that goes with the test. */
struct Folder {
    std::filesystem::path path;

    Folder()
    {
        char name[] = "/tmp/tblab.XXXXXX";
        BOOST_REQUIRE(mkdtemp(name) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

struct Fixture {
    Folder folder;
    Emulator emulator;

    HostId add(const char* name, const char* from = "intel")
    {
        HostConfig config = preset(from);
        config.name = name;
        config.socket = folder.path / name;
        return emulator.add_host(config);
    }
};

bool soon(const std::function<bool()>& condition)
{
    for (int i = 0; i < 500 && !condition(); ++i)
        std::this_thread::sleep_for(10ms);
    return condition();
}

/** Reads the router's unique id by a packet on the control ring. */
std::uint32_t read_uid(VfioClient& client)
{
    constexpr std::uint64_t tx = VfioClient::memory_base, rx = tx + 0x1000;
    constexpr std::uint64_t out = tx + 0x2000, in = tx + 0x3000;
    constexpr std::uint32_t flags = nhi::desc_posted | nhi::desc_interrupt;
    for (const auto& [ring, options, memory] :
         {std::tuple(nhi::tx_ring, nhi::tx_options, tx),
          std::tuple(nhi::rx_ring, nhi::rx_options, rx)}) {
        client.write(options, 0);
        client.write(ring + nhi::ring_base_lo, static_cast<std::uint32_t>(memory));
        client.write(ring + nhi::ring_base_hi, 0);
        client.write(ring + nhi::ring_size, ring == nhi::rx_ring ? 0x100u << 16 | 10 : 10);
        client.write(options, nhi::option_enable | nhi::option_raw);
    }
    client.write(nhi::vector_map, 0);              // TX 0 -> vector 0
    client.write(nhi::vector_map + 4, 1u << 16);   // RX 0 (index 12) -> vector 1
    client.write(nhi::enable, 1u | 1u << 12);
    const auto packet = router::encode(
        {router::PacketType::read, {0, 0, 7u | 1u << 13 | 2u << 25}});
    std::memcpy(client.at(out), packet.data(), packet.size());
    const nhi::Descriptor receive{in, flags, 0};
    std::memcpy(client.at(rx), &receive, sizeof receive);
    const nhi::Descriptor send{
        out, static_cast<std::uint32_t>(packet.size()) | 1u << nhi::desc_eof_shift | flags, 0};
    std::memcpy(client.at(tx), &send, sizeof send);
    client.write(nhi::rx_ring + nhi::ring_index, 1);
    client.write(nhi::tx_ring + nhi::ring_index, 1u << 16);
    BOOST_REQUIRE(client.wait_interrupt(1, 5000));
    nhi::Descriptor done;
    std::memcpy(&done, client.at(rx), sizeof done);
    BOOST_REQUIRE((done.word & nhi::desc_completed) != 0u);
    const auto answer =
        router::decode(1, std::span(client.at(in), done.word & nhi::desc_length_mask));
    BOOST_REQUIRE(answer.has_value());
    return answer->dwords.at(3);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(emulator, Fixture)

BOOST_AUTO_TEST_CASE(presets)
{
    BOOST_TEST(preset("strix").hops == 3u);
    BOOST_TEST(!preset("strix").intel_vendor);
    BOOST_TEST(preset("intel", 1).hops == 12u);
    BOOST_TEST(preset("intel", 1).router_version == 1u);
    BOOST_TEST(preset("intel").intel_vendor);
    BOOST_CHECK_THROW(preset("amd"), std::invalid_argument);
    BOOST_CHECK_THROW(preset("intel", 3), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_guest_talks_to_its_router)
{
    const HostId host = add("h0");
    BOOST_TEST(!emulator.attached(host));
    VfioClient client(folder.path / "h0");
    BOOST_TEST(emulator.attached(host));
    BOOST_TEST((client.read(nhi::capabilities) & 0x7ff) == 12u);
    const std::uint32_t uid = read_uid(client);
    BOOST_TEST(uid != 0u);
    const Stats stats = emulator.stats();
    BOOST_TEST(stats.hosts[0].control_in == 1u);
    BOOST_TEST(stats.hosts[0].control_out == 1u);
    BOOST_TEST(stats.hosts[0].interrupts >= 2u);
}

BOOST_AUTO_TEST_CASE(guests_come_and_go)
{
    const HostId a = add("h0"), b = add("h1", "strix");
    const CableId cable = emulator.add_cable(a, 0, b, 1);
    emulator.plug(cable);
    BOOST_TEST(emulator.plugged(cable));
    VfioClient peer(folder.path / "h1");
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(!emulator.link_up(cable));
        auto guest = std::make_unique<VfioClient>(folder.path / "h0");
        BOOST_TEST(soon([&] { return emulator.link_up(cable); }));
        read_uid(*guest);
        guest->reset();
        BOOST_TEST(!emulator.link_up(cable));
        BOOST_TEST(soon([&] { return emulator.link_up(cable); }));
        guest.reset(); // as if it were killed
        BOOST_TEST(soon([&] { return !emulator.attached(a); }));
    }
    BOOST_TEST(emulator.attached(b));
    BOOST_TEST(emulator.stats().cables[0].link_ups == 6u);
    emulator.reset_stats();
    BOOST_TEST(emulator.stats().cables[0].link_ups == 0u);
}

BOOST_AUTO_TEST_CASE(a_second_guest_waits_for_the_first_to_go)
{
    const HostId host = add("h0");
    auto first = std::make_unique<VfioClient>(folder.path / "h0");
    std::uint32_t uid = 0;
    std::thread second([&] {
        VfioClient client(folder.path / "h0"); // its requests are answered later
        uid = read_uid(client);
    });
    std::this_thread::sleep_for(50ms);
    BOOST_TEST(emulator.attached(host));
    first.reset();
    second.join();
    BOOST_TEST(uid != 0u);
}

BOOST_AUTO_TEST_CASE(lost_and_spurious_interrupts)
{
    const HostId host = add("h0");
    VfioClient client(folder.path / "h0");
    emulator.spurious_interrupt(host);
    for (unsigned vector = 0; vector < nhi::vectors; ++vector)
        BOOST_TEST(client.wait_interrupt(vector, 1000));
    read_uid(client);
    emulator.lose_interrupt(host, 2);
    client.write(nhi::status_clear, ~0u);
    client.write(nhi::status_clear + 4, ~0u);
    while (client.wait_interrupt(0, 0)) {
    }
    // One more packet: both of its messages are lost.
    const std::uint64_t tx = VfioClient::memory_base;
    std::memcpy(client.at(tx + 16), client.at(tx), 16);
    client.write(nhi::tx_ring + nhi::ring_index, 2u << 16);
    BOOST_TEST(!client.wait_interrupt(0, 100));
    BOOST_TEST(emulator.stats().hosts[0].interrupts_lost >= 1u);
}

BOOST_AUTO_TEST_CASE(wrong_calls_throw_and_harm_nothing)
{
    const HostId host = add("h0");
    BOOST_CHECK_THROW(emulator.attached(7), std::out_of_range);
    BOOST_CHECK_THROW(emulator.plug(7), std::out_of_range);
    BOOST_CHECK_THROW(emulator.set_fault(0, Direction::a_to_b, {}), std::out_of_range);
    BOOST_CHECK_THROW(emulator.add_cable(host, 0, host, 0), std::invalid_argument);
    HostConfig config;
    BOOST_CHECK_THROW(emulator.add_host(config), std::invalid_argument); // no socket
    config.socket = folder.path / std::string(200, 'x');
    BOOST_CHECK_THROW(emulator.add_host(config), std::invalid_argument);
    config.socket = folder.path / "nowhere" / "h1";
    BOOST_CHECK_THROW(emulator.add_host(config), std::system_error);
    config.socket = folder.path / "h1";
    config.hops = 20;
    BOOST_CHECK_THROW(emulator.add_host(config), std::invalid_argument);
    config.hops = 12;
    const HostId second = emulator.add_host(config);
    BOOST_TEST(second == 1u);
    VfioClient client(folder.path / "h1");
    BOOST_TEST(emulator.attached(second));
}

BOOST_AUTO_TEST_CASE(methods_are_thread_safe)
{
    const HostId a = add("h0"), b = add("h1");
    const CableId cable = emulator.add_cable(a, 0, b, 0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i) {
                emulator.plug(cable);
                FaultSpec spec;
                spec.drop = 0.5;
                emulator.set_fault(cable, Direction::b_to_a, spec);
                (void)emulator.stats();
                emulator.unplug(cable);
                emulator.clear_faults();
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    BOOST_TEST(!emulator.plugged(cable));
}

BOOST_AUTO_TEST_CASE(statistics_as_json)
{
    const HostId a = add("h0"), b = add("h1");
    emulator.add_cable(a, 0, b, 1);
    VfioClient client(folder.path / "h0");
    read_uid(client);
    const auto json = nlohmann::json::parse(to_json(emulator.stats()));
    BOOST_TEST(json["hosts"].size() == 2u);
    BOOST_TEST(json["hosts"][0]["name"] == "h0");
    BOOST_TEST(json["hosts"][0]["attached"] == true);
    BOOST_TEST(json["hosts"][0]["tx"][0]["frames"] == 1);
    BOOST_TEST(json["hosts"][1]["tx"].empty());
    BOOST_TEST(json["cables"][0]["b"]["port"] == 1);
    BOOST_TEST(json["cables"][0]["up"] == false);
}

BOOST_AUTO_TEST_SUITE_END()
