// SPDX-License-Identifier: Apache-2.0
#include "rc_flow.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tbib::sim {

namespace {

/// The bytes of message `id`, from a generator that starts anew for each.
void pattern(u64 id, u8* p, u32 len)
{
    u64 x = id * 0x9e3779b97f4a7c15 + 0x1234567;
    for (; len >= 8; len -= 8, p += 8) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(p, &x, 8);
    }
    x = x * 6364136223846793005ull + 1442695040888963407ull;
    memcpy(p, &x, len);
}

bool all(const u8* p, u32 len, u8 value)
{
    return std::all_of(p, p + len, [=](u8 b) { return b == value; });
}

bool has_payload_to_receive(u8 op)
{
    return op == TBIB_WR_SEND || op == TBIB_WR_SEND_IMM || op == TBIB_WR_SEND_INV;
}

} // namespace

// --- QP -----------------------------------------------------------------------

SimQp::SimQp(Host& n, u32 qpn, const PairPlan& plan, const FabricPlan& fabric, Rng& rng)
    : Qp(n, qpn, plan.service, 64), fabric_(fabric), rng_(rng)
{
}

void SimQp::completed(const tbib_cqe& cqe)
{
    if (cqe.recv)
        in->on_recv(cqe);
    else
        out->on_send(cqe);
}

bool SimQp::page_missing()
{
    return fabric_.missing_page > 0 && rng_.chance(fabric_.missing_page);
}

// --- flow ---------------------------------------------------------------------

u32 Flow::memory(const PairPlan& plan)
{
    u32 stride = (plan.max_len + TBIB_GRH_LEN + 2 * kGuard + 63) & ~63u;
    return stride * (plan.depth + std::max(plan.depth, plan.recvs)) + 4096;
}

Flow::Flow(const PairPlan& p, const FabricPlan& fabric, SimQp& f, SimQp& t, Rng& rng,
           u32& mem_from, u32& mem_to, u64 quota)
    : from(f), to(t), plan(p), fabric_(fabric), rng_(rng), quota_(quota)
{
    constexpr u32 access = TBIB_ACC_LOCAL_WRITE | TBIB_ACC_REMOTE_WRITE | TBIB_ACC_REMOTE_READ |
                           TBIB_ACC_REMOTE_ATOMIC;

    stride_ = (plan.max_len + TBIB_GRH_LEN + 2 * kGuard + 63) & ~63u;
    local_ = mem_from;
    mem_from += stride_ * plan.depth;
    remote_ = mem_to;
    mem_to += stride_ * plan.depth;
    recv_ = mem_to;
    mem_to += stride_ * plan.recvs;
    cell_ = mem_to;
    mem_to += 64;
    key_local_ = from.host.reg(local_, stride_ * plan.depth, access);
    key_remote_ = to.host.reg(remote_, stride_ * plan.depth, access);
    key_recv_ = to.host.reg(recv_, stride_ * plan.recvs, TBIB_ACC_LOCAL_WRITE);
    key_cell_ = to.host.reg(cell_, 8, access);
    key_inv_ = to.host.reg(cell_, 64, access);
    from.out = this;
    to.in = this;
    for (u32 i = 0; i < plan.recvs; i++)
        post_recv(i);
}

void Flow::fail(const std::string& what) const
{
    throw std::runtime_error("qp " + std::to_string(from.core.qpn) + ": " + what);
}

u8 Flow::choose_op()
{
    static const u8 rc[] = {TBIB_WR_SEND,     TBIB_WR_SEND,      TBIB_WR_SEND_IMM,
                            TBIB_WR_SEND_INV, TBIB_WR_WRITE,     TBIB_WR_WRITE,
                            TBIB_WR_WRITE,    TBIB_WR_WRITE_IMM, TBIB_WR_READ,
                            TBIB_WR_READ,     TBIB_WR_CMP_SWAP,  TBIB_WR_FETCH_ADD,
                            TBIB_WR_LOCAL_INV, TBIB_WR_REG_MR,   TBIB_WR_BIND_MW};

    if (plan.service != TBIB_RC) return rng_.chance(0.5) ? TBIB_WR_SEND : TBIB_WR_SEND_IMM;
    u8 op = rc[rng_.below(sizeof(rc))];
    // its key works again only when the last one has arrived
    return op == TBIB_WR_SEND_INV && inv_out_ ? u8(TBIB_WR_SEND) : op;
}

