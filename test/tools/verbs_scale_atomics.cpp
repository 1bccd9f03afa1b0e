// SPDX-License-Identifier: Apache-2.0
/**
 * verbs_scale atomics: one word of the server, all at once.
 *
 * QPs of the client and of the server itself (over loopback) add to its upper half, by FETCH_ADD
 * and then by CMP_SWP, while threads of the server add 1 to the word and take it away again
 * as fast as they can. A load and a store that are not one would undo somebody's work.
 */
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "verbs_scale.hpp"

namespace {

constexpr int depth = 4;                  // requests under way on a QP
constexpr std::uint64_t one = 1ULL << 32; // what a request adds
/**
 * How many requests of a QP are to change the word, on average. Of CMP_SWP, three in four meet a
 * thread's 1 or come too late, and must leave it alone.
 */
constexpr std::size_t adds = 1500;
constexpr std::size_t swaps = 500;

struct Word {
    std::uint64_t address;
    std::uint32_t rkey;
};

rdma::Connection reads() {
    rdma::Connection how;
    how.read_depth = depth;
    how.access = IBV_ACCESS_REMOTE_ATOMIC;
    return how;
}

/** QPs of one side, all of which do atomics or let them be done. */
class Queues {
public:
    Queues(const rdma::Device& device, int qps)
        : device_(device), cq_(device.create_cq(qps * depth)) {
        for (int i = 0; i < qps; i++) {
            qps_.push_back(device.create_rc(cq_.get(), {depth, 1, 1, 1, 0}));
            rdma::initialise(qps_.back().get(), reads().access);
        }
    }

    std::vector<rdma::Address> addresses() const {
        std::vector<rdma::Address> found;
        for (const auto& qp : qps_) {
            found.push_back(rdma::address_of(device_, qp.get()));
        }
        return found;
    }

    void connect(const std::vector<rdma::Address>& peers) {
        for (std::size_t i = 0; i < qps_.size(); i++) {
            rdma::connect(device_, qps_[i].get(), peers[i], reads());
        }
    }

    void connect(Channel& channel) {
        const auto mine = addresses();
        std::vector<rdma::Address> theirs(mine.size());
        channel.send(mine.data(), mine.size() * sizeof(rdma::Address));
        channel.receive(theirs.data(), theirs.size() * sizeof(rdma::Address));
        connect(theirs);
    }

    ibv_qp* at(std::size_t i) const { return qps_[i].get(); }
    std::size_t size() const { return qps_.size(); }
    ibv_cq* cq() const { return cq_.get(); }

private:
    const rdma::Device& device_;
    rdma::Owned<ibv_cq> cq_;
    std::vector<rdma::Owned<ibv_qp>> qps_;
};

const char* name_of(ibv_wr_opcode opcode) {
    return opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? "FETCH_ADD" : "CMP_SWP";
}

/** Keeps requests for a word under way on every QP. */
class Requests {
public:
    Requests(const rdma::Device& device, const Queues& queues, const Word& word)
        : queues_(queues), word_(word), old_(queues.size() * depth), expected_(old_.size()),
          mr_(device.register_memory(old_.data(), old_.size() * 8, IBV_ACCESS_LOCAL_WRITE)) {}

    /** The upper halves that were found by those which changed the word. */
    std::vector<std::uint32_t> run(ibv_wr_opcode opcode) {
        const bool adding = opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
        const std::size_t wanted = queues_.size() * (adding ? adds : swaps);
        std::vector<std::uint32_t> found;
        std::size_t executed = 0;
        for (std::size_t i = 0; i < old_.size(); i++) {
            post(i, opcode);
        }
        for (std::size_t under_way = old_.size(); under_way > 0;) {
            const auto done = wait_for(queues_.cq(), Clock::now() + patience);
            std::uint64_t next = 0;
            for (const ibv_wc& wc : done) {
                const std::uint64_t value = old_[wc.wr_id];
                const bool changed = adding || value == expected_[wc.wr_id];
                if (changed) {
                    found.push_back(static_cast<std::uint32_t>(value >> 32));
                }
                next = (value >> 32 << 32) + (changed ? one : 0);
            }
            executed += done.size();
            if (found.size() >= wanted) {
                under_way -= done.size();
                continue;
            }
            // in hope that nobody comes between, and of moments in which no thread has its 1 there
            for (const ibv_wc& wc : done) {
                expected_[wc.wr_id] = next;
                next += one;
                post(wc.wr_id, opcode);
            }
        }
        std::printf("verbs_scale: %zu of %zu times %s changed the word\n", found.size(), executed,
                    name_of(opcode));
        return found;
    }

private:
    void post(std::size_t i, ibv_wr_opcode opcode) {
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(&old_[i]), 8, mr_->lkey};
        ibv_send_wr wr{};
        wr.wr_id = i;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = opcode;
        wr.send_flags = IBV_SEND_SIGNALED;
        wr.wr.atomic.remote_addr = word_.address;
        wr.wr.atomic.rkey = word_.rkey;
        wr.wr.atomic.compare_add = opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? one : expected_[i];
        wr.wr.atomic.swap = expected_[i] + one;
        rdma::post_send(queues_.at(i / depth), wr);
    }

    const Queues& queues_;
    Word word_;
    std::vector<std::uint64_t> old_;
    std::vector<std::uint64_t> expected_;
    rdma::Owned<ibv_mr> mr_;
};

/**
 * A thread on every CPU adds 1 and takes it away, until this is destroyed: one of them runs
 * beside the requests wherever the kernel executes those.
 */
