// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/guest/agent.hpp"
#include "test/lab/guest/error.hpp"
#include "test/lab/guest/image.hpp"
#include "test/lab/guest/process.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tblab {

/** How far a guest starts. */
enum class Boot {
    fast,    ///< no systemd, no udev: guest agent, loopback, modules as asked
    systemd, ///< all of Debian
};

struct GuestConfig {
    std::string name = "h0";          ///< host name
    unsigned index = 0;               ///< makes machine id and system UUID differ
    std::filesystem::path directory;  ///< for sockets and logs; a short path
    std::filesystem::path nhi_socket; ///< vfio-user socket of its host router; empty = none
    std::filesystem::path extra_disk; ///< mounted read-only at /opt/tbib; empty = none
    Kernel kernel;
    Boot boot = Boot::fast;
    std::vector<std::string> modules{
        "thunderbolt"}; ///< loaded in a fast boot before the agent answers
    unsigned cpus = 1;
    unsigned memory_mib = 512;
    std::string append; ///< more words for the kernel command line
};

class Guest;

/** A command that runs in a guest while the test goes on. */
class Job {
  public:
    /** @throws LabError if it runs longer, or the guest is lost */
    CommandResult wait(std::chrono::milliseconds timeout);
    bool running();
    /** Ends it and all it started. */
    void kill();

  private:
    friend class Guest;
    Job(Guest& guest, long pid, std::string command)
        : guest_(&guest), pid_(pid), command_(std::move(command))
    {}

    Guest* guest_;
    long pid_;
    std::string command_;
    bool done_ = false;
    CommandResult result_;
};

/**
 * One virtual host: a QEMU process with a stock kernel, commanded by the guest
 * agent. The serial console goes into console.log, a root shell is on
 * shell_socket(). Methods may be called from any thread.
 */
class Guest {
  public:
    Guest(const Image& image, GuestConfig config);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    ~Guest();

    const std::string& name() const { return config_.name; }
    const GuestConfig& config() const { return config_; }

    /** Starts QEMU; its NHI socket must be listened at. @throws LabError */
    void start();
    /** Waits for the agent (in a fast boot: modules loaded). @throws LabError */
    void wait_ready(std::chrono::milliseconds timeout = std::chrono::seconds(120));
    bool running() const;
    /** As if the power cord were pulled. */
    void kill();
    /** The host does nothing for that long, and then goes on; clocks go on meanwhile. @throws LabError */
    void stand_still(std::chrono::milliseconds time);
    /** Presses the reset button; call wait_ready() afterwards. @throws LabError */
    void reset();

    /**
     * Runs a shell command as root and waits for its end. In the guest it is
     * killed after `timeout`.
     * @throws LabError on a timeout or if the guest is lost; a command that
     *         fails is no exception
     */
    CommandResult run(const std::string& command,
                      std::chrono::milliseconds timeout = std::chrono::seconds(60));
    /** As run(), but a non-zero exit code throws too. @return standard output */
    std::string must(const std::string& command,
                     std::chrono::milliseconds timeout = std::chrono::seconds(60));
    /** Starts a shell command and returns. @throws LabError */
    Job start(const std::string& command);

    /** Copies a file and its mode into the guest. @throws LabError */
    void put_file(const std::filesystem::path& local, const std::string& remote);
    void get_file(const std::string& remote, const std::filesystem::path& local);

    std::filesystem::path console_log() const
    {
        return config_.directory / (config_.name + ".console.log");
    }
    std::filesystem::path shell_socket() const
    {
        return config_.directory / (config_.name + ".shell");
    }
    /** Everything the console has said since start(). */
    std::string console() const;
    /** The last lines of the console. */
    std::string console_tail(unsigned lines = 40) const;
    /** The kernel log's last lines, or a line that says why not. Never throws. */
    std::string dmesg(unsigned lines = 80);

  private:
    friend class Job;

    std::vector<std::string> command_line() const;
    std::filesystem::path socket(const char* what) const;
    std::shared_ptr<GuestAgent> agent() const;
    void renew_agent();
    CommandResult finish(long pid, const std::string& command,
                         std::chrono::milliseconds timeout);
    /** Why the guest does not answer, for error messages. */
    std::string state() const;

    const Image image_;
    const GuestConfig config_;
    mutable std::mutex mutex_; // guards the two below, which a new start replaces
    std::shared_ptr<GuestAgent> agent_;
    Process process_;
};

} // namespace tblab
