// SPDX-License-Identifier: Apache-2.0
// What the C core costs for a message: two RC QPs back to back through trains in
// memory (post, fill, encode, decode, iterate, rx, answer, completion). Copies of
// payload are counted as the kernel makes them: none on sending from 2 KiB on, one
// on receiving.
extern "C" {
#include "qp.h"
}

#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <memory>

namespace {

constexpr u32 kSlots = 64;
constexpr u32 kBuffer = 64 * 1024;

struct End {
    tbib_qp core{}; // first: ops get it
    std::array<tbib_wqe, kSlots> slots{};
    alignas(4096) std::array<u8, kBuffer> memory{};
    alignas(4096) std::array<u8, TBIB_FRAME_SIZE> header{};
    tbib_train train{};
    u64 completions = 0, received = 0;
    bool checksum = false;
};

End& end_of(tbib_qp* q)
{
    return *reinterpret_cast<End*>(q);
}

void copy_to(u8* dst, const tbib_payload* p)
{
    for (u32 i = 0; i < p->n; i++) {
        memcpy(dst, p->piece[i].data, p->piece[i].len);
        dst += p->piece[i].len;
    }
}

u8 raw(End& e, u32 off, u32 len, tbib_train* t)
{
    tbib_raw r{};
    r.data = e.memory.data() + off;
    r.len = static_cast<u16>(len);
    return tbib_train_add_raw(t, &r) ? u8{TBIB_OK} : u8{TBIB_NO_PAGE};
}

tbib_qp_ops make_ops()
{
    tbib_qp_ops o{};
    o.wqe_prepare = [](tbib_qp*, tbib_wqe*) -> u8 { return TBIB_OK; };
    o.wqe_release = [](tbib_qp*, tbib_wqe*) {};
    o.gather = [](tbib_qp* q, const tbib_wqe*, u32 off, u32 len, u8* dst) -> u8 {
        memcpy(dst, end_of(q).memory.data() + off, len);
        return TBIB_OK;
    };
    o.gather_raw = [](tbib_qp* q, const tbib_wqe*, u32 off, u32 len, tbib_train* t) {
        return raw(end_of(q), off, len, t);
    };
    o.scatter = [](tbib_qp* q, const tbib_wqe*, u32 off, const tbib_payload* p, bool) -> u8 {
        copy_to(end_of(q).memory.data() + off, p);
        return TBIB_OK;
    };
    o.recv_get = [](tbib_qp*, tbib_rwqe* r) -> u8 {
        r->length = kBuffer;
        return TBIB_OK;
    };
    o.recv_scatter = [](tbib_qp* q, const tbib_rwqe*, u32 off, const tbib_payload* p,
                        bool) -> u8 {
        copy_to(end_of(q).memory.data() + off, p);
        return TBIB_OK;
    };
    o.recv_release = [](tbib_qp*, tbib_rwqe*) {};
    o.mem_get = [](tbib_qp* q, u32 rkey, u64 va, u32 len, u32 access,
                   tbib_mem* m) -> u8 {
        *m = {&end_of(q), nullptr, 0, va, len, rkey, access};
        return va + len > kBuffer ? TBIB_REM_ACCESS_ERR : TBIB_OK;
    };
    o.mem_put = [](tbib_qp*, tbib_mem*) {};
    o.mem_read = [](tbib_qp* q, const tbib_mem* m, u32 off, u32 len, u8* dst) -> u8 {
        memcpy(dst, end_of(q).memory.data() + m->va + off, len);
        return TBIB_OK;
    };
    o.mem_read_raw = [](tbib_qp* q, const tbib_mem* m, u32 off, u32 len, tbib_train* t) {
        return raw(end_of(q), static_cast<u32>(m->va) + off, len, t);
    };
    o.mem_write = [](tbib_qp* q, const tbib_mem* m, u32 off, const tbib_payload* p, bool) -> u8 {
        copy_to(end_of(q).memory.data() + m->va + off, p);
        return TBIB_OK;
    };
    o.complete = [](tbib_qp* q, const tbib_cqe* c) {
        (c->recv ? end_of(q).received : end_of(q).completions)++;
        if (c->status) abort();
    };
    o.event = [](tbib_qp*, tbib_qp_event) {};
    return o;
}

void open_train(End& e)
{
    e.train.hdr = e.header.data();
    tbib_train_init(&e.train, 2, 1, 7, TBIB_LANE_EXPRESS);
}

void start(End& e, u32 qpn, u32 dest)
{
    static const tbib_qp_ops ops = make_ops();
    tbib_qp_attr a{};

    tbib_qp_init(&e.core, &ops, qpn, TBIB_RC,
                 [](tbib_qp* q, u32 i) { return &end_of(q).slots[i]; }, kSlots);
    a.dest_qpn = dest;
    a.mtu = 4096;
    a.access = 15;
    a.retry_cnt = 7;
    a.timeout = 14;
    a.max_rd_atomic = a.max_dest_rd_atomic = 16;
    for (auto s : {TBIB_QPS_INIT, TBIB_QPS_RTR, TBIB_QPS_RTS})
        tbib_qp_modify(&e.core, s, &a);
    open_train(e);
}

/// Fills one train, and gives it to the other end. False: nothing to send.
bool carry(End& from, End& to, u64 now)
{
    tbib_rx_train rx;
    tbib_pkt_iter it;
    tbib_pkt p;
    tbib_bth b;

    tbib_qp_fill(&from.core, &from.train, nullptr, now);
    tbib_train& t = from.train;
    if (!t.n_pkt) return false;
    tbib_frame_hdr h{};
    u16 raw_len[TBIB_MAX_RAW];
    h.kind = TBIB_KIND_TRAIN;
    h.dlid = t.dlid;
    h.slid = t.slid;
    h.hop_limit = t.hop_limit;
    h.n_raw = t.n_raw;
    h.n_pkt = t.n_pkt;
    h.pkt_len = t.pkt_len;
    if (from.checksum) {
        for (u32 i = 0; i < t.n_raw; i++)
            raw_len[i] = t.raw[i].len;
        u32 len = tbib_frame_encode(t.hdr, &h, raw_len);
        if (tbib_frame_decode(t.hdr, len, &rx.h, raw_len)) abort();
    } else {
        rx.h = h;
    }
    rx.pkts = t.hdr + TBIB_FRAME_HDR;
    for (u32 i = 0; i < t.n_raw; i++)
        rx.raw[i] = {static_cast<const u8*>(t.raw[i].data), t.raw[i].len};
    tbib_pkt_iter_init(&it, &rx);
    while (tbib_pkt_next(&it, &p) == 1) {
        if (tbib_bth_decode(p.inl, p.inl_len, false, &b)) abort();
        tbib_qp_rx(&to.core, &b, &p, 1, now);
    }
    open_train(from);
    return true;
}

/// `batch` messages of `len` bytes a round, until all are complete.
void messages(benchmark::State& state, u8 op, u32 len, u32 batch, bool checksum)
{
    auto a = std::make_unique<End>(), b = std::make_unique<End>();
    u64 now = 1000000, sent = 0;

    start(*a, 0x10, 0x20);
    start(*b, 0x20, 0x10);
    a->checksum = b->checksum = checksum;
    for (auto _ : state) {
        for (u32 i = 0; i < batch; i++) {
            tbib_wqe* w = tbib_sq_slot(&a->core);
            w->op = op;
            w->flags = TBIB_WF_SIGNALED;
            w->length = len;
            w->remote_addr = 0;
            tbib_sq_commit(&a->core);
        }
        sent += batch;
        while (a->completions != sent) {
            bool any = carry(*a, *b, now += 1000);
            any |= carry(*b, *a, now += 1000);
            if (!any) abort();
        }
    }
    state.SetItemsProcessed(static_cast<int64_t>(sent));
    state.SetBytesProcessed(static_cast<int64_t>(sent * len));
    state.counters["per_message"] =
        benchmark::Counter(static_cast<double>(sent),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(messages, send_64_batch, TBIB_WR_SEND, 64, 32, true);
BENCHMARK_CAPTURE(messages, send_64_alone, TBIB_WR_SEND, 64, 1, true);
BENCHMARK_CAPTURE(messages, send_64_batch_without_crc, TBIB_WR_SEND, 64, 32, false);
BENCHMARK_CAPTURE(messages, write_4096_batch, TBIB_WR_WRITE, 4096, 32, true);
BENCHMARK_CAPTURE(messages, write_4096_alone, TBIB_WR_WRITE, 4096, 1, true);
BENCHMARK_CAPTURE(messages, write_65536_batch, TBIB_WR_WRITE, 65536, 4, true);
BENCHMARK_CAPTURE(messages, read_4096_batch, TBIB_WR_READ, 4096, 16, true);

} // namespace

BENCHMARK_MAIN();
