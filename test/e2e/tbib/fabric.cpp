// SPDX-License-Identifier: Apache-2.0
#include "test/e2e/tbib/fabric.hpp"

#include <cstdlib>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "test/e2e/stock_network.hpp"

namespace e2e {

namespace fs = std::filesystem;
using tblab::LabError;

namespace {

/** Folder of a data file of this test, given by Bazel's runfiles (the test's working folder). */
void copy_in(const fs::path& from, const fs::path& to) {
    if (!fs::exists(from)) {
        throw LabError("missing test data: " + from.string());
    }
    fs::copy_file(fs::canonical(from), to, fs::copy_options::overwrite_existing);
    fs::permissions(to, fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read);
}

fs::path make_tree() {
    std::string pattern = (fs::temp_directory_path() / "tbib-e2e.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
        throw LabError("cannot make a temporary folder");
    }
    const fs::path tree(pattern);
    copy_in("module/tbib-6.12/tbib.ko", tree / "tbib-6.12.ko");
    copy_in("module/tbib-7.3/tbib.ko", tree / "tbib-7.3.ko");
    copy_in("test/module/rawring/tbib_rawring-6.12/tbib_rawring.ko", tree / "tbib_rawring-6.12.ko");
    copy_in("test/module/rawring/tbib_rawring-7.3/tbib_rawring.ko", tree / "tbib_rawring-7.3.ko");
    copy_in("test/e2e/tbib/tbibd", tree / "tbibd");
    copy_in("test/e2e/tbib/tbibctl", tree / "tbibctl");
    copy_in("test/tools/verbs_check", tree / "verbs_check");
    copy_in("test/tools/verbs_group", tree / "verbs_group");
    return tree;
}

std::vector<std::string> modules(const FabricOptions& o) {
    std::vector<std::string> m{"thunderbolt"};
    if (o.stock_net) {
        m.emplace_back("thunderbolt_net");
    }
    return m;
}

} // namespace

std::vector<FabricOptions> matrix() {
    std::vector<FabricOptions> out;
    for (const char* kernel : {"stable", "newest"}) {
        for (const char* preset : {"intel", "strix"}) {
            for (const bool net : {false, true}) {
                FabricOptions o;
                o.kernel = kernel;
                o.preset = preset;
                o.stock_net = net;
                if (preset == std::string("intel") && net) {
                    o.router_version = 1;
                }
                out.push_back(o);
            }
        }
    }
    return out;
}

std::string name(const FabricOptions& o) {
    return fmt::format("{} kernel, preset {}, router v{}{}", o.kernel, o.preset, o.router_version,
                       o.stock_net ? ", thunderbolt_net beside" : "");
}

bool all() {
    const char* v = std::getenv("TBIB_TEST_ALL");
    return v != nullptr && *v == '1';
}

Fabric::Fabric(FabricOptions options) : options_(std::move(options)), tree_(make_tree()) {
    tblab::LabOptions o;
    o.hosts = options_.hosts;
    o.topology = options_.topology;
    o.preset = options_.preset;
    o.router_version = options_.router_version;
    o.kernel = options_.kernel;
    o.modules = modules(options_);
    o.cpus = options_.cpus;
    o.extra_tree = tree_;
    o.plugged = options_.plugged;
    lab_ = std::make_unique<tblab::Lab>(o);
    lab_->wait_ready();
    for (unsigned i = 0; i < options_.hosts; ++i) {
        load_module(i);
        if (options_.daemon) {
            start_daemon(i);
        }
    }
    if (!options_.plugged || !options_.daemon) {
        return;
    }
    if (!wait_active()) {
        throw LabError("tbib0 did not become ACTIVE\n" + lab_->report());
    }
    // Addresses come a moment after the routes.
    for (unsigned i = 1; i < options_.hosts; ++i) {
        if (!wait_ping(this->host(0), address(i))) {
            throw LabError("no ping from h0 to h" + std::to_string(i) + "\n" + lab_->report());
        }
    }
}

Fabric::~Fabric() {
    lab_.reset();
    std::error_code ec;
    fs::remove_all(tree_, ec);
}

void Fabric::load_module(unsigned host) {
    this->host(host).must("k=/opt/tbib/tbib-$(uname -r | cut -d. -f1,2).ko; "
                          "modprobe -a $(modinfo -F depends $k | tr , ' ') && insmod $k && "
                          "modprobe -a ib_uverbs rdma_ucm"); // as udev does for a new device
}

void Fabric::start_daemon(unsigned host, const std::string& arguments) {
    this->host(host).must("mkdir -p /run/tbib; setsid /opt/tbib/tbibd --no-modprobe " + arguments +
                          " </dev/null >>/run/tbib/log 2>&1 & echo $! >/run/tbib/pid");
}

std::string Fabric::port_state(unsigned host) {
    return this->host(host)
        .run("rdma link show tbib0/1 2>/dev/null | sed -n 's/.* state \\([A-Z]*\\) .*/\\1/p' | tr -d '\\n'")
        .out;
}

bool Fabric::wait_active(std::chrono::milliseconds timeout) {
    return tblab::eventually(
        [this] {
            for (unsigned i = 0; i < options_.hosts; ++i) {
                if (port_state(i) != "ACTIVE") {
                    return false;
                }
            }
            return true;
        },
        timeout);
}

std::string Fabric::address(unsigned host, int family) {
    const std::string command = fmt::format(
        "ip -{} -o addr show dev tbib0 scope global | sed -n 's,.* inet6\\? \\([^/ ]*\\)/.*,\\1,p' | head -n 1 | tr -d '\\n'",
        family);
    std::string out;
    if (!tblab::eventually([&] { return !(out = this->host(host).run(command).out).empty(); })) {
        throw LabError(this->host(host).name() + ": tbib0 has no address\n" +
                       this->host(host).run("cat /run/tbib/log; ip addr").out);
    }
    return out;
}

std::string Fabric::pair(const std::string& server, const std::string& client,
                         std::chrono::milliseconds timeout, unsigned server_host,
                         unsigned client_host) {
    std::string command = client;
    const auto at = command.find('@');
    if (at != std::string::npos) {
        command.replace(at, 1, address(server_host));
    }
    auto job = host(server_host).start(server);
    // The server listens when it has started; its port is not known here.
    tblab::eventually([&] { return !job.running() || host(server_host).run("ss -Htln | grep -q .").rc == 0; },
                      std::chrono::seconds(5), std::chrono::milliseconds(50));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const auto result = host(client_host).run(command, timeout);
    if (result.rc != 0) {
        job.kill();
        throw LabError(fmt::format("'{}' ended with {}\n{}\n{}", command, result.rc, result.out, result.err));
    }
    const auto other = job.wait(std::chrono::seconds(20));
    if (other.rc != 0) {
        throw LabError(fmt::format("'{}' ended with {}\n{}\n{}", server, other.rc, other.out, other.err));
    }
    return result.out;
}

unsigned long long Fabric::counter(unsigned host, const std::string& name) {
    const auto out = this->host(host).must("cat /sys/class/infiniband/tbib0/ports/1/hw_counters/" + name);
    return std::stoull(out);
}

std::string Fabric::complaints() {
    std::string out;
    for (unsigned i = 0; i < options_.hosts; ++i) {
        out += kernel_complaints(host(i));
    }
    return out;
}

namespace {

/** The last line of numbers of a perftest table, as words. */
std::vector<std::string> last_row(const std::string& text) {
    std::istringstream in(text);
    std::string line;
    std::vector<std::string> row;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::vector<std::string> v;
        std::string w;
        while (words >> w) {
            v.push_back(w);
        }
        if (v.size() >= 4 && v[0].find_first_not_of("0123456789") == std::string::npos) {
            row = v;
        }
    }
    if (row.empty()) {
        throw LabError("no table in:\n" + text);
    }
    return row;
}

} // namespace

double bandwidth_gbps(const std::string& text) {
    return std::stod(last_row(text).at(3));
}

double latency_us(const std::string& text) {
    return std::stod(last_row(text).at(4));
}

} // namespace e2e
