// SPDX-License-Identifier: Apache-2.0
#include "qp_host.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace tbib::sim {

namespace {

/// Walks the bytes [off, off + len) of a gather or scatter list. Gives TBIB_LOC_PROT_ERR when a
/// region has been deregistered.
template <typename F> u8 walk(const tbib_sge* sge, u32 n, u32 off, u32 len, F&& each)
{
    for (u32 i = 0; i < n && len; i++) {
        if (off >= sge[i].len) {
            off -= sge[i].len;
            continue;
        }
        u32 run = std::min(len, sge[i].len - off);
        auto* mr = static_cast<Mr*>(sge[i].mr);
        if (!mr->valid) return TBIB_LOC_PROT_ERR;
        each(mr, mr->bytes + (sge[i].addr - mr->va) + off, run);
        off = 0;
        len -= run;
    }
    if (len) abort(); // the core went beyond the list
    return TBIB_OK;
}

u8 scatter_to(const tbib_sge* sge, u32 n, u32 off, const tbib_payload* p)
{
    for (u32 i = 0; i < p->n; i++) {
        const u8* src = p->piece[i].data;
        u8 status = walk(sge, n, off, p->piece[i].len, [&](Mr*, u8* dst, u32 run) {
            memcpy(dst, src, run);
            src += run;
        });
        if (status) return status;
        off += p->piece[i].len;
    }
    return TBIB_OK;
}

enum RawKind : u8 { kRawMr, kRawBounce };

void add_raw(tbib_train* t, Mr* mr, u8* data, u32 len)
{
    tbib_raw raw{};
    raw.data = data;
    raw.ref = mr;
    raw.len = static_cast<u16>(len);
    raw.kind = kRawMr;
    mr->refs++;
    if (!tbib_train_add_raw(t, &raw)) abort(); // the core promised room for two
}

void add_bounce(tbib_train* t, u8* page, u32 len)
{
    tbib_raw raw{};
    raw.data = page;
    raw.ref = page;
    raw.len = static_cast<u16>(len);
    raw.kind = kRawBounce;
    if (!tbib_train_add_raw(t, &raw)) abort();
}

constexpr u64 kPage = 4096;

/// At most two raw frames from contiguous bytes, cut at a page boundary.
void add_pages(tbib_train* t, Mr* mr, u8* data, u32 len)
{
    u32 first = static_cast<u32>(kPage - reinterpret_cast<uintptr_t>(data) % kPage);
    if (first >= len) {
        add_raw(t, mr, data, len);
        return;
    }
    add_raw(t, mr, data, first);
    add_raw(t, mr, data + first, len - first);
}

} // namespace

// --- the ops of the core ----------------------------------------------------

struct Ops {
    static u8 wqe_prepare(tbib_qp* core, tbib_wqe* w)
    {
        Qp& q = Qp::of(core);
        if (q.prepare_status) return std::exchange(q.prepare_status, TBIB_OK);
        if (w->op == TBIB_WR_LOCAL_INV || w->op == TBIB_WR_REG_MR || w->op == TBIB_WR_BIND_MW) {
            q.local_ops.push_back(w->op);
            if (w->op == TBIB_WR_LOCAL_INV && w->imm) q.host.invalidate(w->imm);
            return TBIB_OK;
        }
        if (w->flags & TBIB_WF_INLINE) return TBIB_OK;
        u32 access = w->op == TBIB_WR_READ || w->op == TBIB_WR_CMP_SWAP ||
                             w->op == TBIB_WR_FETCH_ADD
                         ? TBIB_ACC_LOCAL_WRITE
                         : 0;
        return get_sges(q, tbib_wqe_sge(w), w->n_sge, access);
    }

    static u8 get_sges(Qp& q, tbib_sge* sge, u32 n, u32 access)
    {
        for (u32 i = 0; i < n; i++) {
            Mr* mr = q.host.find(sge[i].lkey, sge[i].addr, sge[i].len, access);
            if (!mr) {
                put_sges(sge, i);
                return TBIB_LOC_PROT_ERR;
            }
            mr->refs++;
            sge[i].mr = mr;
        }
        return TBIB_OK;
    }

    static void put_sges(tbib_sge* sge, u32 n)
    {
        for (u32 i = 0; i < n; i++) {
            if (sge[i].mr) static_cast<Mr*>(sge[i].mr)->refs--;
            sge[i].mr = nullptr;
        }
    }