u32 Flow::choose_len(u8 op)
{
    if (op == TBIB_WR_CMP_SWAP || op == TBIB_WR_FETCH_ADD) return 8;
    if (op >= TBIB_WR_LOCAL_INV) return 0;
    u32 mtu = plan.attr.mtu;
    u32 len = static_cast<u32>(rng_.below(plan.max_len + 1));
    if (rng_.chance(0.6)) len = static_cast<u32>(rng_.below(std::min(plan.max_len, 300u) + 1));
    if (rng_.chance(0.1)) len = std::min(plan.max_len, len / mtu * mtu); // at the edges
    if (rng_.chance(0.05)) len = std::min(plan.max_len, len / mtu * mtu + 1);
    // datagrams tell by their first 8 bytes which they are
    return plan.service == TBIB_RC ? len : std::max(len, 8u);
}

std::vector<tbib_sge> Flow::cut(u32 key, u64 va, u32 len)
{
    std::vector<tbib_sge> list;
    u32 n = rng_.chance(0.7) ? 1 : static_cast<u32>(rng_.range(2, 4));

    for (u32 i = 0; i < n; i++) {
        u32 part = i + 1 == n ? len : static_cast<u32>(rng_.below(len + 1));
        list.push_back({va, part, key, nullptr});
        va += part;
        len -= part;
    }
    return list;
}

void Flow::prepare_atomic(Send& s, Pending& p)
{
    s.remote_addr = Host::kBase + cell_;
    s.rkey = key_cell_;
    s.swap_add = rng_();
    p.orig = cell_value_;
    if (p.op == TBIB_WR_FETCH_ADD) {
        cell_value_ += s.swap_add;
        return;
    }
    s.compare = rng_.chance(0.7) ? cell_value_ : rng_();
    if (s.compare == cell_value_) cell_value_ = s.swap_add;
}

void Flow::prepare(Send& s, Pending& p)
{
    u8* local = src(p.slot);
    u8* remote = dst(p.slot);

    switch (p.op) {
    case TBIB_WR_READ:
        pattern(p.id, remote, p.len);
        memset(local - kGuard, kCanary, kGuard);
        memset(local + p.len, kCanary, kGuard);
        break;
    case TBIB_WR_CMP_SWAP:
    case TBIB_WR_FETCH_ADD:
        break;
    default:
        pattern(p.id, local, p.len);
        if (plan.service != TBIB_RC) memcpy(local, &p.id, 8);
        memset(remote - kGuard, kCanary, kGuard);
        memset(remote + p.len, kCanary, kGuard);
        break;
    }
    s.remote_addr = va_dst(p.slot);
    s.rkey = key_remote_;
    if (p.op == TBIB_WR_CMP_SWAP || p.op == TBIB_WR_FETCH_ADD) prepare_atomic(s, p);
    if (p.len <= TBIB_MAX_INLINE && p.op <= TBIB_WR_WRITE_IMM && rng_.chance(0.3)) {
        s.flags |= TBIB_WF_INLINE;
        s.inl.assign(local, local + p.len);
    } else {
        s.sges = cut(key_local_, va_src(p.slot), p.len);
    }
}

bool Flow::post()
{
    if (broken || posted_ == quota_ || pending_.size() >= plan.depth ||
        from.core.state != TBIB_QPS_RTS)
        return false;
    Send s;
    Pending p{};
    p.id = next_id_++;
    p.op = choose_op();
    p.len = choose_len(p.op);
    p.slot = static_cast<u32>(p.id % plan.depth);
    p.signalled = !rng_.chance(plan.unsignalled) || posted_ + 1 == quota_;
    p.imm = static_cast<u32>(p.id * 2654435761u);
    s.op = p.op;
    s.wr_id = p.id;
    s.imm = p.op == TBIB_WR_SEND_INV ? key_inv_ : p.op == TBIB_WR_LOCAL_INV ? 0 : p.imm;
    s.flags = p.signalled ? TBIB_WF_SIGNALED : 0;
    if (rng_.chance(0.1)) s.flags |= TBIB_WF_FENCE;
    bool solicited = rng_.chance(0.3);
    if (solicited) s.flags |= TBIB_WF_SOLICITED;
    s.ah = reinterpret_cast<void*>(uintptr_t(1 + rng_.below(2)));
    s.qpn = to.core.qpn;
    s.qkey = rng_.chance(0.5) ? plan.attr.qkey : 0x80000000;
    if (p.op < TBIB_WR_LOCAL_INV) prepare(s, p);
    if (p.op >= TBIB_WR_LOCAL_INV) local_ops_.push_back(p.op);
    p.expect = TBIB_OK;
    bool atomic = p.op == TBIB_WR_CMP_SWAP || p.op == TBIB_WR_FETCH_ADD;
    if (plan.service == TBIB_RC && p.len && !atomic && rng_.chance(plan.wrong)) {
        if (p.op >= TBIB_WR_WRITE && p.op <= TBIB_WR_READ && rng_.chance(0.5)) {
            s.rkey ^= 0x100 << 20;
            p.expect = TBIB_REM_ACCESS_ERR;
        } else if (!(s.flags & TBIB_WF_INLINE)) {
            s.sges.back().lkey ^= 1;
            p.expect = TBIB_LOC_PROT_ERR;
        }
    }
    inv_out_ |= p.op == TBIB_WR_SEND_INV;
    if (has_payload_to_receive(p.op) || p.op == TBIB_WR_WRITE_IMM)
        expected_.push_back({p.id, p.op, solicited, p.len, p.slot, p.imm});
    pending_.push_back(p);
    posted_++;
    if (!from.post(s)) fail("send queue full with " + std::to_string(pending_.size()));
    return true;
}

