// SPDX-License-Identifier: Apache-2.0
#include "verbs_rules.hpp"

#include <getopt.h>
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace {

constexpr int queue_depth = 256;

using Clock = std::chrono::steady_clock;

struct Options {
    std::string device = "tbib0";
    std::string scene;
    std::string host;
    int port = 18519;
    int rounds = 50;
};

std::vector<Scene> scenes() {
    std::vector<Scene> all = order_scenes();
    for (const auto& more : {error_scenes(), state_scenes(), fire_scenes()}) {
        all.insert(all.end(), more.begin(), more.end());
    }
    return all;
}

std::optional<Options> parse(int argc, char** argv) {
    Options options;
    for (int c = 0; (c = getopt(argc, argv, "d:p:r:")) != -1;) {
        switch (c) {
        case 'd': options.device = optarg; break;
        case 'p': options.port = std::atoi(optarg); break;
        case 'r': options.rounds = std::atoi(optarg); break;
        default: return std::nullopt;
        }
    }
    if (optind == argc) {
        return std::nullopt;
    }
    options.scene = argv[optind++];
    if (optind < argc) {
        options.host = argv[optind];
    }
    return options;
}

/** True if @p fd has something to read before @p limit is over. */
bool readable(int fd, std::chrono::milliseconds limit) {
    pollfd waiting{fd, POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(limit.count())) == 1;
}

bool is_of_port(ibv_event_type type) {
    return type == IBV_EVENT_PORT_ACTIVE || type == IBV_EVENT_PORT_ERR ||
           type == IBV_EVENT_GID_CHANGE;
}

int play(const Options& options) {
    const auto all = scenes();
    const auto scene = std::find_if(all.begin(), all.end(), [&options](const Scene& one) {
        return one.name == options.scene;
    });
    if (scene == all.end()) {
        std::fprintf(stderr, "verbs_rules: no such scene: %s\n", options.scene.c_str());
        return 2;
    }
    const bool client = !options.host.empty();
    Channel channel = client ? Channel::connect(options.host, options.port)
                             : Channel::accept(options.port);
    const rdma::Device device(options.device);
    Stage stage{device, channel, client, options.rounds};
    scene->play(stage);
    channel.barrier();
    std::printf("verbs_rules: %s: as it must be\n", scene->name.c_str());
    return 0;
}

} // namespace

void expect(bool right, const std::string& what) {
    if (!right) {
        throw std::runtime_error(what);
    }
}

End::End(Stage& stage, const Shape& shape)
    : channel_(rdma::own(ibv_create_comp_channel(stage.device.context()), "create a channel")),
      cq_(stage.device.create_cq(2 * queue_depth, channel_.get())),
      memory_(memory_bytes, background),
      mr_(stage.device.register_memory(memory_.data(), memory_.size(), shape.region_access)),
      qp_(stage.device.create_rc(cq_.get(), {queue_depth, queue_depth, 1, 1, 64}, shape.srq)) {
    rdma::initialise(qp(), shape.qp_access);
    const Hello mine{rdma::address_of(stage.device, qp()),
                     reinterpret_cast<std::uintptr_t>(memory_.data()), mr_->rkey};
    peer_ = stage.channel.exchange(mine);
    rdma::ready_to_receive(stage.device, qp(), peer_.qp, shape.connection);
    if (shape.sends) {
        rdma::ready_to_send(stage.device, qp(), shape.connection);
    }
    stage.channel.barrier();
}

ibv_sge End::piece(std::uint32_t offset, std::uint32_t bytes) const {
    return {reinterpret_cast<std::uintptr_t>(memory_.data()) + offset, bytes, mr_->lkey};
}

ibv_send_wr End::request(ibv_wr_opcode opcode, ibv_sge& sge) const {
    ibv_send_wr wr{};
    wr.sg_list = &sge;
    wr.num_sge = 1;
    wr.opcode = opcode;
    wr.send_flags = IBV_SEND_SIGNALED;
    const std::uint64_t remote =
        peer_.address + (sge.addr - reinterpret_cast<std::uintptr_t>(memory_.data()));
    if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
        wr.wr.atomic = {remote, 1, 0, peer_.rkey};
    } else {
        wr.wr.rdma = {remote, peer_.rkey};
    }
    return wr;
}

void End::post(ibv_wr_opcode opcode, ibv_sge sge, unsigned flags) {
    ibv_send_wr wr = request(opcode, sge);
    wr.send_flags |= flags;
    rdma::post_send(qp(), wr);
}

void End::receive(ibv_sge sge) {
    ibv_recv_wr wr{};
    wr.sg_list = &sge;
    wr.num_sge = 1;
    rdma::post_recv(qp(), wr);
}

void End::bind(ibv_mw* window, std::uint32_t key, ibv_sge range) {
    ibv_send_wr wr{};
    wr.opcode = IBV_WR_BIND_MW;
    wr.send_flags = IBV_SEND_SIGNALED;
    wr.bind_mw.mw = window;
    wr.bind_mw.rkey = key;
    wr.bind_mw.bind_info = {mr_.get(), range.addr, range.length, IBV_ACCESS_REMOTE_WRITE};
    rdma::post_send(qp(), wr);
    completion(IBV_WC_SUCCESS, "bind a window");
}