    static void wqe_release(tbib_qp* core, tbib_wqe* w)
    {
        Qp& q = Qp::of(core);
        q.wqe_refs--;
        if (!(w->flags & TBIB_WF_INLINE)) put_sges(tbib_wqe_sge(w), w->n_sge);
    }

    static u8 gather(tbib_qp*, const tbib_wqe* w, u32 off, u32 len, u8* dst)
    {
        return walk(tbib_wqe_sge(w), w->n_sge, off, len, [&](Mr*, u8* src, u32 run) {
            memcpy(dst, src, run);
            dst += run;
        });
    }

    static void grh(tbib_qp*, const tbib_wqe* w, u32 len, u8* dst)
    {
        for (u32 i = 0; i < TBIB_GRH_LEN; i++)
            dst[i] = static_cast<u8>(w->wr_id + len + i);
    }

    static u8 gather_raw(tbib_qp* core, const tbib_wqe* w, u32 off, u32 len, tbib_train* t)
    {
        Qp& q = Qp::of(core);
        u32 parts = 0;
        Mr* mr = nullptr;
        u8* data = nullptr;

        if (q.page_missing()) return TBIB_NO_PAGE;
        u8 status = walk(tbib_wqe_sge(w), w->n_sge, off, len, [&](Mr* m, u8* src, u32) {
            if (!parts++) {
                mr = m;
                data = src;
            }
        });
        if (status) return status;
        if (parts == 1) {
            add_pages(t, mr, data, len);
            return TBIB_OK;
        }
        auto* page = static_cast<u8*>(malloc(kPage));
        gather(core, w, off, len, page);
        add_bounce(t, page, len);
        return TBIB_OK;
    }

    static u8 scatter(tbib_qp* core, const tbib_wqe* w, u32 off, const tbib_payload* p,
                        bool last)
    {
        Qp::of(core).last_flags += last;
        return scatter_to(tbib_wqe_sge(w), w->n_sge, off, p);
    }

    static u8 recv_get(tbib_qp* core, tbib_rwqe* r)
    {
        Qp& q = Qp::of(core);

        if (q.rq.empty()) return TBIB_RNR_RETRY_EXC_ERR;
        Recv recv = std::move(q.rq.front());
        q.rq.pop_front();
        r->wr_id = recv.wr_id;
        if (recv.get_status) return recv.get_status;
        r->n_sge = static_cast<u8>(recv.sges.size());
        r->length = 0;
        for (u32 i = 0; i < r->n_sge; i++) {
            r->sge[i] = recv.sges[i];
            r->length += r->sge[i].len;
        }
        u8 status = get_sges(q, r->sge, r->n_sge, TBIB_ACC_LOCAL_WRITE);
        q.recv_refs += !status;
        return status;
    }

    static u8 recv_scatter(tbib_qp* core, const tbib_rwqe* r, u32 off, const tbib_payload* p,
                           bool last)
    {
        Qp::of(core).last_flags += last;
        return scatter_to(r->sge, r->n_sge, off, p);
    }

    static void recv_release(tbib_qp* core, tbib_rwqe* r)
    {
        Qp::of(core).recv_refs--;
        put_sges(r->sge, r->n_sge);
    }

    static u8 mem_get(tbib_qp* core, u32 rkey, u64 va, u32 len, u32 access, tbib_mem* m)
    {
        Mr* mr = Qp::of(core).host.find(rkey, va, len, access);

        *m = {};
        if (!mr) return TBIB_REM_ACCESS_ERR;
        mr->refs++;
        *m = {mr, nullptr, 0, va, len, rkey, access};
        return TBIB_OK;
    }

    static void mem_put(tbib_qp*, tbib_mem* m) { static_cast<Mr*>(m->mr)->refs--; }

    static u8* mem_at(const tbib_mem* m, u32 off, u32 len)
    {
        auto* mr = static_cast<Mr*>(m->mr);
        if (off > m->len || len > m->len - off) abort(); // the core went out of bounds
        return mr->bytes + (m->va - mr->va) + off;
    }

    static bool gone(const tbib_mem* m) { return !static_cast<Mr*>(m->mr)->valid; }

    static u8 mem_read(tbib_qp*, const tbib_mem* m, u32 off, u32 len, u8* dst)
    {
        if (gone(m)) return TBIB_REM_ACCESS_ERR;
        memcpy(dst, mem_at(m, off, len), len);
        return TBIB_OK;
    }

