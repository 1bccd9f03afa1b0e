// SPDX-License-Identifier: Apache-2.0
/** verbs_rules: in which order things happen, and who is woken. */
#include <arpa/inet.h>

#include <array>

#include "verbs_rules.hpp"

namespace {

constexpr std::uint32_t half = memory_bytes / 2;

/** A fenced request begins when the READs before it have their data. */
void fence(Stage& stage) {
    constexpr int rounds = 20;
    constexpr std::uint32_t bytes = 200'000;
    End end(stage);
    for (std::uint64_t round = 0; round < rounds; round++) {
        end.clear(0, memory_bytes);
        if (!stage.client) {
            end.fill(0, bytes, round << 32);
            end.receive(end.piece(half, bytes));
        }
        stage.channel.barrier();
        if (stage.client) {
            end.post(IBV_WR_RDMA_READ, end.piece(0, bytes));
            end.post(IBV_WR_SEND, end.piece(0, bytes), IBV_SEND_FENCE);
            end.completion(IBV_WC_SUCCESS, "READ");
        }
        end.completion(IBV_WC_SUCCESS, "fenced SEND");
        expect(end.holds(stage.client ? 0 : half, bytes, round << 32),
               "a fenced SEND took what was there before the READ");
        stage.channel.barrier();
    }
}

constexpr std::uint32_t messages = 64;
constexpr std::uint32_t slot = 4096;
/** Packets of each path MTU end within it. */
constexpr std::uint32_t message_bytes = 2777;

void post_messages(End& end, std::uint64_t key) {
    for (std::uint32_t i = 0; i < messages; i++) {
        end.fill(i * slot, message_bytes, key + i * slot);
        ibv_sge out = end.piece(i * slot, message_bytes);
        ibv_send_wr write = end.request(IBV_WR_RDMA_WRITE, out);
        ibv_sge in = end.piece(half + i * slot, message_bytes);
        ibv_send_wr read = end.request(IBV_WR_RDMA_READ, in);
        read.wr.rdma = write.wr.rdma;
        ibv_sge none{};
        ibv_send_wr send = end.request(IBV_WR_SEND_WITH_IMM, none);
        send.num_sge = 0;
        send.imm_data = htonl(i);
        write.send_flags = read.send_flags = 0;
        send.send_flags = i + 1 < messages ? 0 : IBV_SEND_SIGNALED;
        write.next = &read;
        read.next = &send;
        rdma::post_send(end.qp(), write);
    }
}

/**
 * WRITE, READ of the same place, SEND, many of each under way: what has been written is there
 * when the SEND is, in order, and the READ has it (IBTA 9.5, table of ordering rules).
 */
void order(Stage& stage, std::uint8_t reads) {
    constexpr int rounds = 20;
    Shape shape;
    shape.connection.read_depth = reads;
    End end(stage, shape);
    for (std::uint64_t round = 0; round < rounds; round++) {
        const std::uint64_t key = round << 32;
        end.clear(0, memory_bytes);
        for (std::uint32_t i = 0; i < messages && !stage.client; i++) {
            end.receive(end.piece(half, 0));
        }
        stage.channel.barrier();
        if (stage.client) {
            post_messages(end, key);
            end.completion(IBV_WC_SUCCESS, "the last SEND");
            for (std::uint32_t i = 0; i < messages; i++) {
                expect(end.holds(half + i * slot, message_bytes, key + i * slot),
                       "READ " + std::to_string(i) + " has not what was written before it");
            }
        } else {
            for (std::uint32_t i = 0; i < messages; i++) {
                const ibv_wc wc = end.completion(IBV_WC_SUCCESS, "receive");
                expect(ntohl(wc.imm_data) == i, "SENDs have changed places");
                expect(end.holds(i * slot, message_bytes, key + i * slot),
                       "SEND " + std::to_string(i) + " came before what was written");
            }
        }
        stage.channel.barrier();
    }
}

void order_few_reads(Stage& stage) { order(stage, 1); }
void order_many_reads(Stage& stage) { order(stage, 16); }

/** Additions under way together return every value once, in order. */
void count(Stage& stage) {
    constexpr std::uint32_t additions = 200;
    Shape shape;
    shape.connection.read_depth = 16;
    End end(stage, shape);
    const std::uint64_t start = 0xa5a5a5a5a5a5a5a5;
    if (stage.client) {
        ibv_sge at = end.piece(0, 8);
        const auto remote = end.request(IBV_WR_ATOMIC_FETCH_AND_ADD, at).wr.atomic.remote_addr;
        for (std::uint32_t i = 0; i < additions; i++) {
            ibv_sge result = end.piece(8 * i, 8);
            ibv_send_wr wr = end.request(IBV_WR_ATOMIC_FETCH_AND_ADD, result);
            wr.wr.atomic.remote_addr = remote;
            wr.send_flags = i + 1 < additions ? 0 : IBV_SEND_SIGNALED;
            rdma::post_send(end.qp(), wr);
        }
        end.completion(IBV_WC_SUCCESS, "the last addition");
        for (std::uint32_t i = 0; i < additions; i++) {
            expect(end.word(8 * i) == start + i, "addition " + std::to_string(i) +
                                                     " has another one's result");
        }
    }
    stage.channel.barrier();
    expect(stage.client || end.word(0) == start + additions, "the sum is wrong");
}

/** IBTA 11.4.2.2: who asks for solicited completions is not woken by others. */
void solicited(Stage& stage) {
    constexpr std::array operations{IBV_WR_SEND, IBV_WR_SEND_WITH_IMM,
                                    IBV_WR_RDMA_WRITE_WITH_IMM};
    End end(stage);
    for (const ibv_wr_opcode operation : operations) {
        for (const bool flagged : {false, true}) {
            if (!stage.client) {
                end.receive(end.piece(0, slot));
                end.arm(true);
            }
            stage.channel.barrier();
            if (stage.client) {
                end.post(operation, end.piece(0, slot), flagged ? IBV_SEND_SOLICITED : 0);
            }
            end.completion(IBV_WC_SUCCESS, "message");
            expect(stage.client || end.woken(flagged ? patience : quiet) == flagged,
                   flagged ? "a solicited message woke nobody" : "woken by what is not solicited");
            stage.channel.barrier();
        }
    }
}

} // namespace

std::vector<Scene> order_scenes() {
    return {{"fence", fence},
            {"order-1-read", order_few_reads},
            {"order-16-reads", order_many_reads},
            {"count", count},
            {"solicited", solicited}};
}
