// SPDX-License-Identifier: Apache-2.0
#include "test/lab/vfio_user/session.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/socket.h>

namespace tblab::vfio_user {

namespace {

/** A client that reads no replies is cut off when it has so many waiting. */
constexpr std::size_t max_unsent = 4u << 20;
/** Reads per wake-up, so that one busy guest does not starve the others. */
constexpr int max_reads = 8;

constexpr std::string_view capabilities =
    R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,)"
    R"("max_dma_maps":65535,"pgsizes":4096,"write_multiple":true}})";

/** Reads the fixed head of a message. @return false if the body is too short */
template <class T> bool parse(std::span<const std::byte> body, T& value)
{
    if (body.size() < sizeof value)
        return false;
    std::memcpy(&value, body.data(), sizeof value);
    return true;
}

} // namespace

Session::Session(UniqueFd socket, Device& device)
    : socket_(std::move(socket)), device_(device), eventfds_(device.vectors())
{
}

bool Session::on_readable()
{
    const auto handler = [this](const Header& header, std::span<const std::byte> body,
                                std::vector<UniqueFd>& fds) { handle(header, body, fds); };
    for (int i = 0; i < max_reads; ++i) {
        const Receiver::Result result = receiver_.receive(socket_.get(), handler);
        if (result == Receiver::Result::closed || failed_ || !flush())
            return false;
        if (result == Receiver::Result::drained)
            break;
    }
    return true;
}

bool Session::on_writable()
{
    return flush();
}

