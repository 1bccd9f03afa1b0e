// SPDX-License-Identifier: Apache-2.0
#include "tbibd/engine.hpp"

#include "base/log.hpp"
#include "tbibd/addresses.hpp"

#include <set>

namespace tbib {

namespace {

constexpr Millis kSilence{15000};   // then it is worth a warning
constexpr Millis kRefresh{10000};   // anti-entropy: datagrams may be dropped
constexpr Millis kForget{60000};    // unreachable nodes

bool contains(const std::optional<IpPrefix>& prefix, const IpAddress& ip)
{
    return prefix && ip &&
           overlaps(*prefix, IpPrefix{ip, static_cast<unsigned>(ip.size() * 8)});
}

}  // namespace

Engine::Engine(const Config& config, World& world, std::string name, uint64_t first_sequence)
    : config_(config), world_(world), name_(std::move(name)), sequence_(first_sequence)
{
}

void Engine::start(const nl::Node& node, const std::vector<nl::Link>& links,
                   const nl::RouteTable& routes, Millis now)
{
    node_ = node;
    links_.clear();
    heard_.clear();
    db_.clear();
    unreachable_since_.clear();
    planned_ = false;
    programmed_ = routes;
    for (const auto& l : links)
        on_link(l);
    inherited_.start(routes.routes, now);
    next_refresh_ = now + kRefresh;
}

void Engine::on_node(const nl::Node& node)
{
    if (node.ifindex != node_.ifindex)
        planned_ = false;
    node_ = node;
}

void Engine::on_link(const nl::Link& link)
{
    // Of a cable that was never up this is all that is heard when it goes.
    if (link.state == nl::LinkState::Down)
        on_link_gone(link.id);
    else
        links_[link.id] = link;
}

void Engine::on_link_gone(uint32_t id)
{
    links_.erase(id);
    heard_.erase(id);
}

void Engine::set_collisions(bool ipv4, bool ipv6)
{
    ipv4_collides_ = ipv4;
    ipv6_collides_ = ipv6;
}

void Engine::reload(const Config& config)
{
    config_ = config;
    planned_ = false;
}

bool Engine::allowed(const nl::Link& link) const
{
    return link.peer.value != 0 &&
           (config_.policy == Policy::Any || config_.known.count(link.peer));
}

bool Engine::usable(const nl::Link& link) const
{
    return link.state == nl::LinkState::Up && link.authorised;
}

void Engine::authorise_links()
{
    for (auto& [id, link] : links_) {
        const bool yes = allowed(link);
        if (link.state != nl::LinkState::Up || link.authorised == yes)
            continue;
        world_.authorise(id, yes);
        link.authorised = yes;
        log::write(log::Level::Notice,
                   fmt::format("link {} to {} ({}): {}", id, to_string(link.peer), link.peer_name,
                               yes ? "authorised" : "not authorised by policy"),
                   {{"TBIB_LINK", std::to_string(id)}, {"TBIB_PEER", to_string(link.peer)}});
    }
}

void Engine::sync_new_links(Millis now)
{
    for (const auto& [id, link] : links_) {
        if (!usable(link)) {
            heard_.erase(id);
        } else if (!heard_.count(id)) {
            heard_[id].open = now;
            world_.send(id, encode(Message{}));
            tell_all(id);
        }
    }
}

void Engine::warn_of_silence(Millis now)
{
    for (auto& [id, ear] : heard_) {
        if (ear.spoken || ear.warned || now - ear.open < kSilence)
            continue;
        ear.warned = true;
        const auto& link = links_.at(id);
        log::write(log::Level::Warning,
                   fmt::format("link {} to {} ({}): its tbibd says nothing{}", id,
                               to_string(link.peer), link.peer_name,
                               inherited_.empty() ? "" : ", routes over it stay as they were"),
                   {{"TBIB_LINK", std::to_string(id)}, {"TBIB_PEER", to_string(link.peer)}});
    }
}

void Engine::tell_all(uint32_t link)
{
    for (const auto& [guid, lsa] : db_)
        world_.send(link, encode({Message::Type::Lsa, lsa}));
}

void Engine::flood(const Lsa& lsa, std::optional<uint32_t> except)
{
    const std::string data = encode({Message::Type::Lsa, lsa});
    for (const auto& [id, heard] : heard_)
        if (id != except)
            world_.send(id, data);
}

void Engine::originate()
{
    Lsa mine;
    mine.origin = node_.guid;
    mine.epoch = node_.epoch;
    mine.name = name_;
    for (const auto& [id, link] : links_)
        if (usable(link) && (mine.neighbours.size() < kMaxNeighbours ||
                             mine.neighbours.count(link.peer)))
            mine.neighbours[link.peer] += link.speed_gbps * link.width;
    mine.lid = choose_lid(db_, node_.guid, node_.lid);
    if (!ipv4_collides_)
        mine.ipv4 = ipv4_address(config_, mine.lid);
    if (!ipv6_collides_)
        mine.ipv6 = ipv6_address(config_, node_.guid);
    if (mine.lid != node_.lid) {
        log::notice("LID {} -> {}", node_.lid, mine.lid);
        world_.set_lid(mine.lid);
        node_.lid = mine.lid;
    }
    const auto it = db_.find(node_.guid);
    if (it != db_.end() && it->second.same_state(mine))
        return;
    mine.sequence = ++sequence_;
    db_[node_.guid] = mine;
    flood(mine, std::nullopt);
}

void Engine::on_datagram(uint32_t link, std::string_view data)
{
    const auto l = links_.find(link);
    if (l == links_.end() || !usable(l->second))
        return;
    const auto m = decode(data);
    if (!m) {
        if (bad_datagrams_++ == 0)
            log::warning("link {}: malformed management datagram from {} (counted from now on)",
                         link, to_string(l->second.peer));
        return;
    }
    heard_[link].spoken = true;
    if (m->type == Message::Type::Sync)
        tell_all(link);
    else
        receive(link, m->lsa);
}

void Engine::receive(uint32_t link, const Lsa& lsa)
{
    const auto it = db_.find(lsa.origin);
    if (lsa.origin == node_.guid) {
        // An echo of an earlier run of ours that counted further.
        if (lsa.sequence > sequence_ && lsa.sequence < UINT64_MAX - 1) {
            sequence_ = lsa.sequence;
            db_.erase(node_.guid);
        }
        return;
    }
    if (it == db_.end() && db_.size() >= kMaxNodes)
        return;
    if (it != db_.end() && it->second.sequence >= lsa.sequence) {
        if (it->second.sequence > lsa.sequence)
            world_.send(link, encode({Message::Type::Lsa, it->second}));
        return;
    }
    if (it == db_.end())
        log::info("node {} ({}) LID {} heard of over link {}", to_string(lsa.origin), lsa.name,
                  lsa.lid, link);
    db_[lsa.origin] = lsa;
    flood(lsa, link);
}

void Engine::forget_unreachable(Millis now)
{
    const auto tree = shortest_path_tree(db_, node_.guid);
    for (auto it = db_.begin(); it != db_.end();) {
        const Guid g = it->first;
        if (g == node_.guid || tree.count(g)) {
            unreachable_since_.erase(g);
            ++it;
        } else if (now - unreachable_since_.try_emplace(g, now).first->second > kForget) {
            unreachable_since_.erase(g);
            it = db_.erase(it);
        } else {
            ++it;
        }
    }
}

NetworkPlan Engine::plan_network(const std::vector<nl::Route>& routes) const
{
    NetworkPlan plan;
    const auto own = db_.find(node_.guid);
    if (own == db_.end())
        return plan;
    if (own->second.ipv4)
        plan.addresses.push_back({own->second.ipv4, config_.ipv4->length});
    if (own->second.ipv6)
        plan.addresses.push_back({own->second.ipv6, config_.ipv6->length});
    for (const auto& r : routes) {
        if (r.guid == node_.guid)
            continue;
        // An inherited node has not spoken yet: the addresses that it has by rule.
        const auto it = db_.find(r.guid);
        const IpAddress ipv4 = it != db_.end() ? it->second.ipv4 : ipv4_address(config_, r.lid);
        const IpAddress ipv6 = it != db_.end() ? it->second.ipv6 : ipv6_address(config_, r.guid);
        const Mac mac = mac_from_guid(r.guid);
        if (contains(config_.ipv4, ipv4) && ipv4 != own->second.ipv4)
            plan.neighbours.push_back({ipv4, mac});
        if (contains(config_.ipv6, ipv6) && ipv6 != own->second.ipv6)
            plan.neighbours.push_back({ipv6, mac});
    }
    return plan;
}

void Engine::program(Millis now)
{
    Lsdb db = db_;
    for (const auto& [id, link] : links_) {
        // The login knows a neighbour's epoch before its new link state comes.
        const auto it = db.find(link.peer);
        if (usable(link) && it != db.end() && link.peer_epoch)
            it->second.epoch = link.peer_epoch;
    }
    auto routes = inherited_.merge(compute_routes(db, node_.guid), db, node_.guid, now);
    const NetworkPlan plan = plan_network(routes);
    if (routes != programmed_.routes) {
        programmed_.routes = std::move(routes);
        programmed_.generation++;
        world_.set_routes(programmed_);
        log::info("routes: generation {}, {} node(s)", programmed_.generation,
                  programmed_.routes.size());
    }
    if (!planned_ || plan != plan_) {
        plan_ = plan;
        planned_ = true;
        world_.set_network(plan_);
    }
}

void Engine::settle(Millis now)
{
    authorise_links();
    originate();
    sync_new_links(now);
    forget_unreachable(now);
    if (now >= next_refresh_) {
        next_refresh_ = now + kRefresh;
        for (const auto& [id, heard] : heard_) {
            world_.send(id, encode(Message{}));
            world_.send(id, encode({Message::Type::Lsa, db_.at(node_.guid)}));
        }
    }
    program(now);
    warn_of_silence(now);
}

std::vector<PeerStatus> Engine::peers() const
{
    std::vector<PeerStatus> out;
    std::map<Guid, Guid> via;
    for (const auto& r : programmed_.routes)
        via[r.guid] = r.via;
    for (const auto& [guid, lsa] : db_) {
        if (guid == node_.guid)
            continue;
        PeerStatus p;
        p.lsa = lsa;
        p.reachable = via.count(guid) != 0;
        if (p.reachable)
            p.via = via[guid];
        out.push_back(std::move(p));
    }
    return out;
}

}  // namespace tbib