    static u8 mem_read_raw(tbib_qp* core, const tbib_mem* m, u32 off, u32 len, tbib_train* t)
    {
        if (Qp::of(core).page_missing()) return TBIB_NO_PAGE;
        if (gone(m)) return TBIB_REM_ACCESS_ERR;
        add_pages(t, static_cast<Mr*>(m->mr), mem_at(m, off, len), len);
        return TBIB_OK;
    }

    static u8 mem_write(tbib_qp* core, const tbib_mem* m, u32 off, const tbib_payload* p,
                        bool last)
    {
        if (gone(m)) return TBIB_REM_ACCESS_ERR;
        u8* dst = mem_at(m, off, p->len);

        Qp::of(core).last_flags += last;
        for (u32 i = 0; i < p->n; i++) {
            memcpy(dst, p->piece[i].data, p->piece[i].len);
            dst += p->piece[i].len;
        }
        return TBIB_OK;
    }

    static u8 mem_atomic(tbib_qp*, const tbib_mem* m, tbib_atomic what, u64 swap_add,
                         u64 compare, u64* orig)
    {
        u8* p = mem_at(m, 0, 8);
        u64 v;

        memcpy(&v, p, 8);
        *orig = v;
        switch (what) {
        case TBIB_ATOMIC_ADD: v += swap_add; break;
        case TBIB_ATOMIC_CAS: v = v == compare ? swap_add : v; break;
        case TBIB_ATOMIC_STORE: v = swap_add; break;
        }
        memcpy(p, &v, 8);
        return TBIB_OK;
    }

    static u8 invalidate(tbib_qp* core, u32 rkey)
    {
        Host& host = Qp::of(core).host;

        if (!host.by_key(rkey)) return TBIB_REM_ACCESS_ERR;
        host.invalidate(rkey);
        return TBIB_OK;
    }

    static void complete(tbib_qp* core, const tbib_cqe* cqe)
    {
        Qp::of(core).completed(*cqe);
    }

    static void event(tbib_qp* core, tbib_qp_event ev) { Qp::of(core).events.push_back(ev); }

    static tbib_wqe* slot(tbib_qp* core, u32 index)
    {
        Qp& q = Qp::of(core);
        if (index > core->req.mask) abort();
        return reinterpret_cast<tbib_wqe*>(reinterpret_cast<u8*>(q.slots_.data()) +
                                           index * q.stride_);
    }

    static tbib_qp_ops make(bool grh_op)
    {
        tbib_qp_ops ops{};
        ops.wqe_prepare = wqe_prepare;
        ops.wqe_release = wqe_release;
        ops.gather = gather;
        ops.grh = grh_op ? grh : nullptr;
        ops.gather_raw = gather_raw;
        ops.scatter = scatter;
        ops.recv_get = recv_get;
        ops.recv_scatter = recv_scatter;
        ops.recv_release = recv_release;
        ops.mem_get = mem_get;
        ops.mem_put = mem_put;
        ops.mem_read = mem_read;
        ops.mem_read_raw = mem_read_raw;
        ops.mem_write = mem_write;
        ops.mem_atomic = mem_atomic;
        ops.invalidate = invalidate;
        ops.complete = complete;
        ops.event = event;
        return ops;
    }
};

// --- host -------------------------------------------------------------------

Host::Host(std::size_t memory_bytes) : memory(memory_bytes) {}

u32 Host::reg(u32 off, u32 len, u32 access)
{
    auto mr = std::make_unique<Mr>();
    u32 key = static_cast<u32>(mrs_.size() + 1) << 8 | 0x5a;

    mr->va = kBase + off;
    mr->len = len;
    mr->access = access;
    mr->key = key;
    mr->bytes = memory.data() + off;
    mrs_.push_back(std::move(mr));
    return key;
}

Mr* Host::by_key(u32 key)
{
    std::size_t i = key >> 8;

    if (!i || i > mrs_.size() || (key & 0xff) != 0x5a || !mrs_[i - 1]->valid) return nullptr;
    return mrs_[i - 1].get();
}

void Host::invalidate(u32 key)
{
    if (Mr* mr = by_key(key)) mr->valid = false;
}

void Host::validate(u32 key)
{
    mrs_.at((key >> 8) - 1)->valid = true;
}

Mr* Host::find(u32 key, u64 va, u32 len, u32 access)
{
    Mr* mr = by_key(key);

    if (!mr || (mr->access & access) != access || va < mr->va || len > mr->len ||
        va - mr->va > mr->len - len)
        return nullptr;
    return mr;
}

