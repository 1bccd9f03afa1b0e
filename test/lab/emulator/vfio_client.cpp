// SPDX-License-Identifier: Apache-2.0
#include "test/lab/emulator/vfio_client.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>

#include "test/lab/nhi/registers.hpp"

namespace tblab {

using namespace vfio_user;

namespace {

template <class T> std::span<const std::byte> bytes_of(const T& value)
{
    return std::as_bytes(std::span(&value, 1));
}

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

void receive_all(int socket, void* to, std::size_t size)
{
    if (size && recv(socket, to, size, MSG_WAITALL) != static_cast<ssize_t>(size))
        fail("recv");
}

} // namespace

VfioClient::VfioClient(const std::filesystem::path& path)
    : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      memory_fd_(memfd_create("guest", MFD_CLOEXEC))
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
        fail("connect");
    if (ftruncate(memory_fd_.get(), memory_size) < 0)
        fail("ftruncate");
    void* memory = mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                        memory_fd_.get(), 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    memory_ = static_cast<std::byte*>(memory);

    struct {
        Version version{0, 0};
        char json[4] = "{}";
    } hello;
    request(Command::version, bytes_of(hello));
    const DmaMap map{sizeof(DmaMap), dma_readable | dma_writable, 0, memory_base, memory_size};
    request(Command::dma_map, bytes_of(map), memory_fd_.get());
    for (unsigned vector = 0; vector < nhi::vectors; ++vector) {
        events_.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        const SetIrqs set{sizeof(SetIrqs), irq_data_eventfd | irq_action_trigger, irq_msix,
                          vector, 1};
        request(Command::set_irqs, bytes_of(set), events_.back().get());
    }
}

VfioClient::~VfioClient()
{
    if (memory_)
        munmap(memory_, memory_size);
}

void VfioClient::send(Command command, std::span<const std::byte> body, std::uint32_t flags,
                      int fd)
{
    Header header{next_id_++, static_cast<std::uint16_t>(command),
                  static_cast<std::uint32_t>(sizeof(Header) + body.size()), flags, 0};
    iovec iov[2] = {{&header, sizeof header},
                    {const_cast<std::byte*>(body.data()), body.size()}};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
    msghdr message{};
    message.msg_iov = iov;
    message.msg_iovlen = 2;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0)
        fail("sendmsg");
}

std::vector<std::byte> VfioClient::request(Command command, std::span<const std::byte> body,
                                           int fd)
{
    send(command, body, 0, fd);
    Header header;
    receive_all(socket_.get(), &header, sizeof header);
    std::vector<std::byte> reply(header.size - sizeof header);
    receive_all(socket_.get(), reply.data(), reply.size());
    if (header.flags & flag_error)
        throw std::runtime_error("request failed: " + std::to_string(header.error));
    return reply;
}

std::uint32_t VfioClient::read(std::uint32_t offset)
{
    const RegionAccess access{offset, region_bar0, 4};
    const auto reply = request(Command::region_read, bytes_of(access));
    std::uint32_t value;
    std::memcpy(&value, reply.data() + sizeof access, sizeof value);
    return value;
}

void VfioClient::write(std::uint32_t offset, std::uint32_t value)
{
    struct {
        RegionAccess access;
        std::uint32_t value;
        std::uint32_t pad;
    } body{{offset, region_bar0, 4}, value, 0};
    send(Command::region_write, bytes_of(body).first(sizeof(RegionAccess) + 4), flag_no_reply,
         -1);
}

void VfioClient::reset()
{
    request(Command::reset, {});
}

bool VfioClient::wait_interrupt(unsigned vector, int milliseconds)
{
    pollfd wait{events_[vector].get(), POLLIN, 0};
    if (poll(&wait, 1, milliseconds) != 1)
        return false;
    eventfd_t count;
    return eventfd_read(events_[vector].get(), &count) == 0;
}

} // namespace tblab
