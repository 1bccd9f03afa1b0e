// SPDX-License-Identifier: Apache-2.0
// A host for QPs of the C core in userspace: memory regions, receive queues,
// completions, and packets taken out of trains one by one. What it counts
// (references) must be zero again when everything has completed.
#pragma once

#include "proto.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

namespace tbib::sim {

class Qp;

/// A memory region; `bytes` are the node's.
struct Mr {
    u64 va = 0;
    u32 len = 0;
    u32 access = 0;
    u32 key = 0;
    bool valid = true;
    int refs = 0;
    u8* bytes = nullptr;
};

/// One node: memory and keys.
class Host {
  public:
    explicit Host(std::size_t memory_bytes);
    /// Registers `len` bytes from memory offset `off`; the key is lkey and rkey.
    /// The address of byte `off` is `kBase + off`.
    u32 reg(u32 off, u32 len, u32 access);
    void invalidate(u32 key);
    void validate(u32 key);
    /// The region that holds all of [va, va + len) with `access`, or nullptr.
    Mr* find(u32 key, u64 va, u32 len, u32 access);
    Mr* by_key(u32 key);
    u8* at(u64 va) { return &memory[va - kBase]; }
    int refs() const;

    static constexpr u64 kBase = 0x7f0000000000;
    std::vector<u8> memory;

  private:
    std::vector<std::unique_ptr<Mr>> mrs_;
};

/// A receive WQE as posted.
struct Recv {
    u64 wr_id = 0;
    std::vector<tbib_sge> sges;
    u8 get_status = TBIB_OK; ///< what recv_get says of it
};

/// A send WQE as posted.
struct Send {
    u8 op = TBIB_WR_SEND;
    u64 wr_id = 0;
    u8 flags = TBIB_WF_SIGNALED;
    std::vector<tbib_sge> sges;
    std::vector<u8> inl;
    u64 remote_addr = 0;
    u32 rkey = 0;
    u32 imm = 0;
    u64 compare = 0, swap_add = 0;
    void* ah = nullptr;
    u32 qpn = 0, qkey = 0;
};

/// One packet, taken out of its train; owns its bytes.
struct Packet {
    u8 flags = 0;
    std::vector<u8> inl;
    std::vector<u8> ool;

    tbib_bth bth() const;
    u8 op() const { return bth().opcode & 0x1f; }
};

/// Drops the references of a train's raw frames.
void release_raw(tbib_train& t);

/// A train and the header frame it needs.
struct TxTrain {
    TxTrain();
    void open(u8 lane = 0);
    void release() { release_raw(t); }

    tbib_train t{};
    std::vector<u8> hdr;
};

/// Makes a received train of a sent one without copying a byte.
void as_received(const tbib_train& tx, tbib_rx_train& rx);

class Qp {
  public:
    Qp(Host& host, u32 qpn, tbib_service service, u32 slots = 64);
    virtual ~Qp() = default;
    Qp(const Qp&) = delete;
    Qp& operator=(const Qp&) = delete;

    /// False when the send queue is full.
    bool post(const Send& s);
    void post_recv(Recv r);
    /// Fills trains until there is nothing to send; the trains come back as packets.
    std::vector<Packet> take(u64 now, void* ah = nullptr);
    /// Gives what tbib_qp_rx() returns, and checks it: has nothing changed when nothing follows?
    bool deliver(const Packet& p, u64 now, u16 slid = 1);
    /// Runs the notes of all trains that take() filled (the trunk's ack).
    void ack_notes(bool delivered = true);
    static Qp& of(const tbib_qp* core);

    Host& host;
    struct Box {
        tbib_qp core;
        Qp* self;
    } box{};
    tbib_qp& core = box.core;
    std::deque<Recv> rq;
    std::vector<tbib_cqe> send_cqes, recv_cqes;
    std::vector<tbib_qp_event> events;
    std::vector<u8> local_ops; ///< LOCAL_INV, REG_MR, BIND_MW in the order executed
    int wqe_refs = 0;          ///< committed and not released
    int recv_refs = 0;
    u32 pages_missing = 0; ///< so many gather_raw calls fail
    u8 prepare_status = TBIB_OK;
    bool with_grh = true;
    int last_flags = 0; ///< scatter calls with `last`

  protected:
    virtual void completed(const tbib_cqe& cqe);
    virtual bool page_missing();

  private:
    friend struct Ops;
    std::vector<std::max_align_t> slots_;
    std::size_t stride_;
    std::vector<tbib_note> notes_;
};

/// A pair of connected QPs on two nodes.
tbib_qp_attr default_attr();
void connect(Qp& a, Qp& b, tbib_qp_attr attr = default_attr());
void to_rts(Qp& q, const tbib_qp_attr& attr);

/// A packet made by hand: headers of `b`, then `payload`.
Packet make_packet(const tbib_bth& b, const std::vector<u8>& payload = {});

} // namespace tbib::sim
