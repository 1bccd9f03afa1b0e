// SPDX-License-Identifier: Apache-2.0
#include "test/lab/cli/commands.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv)
{
    CLI::App app{"A virtual Thunderbolt lab: virtual machines with stock kernels, joined by "
                 "emulated USB4 host\n"
                 "routers and cables. Hosts and cables are numbered from 0."};
    app.name("tblab");
    app.require_subcommand(0, 1);
    app.set_help_all_flag("--help-all", "Help of all commands");
    tblab::Commands commands(app);
    try {
        app.parse(argc, argv);
        return commands.run();
    } catch (const CLI::Success& success) {
        return app.exit(success);
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "tblab: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "tblab: %s\n", error.what());
        return 1;
    }
}
