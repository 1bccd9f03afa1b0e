// SPDX-License-Identifier: Apache-2.0
// A small Varlink service: JSON and a NUL byte over a Unix stream socket.
#pragma once

#include <nlohmann/json.hpp>
#include <systemd/sd-event.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace tbib {

/// What a method answers: parameters, or the name of an error and its parameters.
struct VarlinkReply {
    nlohmann::json parameters = nlohmann::json::object();
    std::string error;
};

using VarlinkMethod = std::function<VarlinkReply(const nlohmann::json& parameters)>;

/// Pure dispatcher: one request text to one reply text ("" for one-way calls).
class VarlinkService {
public:
    /// @p description: the interface in Varlink's definition language.
    VarlinkService(std::string interface, std::string description, std::string version);
    void add(const std::string& method, VarlinkMethod f);
    /// Return: nullopt when the request is not JSON: the connection is closed.
    std::optional<std::string> handle(std::string_view request) const;

private:
    std::string interface_, description_, version_;
    std::map<std::string, VarlinkMethod> methods_;
};

/// Listens on a path; at most 32 connections, 64 KiB of unread request each.
class VarlinkServer {
public:
    /// Throws std::system_error.
    VarlinkServer(sd_event* event, const std::string& path, const VarlinkService& service);
    ~VarlinkServer();

private:
    struct Connection;
    static int on_accept(sd_event_source*, int fd, uint32_t, void* self);
    static int on_data(sd_event_source*, int fd, uint32_t revents, void* connection);
    void close(Connection* c);

    sd_event* event_;
    std::string path_;
    const VarlinkService& service_;
    int fd_ = -1;
    sd_event_source* source_ = nullptr;
    std::map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace tbib
