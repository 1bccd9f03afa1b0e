// SPDX-License-Identifier: Apache-2.0
/** verbs_rules: what is refused, by whom, and what becomes of everything else that was posted. */
#include <fstream>
#include <stdexcept>
#include <thread>

#include "verbs_rules.hpp"

namespace {

constexpr std::uint32_t slot = 4096;
constexpr std::uint32_t bytes = 3000;
constexpr std::uint32_t flushed_receives = 3;

/** A request that the other side refuses. */
struct Refusal {
    ibv_wr_opcode opcode;
    std::uint32_t length;
    std::uint32_t key_change;
    std::uint64_t shift; /**< of the remote address */
    int region_access;
    int qp_access;
    ibv_wc_status status;
    ibv_event_type event;
};

constexpr int qp_everything = Shape{}.qp_access;
constexpr std::uint32_t refused_at = 2 * slot;

void post_refused(End& end, const Refusal& how) {
    ibv_sge sge = end.piece(refused_at, how.length);
    ibv_send_wr wr = end.request(how.opcode, sge);
    if (how.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || how.opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
        wr.wr.atomic.rkey ^= how.key_change;
        wr.wr.atomic.remote_addr += how.shift;
    } else {
        wr.wr.rdma.rkey ^= how.key_change;
        wr.wr.rdma.remote_addr += how.shift;
    }
    rdma::post_send(end.qp(), wr);
}

/**
 * Two SENDs, the refused request, two SENDs: the first two arrive, the last two are flushed, the
 * server's memory is as it was, its receives are flushed, it is told by an event (IBTA 9.9.3).
 */
void refuse(Stage& stage, const Refusal& how) {
    Shape shape;
    if (!stage.client) {
        shape.region_access = how.region_access;
        shape.qp_access = how.qp_access;
    }
    End end(stage, shape);
    if (stage.client) {
        end.fill(0, 5 * slot, 1);
    } else {
        for (std::uint32_t i = 0; i < 2 + flushed_receives; i++) {
            end.receive(end.piece(i < 2 ? i * slot : memory_bytes / 2, bytes));
        }
    }
    stage.channel.barrier();
    if (stage.client) {
        for (const std::uint32_t i : {0, 1}) {
            end.post(IBV_WR_SEND, end.piece(i * slot, bytes));
        }
        post_refused(end, how);
        for (const std::uint32_t i : {3, 4}) {
            end.post(IBV_WR_SEND, end.piece(i * slot, bytes));
        }
    }
    for (int i = 0; i < 2; i++) {
        end.completion(IBV_WC_SUCCESS, "before the refused request");
    }
    if (stage.client) {
        end.completion(how.status, "the refused request");
    } else {
        expect_event(stage.device, how.event);
    }
    for (std::uint32_t i = 0; i < (stage.client ? 2 : flushed_receives); i++) {
        end.completion(IBV_WC_WR_FLUSH_ERR, "behind the refused request");
    }
    end.no_completion("after the last one");
    end.expect_state(IBV_QPS_ERR);
    if (!stage.client) {
        expect(end.holds(0, bytes, 1) && end.holds(slot, bytes, 1 + slot / 8),
               "what came before the refused request is not there");
        expect(end.is_clear(refused_at, memory_bytes - refused_at),
               "a refused request changed memory");
    }
    expect(!next_event(stage.device, quiet).has_value(), "one event too many");
}

template <ibv_wr_opcode opcode>
void wrong_key(Stage& stage) {
    refuse(stage, {opcode, opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? 8 : bytes, 0x55, 0, everything,
                   qp_everything, IBV_WC_REM_ACCESS_ERR, IBV_EVENT_QP_ACCESS_ERR});
}

/** The last byte is one behind the end of the region. */
template <ibv_wr_opcode opcode>
void beyond_the_end(Stage& stage) {
    refuse(stage, {opcode, bytes, 0, memory_bytes - refused_at - bytes + 1, everything,
                   qp_everything, IBV_WC_REM_ACCESS_ERR, IBV_EVENT_QP_ACCESS_ERR});
}

template <ibv_wr_opcode opcode>
void no_right_of_region(Stage& stage) {
    refuse(stage, {opcode, opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? 8 : bytes, 0, 0,
                   IBV_ACCESS_LOCAL_WRITE, qp_everything, IBV_WC_REM_ACCESS_ERR,
                   IBV_EVENT_QP_ACCESS_ERR});
}

template <ibv_wr_opcode opcode>
void no_right_of_qp(Stage& stage) {
    refuse(stage, {opcode, opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? 8 : bytes, 0, 0, everything, 0,
                   IBV_WC_REM_INV_REQ_ERR, IBV_EVENT_QP_REQ_ERR});
}

/** The receive that has to take it is refused too, and says why; there is no event. */
void refuse_send(Stage& stage, ibv_sge (*receive)(const End&), ibv_wc_status server,
                 ibv_wc_status client) {
    End end(stage);
    if (!stage.client) {
        end.receive(receive(end));
        end.receive(end.piece(0, bytes));
    }
    stage.channel.barrier();
    if (stage.client) {
        end.post(IBV_WR_SEND, end.piece(0, bytes));
        end.post(IBV_WR_SEND, end.piece(0, bytes));
    }
    end.completion(stage.client ? client : server, "a SEND");
    end.completion(IBV_WC_WR_FLUSH_ERR, "behind it");
    end.expect_state(IBV_QPS_ERR);
    expect(stage.client || end.is_clear(slot, memory_bytes - slot),
           "a refused SEND changed memory beyond its receive");
}

void receive_too_short(Stage& stage) {
    refuse_send(stage, [](const End& end) { return end.piece(0, bytes - 1); },
                IBV_WC_LOC_LEN_ERR, IBV_WC_REM_INV_REQ_ERR);
}

void receive_with_wrong_key(Stage& stage) {
    refuse_send(stage, [](const End& end) {
        ibv_sge sge = end.piece(0, bytes);
        sge.lkey ^= 0x55;
        return sge;
    }, IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR);
}

/** A sender asks as often as it was told to. */
void never_ready(Stage& stage) {
    Shape shape;
    shape.connection.rnr_retries = 2;
    End end(stage, shape);
    if (stage.client) {
        end.post(IBV_WR_SEND, end.piece(0, bytes));
        end.completion(IBV_WC_RNR_RETRY_EXC_ERR, "nobody receives");
        end.expect_state(IBV_QPS_ERR);
    }
    stage.channel.barrier();
    if (!stage.client) {
        end.expect_state(IBV_QPS_RTS);
    }
}

void ready_late(Stage& stage) {
    End end(stage);
    if (stage.client) {
        end.fill(0, memory_bytes, 2);
        end.post(IBV_WR_SEND, end.piece(0, memory_bytes));
        end.no_completion("nobody receives yet");
    }
    stage.channel.barrier();
    if (!stage.client) {
        end.receive(end.piece(0, memory_bytes));
    }
    end.completion(IBV_WC_SUCCESS, "a late receive");
    expect(end.holds(0, memory_bytes, 2), "a late receive has other data");
}

void nobody_there(Stage& stage) {
    Shape shape;
    shape.connection.timeout = 14;
    shape.connection.retries = 2;
    End end(stage, shape);
    if (!stage.client) {
        end.destroy_qp();
    }
    stage.channel.barrier();
    if (stage.client) {
        end.post(IBV_WR_RDMA_WRITE, end.piece(0, bytes));
        end.completion(IBV_WC_RETRY_EXC_ERR, "nobody answers");
        end.expect_state(IBV_QPS_ERR);
    }
    stage.channel.barrier();
    expect(stage.client || end.is_clear(0, memory_bytes), "a WRITE to no QP changed memory");
}

/** Datagrams of one side to the other, with a Q_Key. */
class Datagrams {
public:
    explicit Datagrams(Stage& stage)
        : cq_(stage.device.create_cq(16)), memory_(2 * slot),
          mr_(stage.device.register_memory(memory_.data(), memory_.size(),
                                           IBV_ACCESS_LOCAL_WRITE)) {
        ibv_qp_init_attr init{};
        init.send_cq = init.recv_cq = cq_.get();
        init.cap = {8, 8, 1, 1, 0};
        init.qp_type = IBV_QPT_UD;
        qp_ = rdma::own(ibv_create_qp(stage.device.pd(), &init), "create a UD QP");
        modify(IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
        modify(IBV_QPS_RTR, 0);
        modify(IBV_QPS_RTS, IBV_QP_SQ_PSN);
        peer_ = stage.channel.exchange(rdma::address_of(stage.device, qp_.get()));
        ibv_ah_attr attr{};
        attr.is_global = 1;
        attr.port_num = 1;
        attr.grh.dgid = peer_.gid;
        attr.grh.sgid_index = stage.device.gid_index();
        attr.grh.hop_limit = 64;
        ah_ = rdma::own(ibv_create_ah(stage.device.pd(), &attr), "create an AH");
    }

    static constexpr std::uint32_t qkey = 0x11223344;

    void send(std::uint32_t key, std::uint32_t length) {
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(memory_.data()), length, mr_->lkey};
        ibv_send_wr wr{};
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_SEND;
        wr.send_flags = IBV_SEND_SIGNALED;
        wr.wr.ud = {ah_.get(), peer_.qpn, key};
        rdma::post_send(qp_.get(), wr);
        expect(wait().status == IBV_WC_SUCCESS, "a datagram that could not be sent");
    }

