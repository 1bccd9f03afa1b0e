// SPDX-License-Identifier: Apache-2.0
/**
 * verbs_scale: many objects at once, and many one after the other.
 *
 *   verbs_scale connect -q 1000 [HOST]        QPs of one process, all connected and used
 *   verbs_scale connect -q 4 -P 64 [HOST]     the same in many processes at once
 *   verbs_scale churn -n 500                  objects made, used and destroyed, over loopback;
 *   verbs_scale churn -s 600                  as many as fit into some seconds
 *   verbs_scale atomics -q 8 [HOST]           QPs of both sides add to one word of the server,
 *                                             and so do threads of it
 *   verbs_scale limits                        as many CQs, SRQs and QPs as there may be;
 *   verbs_scale limits -a                     of MRs and MWs too, which takes minutes
 */
#include <getopt.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "channel.hpp"
#include "rdma.hpp"
#include "verbs_scale.hpp"

namespace {

constexpr std::uint32_t message_words = 8;
constexpr std::uint32_t message_bytes = message_words * 8;
constexpr int access =
    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
constexpr int abandon_every = 16;

struct Options {
    std::string mode;
    std::string device = "tbib0";
    std::string host;
    int port = 18700;
    int qps = 100;
    int processes = 1;
    int rounds = 3;
    int sets = 200;
    int seconds = 0;
    bool all = false;
};

/** The words that a side sends on a QP in a round. */
std::uint64_t word_of(bool client, int round, std::uint64_t qp, std::uint32_t i) {
    return rdma::mix((qp << 24) + static_cast<std::uint64_t>(round) * 64 + i * 2 + client);
}

/** QPs with one message to send and one to receive each; both queues share a CQ. */
class Crowd {
public:
    Crowd(const rdma::Device& device, bool client, int qps)
        : device_(device), client_(client), cq_(device.create_cq(4 * qps)),
          words_(static_cast<std::size_t>(qps) * 2 * message_words),
          mr_(device.register_memory(words_.data(), words_.size() * 8, access)) {
        for (int i = 0; i < qps; i++) {
            qps_.push_back(device.create_rc(cq_.get(), {4, 4, 1, 1, message_bytes}));
            rdma::initialise(qps_.back().get(), IBV_ACCESS_REMOTE_WRITE);
        }
    }

    void connect(Channel& channel) {
        std::vector<rdma::Address> mine;
        for (const auto& qp : qps_) {
            mine.push_back(rdma::address_of(device_, qp.get()));
        }
        std::vector<rdma::Address> theirs(mine.size());
        const std::size_t bytes = mine.size() * sizeof(rdma::Address);
        channel.send(mine.data(), bytes);
        channel.receive(theirs.data(), bytes);
        for (std::size_t i = 0; i < qps_.size(); i++) {
            rdma::connect(device_, qps_[i].get(), theirs[i], {});
        }
    }

    /** A message each way on every QP, all of them under way at once. */
    void round(Channel& channel, int number) {
        for (std::size_t i = 0; i < qps_.size(); i++) {
            std::memset(received(i), 0, message_bytes);
            ibv_sge sge{reinterpret_cast<std::uintptr_t>(received(i)), message_bytes, mr_->lkey};
            ibv_recv_wr wr{};
            wr.wr_id = i;
            wr.sg_list = &sge;
            wr.num_sge = 1;
            rdma::post_recv(qps_[i].get(), wr);
        }
        channel.barrier();
        for (std::size_t i = 0; i < qps_.size(); i++) {
            send(i, number);
        }
        std::size_t sent = 0;
        std::size_t arrived = 0;
        const auto end = Clock::now() + patience;
        while (sent + arrived < 2 * qps_.size()) {
            for (const ibv_wc& wc : wait_for(cq_.get(), end)) {
                const bool receive = (wc.opcode & IBV_WC_RECV) != 0;
                (receive ? arrived : sent)++;
                if (receive) {
                    verify(wc.wr_id, number);
                }
            }
        }
        channel.barrier();
    }

private:
    std::uint64_t* received(std::size_t i) { return &words_[i * 2 * message_words]; }
    std::uint64_t* outgoing(std::size_t i) { return received(i) + message_words; }

    void send(std::size_t i, int number) {
        for (std::uint32_t w = 0; w < message_words; w++) {
            outgoing(i)[w] = word_of(client_, number, i, w);
        }
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(outgoing(i)), message_bytes, mr_->lkey};
        ibv_send_wr wr{};
        wr.wr_id = i;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_SEND;
        wr.send_flags = IBV_SEND_SIGNALED;
        rdma::post_send(qps_[i].get(), wr);
    }

    void verify(std::size_t i, int number) {
        for (std::uint32_t w = 0; w < message_words; w++) {
            if (received(i)[w] != word_of(!client_, number, i, w)) {
                throw std::runtime_error("wrong data on QP " + std::to_string(i));
            }
        }
    }

    const rdma::Device& device_;
    bool client_;
    rdma::Owned<ibv_cq> cq_;
    std::vector<std::uint64_t> words_;
    rdma::Owned<ibv_mr> mr_;
    std::vector<rdma::Owned<ibv_qp>> qps_;
};

