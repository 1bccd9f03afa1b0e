// SPDX-License-Identifier: Apache-2.0
#include "tbibd/kernel_world.hpp"

#include "base/log.hpp"

#include <cerrno>

namespace tbib {

void KernelWorld::connect()
{
    auto client = std::make_unique<nl::TbibClient>();
    auto manager = std::make_unique<nl::TbibManager>();
    client_ = std::move(client);
    manager_ = std::move(manager);
    failed_ = false;
}

void KernelWorld::disconnect()
{
    manager_.reset();
    client_.reset();
}

bool KernelWorld::take_failed()
{
    return std::exchange(failed_, false);
}

template <typename F>
void KernelWorld::attempt(const char* what, F f)
{
    if (!client_)
        return;
    try {
        f();
    } catch (const nl::Error& e) {
        log::warning("{}: {}", what, e.what());
        failed_ = true;
    }
}

std::vector<Collision> KernelWorld::collisions(const Config& config)
{
    std::vector<Collision> out;
    attempt("reading routes", [&] { out = find_collisions(config, rtnl_.routes(), ifindex_); });
    return out;
}

void KernelWorld::send(uint32_t link, const std::string& datagram)
{
    // A link that went down a moment ago, or a full queue: the refresh repeats.
    try {
        if (manager_)
            manager_->send(link, datagram);
    } catch (const nl::Error& e) {
        log::debug("datagram to link {}: {}", link, e.what());
    }
}

void KernelWorld::authorise(uint32_t link, bool yes)
{
    attempt("authorising a link", [&] { client_->authorise(link, yes); });
}

void KernelWorld::set_lid(Lid lid)
{
    attempt("setting the LID", [&] { client_->set_lid(lid); });
}

void KernelWorld::set_routes(const nl::RouteTable& table)
{
    attempt("programming routes", [&] { client_->set_routes(table); });
}

void KernelWorld::set_network(const NetworkPlan& plan)
{
    if (!ifindex_)
        return;
    attempt("configuring tbib0", [&] {
        rtnl_.set_up(ifindex_);
        const auto addresses = difference(rtnl_.addresses(ifindex_), plan.addresses);
        for (const auto& a : addresses.remove)
            rtnl_.delete_address(ifindex_, a);
        for (const auto& a : addresses.add)
            rtnl_.add_address(ifindex_, a);
        const auto neighbours = difference(rtnl_.neighbours(ifindex_), plan.neighbours);
        for (const auto& n : neighbours.remove)
            rtnl_.delete_neighbour(ifindex_, n);
        for (const auto& n : neighbours.add)
            rtnl_.replace_neighbour(ifindex_, n);
    });
}

}  // namespace tbib
