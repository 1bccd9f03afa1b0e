// SPDX-License-Identifier: Apache-2.0
// libFuzzer: arbitrary packets, acks, timers and posts for QPs in several states.
//
// The input is a program: one byte says what to do, the bytes behind it are its
// operands. Packets are given either raw (any header bytes) or as edits of a good
// one, so that the fuzzer soon gets behind the PSN and key checks.
#include "qp_host.hpp"

#include <cstdlib>

using namespace tbib::sim;

namespace {

constexpr u32 kBytes = 64 * 1024;

class Input {
  public:
    Input(const u8* p, std::size_t n) : p_(p), end_(p + n) {}
    bool empty() const { return p_ == end_; }
    u8 byte() { return empty() ? 0 : *p_++; }
    u32 word() { return static_cast<u32>(byte()) << 8 | byte(); }
    std::vector<u8> bytes(std::size_t n)
    {
        n = std::min(n, static_cast<std::size_t>(end_ - p_));
        std::vector<u8> v(p_, p_ + n);
        p_ += n;
        return v;
    }

  private:
    const u8 *p_, *end_;
};

struct World {
    explicit World(u8 shape)
        : service(shape % 4 == 0   ? TBIB_UC
                  : shape % 4 == 1 ? TBIB_UD
                                   : TBIB_RC),
          q(host, 0x20, service, 16)
    {
        attr = default_attr();
        attr.mtu = 256u << (shape >> 2) % 5;
        attr.max_dest_rd_atomic = attr.max_rd_atomic = static_cast<u8>(1 + (shape >> 5) * 5);
        attr.dest_qpn = 0x10;
        attr.timeout = 8;
        to_rts(q, attr);
        for (u64 i = 0; i < 3; i++)
            recv(i);
    }

    void recv(u64 id)
    {
        Recv r;
        r.wr_id = id;
        r.sges = {{Host::kBase + 4096, 3000, key, nullptr}, {Host::kBase, 777, key, nullptr}};
        if (q.core.state != TBIB_QPS_ERR && q.core.state != TBIB_QPS_RESET) q.post_recv(r);
    }

    void post(Input& in)
    {
        Send s;
        s.op = in.byte() % (TBIB_WR_OPS + 1);
        s.flags = in.byte() & 7;
        u32 len = in.word() % 9000;
        if (s.op == TBIB_WR_CMP_SWAP || s.op == TBIB_WR_FETCH_ADD) len = 8;
        s.sges = {{Host::kBase + 8192, len, in.byte() ? key : 1, nullptr}};
        s.remote_addr = Host::kBase;
        s.rkey = 0x15a;
        s.ah = this;
        s.qkey = attr.qkey;
        q.post(s);
    }

    /// A packet that fits what the QP expects, then some of its fields bent.
    Packet good(Input& in)
    {
        tbib_bth b{};
        b.opcode = static_cast<u8>(service | (in.byte() & 0x1f));
        b.pkey = 0xffff;
        b.dqpn = 0x20;
        u8 bend = in.byte();
        bool answer = (b.opcode & 0x1f) >= TBIB_OP_READ_RESP_FIRST &&
                      (b.opcode & 0x1f) <= TBIB_OP_ATOMIC_ACK;
        b.psn = answer ? q.core.req.una_psn : q.core.resp.epsn;
        if (bend & 1) b.psn = tbib_psn_add(b.psn, static_cast<u32>(static_cast<s8>(in.byte())));
        b.ack_req = bend & 2;
        b.solicited = bend & 4;
        b.va = Host::kBase + (bend & 8 ? in.word() * 8 : 0);
        b.rkey = bend & 16 ? in.byte() : key;
        b.qkey = bend & 16 ? in.byte() : attr.qkey;
        u32 len = bend & 32 ? in.word() % 4097 : attr.mtu;
        b.dma_len = bend & 64 ? in.word() << (in.byte() & 15) : len;
        b.syndrome = in.byte();
        b.compare = in.byte();
        b.swap_add = in.byte();
        Packet p;
        if (!tbib_bth_len(b.opcode)) return p;
        p = make_packet(b);
        if (in.byte() & 1)
            p.ool.resize(len, 0x33);
        else
            p.inl.resize(p.inl.size() + len, 0x44);
        return p;
    }

    void step(Input& in)
    {
        u8 what = in.byte();
        switch (what & 7) {
        case 0: {
            Packet p;
            p.flags = what & 8 ? TBIB_PF_GRH : 0;
            p.inl = in.bytes(in.byte());
            p.ool.resize(in.word() % 4097);
            q.deliver(p, now);
            break;
        }
        case 1:
        case 2:
        case 3: {
            Packet p = good(in);
            q.deliver(p, now);
            break;
        }
        case 4: post(in); break;
        case 5:
            q.take(now);
            if (what & 8) q.ack_notes(what & 16);
            break;
        case 6:
            now += u64(in.word()) * (what & 8 ? 100000 : 1000);
            if (u64 d = tbib_qp_deadline(&q.core); d && now >= d) tbib_qp_timer(&q.core, now);
            break;
        default:
            if (what == 0xff) {
                tbib_qp_modify(&q.core, TBIB_QPS_ERR, &attr);
            } else if (what == 0xf7) {
                tbib_qp_modify(&q.core, TBIB_QPS_RESET, &attr);
                q.rq.clear();
                to_rts(q, attr);
            } else if (what == 0xef && q.core.state == TBIB_QPS_RTS) {
                tbib_qp_modify(&q.core, TBIB_QPS_SQD, &attr);
            } else if (what == 0xe7 &&
                       (q.core.state == TBIB_QPS_SQD || q.core.state == TBIB_QPS_SQE)) {
                tbib_qp_modify(&q.core, TBIB_QPS_RTS, &attr);
            } else {
                recv(what);
            }
        }
    }

    tbib_service service;
    Host host{kBytes};
    u32 key = host.reg(0, kBytes, 15);
    Qp q;
    tbib_qp_attr attr{};
    u64 now = 1000000000;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (!size) return 0;
    World w(data[0]);
    Input in(data + 1, size - 1);
    while (!in.empty())
        w.step(in);
    // whatever has happened, RESET gives everything back
    w.q.ack_notes();
    tbib_qp_modify(&w.q.core, TBIB_QPS_RESET, &w.attr);
    if (w.q.wqe_refs || w.q.recv_refs || w.host.refs()) abort();
    if (tbib_qp_wants_tx(&w.q.core) || tbib_qp_deadline(&w.q.core)) abort();
    return 0;
}