bool Session::flush()
{
    while (sent_ < out_.size()) {
        const ssize_t n = send(socket_.get(), out_.data() + sent_, out_.size() - sent_,
                               MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return out_.size() - sent_ <= max_unsent;
        if (n < 0)
            return false;
        sent_ += static_cast<std::size_t>(n);
    }
    out_.clear();
    sent_ = 0;
    return true;
}

void Session::signal(unsigned vector)
{
    if (vector >= eventfds_.size() || !eventfds_[vector])
        return;
    const std::uint64_t one = 1;
    // Can only fail when the counter is full: the vector is signalled then.
    [[maybe_unused]] const ssize_t n = write(eventfds_[vector].get(), &one, sizeof one);
}

std::span<std::byte> Session::reply(const Header& request, std::size_t size)
{
    const std::size_t at = out_.size();
    out_.resize(at + sizeof(Header) + size);
    const Header header{request.id, request.command,
                        static_cast<std::uint32_t>(sizeof(Header) + size), flag_reply, 0};
    std::memcpy(out_.data() + at, &header, sizeof header);
    return {out_.data() + at + sizeof header, size};
}

template <class T> void Session::reply_with(const Header& request, const T& body)
{
    std::memcpy(reply(request, sizeof body).data(), &body, sizeof body);
}

void Session::reply_error(const Header& request, int error)
{
    const Header header{request.id, request.command, sizeof(Header), flag_reply | flag_error,
                        static_cast<std::uint32_t>(error)};
    const std::size_t at = out_.size();
    out_.resize(at + sizeof header);
    std::memcpy(out_.data() + at, &header, sizeof header);
}

void Session::handle(const Header& header, std::span<const std::byte> body,
                     std::vector<UniqueFd>& fds)
{
    if ((header.flags & flag_type_mask) != 0 || out_.size() - sent_ > max_unsent) {
        failed_ = true; // we send no requests, so nothing can be a reply
        return;
    }
    const std::size_t before = out_.size();
    const int error = execute(header, body, fds);
    if (header.flags & flag_no_reply)
        out_.resize(before);
    else if (error)
        reply_error(header, error);
}

/** @return 0 if the command has been done and its reply written, or an errno */
int Session::execute(const Header& header, std::span<const std::byte> body,
                     std::vector<UniqueFd>& fds)
{
    const auto command = static_cast<Command>(header.command);
    if (!negotiated_ && command != Command::version)
        return EPROTO;
    switch (command) {
    case Command::version:
        return version(header, body);
    case Command::dma_map:
        return dma_map(header, body, fds);
    case Command::dma_unmap:
        return dma_unmap(header, body);
    case Command::get_info:
        return get_info(header);
    case Command::get_region_info:
        return region_info(header, body);
    case Command::get_irq_info:
        return irq_info(header, body);
    case Command::set_irqs:
        return set_irqs(header, body, fds);
    case Command::region_read:
        return region_read(header, body);
    case Command::region_write:
        return region_write(header, body);
    case Command::region_write_multi:
        return write_multi(header, body);
    case Command::reset:
        device_.reset();
        reply(header, 0);
        return 0;
    case Command::device_feature:
        return ENOTTY; // QEMU probes for migration; it need not exist
    }
    return ENOTSUP;
}

int Session::version(const Header& header, std::span<const std::byte> body)
{
    Version proposed;
    if (!parse(body, proposed))
        return EINVAL;
    if (proposed.major != 0)
        return ENOTSUP;
    const Version accepted{0, 0};
    const auto out = reply(header, sizeof accepted + capabilities.size() + 1);
    std::memcpy(out.data(), &accepted, sizeof accepted);
    std::memcpy(out.data() + sizeof accepted, capabilities.data(), capabilities.size());
    negotiated_ = true; // the byte after the JSON is its NUL: resize() zeroes
    return 0;
}

int Session::dma_map(const Header& header, std::span<const std::byte> body,
                     std::vector<UniqueFd>& fds)
{
    DmaMap request;
    if (!parse(body, request))
        return EINVAL;
    const int fd = fds.empty() ? -1 : fds.front().get();
    const int error =
        memory_.map(request.address, request.size, request.flags, fd, request.offset);
    if (!error)
        reply(header, 0);
    return error;
}

int Session::dma_unmap(const Header& header, std::span<const std::byte> body)
{
    DmaUnmap request;
    if (!parse(body, request))
        return EINVAL;
    if (request.flags & unmap_all)
        memory_.clear();
    else if (const int error = memory_.unmap(request.address, request.size))
        return error;
    reply_with(header, request);
    return 0;
}

int Session::get_info(const Header& header)
{
    constexpr std::uint32_t reset_and_pci = 3;
    reply_with(header, DeviceInfo{sizeof(DeviceInfo), reset_and_pci, pci_regions, pci_irqs});
    return 0;
}

int Session::region_info(const Header& header, std::span<const std::byte> body)
{
    RegionInfo request;
    if (!parse(body, request) || request.index >= pci_regions)
        return EINVAL;
    const std::uint64_t size = device_.region_size(request.index);
    const std::uint32_t read_write = size ? 3 : 0;
    reply_with(header, RegionInfo{sizeof(RegionInfo), read_write, request.index, 0, size, 0});
    return 0;
}

int Session::irq_info(const Header& header, std::span<const std::byte> body)
{
    IrqInfo request;
    if (!parse(body, request) || request.index >= pci_irqs)
        return EINVAL;
    IrqInfo info{sizeof(IrqInfo), 0, request.index, 0};
    if (request.index == irq_msix)
        info.count = device_.vectors();
    else if (request.index == irq_error || request.index == irq_request)
        info.count = 1; // never signalled; QEMU warns if they do not exist
    info.flags = info.count ? 1 : 0;
    reply_with(header, info);
    return 0;
}

int Session::set_irqs(const Header& header, std::span<const std::byte> body,
                      std::vector<UniqueFd>& fds)
{
    SetIrqs request;
    if (!parse(body, request) || request.index >= pci_irqs)
        return EINVAL;
    if (request.index == irq_msix && (request.flags & irq_action_trigger)) {
        const std::uint64_t end = std::uint64_t{request.start} + request.count;
        if (end > eventfds_.size())
            return EINVAL;
        if (request.flags & irq_data_eventfd) {
            if (!fds.empty() && fds.size() != request.count)
                return EINVAL;
            for (std::uint32_t i = 0; i < request.count; ++i)
                eventfds_[request.start + i] =
                    fds.empty() ? UniqueFd() : std::move(fds[i]);
        } else if ((request.flags & irq_data_none) && request.count == 0) {
            for (UniqueFd& fd : eventfds_)
                fd.reset();
        } else if (request.flags & irq_data_none) {
            for (std::uint32_t i = 0; i < request.count; ++i)
                signal(request.start + i);
        }
    }
    reply(header, 0);
    return 0;
}

bool Session::in_region(std::uint32_t region, std::uint64_t offset, std::uint64_t count) const
{
    const std::uint64_t size = region < pci_regions ? device_.region_size(region) : 0;
    return count <= max_transfer && offset <= size && count <= size - offset;
}

int Session::region_read(const Header& header, std::span<const std::byte> body)
{
    RegionAccess request;
    if (!parse(body, request) || !in_region(request.region, request.offset, request.count))
        return EINVAL;
    const auto out = reply(header, sizeof request + request.count);
    std::memcpy(out.data(), &request, sizeof request);
    device_.read(request.region, request.offset, out.subspan(sizeof request));
    return 0;
}

int Session::region_write(const Header& header, std::span<const std::byte> body)
{
    RegionAccess request;
    if (!parse(body, request) || !in_region(request.region, request.offset, request.count) ||
        body.size() - sizeof request < request.count)
        return EINVAL;
    device_.write(request.region, request.offset,
                  body.subspan(sizeof request, request.count));
    reply_with(header, request);
    return 0;
}

int Session::write_multi(const Header& header, std::span<const std::byte> body)
{
    std::uint64_t count;
    if (!parse(body, count) || count > (body.size() - sizeof count) / sizeof(WriteMultiEntry))
        return EINVAL;
    for (std::uint64_t i = 0; i < count; ++i) {
        WriteMultiEntry entry;
        std::memcpy(&entry, body.data() + sizeof count + i * sizeof entry, sizeof entry);
        if (entry.count > sizeof entry.data ||
            !in_region(entry.region, entry.offset, entry.count))
            return EINVAL;
        device_.write(entry.region, entry.offset,
                      std::as_bytes(std::span(entry.data, entry.count)));
    }
    reply_with(header, count);
    return 0;
}

} // namespace tblab::vfio_user
