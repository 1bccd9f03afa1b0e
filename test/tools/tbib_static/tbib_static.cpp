// SPDX-License-Identifier: Apache-2.0
// Static LIDs for direct neighbours: brings tbib up without the daemon, for tests of the
// module alone. Every link that comes up is authorised; LIDs follow the order of GUIDs.
//
//   tbib_static --auto [--guid GUID] [--once]     keep LIDs and routes as links come and go
//   tbib_static --lid N --peer GUID:LID...        just these
#include "userspace/nl/tbib.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace tbib;

struct Options {
    bool automatic = false;
    bool once = false;
    std::optional<Guid> guid;
    Lid lid = 0;
    std::vector<std::pair<Guid, Lid>> peers;
};

[[noreturn]] void usage()
{
    std::fputs("usage: tbib_static --auto [--guid GUID] [--once]\n"
               "       tbib_static --lid N --peer GUID:LID...\n", stderr);
    std::exit(2);
}

// "GUID:LID"; the GUID may have colons itself
std::pair<Guid, Lid> parse_peer(const std::string& text)
{
    auto at = text.rfind(':');
    if (at == std::string::npos)
        usage();
    auto guid = parse_guid(text.substr(0, at));
    int lid = std::atoi(text.c_str() + at + 1);
    if (!guid || lid < 1 || lid > kLidMax)
        usage();
    return {*guid, static_cast<Lid>(lid)};
}

Options parse(int argc, char** argv)
{
    Options o;
    for (int i = 1; i < argc; i++) {
        std::string a = argv[i];
        auto value = [&]() -> std::string {
            if (++i == argc)
                usage();
            return argv[i];
        };
        if (a == "--auto") {
            o.automatic = true;
        } else if (a == "--once") {
            o.once = true;
        } else if (a == "--guid") {
            if (!(o.guid = parse_guid(value())))
                usage();
        } else if (a == "--lid") {
            o.lid = static_cast<Lid>(std::atoi(value().c_str()));
        } else if (a == "--peer") {
            o.peers.push_back(parse_peer(value()));
        } else {
            usage();
        }
    }
    if (o.automatic == (o.lid != 0))
        usage();
    return o;
}

// A locally administered MAC that differs between guests of one image: FNV-1a of host
// name and boot id, for their firmware says the same of all.
Guid random_guid()
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    std::string seed = host, boot;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
    seed += boot;
    uint64_t h = 0xcbf29ce484222325;
    for (unsigned char c : seed)
        h = (h ^ c) * 0x100000001b3;
    Mac mac{0x02};
    for (int i = 1; i < 6; i++)
        mac[i] = static_cast<uint8_t>(h >> (8 * i));
    return guid_from_mac(mac);
}

std::vector<nl::Link> up_links(nl::TbibClient& client)
{
    auto links = client.links();
    std::erase_if(links, [](const nl::Link& l) { return l.state != nl::LinkState::Up; });
    return links;
}

// One LID per node: what was given, else the place in the order of GUIDs.
std::vector<std::pair<Guid, Lid>> choose_lids(const Options& o, Guid self, const std::vector<nl::Link>& links)
{
    if (!o.automatic) {
        auto lids = o.peers;
        lids.emplace_back(self, o.lid);
        return lids;
    }
    std::vector<Guid> guids{self};
    for (const auto& l : links)
        guids.push_back(l.peer);
    std::sort(guids.begin(), guids.end());
    guids.erase(std::unique(guids.begin(), guids.end()), guids.end());
    std::vector<std::pair<Guid, Lid>> lids;
    for (const auto& g : guids)
        lids.emplace_back(g, static_cast<Lid>(lids.size() + 1));
    return lids;
}

nl::RouteTable make_routes(const std::vector<std::pair<Guid, Lid>>& lids, const nl::Node& node,
                           const std::vector<nl::Link>& links)
{
    nl::RouteTable table;
    for (const auto& [guid, lid] : lids) {
        nl::Route r;
        r.guid = guid;
        r.lid = lid;
        r.via = guid;
        if (guid == node.guid) {
            r.epoch = node.epoch;
            for (const auto& l : links)
                r.mcast.push_back(l.peer);
            std::sort(r.mcast.begin(), r.mcast.end());
            r.mcast.erase(std::unique(r.mcast.begin(), r.mcast.end()), r.mcast.end());
            table.routes.push_back(r);
            continue;
        }
        for (const auto& l : links)
            if (l.peer == guid)
                r.epoch = l.peer_epoch;
        if (r.epoch)
            table.routes.push_back(r);
    }
    std::sort(table.routes.begin(), table.routes.end(),
              [](const nl::Route& a, const nl::Route& b) { return a.guid < b.guid; });
    return table;
}

// Return: true when a neighbour is routed
bool step(nl::TbibClient& client, const Options& o, nl::RouteTable& last)
{
    auto links = up_links(client);
    for (const auto& l : links)
        if (!l.authorised)
            client.authorise(l.id, true);
    auto node = client.node();
    auto lids = choose_lids(o, node.guid, links);
    for (const auto& [guid, lid] : lids)
        if (guid == node.guid && lid != node.lid && !links.empty())
            client.set_lid(lid);
    auto table = make_routes(lids, node, links);
    if (table.routes != last.routes) {
        table.generation = last.generation + 1;
        client.set_routes(table);
        last = table;
        for (const auto& r : table.routes)
            std::printf("%s lid %u\n", to_string(r.guid).c_str(), r.lid);
        std::fflush(stdout);
    }
    return table.routes.size() > 1;
}

}  // namespace

int main(int argc, char** argv)
{
    Options o = parse(argc, argv);
    try {
        nl::TbibClient client;
        if (o.automatic && !o.guid)
            o.guid = random_guid();
        if (o.guid)
            client.set_guid(*o.guid);
        nl::RouteTable last;
        for (;;) {
            try {
                if (step(client, o, last) && o.once)
                    return 0;
            } catch (const nl::Error& e) {
                // links come and go between two requests
                std::fprintf(stderr, "tbib_static: %s\n", e.what());
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
        }
    } catch (const std::exception& e) {
        std::fprintf(stderr, "tbib_static: %s\n", e.what());
        return 1;
    }
}
