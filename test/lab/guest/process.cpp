// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <queue>
#include <system_error>
#include <thread>
#include <utility>

namespace tblab {
namespace {

/**
 * The thread from which all children are forked. PR_SET_PDEATHSIG fires when
 * the forking *thread* ends, so a child must not be forked by a short-lived one.
 */
class Spawner {
  public:
    static Spawner& instance()
    {
        static Spawner spawner;
        return spawner;
    }

    pid_t run(std::function<pid_t()> fork_child)
    {
        std::packaged_task<pid_t()> task(std::move(fork_child));
        auto result = task.get_future();
        {
            std::lock_guard lock(mutex_);
            tasks_.push(std::move(task));
        }
        wake_.notify_one();
        return result.get();
    }

  private:
    Spawner() : thread_([this] { loop(); }) {}
    ~Spawner()
    {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_one();
        thread_.join();
    }

    void loop()
    {
        std::unique_lock lock(mutex_);
        while (true) {
            wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
            if (stop_) {
                return;
            }
            auto task = std::move(tasks_.front());
            tasks_.pop();
            lock.unlock();
            task();
            lock.lock();
        }
    }

    std::mutex mutex_; // guards tasks_ and stop_
    std::condition_variable wake_;
    std::queue<std::packaged_task<pid_t()>> tasks_;
    bool stop_ = false;
    std::thread thread_; // last: starts when the rest is there
};

std::vector<char*> c_argv(const std::vector<std::string>& argv)
{
    std::vector<char*> result;
    for (const auto& word : argv) {
        result.push_back(const_cast<char*>(word.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

/** In the child, between fork and exec: async-signal-safe calls only. */
[[noreturn]] void become(char* const* argv, int output, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { // the parent died before prctl
        _exit(126);
    }
    setpgid(0, 0); // Ctrl-C in the terminal is for the lab, which ends its guests itself
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

} // namespace

Process::Process(const std::vector<std::string>& argv, const std::filesystem::path& log)
{
    const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (output < 0) {
        throw std::system_error(errno, std::generic_category(), log.string());
    }
    const auto words = c_argv(argv);
    const pid_t parent = getpid();
    pid_ = Spawner::instance().run([&]() -> pid_t {
        const pid_t pid = fork();
        if (pid == 0) {
            become(words.data(), output, parent);
        }
        return pid;
    });
    close(output);
    if (pid_ < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd_ < 0) {
        const int error = errno;
        ::kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        throw std::system_error(error, std::generic_category(), "pidfd_open");
    }
}

Process::~Process()
{
    kill();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::exchange(other.pidfd_, -1))
{}

Process& Process::operator=(Process&& other) noexcept
{
    if (this != &other) {
        kill();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::exchange(other.pidfd_, -1);
    }
    return *this;
}

bool Process::running() const
{
    return pidfd_ >= 0 && !wait(std::chrono::milliseconds(0));
}

bool Process::wait(std::chrono::milliseconds timeout) const
{
    if (pidfd_ < 0) {
        return true;
    }
    pollfd waiting{pidfd_, POLLIN, 0}; // a pidfd is readable once the process has ended
    return poll(&waiting, 1, static_cast<int>(timeout.count())) == 1;
}

void Process::kill()
{
    if (pidfd_ < 0) {
        return;
    }
    syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
    waitpid(pid_, nullptr, 0);
    close(pidfd_);
    pid_ = pidfd_ = -1;
}

Output capture(const std::vector<std::string>& argv)
{
    std::array<int, 2> pipe_fds{};
    if (pipe2(pipe_fds.data(), O_CLOEXEC) < 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    const auto words = c_argv(argv);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        execvp(words[0], words.data());
        _exit(127);
    }
    close(pipe_fds[1]);
    Output result;
    std::array<char, 4096> buffer{};
    ssize_t n = 0;
    while (pid > 0 && (n = read(pipe_fds[0], buffer.data(), buffer.size())) != 0) {
        if (n > 0) {
            result.text.append(buffer.data(), static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            break;
        }
    }
    close(pipe_fds[0]);
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status)) {
        result.rc = WEXITSTATUS(status);
    }
    return result;
}

} // namespace tblab
