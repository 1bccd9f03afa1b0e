// SPDX-License-Identifier: Apache-2.0
/** verbs_rules: windows that close, queues that drain, and the events that tell of it. */
#include "verbs_rules.hpp"

namespace {

constexpr std::uint32_t bytes = 5000;
constexpr std::uint32_t inside = 64;

/** A window of the server's memory, from inside on. */
class Window {
public:
    Window(Stage& stage, End& end)
        : end_(end),
          mw_(rdma::own(ibv_alloc_mw(stage.device.pd(), IBV_MW_TYPE_2), "allocate an MW")),
          key_(ibv_inc_rkey(mw_->rkey)) {
        end.bind(mw_.get(), key_, end.piece(inside, bytes));
    }

    [[nodiscard]] std::uint32_t key() const { return key_; }

    void invalidate() { end_.invalidate(key_); }

private:
    End& end_;
    rdma::Owned<ibv_mw> mw_;
    std::uint32_t key_;
};

void move_through(End& end, std::uint32_t key, std::uint32_t offset, ibv_wc_status status,
                  ibv_wr_opcode opcode = IBV_WR_RDMA_WRITE) {
    ibv_sge sge = end.piece(offset, bytes);
    ibv_send_wr wr = end.request(opcode, sge);
    wr.wr.rdma.rkey = key;
    rdma::post_send(end.qp(), wr);
    end.completion(status, "through a window");
}

void send_and_invalidate(End& end, std::uint32_t key) {
    ibv_sge sge = end.piece(0, inside);
    ibv_send_wr wr = end.request(IBV_WR_SEND_WITH_INV, sge);
    wr.invalidate_rkey = key;
    rdma::post_send(end.qp(), wr);
    end.completion(IBV_WC_SUCCESS, "SEND with invalidate");
}

enum class Close { by_send, by_local, never };

void play_client(Stage& stage, End& end, std::uint32_t key, Close close) {
    end.fill(inside, bytes, 3);
    move_through(end, key, inside, IBV_WC_SUCCESS);
    if (close == Close::by_send) {
        send_and_invalidate(end, key);
    }
    stage.channel.barrier(); // it is looked at
    stage.channel.barrier(); // it is closed
    end.fill(inside, bytes, 4);
    move_through(end, key, close == Close::never ? inside + 1 : inside, IBV_WC_REM_ACCESS_ERR);
    end.expect_state(IBV_QPS_ERR);
    stage.channel.barrier();
}

void play_server(Stage& stage, End& end, Window& window, Close close) {
    stage.channel.barrier();
    expect(end.holds(inside, bytes, 3), "what went through the window is not there");
    if (close == Close::by_send) {
        const ibv_wc wc = end.completion(IBV_WC_SUCCESS, "receive");
        expect((wc.wc_flags & IBV_WC_WITH_INV) != 0 && wc.invalidated_rkey == window.key(),
               "the receive does not say which key is gone");
    } else if (close == Close::by_local) {
        window.invalidate();
    }
    stage.channel.barrier();
    stage.channel.barrier();
    expect(end.holds(inside, bytes, 3), "a closed window let something through");
    expect_event(stage.device, IBV_EVENT_QP_ACCESS_ERR);
}

void through_window(Stage& stage, Close close) {
    End end(stage);
    if (stage.client) {
        play_client(stage, end, stage.channel.exchange(std::uint32_t{0}), close);
    } else {
        end.receive(end.piece(memory_bytes / 2, inside));
        Window window(stage, end);
        stage.channel.exchange(window.key());
        play_server(stage, end, window, close);
    }
}

void window_closed_by_send(Stage& stage) { through_window(stage, Close::by_send); }
void window_closed_by_owner(Stage& stage) { through_window(stage, Close::by_local); }
void outside_of_window(Stage& stage) { through_window(stage, Close::never); }

/** It has the right to be written only. */
void read_through_window(Stage& stage) {
    End end(stage);
    if (stage.client) {
        end.clear(0, memory_bytes);
        move_through(end, stage.channel.exchange(std::uint32_t{0}), inside,
                     IBV_WC_REM_ACCESS_ERR, IBV_WR_RDMA_READ);
        expect(end.is_clear(0, memory_bytes), "a refused READ has data");
        stage.channel.barrier();
    } else {
        end.fill(0, memory_bytes, 5);
        Window window(stage, end);
        stage.channel.exchange(window.key());
        stage.channel.barrier();
    }
}

/** IBTA 10.3.1.5: SQD ends what was begun, tells of it, and begins nothing. */
void drained(Stage& stage) {
    constexpr std::uint32_t large = memory_bytes / 8;
    End end(stage);
    if (stage.client) {
        end.fill(0, memory_bytes, 6);
        for (std::uint32_t i = 0; i < 4; i++) {
            end.post(IBV_WR_RDMA_WRITE, end.piece(i * large, large));
        }
        end.completion(IBV_WC_SUCCESS, "the first WRITE");
        end.modify(IBV_QPS_SQD, IBV_QP_EN_SQD_ASYNC_NOTIFY, true);
        expect_event(stage.device, IBV_EVENT_SQ_DRAINED);
        end.post(IBV_WR_RDMA_WRITE, end.piece(7 * large, large));
        int done = 1;
        for (ibv_wc wc{}; ibv_poll_cq(end.cq(), 1, &wc) == 1; done++) {
            expect(wc.status == IBV_WC_SUCCESS, "a WRITE has failed while the queue drained");
        }
        end.no_completion("a drained queue");
        stage.channel.barrier(); // the server looks
        stage.channel.barrier();
        end.modify(IBV_QPS_RTS);
        for (; done < 5; done++) {
            end.completion(IBV_WC_SUCCESS, "a WRITE after all");
        }
        stage.channel.barrier();
    } else {
        stage.channel.barrier();
        expect(end.holds(0, large, 6), "the first WRITE is not there");
        expect(end.is_clear(7 * large, large), "a drained queue has sent");
        stage.channel.barrier();
        stage.channel.barrier();
        expect(end.holds(0, 4 * large, 6) &&
                   end.holds(7 * large, large, 6 + 7 * large / 8),
               "what was posted is not there in the end");
    }
}

rdma::Owned<ibv_srq> create_srq(const Stage& stage, std::uint32_t requests) {
    ibv_srq_init_attr attr{};
    attr.attr.max_wr = requests;
    attr.attr.max_sge = 1;
    return rdma::own(ibv_create_srq(stage.device.pd(), &attr), "create an SRQ");
}

/** The other host's messages take it below its limit; a QP in error has had its last receive. */
void shared_receives(Stage& stage) {
    constexpr std::uint32_t receives = 16;
    constexpr std::uint32_t limit = 12;
    const auto srq = create_srq(stage, receives);
    Shape shape;
    shape.srq = stage.client ? nullptr : srq.get();
    End end(stage, shape);
    for (std::uint32_t i = 0; i < receives && !stage.client; i++) {
        ibv_sge sge = end.piece(i * bytes, bytes);
        ibv_recv_wr wr{};
        ibv_recv_wr* bad = nullptr;
        wr.wr_id = i;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        expect(ibv_post_srq_recv(srq.get(), &wr, &bad) == 0, "cannot post to an SRQ");
    }
    if (!stage.client) {
        ibv_srq_attr attr{};
        attr.srq_limit = limit;
        expect(ibv_modify_srq(srq.get(), &attr, IBV_SRQ_LIMIT) == 0, "cannot arm an SRQ");
    }
    for (std::uint32_t i = 0; i < 6; i++) {
        stage.channel.barrier();
        if (stage.client) {
            end.fill(0, bytes, i);
            end.post(IBV_WR_SEND, end.piece(0, bytes));
        }
        const ibv_wc wc = end.completion(IBV_WC_SUCCESS, "a message");
        expect(stage.client || end.holds(static_cast<std::uint32_t>(wc.wr_id) * bytes, bytes, i),
               "a shared receive has other data");
        if (!stage.client && i == receives - limit) {
            expect_event(stage.device, IBV_EVENT_SRQ_LIMIT_REACHED);
        } else {
            expect(!next_event(stage.device, std::chrono::milliseconds(50)).has_value(),
                   "an event too early, or one too many");
        }
    }
    if (!stage.client) {
        end.modify(IBV_QPS_ERR);
        expect_event(stage.device, IBV_EVENT_QP_LAST_WQE_REACHED);
    }
    stage.channel.barrier();
}

/** Who is ready to receive hears of the first message. */
void established(Stage& stage) {
    Shape shape;
    shape.sends = stage.client;
    End end(stage, shape);
    if (!stage.client) {
        end.receive(end.piece(0, bytes));
    }
    stage.channel.barrier();
    if (stage.client) {
        end.fill(0, bytes, 7);
        end.post(IBV_WR_SEND, end.piece(0, bytes));
    } else {
        expect_event(stage.device, IBV_EVENT_COMM_EST);
    }
    end.completion(IBV_WC_SUCCESS, "the first message");
    expect(end.holds(0, bytes, 7), "the first message has other data");
}

} // namespace

std::vector<Scene> state_scenes() {
    return {{"window-closed-by-send", window_closed_by_send},
            {"window-closed-by-owner", window_closed_by_owner},
            {"outside-of-window", outside_of_window},
            {"read-through-window", read_through_window},
            {"drained", drained},
            {"shared-receives", shared_receives},
            {"established", established}};
}
