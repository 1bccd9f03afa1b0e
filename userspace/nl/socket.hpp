// SPDX-License-Identifier: Apache-2.0
// A netlink socket (libmnl) with requests, dumps and events.
#pragma once

#include <libmnl/libmnl.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tbib::nl {

/// The kernel refused a request; what() has its extended ack text if any.
class Error : public std::runtime_error {
public:
    Error(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
    int code() const { return code_; }  ///< positive errno

private:
    int code_;
};

/// A request being built in its own buffer.
class Request {
public:
    explicit Request(uint16_t type, uint16_t flags, size_t size = 16384);
    nlmsghdr* header() { return header_; }
    /// Space for a protocol header behind the netlink header, zeroed.
    template <typename T>
    T* extra()
    {
        return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
    }
    void put(uint16_t type, const void* data, size_t len) { check(len); mnl_attr_put(header_, type, len, data); }
    void put_u8(uint16_t type, uint8_t v) { put(type, &v, sizeof v); }
    void put_u16(uint16_t type, uint16_t v) { put(type, &v, sizeof v); }
    void put_u32(uint16_t type, uint32_t v) { put(type, &v, sizeof v); }
    void put_u64(uint16_t type, uint64_t v) { put(type, &v, sizeof v); }
    void put_str(uint16_t type, const std::string& s) { put(type, s.c_str(), s.size() + 1); }
    nlattr* nest(uint16_t type) { check(0); return mnl_attr_nest_start(header_, type); }
    void end(nlattr* nest) { mnl_attr_nest_end(header_, nest); }

private:
    void check(size_t len) const;
    std::vector<char> buffer_;
    nlmsghdr* header_;
};

using Handler = std::function<void(const nlmsghdr*)>;

/// Owns a socket. Single threaded. Errors from the system throw nl::Error.
class Socket {
public:
    explicit Socket(int bus);
    ~Socket();
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    int fd() const;
    void join(uint32_t group);
    /// Sends with NLM_F_ACK and waits for the answer; @p on gets data messages.
    void request(Request& r, const Handler& on = {});
    /// Reads what is there without blocking and hands each message to @p on.
    /// Return: false when messages were lost (ENOBUFS): dump again.
    bool drain(const Handler& on);

private:
    mnl_socket* socket_;
    uint32_t seq_ = 1;
};

}  // namespace tbib::nl