int Host::refs() const
{
    int n = 0;
    for (const auto& mr : mrs_)
        n += mr->refs;
    return n;
}

// --- trains and packets -----------------------------------------------------

TxTrain::TxTrain() : hdr(TBIB_FRAME_SIZE)
{
    open();
}

void TxTrain::open(u8 lane)
{
    t.hdr = hdr.data();
    tbib_train_init(&t, 2, 1, 0, lane);
}

void release_raw(tbib_train& t)
{
    for (u32 i = 0; i < t.n_raw; i++) {
        if (t.raw[i].kind == kRawBounce)
            free(t.raw[i].ref);
        else
            static_cast<Mr*>(t.raw[i].ref)->refs--;
    }
    t.n_raw = 0;
}

void as_received(const tbib_train& tx, tbib_rx_train& rx)
{
    rx.next = nullptr;
    rx.h = {};
    rx.h.kind = TBIB_KIND_TRAIN;
    rx.h.dlid = tx.dlid;
    rx.h.slid = tx.slid;
    rx.h.n_raw = tx.n_raw;
    rx.h.n_pkt = tx.n_pkt;
    rx.h.pkt_len = tx.pkt_len;
    rx.pkts = tx.hdr + TBIB_FRAME_HDR;
    for (u32 i = 0; i < tx.n_raw; i++)
        rx.raw[i] = {static_cast<const u8*>(tx.raw[i].data), tx.raw[i].len};
}

tbib_bth Packet::bth() const
{
    tbib_bth b{};
    if (tbib_bth_decode(inl.data(), static_cast<u32>(inl.size()), flags & TBIB_PF_GRH, &b))
        b = {};
    return b;
}

Packet make_packet(const tbib_bth& b, const std::vector<u8>& payload)
{
    Packet p;
    p.inl.resize(tbib_bth_len(b.opcode));
    tbib_bth_encode(p.inl.data(), &b);
    p.inl.insert(p.inl.end(), payload.begin(), payload.end());
    return p;
}

static void split(const tbib_train& t, std::vector<Packet>& out)
{
    tbib_rx_train rx;
    tbib_pkt_iter it;
    tbib_pkt p;

    as_received(t, rx);
    tbib_pkt_iter_init(&it, &rx);
    int r;
    while ((r = tbib_pkt_next(&it, &p)) == 1) {
        tbib_payload pl;
        Packet copy;
        copy.flags = p.flags;
        copy.inl.assign(p.inl, p.inl + p.inl_len);
        tbib_pkt_payload(&p, p.inl_len, &pl);
        for (u32 i = 0; i < pl.n; i++)
            copy.ool.insert(copy.ool.end(), pl.piece[i].data,
                            pl.piece[i].data + pl.piece[i].len);
        out.push_back(std::move(copy));
    }
    if (r < 0 || t.ool_bytes != t.raw_bytes) abort(); // the core built a bad train
}

// --- QP ---------------------------------------------------------------------

Qp::Qp(Host& n, u32 qpn, tbib_service service, u32 slots)
    : host(n), stride_((tbib_wqe_size(TBIB_MAX_SGE, TBIB_MAX_INLINE) + 15) & ~15u)
{
    static const tbib_qp_ops ops = Ops::make(false);
    static const tbib_qp_ops ud_ops = Ops::make(true);

    box.self = this;
    slots_.resize(slots * stride_ / sizeof(std::max_align_t) + 1);
    tbib_qp_init(&core, service == TBIB_UD ? &ud_ops : &ops, qpn, service, Ops::slot, slots);
}

Qp& Qp::of(const tbib_qp* core)
{
    return *reinterpret_cast<const Box*>(core)->self;
}

bool Qp::post(const Send& s)
{
    tbib_wqe* w = tbib_sq_slot(&core);

    if (!w) return false;
    memset(static_cast<void*>(w), 0xa5, stride_); // private fields are the core's to set
    w->wr_id = s.wr_id;
    w->op = s.op;
    w->flags = s.flags;
    w->remote_addr = s.remote_addr;
    w->rkey = s.rkey;
    w->imm = s.imm;
    w->compare = s.compare;
    w->swap_add = s.swap_add;
    w->av = {s.ah, s.qpn, s.qkey};
    w->n_sge = static_cast<u8>(s.sges.size());
    w->length = 0;
    if (s.flags & TBIB_WF_INLINE) {
        w->length = static_cast<u32>(s.inl.size());
        if (!s.inl.empty()) memcpy(tbib_wqe_inl(w), s.inl.data(), s.inl.size());
    } else {
        tbib_sge* list = tbib_wqe_sge(w);
        for (const tbib_sge& e : s.sges) {
            w->length += e.len;
            *list = e;
            list++->mr = nullptr;
        }
    }
    wqe_refs++;
    tbib_sq_commit(&core);
    return true;
}

