// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/guest.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "test/lab/guest/tsc.hpp"

namespace tblab {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::string slurp(const fs::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string last_lines(const std::string& text, unsigned lines)
{
    auto begin = text.size();
    for (unsigned n = 0; n <= lines && begin > 0; ++n) {
        const auto newline = text.rfind('\n', begin - 1);
        begin = newline == std::string::npos ? 0 : newline;
    }
    return begin == 0 ? text : text.substr(begin + 1);
}

std::string join(const std::vector<std::string>& words, char separator)
{
    std::string result;
    for (const auto& word : words) {
        result += (result.empty() ? "" : std::string(1, separator)) + word;
    }
    return result;
}

std::string quoted_json(const fs::path& path)
{
    return nlohmann::json(path.string()).dump();
}

/**
 * A virtual machine's threads that play hardware (interrupts, DMA windows) do not wait behind the
 * processors of other machines. Not vital: who may not raise priorities goes without.
 */
void favour_devices(pid_t pid)
{
    std::error_code ec;
    for (const auto& thread : fs::directory_iterator(fmt::format("/proc/{}/task", pid), ec)) {
        if (slurp(thread.path() / "comm").rfind("CPU ", 0) != 0) {
            setpriority(PRIO_PROCESS, static_cast<id_t>(std::stoul(thread.path().filename())), -10);
        }
    }
}

} // namespace

Guest::Guest(const Image& image, GuestConfig config) : image_(image), config_(std::move(config))
{}

Guest::~Guest() = default;

fs::path Guest::socket(const char* what) const
{
    return config_.directory / (config_.name + "." + what);
}

std::vector<std::string> Guest::command_line() const
{
    const std::string id = fmt::format("74626c61620000000000{:012x}", config_.index + 1);
    const std::string uuid = fmt::format("74626c61-6200-0000-0000-{:012x}", config_.index + 1);
    // On a busy host an emulated timer is late: the kernel must neither panic about it at boot
    // (no_timer_check), nor give the TSC up for a clock that traps at each reading
    // (tsc=reliable), nor measure by it how fast the TSC runs (tsc_early_khz): guests have been
    // seen whose time ran five times too fast.
    std::string append = fmt::format(
        "console=ttyS0 quiet log_buf_len=8M panic=0 mitigations=off cryptomgr.notests no_timer_check "
        "tsc=reliable tblab.host={} tblab.id={} tblab.boot={}",
        config_.name, id, config_.boot == Boot::fast ? "fast" : "systemd");
    if (const unsigned long khz = tsc_khz()) {
        append += fmt::format(" tsc_early_khz={}", khz);
    }
    if (!config_.modules.empty()) {
        append += " tblab.modules=" + join(config_.modules, ',');
    }
    if (!config_.append.empty()) {
        append += " " + config_.append;
    }
    std::vector<std::string> argv{
        image_.qemu(), "-name", config_.name, "-uuid", uuid, "-no-user-config", "-nodefaults",
        "-display", "none",
        // The emulated router reads and writes guest memory, so it must be a file that can be
        // shared.
        "-machine", "q35,memory-backend=ram", "-object",
        fmt::format("memory-backend-memfd,id=ram,size={}M,share=on", config_.memory_mib), "-m",
        fmt::format("{}M", config_.memory_mib),
        // qemu64 because emulating wide vectors and five-level page tables makes -cpu max half
        // as fast; rdrand so that the kernel need not gather entropy.
        "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand", "-smp",
        std::to_string(config_.cpus),
        // A file takes all that the console says at once: an unread socket would block the
        // guest in printk.
        "-serial", "file:" + console_log().string(), "-qmp",
        fmt::format("unix:{},server=on,wait=off", socket("qmp").string()), "-kernel",
        config_.kernel.vmlinuz, "-initrd", config_.kernel.initrd, "-append", append, "-drive",
        fmt::format("if=none,id=root,format=raw,readonly=on,file={}",
                    image_.root_disk().string()),
        "-device", "virtio-blk-pci,drive=root,serial=root", "-device", "virtio-serial-pci",
        "-chardev",
        fmt::format("socket,id=agent,path={},server=on,wait=off", socket("agent").string()),
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0", "-chardev",
        fmt::format("socket,id=shell,path={},server=on,wait=off", shell_socket().string()),
        "-device", "virtconsole,chardev=shell"};
    if (!config_.extra_disk.empty()) {
        argv.insert(argv.end(), {"-drive",
                                 fmt::format("if=none,id=extra,format=raw,readonly=on,file={}",
                                             config_.extra_disk.string()),
                                 "-device", "virtio-blk-pci,drive=extra,serial=extra"});
    }
    if (!config_.nhi_socket.empty()) {
        argv.insert(argv.end(),
                    {"-device", fmt::format(R"({{"driver":"vfio-user-pci","socket":)"
                                            R"({{"type":"unix","path":{}}}}})",
                                            quoted_json(config_.nhi_socket))});
    }
    return argv;
}

void Guest::start()
{
    kill();
    std::error_code ignored;
    for (const auto* what : {"agent", "qmp", "shell", "console.log"}) {
        fs::remove(socket(what), ignored);
    }
    renew_agent();
    Process process(command_line(), config_.directory / (config_.name + ".qemu.log"));
    std::lock_guard lock(mutex_);
    process_ = std::move(process);
}

void Guest::kill()
{
    std::lock_guard lock(mutex_);
    process_.kill();
}

void Guest::stand_still(std::chrono::milliseconds time)
{
    std::unique_lock lock(mutex_);
    const pid_t pid = process_.pid();
    lock.unlock();
    if (pid <= 0) {
        throw LabError(name() + ": " + state());
    }
    ::kill(pid, SIGSTOP);
    std::this_thread::sleep_for(time);
    ::kill(pid, SIGCONT);
}

bool Guest::running() const
{
    std::lock_guard lock(mutex_);
    return process_.running();
}

std::shared_ptr<GuestAgent> Guest::agent() const
{
    std::lock_guard lock(mutex_);
    if (!agent_) {
        throw LabError(config_.name + " was not started");
    }
    return agent_;
}

void Guest::renew_agent()
{
    auto agent = std::make_shared<GuestAgent>(socket("agent"));
    std::lock_guard lock(mutex_);
    agent_ = std::move(agent);
}

std::string Guest::state() const
{
    if (!running()) {
        return "QEMU is not running: " +
               last_lines(slurp(config_.directory / (config_.name + ".qemu.log")), 2);
    }
    const auto said = console();
    if (const auto at = said.find("Kernel panic"); at != std::string::npos) {
        return said.substr(at, said.find_first_of("\r\n", at) - at);
    }
    return "console says: " + last_lines(said, 1);
}

void Guest::wait_ready(std::chrono::milliseconds timeout)
{
    const auto deadline = Clock::now() + timeout;
    while (running() && Clock::now() < deadline) {
        if (agent()->sync(std::min<std::chrono::milliseconds>(
                1s, std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now())))) {
            favour_devices(process_.pid());
            return;
        }
        if (console().find("Kernel panic") != std::string::npos) {
            break;
        }
    }
    throw LabError(name() + " did not boot; " + state());
}

