// SPDX-License-Identifier: Apache-2.0
/**
 * verbs_rules: what the specification promises of a connection, asked of two hosts.
 *
 * Each scene is one promise and has a connection of its own. Both sides play it, the client asks
 * and the server answers; a TCP connection keeps them together.
 */
#ifndef TBIB_TEST_TOOLS_VERBS_RULES_HPP
#define TBIB_TEST_TOOLS_VERBS_RULES_HPP

#include <infiniband/verbs.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "channel.hpp"
#include "rdma.hpp"

constexpr int everything = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
                           IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC |
                           IBV_ACCESS_MW_BIND;
constexpr std::uint32_t memory_bytes = 1 << 20;
constexpr std::uint8_t background = 0xa5;
constexpr std::chrono::seconds patience{20};
/** How long nothing must happen where nothing may. */
constexpr std::chrono::milliseconds quiet{300};

/** Where a scene is played. */
struct Stage {
    const rdma::Device& device;
    Channel& channel;
    bool client;
    int rounds; /**< of a scene that is a race, at most */
};

struct Scene {
    std::string name;
    void (*play)(Stage&);
};

/** Scenes of each file. */
std::vector<Scene> order_scenes();
std::vector<Scene> error_scenes();
std::vector<Scene> state_scenes();
std::vector<Scene> fire_scenes();

/** Throws std::runtime_error with @p what unless @p right. */
void expect(bool right, const std::string& what);

/** What a side's connection is to be. */
struct Shape {
    int region_access = everything;
    int qp_access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
    ibv_srq* srq = nullptr;
    rdma::Connection connection{};
    bool sends = true; /**< else it stays in RTR */
};

/** One side of a connection: a CQ with a channel, a QP, memory that the other side may reach. */
class End {
public:
    End(Stage& stage, const Shape& shape = {});

    [[nodiscard]] ibv_qp* qp() const { return qp_.get(); }
    [[nodiscard]] ibv_cq* cq() const { return cq_.get(); }
    [[nodiscard]] const ibv_mr& mr() const { return *mr_; }
    [[nodiscard]] std::uint32_t remote_key() const { return peer_.rkey; }

    /** A piece of the memory; a request that has it goes to the same place of the other side. */
    [[nodiscard]] ibv_sge piece(std::uint32_t offset, std::uint32_t bytes) const;
    /** A signalled request; @p sge has to live until it is posted, and names the remote place too. */
    [[nodiscard]] ibv_send_wr request(ibv_wr_opcode opcode, ibv_sge& sge) const;
    void post(ibv_wr_opcode opcode, ibv_sge sge, unsigned flags = 0);
    void receive(ibv_sge sge);
    /** Lets the other side write through a window of type 2; returns when it may. */
    void bind(ibv_mw* window, std::uint32_t key, ibv_sge range);
    void invalidate(std::uint32_t key);

    void fill(std::uint32_t offset, std::uint32_t bytes, std::uint64_t key);
    void clear(std::uint32_t offset, std::uint32_t bytes);
    [[nodiscard]] bool holds(std::uint32_t offset, std::uint32_t bytes, std::uint64_t key) const;
    [[nodiscard]] bool is_clear(std::uint32_t offset, std::uint32_t bytes) const;
    [[nodiscard]] std::uint64_t word(std::uint32_t offset) const;

    /** The next one, in whatever state; throws if it does not come in time. */
    ibv_wc completion();
    /** The next one, which must have this status. */
    ibv_wc completion(ibv_wc_status status, const std::string& what);
    /** Throws if a completion comes that must not. */
    void no_completion(const std::string& what);

    /** Asks to be woken. */
    void arm(bool solicited_only);
    [[nodiscard]] bool woken(std::chrono::milliseconds limit);

    /** Throws unless the QP is in this state. */
    void expect_state(ibv_qp_state state) const;
    void modify(ibv_qp_state state, int mask = 0, bool tell_when_drained = false);
    void destroy_qp() { qp_.reset(); }

private:
    /** What one side tells the other. */
    struct Hello {
        rdma::Address qp;
        std::uint64_t address;
        std::uint32_t rkey;
    };

    rdma::Owned<ibv_comp_channel> channel_;
    rdma::Owned<ibv_cq> cq_;
    std::vector<std::uint8_t> memory_;
    rdma::Owned<ibv_mr> mr_;
    rdma::Owned<ibv_qp> qp_;
    Hello peer_{};
};

/** The next asynchronous event but for those of the port, or none in time. */
std::optional<ibv_event_type> next_event(const rdma::Device& device,
                                         std::chrono::milliseconds limit);
/** Throws unless the next one is this. */
void expect_event(const rdma::Device& device, ibv_event_type type);

#endif