void Flow::post_recv(u32 slot)
{
    Recv r;
    u32 len = plan.max_len + (plan.service == TBIB_UD ? TBIB_GRH_LEN : 0);

    memset(rcv(slot) + len, kCanary, kGuard - TBIB_GRH_LEN);
    r.wr_id = slot;
    r.sges = cut(key_recv_, va_rcv(slot), len);
    to.post_recv(std::move(r));
}

// --- completions ----------------------------------------------------------------

void Flow::retire(const Pending& p)
{
    stats.messages++;
    stats.bytes += p.len;
    if (p.expect) fail("message " + std::to_string(p.id) + " had to fail");
    if (plan.service != TBIB_RC) return;
    switch (p.op) {
    case TBIB_WR_WRITE:
    case TBIB_WR_WRITE_IMM:
        if (memcmp(src(p.slot), dst(p.slot), p.len)) fail("WRITE delivered wrong bytes");
        if (!all(dst(p.slot) - kGuard, kGuard, kCanary) ||
            !all(dst(p.slot) + p.len, kGuard, kCanary))
            fail("WRITE beyond its bounds");
        break;
    case TBIB_WR_READ:
        if (memcmp(src(p.slot), dst(p.slot), p.len)) fail("READ got wrong bytes");
        if (!all(src(p.slot) - kGuard, kGuard, kCanary) ||
            !all(src(p.slot) + p.len, kGuard, kCanary))
            fail("READ beyond its bounds");
        break;
    case TBIB_WR_CMP_SWAP:
    case TBIB_WR_FETCH_ADD:
        if (memcmp(src(p.slot), &p.orig, 8)) fail("atomic executed twice or not at all");
        break;
    case TBIB_WR_LOCAL_INV:
    case TBIB_WR_REG_MR:
    case TBIB_WR_BIND_MW:
        break;
    default: // SENDs: the receive is complete before the answer comes
        if (!expected_.empty() && expected_.front().id <= p.id)
            fail("SEND completed and was not received");
        break;
    }
}

void Flow::sync()
{
    while (retired_ != from.core.req.cons) {
        if (pending_.empty()) fail("completed more than was posted");
        if (pending_.front().signalled) fail("completed without its CQE");
        retire(pending_.front());
        pending_.pop_front();
        retired_++;
    }
}

void Flow::on_send(const tbib_cqe& cqe)
{
    while (retired_ + 1 != from.core.req.cons) {
        if (pending_.empty() || pending_.front().signalled) fail("a CQE is missing");
        retire(pending_.front());
        pending_.pop_front();
        retired_++;
    }
    if (pending_.empty() || pending_.front().id != cqe.wr_id) fail("CQE out of order");
    const Pending p = pending_.front();
    if (cqe.op != p.op) fail("CQE of another operation");
    pending_.pop_front();
    retired_++;
    if (cqe.status == TBIB_OK) {
        if (failed_) fail("success behind an error");
        if (!p.signalled) fail("CQE for an unsignalled WQE");
        if (cqe.byte_len != p.len) fail("CQE of another length");
        retire(p);
        return;
    }
    stats.failed++;
    bool first = !std::exchange(failed_, true);
    broken = true;
    // the first may be a flush when this QP refused what its peer sent, or was told to
    if (cqe.status == TBIB_FLUSH_ERR && (!first || plan.wrong > 0 || to.out->broken)) return;
    // faults may be more than the retries can bear; then the peer may have executed it
    bool worn_out = cqe.status == TBIB_RETRY_EXC_ERR || cqe.status == TBIB_RNR_RETRY_EXC_ERR;
    if (cqe.status != p.expect && !worn_out)
        fail("message " + std::to_string(p.id) + " failed with status " +
             std::to_string(cqe.status));
}

