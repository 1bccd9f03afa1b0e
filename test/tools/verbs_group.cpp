// SPDX-License-Identifier: Apache-2.0
/**
 * verbs_group: does each member of a multicast group get each datagram, once?
 *
 *   verbs_group -n 200        a member; prints "joined", then, when nothing came for two seconds,
 *                             what it got; it fails unless that is every number once
 *   verbs_group -n 200 -s     sends the numbers
 */
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rdma.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t qkey = 0x11111111;
constexpr std::uint32_t to_a_group = 0xffffff;
constexpr std::size_t grh_bytes = 40;
constexpr std::size_t slot_bytes = 128;
constexpr std::chrono::seconds silence{2};
constexpr std::chrono::seconds patience{40};
// ::ffff:239.7.7.10
constexpr union ibv_gid group = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 239, 7, 7, 10}};

struct Options {
    std::string device = "tbib0";
    unsigned count = 200;
    bool send = false;
};

/** A UD queue pair with a slot of memory for each datagram. */
class Endpoint {
public:
    explicit Endpoint(const Options& options)
        : device_(options.device), memory_(options.count * 2 * slot_bytes),
          mr_(device_.register_memory(memory_.data(), memory_.size(), IBV_ACCESS_LOCAL_WRITE)),
          cq_(device_.create_cq(static_cast<int>(options.count * 2))), qp_(create(options.count * 2)) {
        rise();
    }

    [[nodiscard]] const rdma::Device& device() const { return device_; }
    [[nodiscard]] ibv_qp* qp() const { return qp_.get(); }
    [[nodiscard]] ibv_cq* cq() const { return cq_.get(); }

    ibv_sge slot(std::size_t number, std::size_t bytes) {
        return {reinterpret_cast<std::uintptr_t>(at(number)), static_cast<std::uint32_t>(bytes), mr_->lkey};
    }
    std::byte* at(std::size_t number) { return memory_.data() + number * slot_bytes; }

private:
    rdma::Owned<ibv_qp> create(unsigned receives) const {
        ibv_qp_init_attr init{};
        init.send_cq = init.recv_cq = cq_.get();
        init.cap = {1, receives, 1, 1, 0};
        init.qp_type = IBV_QPT_UD;
        return rdma::own(ibv_create_qp(device_.pd(), &init), "create a QP");
    }

    void rise() {
        ibv_qp_attr attr{};
        attr.port_num = 1;
        attr.qkey = qkey;
        attr.qp_state = IBV_QPS_INIT;
        modify(attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
        attr.qp_state = IBV_QPS_RTR;
        modify(attr, IBV_QP_STATE);
        attr.qp_state = IBV_QPS_RTS;
        modify(attr, IBV_QP_STATE | IBV_QP_SQ_PSN);
    }

    void modify(ibv_qp_attr& attr, int mask) {
        if (ibv_modify_qp(qp_.get(), &attr, mask) != 0) {
            rdma::fail("modify the QP");
        }
    }

    rdma::Device device_;
    std::vector<std::byte> memory_;
    rdma::Owned<ibv_mr> mr_;
    rdma::Owned<ibv_cq> cq_;
    rdma::Owned<ibv_qp> qp_;
};

void send(const Options& options) {
    Endpoint end(options);
    ibv_ah_attr where{};
    where.is_global = 1;
    where.port_num = 1;
    where.grh = {group, 0, end.device().gid_index(), 64, 0};
    ibv_ah* ah = ibv_create_ah(end.device().pd(), &where);
    if (ah == nullptr) {
        rdma::fail("create an address handle");
    }
    for (std::uint32_t number = 0; number < options.count; number++) {
        std::memcpy(end.at(0), &number, sizeof(number));
        ibv_sge sge = end.slot(0, sizeof(number));
        ibv_send_wr wr{};
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_SEND;
        wr.send_flags = IBV_SEND_SIGNALED;
        wr.wr.ud = {ah, to_a_group, qkey};
        rdma::post_send(end.qp(), wr);
        while (rdma::poll(end.cq()).empty()) {
        }
        // members read at their own pace, and nobody repeats what they had no time for
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ibv_destroy_ah(ah);
    std::printf("%u sent\n", options.count);
}

/** How often each number came. */
std::vector<unsigned> listen(Endpoint& end, unsigned count) {
    std::vector<unsigned> seen(count);
    auto until = Clock::now() + patience;
    while (Clock::now() < until) {
        for (const auto& wc : rdma::poll(end.cq())) {
            std::uint32_t number = count;
            std::memcpy(&number, end.at(wc.wr_id) + grh_bytes, sizeof(number));
            if (wc.byte_len != grh_bytes + sizeof(number) || number >= count) {
                throw std::runtime_error("a datagram that nobody sent");
            }
            seen[number]++;
            until = Clock::now() + silence;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return seen;
}

/** @return whether everything came once */
bool receive(const Options& options) {
    Endpoint end(options);
    for (unsigned i = 0; i < options.count * 2; i++) {
        ibv_sge sge = end.slot(i, slot_bytes);
        ibv_recv_wr wr{};
        wr.wr_id = i;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        rdma::post_recv(end.qp(), wr);
    }
    if (ibv_attach_mcast(end.qp(), &group, 0) != 0) {
        rdma::fail("join the group");
    }
    std::puts("joined");
    std::fflush(stdout);
    const auto seen = listen(end, options.count);
    ibv_detach_mcast(end.qp(), &group, 0);
    const auto once = std::count(seen.begin(), seen.end(), 1U);
    const auto never = std::count(seen.begin(), seen.end(), 0U);
    std::printf("%zu of %u once, %zu never\n", static_cast<std::size_t>(once), options.count,
                static_cast<std::size_t>(never));
    return once == static_cast<std::ptrdiff_t>(options.count);
}

bool parse(int argc, char** argv, Options& options) {
    for (int c = 0; (c = getopt(argc, argv, "d:n:s")) != -1;) {
        switch (c) {
        case 'd': options.device = optarg; break;
        case 'n': options.count = static_cast<unsigned>(std::atoi(optarg)); break;
        case 's': options.send = true; break;
        default: return false;
        }
    }
    return optind == argc && options.count > 0 && options.count <= 4000;
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    if (!parse(argc, argv, options)) {
        std::fputs("verbs_group [-d DEVICE] [-n COUNT] [-s]\n", stderr);
        return 2;
    }
    try {
        if (!options.send) {
            return receive(options) ? 0 : 1;
        }
        send(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "verbs_group: %s\n", error.what());
        return 1;
    }
    return 0;
}