void Guest::reset()
{
    JsonSocket monitor;
    const auto deadline = Clock::now() + 10s;
    if (!monitor.connect(socket("qmp"))) {
        throw LabError(name() + ": no connection to QEMU's monitor");
    }
    bool greeted = false;
    while (auto message = monitor.receive(deadline)) {
        if (message->contains("QMP")) {
            monitor.send({{"execute", "qmp_capabilities"}});
            monitor.send({{"execute", "system_reset"}, {"id", "reset"}});
            greeted = true;
        } else if (message->value("id", "") == "reset") {
            renew_agent();
            return;
        }
    }
    throw LabError(name() +
                   (greeted ? ": QEMU did not reset" : ": QEMU's monitor does not answer"));
}

CommandResult Guest::finish(long pid, const std::string& command,
                            std::chrono::milliseconds timeout)
{
    const auto deadline = Clock::now() + timeout;
    CommandResult result;
    // Each question costs the guest some milliseconds of its one CPU, so a long command is
    // asked less often.
    for (auto pause = 5ms; !agent()->finished(pid, result);
         pause = std::min<std::chrono::milliseconds>(2 * pause, 250ms)) {
        if (Clock::now() > deadline || !running()) {
            throw LabError(fmt::format("{}: '{}' did not finish in {:.1f} s; {}", name(),
                                       command, std::chrono::duration<double>(timeout).count(),
                                       state()));
        }
        std::this_thread::sleep_for(pause);
    }
    return result;
}

