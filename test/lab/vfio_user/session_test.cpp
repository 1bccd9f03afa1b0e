// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "test/lab/vfio_user/session.hpp"

using namespace tblab;
using namespace tblab::vfio_user;

namespace {

/** 64 bytes of registers in BAR0. */
struct FakeDevice : Device {
    std::array<std::byte, 64> registers{};
    int resets = 0;

    std::uint64_t region_size(unsigned region) const override
    {
        return region == region_bar0 ? registers.size() : 0;
    }
    unsigned vectors() const override { return 4; }
    void read(unsigned, std::uint64_t offset, std::span<std::byte> data) override
    {
        std::memcpy(data.data(), registers.data() + offset, data.size());
    }
    void write(unsigned, std::uint64_t offset, std::span<const std::byte> data) override
    {
        std::memcpy(registers.data() + offset, data.data(), data.size());
    }
    void reset() override { ++resets; }
};

struct Reply {
    Header header;
    std::vector<std::byte> body;

    template <class T> T as() const
    {
        BOOST_REQUIRE(body.size() >= sizeof(T));
        T value;
        std::memcpy(&value, body.data(), sizeof value);
        return value;
    }
};

template <class T> std::vector<std::byte> bytes_of(const T& value)
{
    std::vector<std::byte> out(sizeof value);
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

/** Plays QEMU's part over a socket pair. */
struct Client {
    FakeDevice device;
    UniqueFd socket;
    std::unique_ptr<Session> session;
    std::uint16_t next_id = 1;
    bool alive = true;

    explicit Client(bool negotiate = true)
    {
        int ends[2];
        BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                                 ends) == 0);
        socket.reset(ends[0]);
        session = std::make_unique<Session>(UniqueFd(ends[1]), device);
        if (negotiate)
            request(Command::version, version_body());
    }

    static std::vector<std::byte> version_body()
    {
        auto body = bytes_of(Version{0, 0});
        const std::string json = "{\"capabilities\":{}}";
        for (const char c : json + '\0')
            body.push_back(static_cast<std::byte>(c));
        return body;
    }

    void send(Command command, const std::vector<std::byte>& body, std::uint32_t flags = 0,
              int fd = -1)
    {
        const Header header{next_id++, static_cast<std::uint16_t>(command),
                            static_cast<std::uint32_t>(sizeof(Header) + body.size()), flags, 0};
        auto bytes = bytes_of(header);
        bytes.insert(bytes.end(), body.begin(), body.end());
        iovec iov{bytes.data(), bytes.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
        msghdr message{};
        message.msg_iov = &iov;
        message.msg_iovlen = 1;
        if (fd >= 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr* c = CMSG_FIRSTHDR(&message);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
        }
        BOOST_REQUIRE(sendmsg(socket.get(), &message, 0) ==
                      static_cast<ssize_t>(bytes.size()));
        alive = session->on_readable();
    }

    std::optional<Reply> receive()
    {
        Reply reply;
        if (recv(socket.get(), &reply.header, sizeof reply.header, MSG_DONTWAIT) !=
            sizeof reply.header)
            return std::nullopt;
        reply.body.resize(reply.header.size - sizeof reply.header);
        if (!reply.body.empty())
            BOOST_REQUIRE(recv(socket.get(), reply.body.data(), reply.body.size(),
                               MSG_DONTWAIT) == static_cast<ssize_t>(reply.body.size()));
        return reply;
    }

    Reply request(Command command, const std::vector<std::byte>& body = {}, int fd = -1)
    {
        const std::uint16_t id = next_id;
        send(command, body, 0, fd);
        const auto reply = receive();
        BOOST_REQUIRE(reply.has_value());
        BOOST_TEST(reply->header.id == id);
        BOOST_TEST(reply->header.command == static_cast<std::uint16_t>(command));
        BOOST_TEST((reply->header.flags & flag_type_mask) == flag_reply);
        return *reply;
    }

    int error_of(Command command, const std::vector<std::byte>& body = {}, int fd = -1)
    {
        const Reply reply = request(command, body, fd);
        const bool failed = reply.header.flags & flag_error;
        BOOST_TEST(failed == (reply.header.error != 0));
        return static_cast<int>(reply.header.error);
    }
};

std::vector<std::byte> access(std::uint32_t region, std::uint64_t offset, std::uint32_t count,
                              std::size_t data = 0)
{
    auto body = bytes_of(RegionAccess{offset, region, count});
    body.resize(body.size() + data, std::byte{0xab});
    return body;
}

} // namespace