    void receive() {
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(memory_.data()), slot, mr_->lkey};
        ibv_recv_wr wr{};
        wr.sg_list = &sge;
        wr.num_sge = 1;
        rdma::post_recv(qp_.get(), wr);
    }

    ibv_wc wait() {
        const auto end = std::chrono::steady_clock::now() + patience;
        while (std::chrono::steady_clock::now() < end) {
            const auto found = rdma::poll(cq_.get());
            if (!found.empty()) {
                return found.front();
            }
        }
        throw std::runtime_error("no completion in time");
    }

private:
    void modify(ibv_qp_state state, int mask) {
        ibv_qp_attr attr{};
        attr.qp_state = state;
        attr.port_num = 1;
        attr.qkey = qkey;
        if (ibv_modify_qp(qp_.get(), &attr, IBV_QP_STATE | mask) != 0) {
            rdma::fail("modify a UD QP");
        }
    }

    rdma::Owned<ibv_cq> cq_;
    std::vector<std::uint8_t> memory_;
    rdma::Owned<ibv_mr> mr_;
    rdma::Owned<ibv_qp> qp_;
    rdma::Address peer_{};
    rdma::Owned<ibv_ah> ah_;
};

/** A counter as it is now: ib_core shows what it read in the last 10 ms again (update_hw_stats). */
std::uint64_t counter(const Stage& stage, const std::string& name) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::ifstream file(std::string(stage.device.context()->device->ibdev_path) +
                       "/ports/1/hw_counters/" + name);
    std::uint64_t value = 0;
    expect(static_cast<bool>(file >> value), "no counter " + name);
    return value;
}

