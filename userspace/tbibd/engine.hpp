// SPDX-License-Identifier: Apache-2.0
// The daemon's mind: links and link states in, authorisations, LID, routes and
// addresses out. No system call and no clock: time is an argument, the world
// is an interface, so many engines can be joined in one test.
#pragma once

#include "nl/rtnl.hpp"
#include "nl/tbib.hpp"
#include "tbibd/config.hpp"
#include "tbibd/inherited.hpp"
#include "tbibd/lsa.hpp"
#include "tbibd/routing.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tbib {

using Millis = std::chrono::milliseconds;

/// What tbib0 should have.
struct NetworkPlan {
    std::vector<IpPrefix> addresses;
    std::vector<nl::Neighbour> neighbours;
    bool operator==(const NetworkPlan&) const = default;
};

/// What the engine does to the world. Implementations report errors by
/// themselves; the engine repeats what has not happened at its next tick.
class World {
public:
    virtual ~World() = default;
    virtual void send(uint32_t link, const std::string& datagram) = 0;
    virtual void authorise(uint32_t link, bool yes) = 0;
    virtual void set_lid(Lid lid) = 0;
    virtual void set_routes(const nl::RouteTable& table) = 0;
    virtual void set_network(const NetworkPlan& plan) = 0;
};

/// A peer as status and doctor show it.
struct PeerStatus {
    Lsa lsa;
    Guid via;
    bool reachable = false;
};

/// Inputs change what the engine knows; settle() acts on all of it at once.
class Engine {
public:
    /// @p first_sequence: larger than what an earlier run of this node used
    /// (microseconds since 1970 will do).
    Engine(const Config& config, World& world, std::string name, uint64_t first_sequence);

    /// The module's state after (re)connecting to it. Routes that are there
    /// stay until the whole fabric has told what it knows (inherited.hpp).
    void start(const nl::Node& node, const std::vector<nl::Link>& links,
               const nl::RouteTable& routes, Millis now);
    void on_node(const nl::Node& node);
    void on_link(const nl::Link& link);
    void on_link_gone(uint32_t id);
    void on_datagram(uint32_t link, std::string_view data);
    /// Prefixes that collide with somebody else's routes are not used.
    void set_collisions(bool ipv4, bool ipv6);
    void reload(const Config& config);

    /// Acts on what changed. Call after each batch of inputs and each second.
    void settle(Millis now);

    const nl::Node& node() const { return node_; }
    const std::map<uint32_t, nl::Link>& links() const { return links_; }
    const Config& config() const { return config_; }
    const nl::RouteTable& routes() const { return programmed_; }
    const NetworkPlan& network() const { return plan_; }
    std::vector<PeerStatus> peers() const;
    uint64_t bad_datagrams() const { return bad_datagrams_; }

private:
    /// What was heard over a link.
    struct Ear {
        Millis open{0};       ///< since when it is usable
        bool spoken = false;  ///< the neighbour's daemon has said something
        bool warned = false;  ///< that it has not
    };

    bool allowed(const nl::Link& link) const;
    bool usable(const nl::Link& link) const;
    void authorise_links();
    void sync_new_links(Millis now);
    void originate();
    void flood(const Lsa& lsa, std::optional<uint32_t> except);
    void tell_all(uint32_t link);
    void receive(uint32_t link, const Lsa& lsa);
    void forget_unreachable(Millis now);
    void program(Millis now);
    NetworkPlan plan_network(const std::vector<nl::Route>& routes) const;
    void warn_of_silence(Millis now);

    Config config_;
    World& world_;
    std::string name_;
    uint64_t sequence_;
    nl::Node node_;
    std::map<uint32_t, nl::Link> links_;
    std::map<uint32_t, Ear> heard_;  ///< of usable links
    Lsdb db_;
    std::map<Guid, Millis> unreachable_since_;
    nl::RouteTable programmed_;
    NetworkPlan plan_;
    bool planned_ = false;
    bool ipv4_collides_ = false, ipv6_collides_ = false;
    InheritedRoutes inherited_;
    Millis next_refresh_{0};
    uint64_t bad_datagrams_ = 0;
};

}  // namespace tbib