class Toggles {
public:
    explicit Toggles(std::uint64_t* word)
        : count_(static_cast<std::uint32_t>(sysconf(_SC_NPROCESSORS_ONLN))) {
        for (std::uint32_t cpu = 0; cpu < count_; cpu++) {
            threads_.emplace_back([this, word, cpu] { run(word, cpu); });
        }
    }
    ~Toggles() { stop(); }

    /** How often they did. */
    std::uint64_t stop() {
        stop_ = true;
        for (std::thread& thread : threads_) {
            thread.join();
        }
        threads_.clear();
        return times_;
    }

    /** How often a thread missed a 1, its own or another's, or found one too many. */
    std::uint64_t wrong() const { return wrong_; }

private:
    void run(std::uint64_t* word, std::uint32_t cpu) {
        cpu_set_t here;
        CPU_ZERO(&here);
        CPU_SET(cpu, &here);
        sched_setaffinity(0, sizeof(here), &here);
        std::uint64_t times = 0;
        std::uint64_t wrong = 0;
        for (; !stop_; times++) {
            const auto without = static_cast<std::uint32_t>(
                __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST));
            const auto with = static_cast<std::uint32_t>(
                __atomic_fetch_sub(word, 1, __ATOMIC_SEQ_CST));
            wrong += without >= count_ || with < 1 || with > count_;
        }
        wrong_ += wrong;
        times_ += times;
    }

    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> times_ = 0;
    std::atomic<std::uint64_t> wrong_ = 0;
    std::uint32_t count_;
    std::vector<std::thread> threads_;
};

/** Each of the upper halves was found once, and nothing else is in the word. */
void verify(std::vector<std::uint32_t> found, std::uint64_t word, ibv_wr_opcode opcode) {
    const std::string name = name_of(opcode);
    std::sort(found.begin(), found.end());
    const auto twice = std::adjacent_find(found.begin(), found.end());
    if (twice != found.end()) {
        throw std::runtime_error(name + " found " + std::to_string(*twice) + " twice");
    }
    if (word != found.size() * one) {
        char text[128];
        std::snprintf(text, sizeof(text), "%zu times %s, and the word is 0x%016llx", found.size(),
                      name.c_str(), static_cast<unsigned long long>(word));
        throw std::runtime_error(text);
    }
}

constexpr ibv_wr_opcode both[] = {IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_CMP_AND_SWP};

void report(int qps, ibv_wr_opcode opcode, std::size_t times, double seconds) {
    std::printf("verbs_scale: %d QPs, %zu times %s in %.1f s\n", qps, times, name_of(opcode),
                seconds);
    std::fflush(stdout);
}

/** The server's own QPs, from one end of the loopback to the other. */
struct Loop {
    Loop(const rdma::Device& device, int qps) : near(device, qps), far(device, qps) {
        near.connect(far.addresses());
        far.connect(near.addresses());
    }

    Queues near;
    Queues far;
};

void serve(Channel& channel, const rdma::Device& device, int qps) {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        throw std::runtime_error("nothing is at once on one CPU");
    }
    alignas(64) std::uint64_t word = 0;
    const auto mr = device.register_memory(&word, sizeof(word), IBV_ACCESS_LOCAL_WRITE |
                                                                    IBV_ACCESS_REMOTE_ATOMIC);
    const Word target{reinterpret_cast<std::uintptr_t>(&word), mr->rkey};
    Queues queues(device, qps);
    queues.connect(channel);
    channel.send(&target, sizeof(target));
    const Loop loop(device, qps);
    for (const ibv_wr_opcode opcode : both) {
        __atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
        Requests requests(device, loop.near, target);
        Toggles toggles(&word);
        channel.barrier();
        const auto start = Clock::now();
        auto found = requests.run(opcode);
        std::uint64_t n = 0;
        channel.receive(&n, sizeof(n));
        found.resize(found.size() + n);
        channel.receive(&found[found.size() - n], n * sizeof(found[0]));
        channel.barrier(); // the client waits: whoever runs both gives us seconds when it has ended
        const std::uint64_t times = toggles.stop();
        report(2 * qps, opcode, found.size(),
               std::chrono::duration<double>(Clock::now() - start).count());
        std::printf("verbs_scale: %llu times by threads\n",
                    static_cast<unsigned long long>(times));
        if (toggles.wrong() > 0) {
            throw std::runtime_error(std::string(name_of(opcode)) + " undid a thread's work, seen " +
                                     std::to_string(toggles.wrong()) + " times");
        }
        verify(found, __atomic_load_n(&word, __ATOMIC_SEQ_CST), opcode);
    }
}

void ask(Channel& channel, const rdma::Device& device, int qps) {
    Queues queues(device, qps);
    queues.connect(channel);
    Word target{};
    channel.receive(&target, sizeof(target));
    for (const ibv_wr_opcode opcode : both) {
        Requests requests(device, queues, target);
        channel.barrier();
        const auto start = Clock::now();
        const auto found = requests.run(opcode);
        report(qps, opcode, found.size(),
               std::chrono::duration<double>(Clock::now() - start).count());
        const std::uint64_t n = found.size();
        channel.send(&n, sizeof(n));
        channel.send(found.data(), n * sizeof(found[0]));
        channel.barrier();
    }
}

} // namespace

void atomics(Channel& channel, const std::string& name, bool client, int qps) {
    const rdma::Device device(name);
    client ? ask(channel, device, qps) : serve(channel, device, qps);
}