/** A datagram with another Q_Key takes no receive; it is counted. The next one comes. */
void another_qkey(Stage& stage) {
    constexpr std::uint32_t grh = 40;
    Datagrams datagrams(stage);
    const std::uint64_t before = counter(stage, "bad_qkey");
    if (!stage.client) {
        datagrams.receive();
    }
    stage.channel.barrier();
    if (stage.client) {
        datagrams.send(Datagrams::qkey + 1, 100);
        datagrams.send(Datagrams::qkey, 200);
    } else {
        expect(datagrams.wait().byte_len == grh + 200, "a datagram with another Q_Key arrived");
        expect(counter(stage, "bad_qkey") == before + 1, "it was not counted");
    }
}

} // namespace

std::vector<Scene> error_scenes() {
    return {{"write-wrong-key", wrong_key<IBV_WR_RDMA_WRITE>},
            {"read-wrong-key", wrong_key<IBV_WR_RDMA_READ>},
            {"atomic-wrong-key", wrong_key<IBV_WR_ATOMIC_FETCH_AND_ADD>},
            {"write-beyond-the-end", beyond_the_end<IBV_WR_RDMA_WRITE>},
            {"read-beyond-the-end", beyond_the_end<IBV_WR_RDMA_READ>},
            {"write-without-right-of-region", no_right_of_region<IBV_WR_RDMA_WRITE>},
            {"read-without-right-of-region", no_right_of_region<IBV_WR_RDMA_READ>},
            {"atomic-without-right-of-region", no_right_of_region<IBV_WR_ATOMIC_FETCH_AND_ADD>},
            {"write-without-right-of-qp", no_right_of_qp<IBV_WR_RDMA_WRITE>},
            {"read-without-right-of-qp", no_right_of_qp<IBV_WR_RDMA_READ>},
            {"atomic-without-right-of-qp", no_right_of_qp<IBV_WR_ATOMIC_FETCH_AND_ADD>},
            {"receive-too-short", receive_too_short},
            {"receive-wrong-key", receive_with_wrong_key},
            {"never-ready", never_ready},
            {"ready-late", ready_late},
            {"nobody-there", nobody_there},
            {"another-qkey", another_qkey}};
}