void Flow::check_datagram(const tbib_cqe& cqe, u32 slot)
{
    u32 grh = plan.service == TBIB_UD ? TBIB_GRH_LEN : 0;
    u32 len = cqe.byte_len - grh;
    u8* data = rcv(slot) + grh;
    std::vector<u8> want(len);
    u64 id;

    memcpy(&id, data, 8);
    pattern(id, want.data(), len);
    if (len < 8 || id >= next_id_ || memcmp(want.data() + 8, data + 8, len - 8))
        fail("datagram with wrong bytes");
    if (cqe.imm_valid && cqe.imm != static_cast<u32>(id * 2654435761u))
        fail("immediate of another datagram");
    if (grh && (!cqe.grh_valid || cqe.src_qp != from.core.qpn ||
                rcv(slot)[1] != static_cast<u8>(id + len + 1)))
        fail("GRH or source QP of another datagram");
    bool in_order = fabric_.duplicate == 0 && fabric_.reorder == 0;
    if (in_order && id <= last_id_) fail("datagram out of order");
    stats.dropped += in_order ? id - last_id_ - 1 : 0;
    last_id_ = id;
}

void Flow::on_recv(const tbib_cqe& cqe)
{
    u32 slot = static_cast<u32>(cqe.wr_id);
    u32 len = plan.max_len + (plan.service == TBIB_UD ? TBIB_GRH_LEN : 0);

    if (slot >= plan.recvs) fail("CQE of a receive that was not posted");
    if (!all(rcv(slot) + len, kGuard - TBIB_GRH_LEN, kCanary)) fail("receive overrun");
    if (cqe.status) {
        // in the middle of a SEND when the QP went to ERR
        bool told = cqe.status == TBIB_FLUSH_ERR ||
                    (cqe.status == TBIB_LOC_ACCESS_ERR && plan.wrong > 0);
        if (!told || (cqe.status == TBIB_FLUSH_ERR && to.core.state != TBIB_QPS_ERR))
            fail("receive failed with status " + std::to_string(cqe.status));
        return;
    }
    to_repost.push_back(slot);
    if (plan.service != TBIB_RC) {
        check_datagram(cqe, slot);
        return;
    }
    if (expected_.empty()) fail("received what was not sent, or twice");
    const Expected e = expected_.front();
    expected_.pop_front();
    bool inv = e.op == TBIB_WR_SEND_INV;
    bool imm = e.op == TBIB_WR_SEND_IMM || e.op == TBIB_WR_WRITE_IMM;
    if (cqe.byte_len != e.len) fail("received another length");
    if (cqe.imm_valid != imm || (imm && cqe.imm != e.imm)) fail("received another immediate");
    if (cqe.inv_valid != inv || (inv && cqe.imm != key_inv_)) fail("invalidated another key");
    if (cqe.write_imm != (e.op == TBIB_WR_WRITE_IMM)) fail("SEND taken for WRITE");
    if (cqe.solicited != e.solicited) fail("solicited lost");
    if (has_payload_to_receive(e.op) && memcmp(rcv(slot), src(e.slot), e.len))
        fail("received wrong bytes");
    if (inv) {
        if (to.host.by_key(key_inv_)) fail("key not invalidated");
        to.host.validate(key_inv_);
        inv_out_ = false;
    }
}

void Flow::restart()
{
    if (std::any_of(pending_.begin(), pending_.end(), [](const Pending& p) { return p.signalled; }))
        fail("a WQE was not flushed");
    // REG_MR and its kind run in order, each at most once, and none is left out
    if (from.local_ops.size() > local_ops_.size() ||
        !std::equal(from.local_ops.begin(), from.local_ops.end(), local_ops_.begin()))
        fail("local operations out of order");
    from.local_ops.clear();
    local_ops_.clear();
    pending_.clear();
    expected_.clear();
    to_repost.clear();
    retired_ = 0;
    broken = failed_ = false;
    inv_out_ = false;
    to.host.validate(key_inv_);
    memcpy(&cell_value_, &to.host.memory[cell_], 8);
    to.rq.clear();
    for (u32 i = 0; i < plan.recvs; i++)
        post_recv(i);
}

} // namespace tbib::sim