/** Where all processes of a side meet. */
class Meeting {
public:
    explicit Meeting(int processes)
        : barrier_(static_cast<pthread_barrier_t*>(mmap(nullptr, sizeof(pthread_barrier_t),
                                                        PROT_READ | PROT_WRITE,
                                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
        pthread_barrierattr_t attr;
        pthread_barrierattr_init(&attr);
        pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
        if (barrier_ == MAP_FAILED ||
            pthread_barrier_init(barrier_, &attr, static_cast<unsigned>(processes)) != 0) {
            throw std::runtime_error("processes cannot meet");
        }
    }

    void wait() { pthread_barrier_wait(barrier_); }

private:
    pthread_barrier_t* barrier_;
};

void connect_one(const Options& options, Meeting& meeting, int process) {
    const int port = options.port + process;
    Channel channel = options.host.empty() ? Channel::accept(port)
                                           : Channel::connect(options.host, port);
    auto start = Clock::now();
    const rdma::Device device(options.device);
    Crowd crowd(device, !options.host.empty(), options.qps);
    const double made = seconds_since(start);
    start = Clock::now();
    crowd.connect(channel);
    channel.barrier();
    const double connected = seconds_since(start);
    meeting.wait(); // all are there at once, from here to the other wait()
    start = Clock::now();
    for (int i = 0; i < options.rounds; i++) {
        crowd.round(channel, i);
    }
    meeting.wait();
    if (process == 0) {
        std::printf("verbs_scale: %d QPs in each of %d processes: made in %.2f s, connected in "
                    "%.2f s, %d messages each way in %.2f s\n", options.qps, options.processes,
                    made, connected, options.qps * options.rounds, seconds_since(start));
        std::fflush(stdout);
    }
}

/** True if all processes came through. */
bool connect_all(const Options& options) {
    Meeting meeting(options.processes);
    for (int i = 1; i < options.processes; i++) {
        if (fork() == 0) {
            int code = 0;
            try {
                connect_one(options, meeting, i);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "verbs_scale: process %d: %s\n", i, error.what());
                code = 1;
            }
            _exit(code);
        }
    }
    connect_one(options, meeting, 0);
    bool good = true;
    for (int status = 0; wait(&status) > 0;) {
        good = good && status == 0;
    }
    return good;
}

/** Every sixteenth set is left to the kernel by a process that just ends. */
void churn(const Options& options) {
    const auto start = Clock::now();
    int sets = 0;
    for (; options.seconds > 0 ? seconds_since(start) < options.seconds : sets < options.sets;
         sets++) {
        if (sets % abandon_every != 0) {
            make_and_use(options.device, sets, false);
            continue;
        }
        const pid_t child = fork();
        if (child == 0) {
            make_and_use(options.device, sets, true);
            _exit(1);
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            throw std::runtime_error("a process that was to leave its objects has failed");
        }
    }
    std::printf("verbs_scale: %d sets, %.0f a second\n", sets, sets / seconds_since(start));
}

std::optional<Options> parse(int argc, char** argv) {
    Options options;
    for (int c = 0; (c = getopt(argc, argv, "d:p:q:P:r:n:s:a")) != -1;) {
        switch (c) {
        case 'd': options.device = optarg; break;
        case 'p': options.port = std::atoi(optarg); break;
        case 'q': options.qps = std::atoi(optarg); break;
        case 'P': options.processes = std::atoi(optarg); break;
        case 'r': options.rounds = std::atoi(optarg); break;
        case 'n': options.sets = std::atoi(optarg); break;
        case 's': options.seconds = std::atoi(optarg); break;
        case 'a': options.all = true; break;
        default: return std::nullopt;
        }
    }
    if (optind < argc) {
        options.mode = argv[optind++];
    }
    if (optind < argc) {
        options.host = argv[optind];
    }
    const bool known = options.mode == "connect" || options.mode == "churn" ||
                       options.mode == "atomics" || options.mode == "limits";
    return known && options.qps > 0 && options.processes > 0 ? std::optional(options)
                                                             : std::nullopt;
}

} // namespace

int main(int argc, char** argv) {
    const auto options = parse(argc, argv);
    if (!options) {
        std::fputs("verbs_scale connect [-d DEVICE] [-p PORT] [-q QPS] [-P PROCESSES] "
                   "[-r ROUNDS] [HOST]\n"
                   "verbs_scale churn [-d DEVICE] [-n SETS | -s SECONDS]\n"
                   "verbs_scale atomics [-d DEVICE] [-p PORT] [-q QPS] [HOST]\n"
                   "verbs_scale limits [-d DEVICE] [-a]\n", stderr);
        return 2;
    }
    try {
        if (options->mode == "connect") {
            return connect_all(*options) ? 0 : 1;
        }
        if (options->mode == "churn") {
            churn(*options);
        } else if (options->mode == "limits") {
            limits(options->device, options->all);
        } else {
            const bool client = !options->host.empty();
            Channel channel = client ? Channel::connect(options->host, options->port)
                                     : Channel::accept(options->port);
            atomics(channel, options->device, client, options->qps);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "verbs_scale: %s\n", error.what());
        return 1;
    }
    return 0;
}