CommandResult Guest::run(const std::string& command, std::chrono::milliseconds timeout)
{
    if (!running()) {
        throw LabError(name() + ": " + state());
    }
    // timeout(1) ends the whole process group in the guest; ours is later, so that it can.
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(timeout).count();
    const auto result =
        finish(agent()->exec({"/usr/bin/timeout", "-k", "1", std::to_string(seconds), "/bin/sh",
                              "-c", command}),
               command, timeout + 15s);
    if (result.rc == 124) { // timeout(1)'s own exit code
        throw LabError(fmt::format("{}: '{}' took longer than {} s\n{}{}", name(), command,
                                   seconds, result.out, result.err));
    }
    return result;
}

std::string Guest::must(const std::string& command, std::chrono::milliseconds timeout)
{
    auto result = run(command, timeout);
    if (!result.ok()) {
        throw LabError(fmt::format("{}: '{}' failed with {}\n{}{}", name(), command, result.rc,
                                   result.out, result.err));
    }
    return std::move(result.out);
}

Job Guest::start(const std::string& command)
{
    if (!running()) {
        throw LabError(name() + ": " + state());
    }
    return {*this, agent()->exec({"/usr/bin/setsid", "/bin/sh", "-c", command}), command};
}

CommandResult Job::wait(std::chrono::milliseconds timeout)
{
    if (!done_) {
        result_ = guest_->finish(pid_, command_, timeout);
        done_ = true;
    }
    return result_;
}

bool Job::running()
{
    done_ = done_ || guest_->agent()->finished(pid_, result_);
    return !done_;
}

void Job::kill()
{
    if (running()) {
        guest_->run("kill -s KILL -- -" + std::to_string(pid_));
    }
}

void Guest::put_file(const fs::path& local, const std::string& remote)
{
    struct stat status {};
    if (stat(local.c_str(), &status) < 0 || !S_ISREG(status.st_mode)) {
        throw LabError(local.string() + " is no file");
    }
    std::string target = remote;
    if (run("test -d '" + remote + "'").ok()) {
        target += "/" + local.filename().string();
    }
    agent()->write_file(target, slurp(local));
    must(fmt::format("chmod {:o} '{}'", status.st_mode & 07777U, target));
}

void Guest::get_file(const std::string& remote, const fs::path& local)
{
    const auto content = agent()->read_file(remote);
    const auto target = fs::is_directory(local) ? local / fs::path(remote).filename() : local;
    std::ofstream file(target, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!file.flush()) {
        throw LabError("cannot write " + target.string());
    }
}

std::string Guest::console() const
{
    return slurp(console_log());
}

std::string Guest::console_tail(unsigned lines) const
{
    return last_lines(console(), lines);
}

std::string Guest::dmesg(unsigned lines)
{
    try {
        return run("dmesg | tail -n " + std::to_string(lines), 10s).out;
    } catch (const std::exception& error) {
        return std::string("no kernel log: ") + error.what() + "\n";
    }
}

} // namespace tblab