void Qp::post_recv(Recv r)
{
    rq.push_back(std::move(r));
    tbib_qp_recv_posted(&core);
}

std::vector<Packet> Qp::take(u64 now, void* ah)
{
    std::vector<Packet> out;
    TxTrain train;

    for (u32 i = 0; i < 1000; i++) {
        if (core.service == TBIB_UD && !ah) ah = tbib_qp_next_ah(&core);
        tbib_fill f = tbib_qp_fill(&core, &train.t, ah, now);
        split(train.t, out);
        notes_.insert(notes_.end(), train.t.note, train.t.note + train.t.n_note);
        train.release();
        train.open();
        if (core.service == TBIB_UD) ah = nullptr;
        if (f == TBIB_FILL_IDLE) return out;
    }
    abort(); // a QP that never has enough
}

bool Qp::deliver(const Packet& p, u64 now, u16 slid)
{
    tbib_rx_train rx{};
    tbib_pkt pkt{};
    tbib_bth b{};

    if (p.inl.empty() || tbib_bth_decode(p.inl.data(), static_cast<u32>(p.inl.size()),
                                         p.flags & TBIB_PF_GRH, &b))
        return false;
    // two pieces, so that no test relies on one
    u32 half = static_cast<u32>(p.ool.size() / 2);
    if (half) rx.raw[rx.h.n_raw++] = {p.ool.data(), half};
    if (!p.ool.empty())
        rx.raw[rx.h.n_raw++] = {p.ool.data() + half, static_cast<u32>(p.ool.size()) - half};
    pkt.type = TBIB_PKT_TRANSPORT;
    pkt.flags = p.flags;
    pkt.inl = p.inl.data();
    pkt.inl_len = static_cast<u16>(p.inl.size());
    pkt.ool_len = static_cast<u16>(p.ool.size());
    pkt.train = &rx;
    const auto look = [this] {
        return std::tuple(tbib_qp_wants_tx(&core), tbib_qp_deadline(&core), core.state,
                          send_cqes.size() + recv_cqes.size());
    };
    const auto before = look();
    const bool follows = tbib_qp_rx(&core, &b, &pkt, slid, now);
    if (!follows && look() != before)
        throw std::logic_error("tbib_qp_rx() said that nothing follows");
    return follows;
}

void Qp::ack_notes(bool delivered)
{
    for (const tbib_note& n : std::exchange(notes_, {}))
        tbib_qp_note(static_cast<tbib_qp*>(n.owner), n.value, delivered);
}

void Qp::completed(const tbib_cqe& cqe)
{
    (cqe.recv ? recv_cqes : send_cqes).push_back(cqe);
}

bool Qp::page_missing()
{
    return pages_missing && pages_missing--;
}

// --- connecting -------------------------------------------------------------

tbib_qp_attr default_attr()
{
    tbib_qp_attr a{};
    a.sq_psn = 0xfffff0; // wraps soon
    a.rq_psn = 0xfffff0;
    a.mtu = 1024;
    a.pkey = 0xffff;
    a.qkey = 0x11111111;
    a.access = TBIB_ACC_LOCAL_WRITE | TBIB_ACC_REMOTE_WRITE | TBIB_ACC_REMOTE_READ |
               TBIB_ACC_REMOTE_ATOMIC;
    a.retry_cnt = 7;
    a.rnr_retry = 7;
    a.timeout = 14;
    a.min_rnr_timer = 12;
    a.max_rd_atomic = 4;
    a.max_dest_rd_atomic = 4;
    return a;
}

void to_rts(Qp& q, const tbib_qp_attr& attr)
{
    for (auto s : {TBIB_QPS_INIT, TBIB_QPS_RTR, TBIB_QPS_RTS})
        tbib_qp_modify(&q.core, s, &attr);
}

void connect(Qp& a, Qp& b, tbib_qp_attr attr)
{
    attr.dest_qpn = b.core.qpn;
    to_rts(a, attr);
    attr.dest_qpn = a.core.qpn;
    to_rts(b, attr);
}

} // namespace tbib::sim
