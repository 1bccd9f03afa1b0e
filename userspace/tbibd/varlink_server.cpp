// SPDX-License-Identifier: Apache-2.0
#include "tbibd/varlink_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace tbib {

namespace {

using nlohmann::json;

constexpr size_t kMaxRequest = 65536;
constexpr size_t kMaxReply = 4 << 20;
constexpr size_t kMaxConnections = 32;

constexpr const char* kServiceDescription = R"(# The Varlink Service Interface
interface org.varlink.service
method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error InvalidParameter (parameter: string)
)";

VarlinkReply failure(const char* error, const char* key, const std::string& value)
{
    return {json{{key, value}}, std::string("org.varlink.service.") + error};
}

[[noreturn]] void fail(const std::string& what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

VarlinkService::VarlinkService(std::string interface, std::string description, std::string version)
    : interface_(std::move(interface)), description_(std::move(description)),
      version_(std::move(version))
{
    methods_["org.varlink.service.GetInfo"] = [this](const json&) {
        return VarlinkReply{{{"vendor", "tbib"},
                             {"product", "tbibd"},
                             {"version", version_},
                             {"url", "https://varlink.org/io.tbib"},
                             {"interfaces", {"org.varlink.service", interface_}}},
                            ""};
    };
    methods_["org.varlink.service.GetInterfaceDescription"] = [this](const json& p) {
        const auto it = p.find("interface");
        if (it == p.end() || !it->is_string())
            return failure("InvalidParameter", "parameter", "interface");
        const std::string name = *it;
        if (name == interface_)
            return VarlinkReply{{{"description", description_}}, ""};
        if (name == "org.varlink.service")
            return VarlinkReply{{{"description", kServiceDescription}}, ""};
        return failure("InterfaceNotFound", "interface", name);
    };
}

void VarlinkService::add(const std::string& method, VarlinkMethod f)
{
    methods_[interface_ + "." + method] = std::move(f);
}

std::optional<std::string> VarlinkService::handle(std::string_view request) const
{
    const json j = json::parse(request.begin(), request.end(), nullptr, false);
    if (!j.is_object() || !j.contains("method") || !j["method"].is_string())
        return std::nullopt;
    const std::string name = j["method"];
    json parameters = j.value("parameters", json::object());
    VarlinkReply reply;
    const auto it = methods_.find(name);
    if (parameters.is_null())
        parameters = json::object();
    if (!parameters.is_object())
        reply = failure("InvalidParameter", "parameter", "parameters");
    else if (it != methods_.end())
        reply = it->second(parameters);
    else if (name.rfind(interface_ + ".", 0) == 0 || name.rfind("org.varlink.service.", 0) == 0)
        reply = failure("MethodNotFound", "method", name);
    else
        reply = failure("InterfaceNotFound", "interface", name.substr(0, name.rfind('.')));
    if (j.contains("oneway") && j["oneway"] == true)
        return "";
    json out = {{"parameters", reply.parameters}};
    if (!reply.error.empty())
        out["error"] = reply.error;
    return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct VarlinkServer::Connection {
    VarlinkServer* server = nullptr;
    int fd = -1;
    sd_event_source* source = nullptr;
    std::string in, out;

    bool feed()
    {
        size_t end;
        while ((end = in.find('\0')) != std::string::npos) {
            const auto reply = server->service_.handle(std::string_view(in).substr(0, end));
            in.erase(0, end + 1);
            if (!reply)
                return false;
            if (!reply->empty())
                out += *reply + '\0';
            if (out.size() > kMaxReply)
                return false;
        }
        return in.size() <= kMaxRequest;
    }

    bool flush()
    {
        while (!out.empty()) {
            const ssize_t n = send(fd, out.data(), out.size(), MSG_NOSIGNAL);
            if (n < 0)
                return errno == EAGAIN || errno == EINTR;
            out.erase(0, static_cast<size_t>(n));
        }
        return true;
    }
};

VarlinkServer::VarlinkServer(sd_event* event, const std::string& path,
                             const VarlinkService& service)
    : event_(event), path_(path), service_(service)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(path);
    }
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0)
        fail("socket");
    unlink(path.c_str());
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
        chmod(path.c_str(), 0666) < 0 || listen(fd_, 16) < 0) {
        const int code = errno;
        ::close(fd_);
        errno = code;
        fail(path);
    }
    sd_event_add_io(event_, &source_, fd_, EPOLLIN, on_accept, this);
}

VarlinkServer::~VarlinkServer()
{
    while (!connections_.empty())
        close(connections_.begin()->second.get());
    sd_event_source_unref(source_);
    ::close(fd_);
    unlink(path_.c_str());
}

void VarlinkServer::close(Connection* c)
{
    sd_event_source_disable_unref(c->source);
    ::close(c->fd);
    connections_.erase(c->fd);
}

int VarlinkServer::on_accept(sd_event_source*, int fd, uint32_t, void* user)
{
    auto* self = static_cast<VarlinkServer*>(user);
    const int client = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return 0;
    if (self->connections_.size() >= kMaxConnections) {
        ::close(client);
        return 0;
    }
    auto c = std::make_unique<Connection>();
    c->server = self;
    c->fd = client;
    sd_event_add_io(self->event_, &c->source, client, EPOLLIN, on_data, c.get());
    self->connections_[client] = std::move(c);
    return 0;
}

int VarlinkServer::on_data(sd_event_source*, int fd, uint32_t revents, void* user)
{
    auto* c = static_cast<Connection*>(user);
    bool good = true;
    if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        char buf[8192];
        const ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n > 0)
            c->in.append(buf, static_cast<size_t>(n));
        else
            good = n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    good = good && c->feed() && c->flush();
    if (!good) {
        c->server->close(c);
        return 0;
    }
    // A reader that does not read must not make us read on.
    sd_event_source_set_io_events(c->source, c->out.empty() ? EPOLLIN : EPOLLOUT);
    return 0;
}

}  // namespace tbib
