// SPDX-License-Identifier: Apache-2.0
// One node of the trunk simulator: a host around a sender and a receiver.
#pragma once

#include "trunk_plan.hpp"
#include "trunk_sim.hpp"
#include "trunk_traffic.hpp"

#include <deque>
#include <memory>
#include <vector>

extern "C" {
#include "trunk.h"
}

namespace tbib::sim {

using Time = std::uint64_t;

/// A buffer of a receive ring. Raw frames point into constant bytes, so only
/// header frames need memory of their own.
struct Page {
    bool live = false;
    std::uint8_t data[TBIB_FRAME_SIZE];
};

class PagePool {
public:
    Page *get();
    void put(Page *page);
    std::size_t live() const { return live_; }

private:
    std::deque<Page> pages_;
    std::vector<Page *> free_;
    std::size_t live_ = 0;
};

/// A frame between two nodes.
struct WireFrame {
    Time arrives;
    const std::uint8_t *data;
    Page *page;
    std::uint16_t len;
    std::uint8_t eof;
    bool bad;
};

/// One direction of one ring pair, with the faults on its way.
class Wire {
public:
    void send(WireFrame f, bool control, const TrunkPlan &plan, const LinkPlan &link, Time now,
              bool faults, bool cable, Rng &rng, PagePool &pool, TrunkSimStats &stats);
    void clear(PagePool &pool);
    /// What is in flight arrives later, and so does what follows.
    void delay(Time by);

    std::deque<WireFrame> frames;
    Time busy_until = 0;   ///< transmitter

private:
    std::uint64_t burst_left_ = 0;
};

/// A train with its header frame's memory.
struct TrainBox {
    tbib_train t{};
    std::uint8_t frame[TBIB_FRAME_SIZE];
    std::uint64_t id = 0;
    unsigned on_ring = 0;  ///< frames that the TX ring has
    bool out = false;
};

struct Posted {
    Time done;
    TrainBox *box; ///< NULL: control frame
};

struct RingState {
    bool up = false;
    std::uint32_t cookie = 0;          ///< ours
    std::deque<Posted> posted;         ///< TX descriptors in use
    std::deque<WireFrame> arrived;     ///< RX descriptors done, not polled
};

class Node {
public:
    Node(unsigned number, const TrunkPlan &plan, const TrunkTraffic &traffic, PagePool &pool,
         TrunkSimStats &stats, Rng &rng);
    Node(const Node &) = delete;
    virtual ~Node() = default;

    /// Everything that is due at @now; afterwards wake() says when to come again.
    void step(Time now);
    Time wake() const { return wake_; }

    void ring_up(unsigned ring, std::uint32_t cookie, std::uint32_t peer_cookie, Time now);
    void ring_down(unsigned ring, Time now);
    /// New epoch: nothing that was sent before may arrive any more.
    void reset();

    /// All of our trains pulled, acked and given back, nothing held as receiver?
    bool quiet() const;
    void check_leaks() const;
    std::string state() const;
    void collect(TrunkSimStats &sum) const;

    Node *peer = nullptr;
    std::vector<Wire> out;             ///< by ring, towards the peer
    std::vector<bool> *cable = nullptr;
    bool faults = true;
    std::vector<RingState> rings;
    tbib_tx tx;
    tbib_rx rx;

protected:
    friend struct NodeOps;

    /// What rides in trains is a derived class's when it overrides these three.
    virtual TrainBox *pull(unsigned lane);
    virtual void release(TrainBox *box, bool delivered);
    virtual void deliver(tbib_rx_train *t);
    /// Bytes of a raw frame as the ring reads them now; @page may take a copy.
    virtual const std::uint8_t *raw_bytes(const tbib_raw &raw, Page &page);
    TrainBox *take_box(unsigned lane);
    void put_box(TrainBox *box);

private:
    void reap(unsigned ring, Time now);
    void receive(Time now, std::uint32_t &flags);
    void take_arrivals(unsigned ring, Time now);
    void control(tbib_ctrl_type type, int ring);
    void post(unsigned ring, const WireFrame &f, TrainBox *box, bool is_control);
    void transmit(Time now);
    void release_held(Time now);
    void plan_wake(Time now);

    unsigned number_;
    const TrunkPlan &plan_;
    const TrunkTraffic &traffic_;
    PagePool &pool_;
    TrunkSimStats &stats_;
    Rng &rng_;

    std::vector<tbib_rx_slot> slots_;
    std::deque<TrainBox> boxes_;
    std::vector<TrainBox *> free_;
    std::uint64_t next_id_[TBIB_LANES] = {};
    Time ready_at_[TBIB_LANES] = {};
    std::uint64_t expected_[TBIB_LANES] = {};
    std::deque<std::pair<Time, tbib_rx_train *>> held_;
    std::size_t rx_pages_ = 0, host_pages_ = 0;

    Time now_ = 0, wake_ = 0, ack_at_ = 0, paused_until_ = 0, poll_at_ = 0;
    Time reap_after_ = 0;
};

} // namespace tbib::sim