BOOST_AUTO_TEST_SUITE(session)

BOOST_AUTO_TEST_CASE(negotiates_before_anything_else)
{
    Client client(false);
    BOOST_TEST(client.error_of(Command::get_info) == EPROTO);
    BOOST_TEST(client.error_of(Command::version, bytes_of(Version{1, 0})) == ENOTSUP);
    BOOST_TEST(client.error_of(Command::version, {std::byte{0}}) == EINVAL);
    const Reply reply = client.request(Command::version, Client::version_body());
    BOOST_TEST(reply.as<Version>().major == 0);
    const std::string json(reinterpret_cast<const char*>(reply.body.data()) + 4);
    BOOST_TEST(json.size() + 5 == reply.body.size()); // NUL-terminated
    BOOST_TEST(json.find("\"write_multiple\":true") != std::string::npos);
    BOOST_TEST(client.error_of(Command::get_info) == 0);
}

BOOST_AUTO_TEST_CASE(describes_the_device)
{
    Client client;
    const auto info = client.request(Command::get_info).as<DeviceInfo>();
    BOOST_TEST(info.regions == 9u);
    BOOST_TEST(info.irqs == 5u);
    RegionInfo region{sizeof(RegionInfo), 0, 0, 0, 0, 0};
    auto reply = client.request(Command::get_region_info, bytes_of(region)).as<RegionInfo>();
    BOOST_TEST(reply.size == 64u);
    BOOST_TEST(reply.flags == 3u);
    region.index = 1;
    reply = client.request(Command::get_region_info, bytes_of(region)).as<RegionInfo>();
    BOOST_TEST(reply.size == 0u);
    region.index = 9;
    BOOST_TEST(client.error_of(Command::get_region_info, bytes_of(region)) == EINVAL);
    IrqInfo irq{sizeof(IrqInfo), 0, irq_msix, 0};
    BOOST_TEST(client.request(Command::get_irq_info, bytes_of(irq)).as<IrqInfo>().count == 4u);
    irq.index = 5;
    BOOST_TEST(client.error_of(Command::get_irq_info, bytes_of(irq)) == EINVAL);
}

BOOST_AUTO_TEST_CASE(reads_and_writes_registers)
{
    Client client;
    BOOST_TEST(client.error_of(Command::region_write, access(0, 8, 4, 4)) == 0);
    const Reply reply = client.request(Command::region_read, access(0, 4, 12));
    BOOST_REQUIRE(reply.body.size() == sizeof(RegionAccess) + 12);
    BOOST_TEST((reply.body[sizeof(RegionAccess) + 4] == std::byte{0xab}));
    BOOST_TEST((reply.body[sizeof(RegionAccess) + 3] == std::byte{0}));
}

BOOST_AUTO_TEST_CASE(posted_writes_have_no_reply)
{
    Client client;
    client.send(Command::region_write, access(0, 0, 4, 4), flag_no_reply);
    BOOST_TEST(!client.receive().has_value());
    BOOST_TEST((client.device.registers[0] == std::byte{0xab}));
    client.send(Command::region_write, access(0, 63, 4, 4), flag_no_reply); // fails silently
    BOOST_TEST(!client.receive().has_value());
    BOOST_TEST(client.alive);
}

BOOST_AUTO_TEST_CASE(refuses_accesses_outside_regions)
{
    Client client;
    const auto max = ~std::uint64_t{0};
    for (const auto& body :
         {access(0, 61, 4), access(0, 64, 1), access(0, max, 4), access(0, max - 2, 4),
          access(1, 0, 4), access(9, 0, 4), access(~0u, 0, 4), access(0, 0, 65),
          access(0, 0, ~0u)}) {
        BOOST_TEST(client.error_of(Command::region_read, body) == EINVAL);
        BOOST_TEST(client.error_of(Command::region_write, body) == EINVAL);
    }
    BOOST_TEST(client.error_of(Command::region_write, access(0, 0, 8, 7)) == EINVAL);
    BOOST_TEST(client.error_of(Command::region_read, {}) == EINVAL);
    BOOST_TEST(client.error_of(static_cast<Command>(99)) == ENOTSUP);
    BOOST_TEST(client.error_of(Command::device_feature) == ENOTTY);
}

