// SPDX-License-Identifier: Apache-2.0
// The engine's world as it really is: the module by generic netlink, tbib0 by
// rtnetlink.
#pragma once

#include "tbibd/addresses.hpp"
#include "tbibd/engine.hpp"

#include <memory>

namespace tbib {

/// All methods log what fails and remember it: failed() asks for a new start.
class KernelWorld : public World {
public:
    /// Connects to the module and becomes its manager. Throws nl::Error.
    void connect();
    void disconnect();
    bool connected() const { return manager_ != nullptr; }
    int fd() const { return manager_->fd(); }
    nl::TbibClient& client() { return *client_; }
    nl::TbibManager& manager() { return *manager_; }

    /// Something could not be done since the last call; clears the flag.
    bool take_failed();
    /// Interface to which set_network() applies; 0 = none.
    void set_interface(uint32_t ifindex) { ifindex_ = ifindex; }
    /// Routes of other interfaces that collide with the configured prefixes.
    std::vector<Collision> collisions(const Config& config);

    void send(uint32_t link, const std::string& datagram) override;
    void authorise(uint32_t link, bool yes) override;
    void set_lid(Lid lid) override;
    void set_routes(const nl::RouteTable& table) override;
    void set_network(const NetworkPlan& plan) override;

private:
    template <typename F>
    void attempt(const char* what, F f);
    std::unique_ptr<nl::TbibClient> client_;
    std::unique_ptr<nl::TbibManager> manager_;
    nl::Rtnl rtnl_;
    uint32_t ifindex_ = 0;
    bool failed_ = false;
};

}  // namespace tbib
