// SPDX-License-Identifier: Apache-2.0
// tbibd(8): the daemon of the tbib fabric.
#include "base/log.hpp"
#include "tbibd/app.hpp"
#include "tbibd/status.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>

namespace {

// sysexits.h names these; systemd shows them by name.
constexpr int kExitConfig = 78;

}  // namespace

int main(int argc, char** argv)
{
    CLI::App cli("Daemon of the tbib fabric: RDMA over Thunderbolt");
    tbib::AppOptions options;
    bool verbose = false, check = false, no_modprobe = false;
    auto* config = cli.add_option("-c,--config", options.config_path, "Configuration file");
    cli.add_option("--socket", options.socket_path, "Varlink socket");
    cli.add_flag("--no-modprobe", no_modprobe, "Do not load the kernel module");
    cli.add_flag("--check-config", check, "Read the configuration and exit");
    cli.add_flag("-v,--verbose", verbose, "Log more");
    cli.set_version_flag("--version", tbib::kVersion);
    CLI11_PARSE(cli, argc, argv);
    options.config_optional = config->empty();
    options.load_module = !no_modprobe;
    if (verbose)
        tbib::log::set_level(tbib::log::Level::Debug);
    try {
        if (check) {
            tbib::load_config(options.config_path, options.config_optional);
            return 0;
        }
        tbib::App app(options);
        return app.run();
    } catch (const tbib::ConfigError& e) {
        tbib::log::error("tbibd: {}", e.what());
        return kExitConfig;
    } catch (const std::exception& e) {
        tbib::log::error("tbibd: {}", e.what());
        return 1;
    }
}