void End::invalidate(std::uint32_t key) {
    ibv_send_wr wr{};
    wr.opcode = IBV_WR_LOCAL_INV;
    wr.send_flags = IBV_SEND_SIGNALED;
    wr.invalidate_rkey = key;
    rdma::post_send(qp(), wr);
    completion(IBV_WC_SUCCESS, "invalidate a window");
}

void End::fill(std::uint32_t offset, std::uint32_t bytes, std::uint64_t key) {
    for (std::uint32_t i = 0; i < bytes; i++) {
        memory_[offset + i] = static_cast<std::uint8_t>(rdma::mix(key + i / 8) >> i % 8 * 8);
    }
}

void End::clear(std::uint32_t offset, std::uint32_t bytes) {
    std::fill_n(memory_.begin() + offset, bytes, background);
}

bool End::holds(std::uint32_t offset, std::uint32_t bytes, std::uint64_t key) const {
    for (std::uint32_t i = 0; i < bytes; i++) {
        if (memory_[offset + i] != static_cast<std::uint8_t>(rdma::mix(key + i / 8) >> i % 8 * 8)) {
            return false;
        }
    }
    return true;
}

bool End::is_clear(std::uint32_t offset, std::uint32_t bytes) const {
    const auto from = memory_.begin() + offset;
    return std::all_of(from, from + bytes, [](std::uint8_t byte) { return byte == background; });
}

std::uint64_t End::word(std::uint32_t offset) const {
    std::uint64_t value = 0;
    std::memcpy(&value, &memory_[offset], sizeof(value));
    return value;
}

ibv_wc End::completion() {
    ibv_wc wc{};
    for (const auto end = Clock::now() + patience; Clock::now() < end;) {
        const int n = ibv_poll_cq(cq(), 1, &wc);
        if (n < 0) {
            rdma::fail("poll a CQ");
        }
        if (n > 0) {
            return wc;
        }
    }
    throw std::runtime_error("no completion in time");
}

ibv_wc End::completion(ibv_wc_status status, const std::string& what) {
    const ibv_wc wc = completion();
    expect(wc.status == status, what + ": '" + ibv_wc_status_str(wc.status) + "' instead of '" +
                                    ibv_wc_status_str(status) + "'");
    return wc;
}

void End::no_completion(const std::string& what) {
    ibv_wc wc{};
    for (const auto end = Clock::now() + quiet; Clock::now() < end;) {
        expect(ibv_poll_cq(cq(), 1, &wc) == 0, what + ": a completion");
    }
}

void End::arm(bool solicited_only) {
    if (ibv_req_notify_cq(cq(), solicited_only ? 1 : 0) != 0) {
        rdma::fail("ask for an event");
    }
}

bool End::woken(std::chrono::milliseconds limit) {
    if (!readable(channel_->fd, limit)) {
        return false;
    }
    ibv_cq* cq = nullptr;
    void* context = nullptr;
    if (ibv_get_cq_event(channel_.get(), &cq, &context) != 0) {
        rdma::fail("get an event");
    }
    ibv_ack_cq_events(cq, 1);
    return true;
}

void End::expect_state(ibv_qp_state state) const {
    ibv_qp_attr attr{};
    ibv_qp_init_attr init{};
    if (ibv_query_qp(qp(), &attr, IBV_QP_STATE, &init) != 0) {
        rdma::fail("query a QP");
    }
    expect(attr.qp_state == state, "the QP is in state " + std::to_string(attr.qp_state) +
                                       " instead of " + std::to_string(state));
}

void End::modify(ibv_qp_state state, int mask, bool tell_when_drained) {
    ibv_qp_attr attr{};
    attr.qp_state = state;
    attr.en_sqd_async_notify = tell_when_drained ? 1 : 0;
    if (ibv_modify_qp(qp(), &attr, IBV_QP_STATE | mask) != 0) {
        rdma::fail("modify a QP");
    }
}

std::optional<ibv_event_type> next_event(const rdma::Device& device,
                                         std::chrono::milliseconds limit) {
    while (readable(device.context()->async_fd, limit)) {
        ibv_async_event event{};
        if (ibv_get_async_event(device.context(), &event) != 0) {
            rdma::fail("get an asynchronous event");
        }
        ibv_ack_async_event(&event);
        if (!is_of_port(event.event_type)) {
            return event.event_type;
        }
    }
    return std::nullopt;
}

void expect_event(const rdma::Device& device, ibv_event_type type) {
    const auto came = next_event(device, patience);
    expect(came == type, std::string("the event ") +
                             (came ? ibv_event_type_str(*came) : "never") + " instead of " +
                             ibv_event_type_str(type));
}

int main(int argc, char** argv) {
    const auto options = parse(argc, argv);
    if (!options) {
        std::fputs("verbs_rules [-d DEVICE] [-p PORT] [-r ROUNDS] SCENE [HOST]\nscenes:\n", stderr);
        for (const Scene& scene : scenes()) {
            std::fprintf(stderr, "  %s\n", scene.name.c_str());
        }
        return 2;
    }
    try {
        return play(*options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "verbs_rules: %s: %s\n", options->scene.c_str(), error.what());
        return 1;
    }
}
