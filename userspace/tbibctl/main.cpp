// SPDX-License-Identifier: Apache-2.0
// tbibctl(1): the person's tool.
#include "tbib_version.h"
#include "tbibctl/doctor.hpp"
#include "tbibctl/format.hpp"
#include "tbibctl/varlink_client.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>

namespace {

void print(const std::string& text)
{
    fwrite(text.data(), 1, text.size(), stdout);
}

int status(const std::string& socket, bool json)
{
    const auto s = tbib::varlink_call(socket, "io.tbib.GetStatus");
    print(json ? s.dump(2) + "\n" : tbib::format_status(s));
    return 0;
}

/// Exit status 1 when something is wrong, so that scripts can ask.
int doctor(const std::string& socket)
{
    const auto findings = tbib::diagnose(tbib::collect(socket));
    print(tbib::format_findings(findings));
    for (const auto& f : findings)
        if (f.level == tbib::Finding::Level::Problem)
            return 1;
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    CLI::App cli("The tbib fabric as this host sees it");
    std::string socket = "/run/tbib/io.tbib";
    bool json = false;
    cli.add_option("--socket", socket, "Varlink socket of tbibd");
    cli.set_version_flag("--version", TBIB_VERSION);
    cli.require_subcommand(1);
    auto* status_cmd = cli.add_subcommand("status", "Port, links, nodes, addresses");
    status_cmd->add_flag("--json", json, "As JSON");
    cli.add_subcommand("doctor", "Say whether RDMA is usable, and if not, why");
    CLI11_PARSE(cli, argc, argv);
    try {
        return status_cmd->parsed() ? status(socket, json) : doctor(socket);
    } catch (const std::exception& e) {
        fprintf(stderr, "tbibctl: %s\n", e.what());
        return 1;
    }
}