BOOST_AUTO_TEST_CASE(multiple_writes_in_one_message)
{
    Client client;
    std::vector<std::byte> body = bytes_of(std::uint64_t{2});
    for (const std::uint64_t offset : {0, 16}) {
        WriteMultiEntry entry{offset, 0, 4, {1, 2, 3, 4, 5, 6, 7, 8}};
        const auto bytes = bytes_of(entry);
        body.insert(body.end(), bytes.begin(), bytes.end());
    }
    BOOST_TEST(client.error_of(Command::region_write_multi, body) == 0);
    BOOST_TEST((client.device.registers[19] == std::byte{4}));
    BOOST_TEST((client.device.registers[20] == std::byte{0}));
    body = bytes_of(~std::uint64_t{0});
    BOOST_TEST(client.error_of(Command::region_write_multi, body) == EINVAL);
    body = bytes_of(std::uint64_t{1});
    const auto bad = bytes_of(WriteMultiEntry{0, 0, 9, {}});
    body.insert(body.end(), bad.begin(), bad.end());
    BOOST_TEST(client.error_of(Command::region_write_multi, body) == EINVAL);
}

BOOST_AUTO_TEST_CASE(interrupts_by_eventfd)
{
    Client client;
    const UniqueFd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const auto set = [&](std::uint32_t start, std::uint32_t count, std::uint32_t flags, int fd) {
        return client.error_of(Command::set_irqs,
                               bytes_of(SetIrqs{sizeof(SetIrqs), flags, irq_msix, start, count}),
                               fd);
    };
    constexpr std::uint32_t by_eventfd = irq_data_eventfd | irq_action_trigger;
    BOOST_TEST(set(2, 1, by_eventfd, event.get()) == 0);
    client.session->signal(1);
    client.session->signal(2);
    client.session->signal(99);
    eventfd_t value = 0;
    BOOST_TEST(eventfd_read(event.get(), &value) == 0);
    BOOST_TEST(value == 1u);

    BOOST_TEST(set(3, 2, by_eventfd, -1) == EINVAL);
    BOOST_TEST(set(~0u, 2, by_eventfd, -1) == EINVAL);
    BOOST_TEST(set(2, 2, by_eventfd, event.get()) == EINVAL); // one fd for two
    BOOST_TEST(set(2, 1, by_eventfd, -1) == 0); // taken away
    client.session->signal(2);
    BOOST_TEST(eventfd_read(event.get(), &value) != 0);

    BOOST_TEST(set(0, 1, by_eventfd, event.get()) == 0);
    BOOST_TEST(set(0, 0, irq_data_none | irq_action_trigger, -1) == 0); // all off
    client.session->signal(0);
    BOOST_TEST(eventfd_read(event.get(), &value) != 0);
}

BOOST_AUTO_TEST_CASE(memory_and_reset)
{
    Client client;
    const UniqueFd memory(memfd_create("guest", MFD_CLOEXEC));
    BOOST_REQUIRE(ftruncate(memory.get(), 0x2000) == 0);
    const DmaMap map{sizeof(DmaMap), dma_readable | dma_writable, 0, 0x10000, 0x2000};
    BOOST_TEST(client.error_of(Command::dma_map, bytes_of(map), memory.get()) == 0);
    BOOST_TEST((client.session->memory().translate(0x10000, 0x2000, true) != nullptr));
    const DmaUnmap half{sizeof(DmaUnmap), 0, 0x10000, 0x1000};
    BOOST_TEST(client.error_of(Command::dma_unmap, bytes_of(half)) == ENOENT);
    const DmaUnmap all{sizeof(DmaUnmap), unmap_all, 0, 0};
    const Reply reply = client.request(Command::dma_unmap, bytes_of(all));
    BOOST_TEST(reply.body.size() == sizeof(DmaUnmap));
    BOOST_TEST((client.session->memory().translate(0x10000, 1, true) == nullptr));
    BOOST_TEST(client.error_of(Command::reset) == 0);
    BOOST_TEST(client.device.resets == 1);
}

BOOST_AUTO_TEST_CASE(ends_on_nonsense_and_on_end_of_stream)
{
    Client wrong;
    wrong.send(Command::get_info, {}, flag_reply); // we never asked for anything
    BOOST_TEST(!wrong.alive);

    Client gone;
    gone.socket.reset();
    BOOST_TEST(!gone.session->on_readable());
}

BOOST_AUTO_TEST_CASE(a_client_that_reads_nothing_is_cut_off)
{
    Client client;
    for (int i = 0; i < 2'000'000 && client.alive; ++i)
        client.send(Command::region_read, access(0, 0, 64));
    BOOST_TEST(!client.alive);
}

BOOST_AUTO_TEST_SUITE_END()
