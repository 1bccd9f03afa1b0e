// SPDX-License-Identifier: GPL-2.0-only
/*
 * Send work requests become private WQEs here.
 *
 * A user's WQE stands in memory that its process can change at any time and
 * that librxe leaves partly uninitialised. It is copied once, every field is
 * checked in the copy, and lengths are computed from it. A WQE that makes no
 * sense is committed all the same, carrying its error, so that it completes in
 * its turn.
 */
#include "verbs/ibdev.h"

#define T_RC	BIT(IB_QPT_RC)
#define T_UC	BIT(IB_QPT_UC)
#define T_UD	(BIT(IB_QPT_UD) | BIT(IB_QPT_GSI))

/* who may post what; user numbers are the kernel's (IB_UVERBS_WR_*) */
static const struct send_op {
	u8 op;
	u8 types;
	bool kernel_only;	/* would carry a kernel pointer */
	bool in_line;		/* may be inline */
	bool user_only;		/* the kernel has no such request */
} send_ops[] = {
	[IB_WR_SEND] = { TBIB_WR_SEND, T_RC | T_UC | T_UD, false, true },
	[IB_WR_SEND_WITH_IMM] =
		{ TBIB_WR_SEND_IMM, T_RC | T_UC | T_UD, false, true },
	[IB_WR_SEND_WITH_INV] = { TBIB_WR_SEND_INV, T_RC, false, true },
	[IB_WR_RDMA_WRITE] = { TBIB_WR_WRITE, T_RC | T_UC, false, true },
	[IB_WR_RDMA_WRITE_WITH_IMM] =
		{ TBIB_WR_WRITE_IMM, T_RC | T_UC, false, true },
	[IB_WR_RDMA_READ] = { TBIB_WR_READ, T_RC, false, false },
	[IB_WR_ATOMIC_CMP_AND_SWP] = { TBIB_WR_CMP_SWAP, T_RC, false, false },
	[IB_WR_ATOMIC_FETCH_AND_ADD] =
		{ TBIB_WR_FETCH_ADD, T_RC, false, false },
	[IB_WR_FLUSH] = { TBIB_WR_FLUSH, T_RC, false, false, true },
	[IB_WR_ATOMIC_WRITE] = { TBIB_WR_ATOMIC_WRITE, T_RC, false, true },
	[IB_WR_LOCAL_INV] =
		{ TBIB_WR_LOCAL_INV, T_RC | T_UC, false, false },
	[IB_WR_BIND_MW] =
		{ TBIB_WR_BIND_MW, T_RC | T_UC, false, false, true },
	[IB_WR_REG_MR] = { TBIB_WR_REG_MR, T_RC, true, false },
};

static const struct send_op *find_op(const struct tbib_vqp *q, u32 opcode)
{
	const struct send_op *so;

	if (opcode >= ARRAY_SIZE(send_ops))
		return NULL;
	so = &send_ops[array_index_nospec(opcode, ARRAY_SIZE(send_ops))];
	if (!(so->types & BIT(q->type)) ||
	    (q->user ? so->kernel_only : so->user_only))
		return NULL;
	return so;
}

/* the WQE completes with @status in its turn */
static void wqe_refuse(struct tbib_wqe *w, enum tbib_status status)
{
	w->op = TBIB_WR_SEND;
	w->n_sge = 0;
	w->length = 0;
	w->flags &= TBIB_WF_SIGNALED | TBIB_WF_FENCE;
	w->host = (void *)(uintptr_t)status;
}

static u8 wqe_flags(u32 send_flags)
{
	u8 flags = 0;

	if (send_flags & IB_SEND_SIGNALED)
		flags |= TBIB_WF_SIGNALED;
	if (send_flags & IB_SEND_FENCE)
		flags |= TBIB_WF_FENCE;
	if (send_flags & IB_SEND_SOLICITED)
		flags |= TBIB_WF_SOLICITED;
	return flags;
}

/* what both origins have to obey */
static void wqe_check(struct tbib_vqp *q, struct tbib_wqe *w, u64 length)
{
	u64 max = q->core.service == TBIB_UD ? TBIB_MTU : TBIB_MAX_MSG;

	if (length > max) {
		wqe_refuse(w, TBIB_LOC_LEN_ERR);
		return;
	}
	if (w->op == TBIB_WR_CMP_SWAP || w->op == TBIB_WR_FETCH_ADD) {
		if (length < 8) {
			wqe_refuse(w, TBIB_LOC_LEN_ERR);
			return;
		}
		length = 8;
	}
	w->length = length;
}

/* ---- user ------------------------------------------------------------------ */

static u64 user_payload(struct tbib_vqp *q, struct tbib_wqe *w,
			const struct send_op *so, u32 send_flags,
			const struct rxe_dma_info *dma)
{
	u32 n = READ_ONCE(dma->num_sge);
	u32 len = READ_ONCE(dma->length);
	struct tbib_sge *sge = tbib_wqe_sge(w);
	u64 length = 0;
	u32 i;

	/* wr_set_inline_data() of librxe does not set IBV_SEND_INLINE */
	if (send_flags & IB_SEND_INLINE || (!n && len)) {
		if (!so->in_line || len > q->max_inline) {
			wqe_refuse(w, TBIB_LOC_QP_OP_ERR);
			return 0;
		}
		w->flags |= TBIB_WF_INLINE;
		unsafe_memcpy(tbib_wqe_inl(w), dma->inline_data, len,
			      /* the slot has max_inline bytes here */);
		return len;
	}
	if (n > q->max_sge) {
		wqe_refuse(w, TBIB_LOC_QP_OP_ERR);
		return 0;
	}
	for (i = 0; i < n; i++) {
		sge[i].addr = READ_ONCE(dma->sge[i].addr);
		sge[i].len = READ_ONCE(dma->sge[i].length);
		sge[i].lkey = READ_ONCE(dma->sge[i].lkey);
		sge[i].mr = NULL;
		length += sge[i].len;
	}
	w->n_sge = n;
	return length;
}

static void user_target(struct tbib_vqp *q, struct tbib_wqe *w,
			const struct rxe_send_wr *wr)
{
	switch (w->op) {
	case TBIB_WR_WRITE_IMM:
	case TBIB_WR_WRITE:
	case TBIB_WR_READ:
	case TBIB_WR_ATOMIC_WRITE:
		w->remote_addr = wr->wr.rdma.remote_addr;
		w->rkey = wr->wr.rdma.rkey;
		break;
	case TBIB_WR_CMP_SWAP:
		w->remote_addr = wr->wr.atomic.remote_addr;
		w->rkey = wr->wr.atomic.rkey;
		w->compare = wr->wr.atomic.compare_add;
		w->swap_add = wr->wr.atomic.swap;
		break;
	case TBIB_WR_FETCH_ADD:
		w->remote_addr = wr->wr.atomic.remote_addr;
		w->rkey = wr->wr.atomic.rkey;
		w->swap_add = wr->wr.atomic.compare_add;
		break;
	case TBIB_WR_FLUSH:
		w->remote_addr = wr->wr.flush.remote_addr;
		w->rkey = wr->wr.flush.rkey;
		w->compare = wr->wr.flush.length;
		w->imm = wr->wr.flush.type & TBIB_FETH_PLACEMENT;
		if (wr->wr.flush.level == IB_FLUSH_MR)
			w->imm |= TBIB_FETH_REGION;
		break;
	case TBIB_WR_BIND_MW:	/* bind_mw() of mem.c reads it */
		w->remote_addr = wr->wr.mw.addr;
		w->compare = wr->wr.mw.length;
		w->rkey = wr->wr.mw.mw_rkey;
		w->imm = wr->wr.mw.mr_lkey;
		w->swap_add = (u64)wr->wr.mw.access << 32 | wr->wr.mw.rkey;
		break;
	}
	if (q->core.service == TBIB_UD) {
		/* number 0: librxe before 39, which wants its AV believed */
		w->av.ah = tbib_addr_get(q->dev, wr->wr.ud.ah_num, q->pd);
		w->av.qpn = wr->wr.ud.remote_qpn & 0xffffff;
		w->av.qkey = wr->wr.ud.remote_qkey;
	}
}

static void wqe_from_user(struct tbib_vqp *q, struct tbib_wqe *w, u32 index)
{
	const struct rxe_send_wqe *u = tbib_queue_slot(&q->sq, index);
	const struct send_op *so;
	struct rxe_send_wr wr;
	u64 length;

	memcpy(&wr, &u->wr, sizeof(wr));
	barrier();	/* everything below looks at the copy */
	memset(w, 0, offsetof(struct tbib_wqe, tail));
	w->wr_id = wr.wr_id;
	w->flags = wqe_flags(wr.send_flags);
	so = find_op(q, wr.opcode);
	if (!so) {
		wqe_refuse(w, TBIB_LOC_QP_OP_ERR);
		return;
	}
	w->op = so->op;
	w->imm = so->op == TBIB_WR_SEND_INV || so->op == TBIB_WR_LOCAL_INV ?
		 wr.ex.invalidate_rkey : be32_to_cpu(wr.ex.imm_data);
	user_target(q, w, &wr);
	if (so->op == TBIB_WR_LOCAL_INV || so->op == TBIB_WR_BIND_MW ||
	    so->op == TBIB_WR_FLUSH)
		return;		/* no payload */
	length = user_payload(q, w, so, wr.send_flags, &u->dma);
	if (!w->host)
		wqe_check(q, w, length);
}

/* RTS and SQD fill the private slots; SQE and ERR flush what is committed */
static bool sq_flushes(const struct tbib_vqp *q)
{
	return q->core.state == TBIB_QPS_SQE || q->core.state == TBIB_QPS_ERR;
}

static u32 sq_next(const struct tbib_vqp *q)
{
	return (q->sq_base + q->core.req.prod) & q->sq.mask;
}

/* tbib_sq_waits() - has the user posted what is to be flushed? QP lock held */
bool tbib_sq_waits(const struct tbib_vqp *q)
{
	return sq_flushes(q) && sq_next(q) != tbib_queue_producer(&q->sq);
}

/*
 * tbib_sq_pull() - copy what the user has posted into free private slots
 * QP lock held. In ERR each is flushed as it is committed, so that there is
 * always a free one; a process may produce as fast as that: whoever calls
 * flushes a batch, and the sweep goes on with the rest.
 */
void tbib_sq_pull(struct tbib_vqp *q)
{
	u32 max = sq_flushes(q) ? TBIB_FLUSH_BATCH : TBIB_SQ_WINDOW;
	struct tbib_wqe *w;
	u32 n, index;

	if (q->core.state < TBIB_QPS_RTS)
		return;
	for (n = 0; n < max; n++) {
		index = sq_next(q);
		if (index == tbib_queue_producer(&q->sq))
			break;
		w = tbib_sq_slot(&q->core);
		if (!w)
			break;
		wqe_from_user(q, w, index);
		tbib_sq_commit(&q->core);
	}
	tbib_sq_done(q);
}

/*
 * tbib_sq_done() - let the user reuse the slots of completed WQEs
 * In order, at completion and not when copied: else a program could have more
 * than max_send_wr outstanding.
 */
void tbib_sq_done(struct tbib_vqp *q)
{
	u32 cons = q->core.req.cons;

	if (!q->user || cons == q->sq_last)
		return;
	q->sq_last = cons;
	tbib_queue_set_consumer(&q->sq, q->sq_base + cons);
}

/* tbib_sq_discard() - forget what was enqueued before RTS; QP lock held */
void tbib_sq_discard(struct tbib_vqp *q)
{
	q->sq_base = tbib_queue_producer(&q->sq) - q->core.req.prod;
	q->sq_last = q->core.req.cons;
	tbib_queue_set_consumer(&q->sq, q->sq_base + q->sq_last);
}

/* ---- kernel ---------------------------------------------------------------- */

static u64 kernel_payload(struct tbib_wqe *w, const struct ib_send_wr *wr)
{
	u64 length = 0;
	struct tbib_sge *sge = tbib_wqe_sge(w);
	u8 *dst = tbib_wqe_inl(w);
	int i;

	if (wr->send_flags & IB_SEND_INLINE) {
		w->flags |= TBIB_WF_INLINE;
		for (i = 0; i < wr->num_sge; i++) {
			const struct ib_sge *from = &wr->sg_list[i];

			unsafe_memcpy(dst + length,
				      (void *)(uintptr_t)from->addr,
				      from->length, /* kernel_check() */);
			length += from->length;
		}
		return length;
	}
	for (i = 0; i < wr->num_sge; i++) {
		sge[i].addr = wr->sg_list[i].addr;
		sge[i].len = wr->sg_list[i].length;
		sge[i].lkey = wr->sg_list[i].lkey;
		sge[i].mr = NULL;
		length += wr->sg_list[i].length;
	}
	w->n_sge = wr->num_sge;
	return length;
}

static int kernel_check(const struct tbib_vqp *q, const struct send_op *so,
			const struct ib_send_wr *wr)
{
	u64 length = 0;
	int i;

	if (!so || wr->num_sge < 0 || wr->num_sge > q->max_sge)
		return -EINVAL;
	if (!(wr->send_flags & IB_SEND_INLINE))
		return 0;
	for (i = 0; i < wr->num_sge; i++)
		length += wr->sg_list[i].length;
	return so->in_line && length <= q->max_inline ? 0 : -EINVAL;
}

static void kernel_target(struct tbib_vqp *q, struct tbib_wqe *w,
			  const struct ib_send_wr *wr)
{
	switch (w->op) {
	case TBIB_WR_WRITE_IMM:
	case TBIB_WR_WRITE:
	case TBIB_WR_READ:
	case TBIB_WR_ATOMIC_WRITE:
		w->remote_addr = rdma_wr(wr)->remote_addr;
		w->rkey = rdma_wr(wr)->rkey;
		break;
	case TBIB_WR_CMP_SWAP:
		w->remote_addr = atomic_wr(wr)->remote_addr;
		w->rkey = atomic_wr(wr)->rkey;
		w->compare = atomic_wr(wr)->compare_add;
		w->swap_add = atomic_wr(wr)->swap;
		break;
	case TBIB_WR_FETCH_ADD:
		w->remote_addr = atomic_wr(wr)->remote_addr;
		w->rkey = atomic_wr(wr)->rkey;
		w->swap_add = atomic_wr(wr)->compare_add;
		break;
	case TBIB_WR_REG_MR:
		w->host = to_tbib_mr(reg_wr(wr)->mr);
		refcount_inc(&to_tbib_mr(reg_wr(wr)->mr)->ref);
		w->rkey = reg_wr(wr)->key;
		w->imm = reg_wr(wr)->access;
		break;
	}
	if (q->core.service == TBIB_UD) {
		w->av.ah = tbib_addr_ref(ud_wr(wr)->ah);
		w->av.qpn = ud_wr(wr)->remote_qpn;
		w->av.qkey = ud_wr(wr)->remote_qkey;
	}
}

static int post_one(struct tbib_vqp *q, const struct ib_send_wr *wr)
{
	const struct send_op *so = find_op(q, wr->opcode);
	struct tbib_wqe *w;
	u64 length;
	int err;

	err = kernel_check(q, so, wr);
	if (err)
		return err;
	w = tbib_sq_slot(&q->core);
	if (!w)
		return -ENOMEM;
	memset(w, 0, offsetof(struct tbib_wqe, tail));
	w->wr_id = wr->wr_id;
	w->flags = wqe_flags(wr->send_flags);
	w->op = so->op;
	w->imm = so->op == TBIB_WR_SEND_INV || so->op == TBIB_WR_LOCAL_INV ?
		 wr->ex.invalidate_rkey : be32_to_cpu(wr->ex.imm_data);
	kernel_target(q, w, wr);
	if (w->op != TBIB_WR_REG_MR && w->op != TBIB_WR_LOCAL_INV) {
		length = kernel_payload(w, wr);
		wqe_check(q, w, length);
	}
	tbib_sq_commit(&q->core);
	return 0;
}

/* ---- posting --------------------------------------------------------------- */

/*
 * A QP with nothing under way chooses its lane anew: messages of more than
 * 4 KiB go bulk, so that small ones of others do not wait behind them.
 */
static void choose_lane(struct tbib_vqp *q)
{
	const struct tbib_req *req = &q->core.req;
	const struct tbib_wqe *w;

	if (req->cons == req->prod)
		return;
	w = q->core.req.slot(&q->core, req->cons & req->mask);
	q->src.lane = w->op != TBIB_WR_READ && w->length > TBIB_LANE_SMALL ?
		TBIB_LANE_BULK : TBIB_LANE_EXPRESS;
}

/*
 * tbib_post_send() - kernel: a list of requests; user: the doorbell (@wr NULL)
 * Never sleeps, never allocates.
 */
int tbib_post_send(struct ib_qp *ib, const struct ib_send_wr *wr,
		   const struct ib_send_wr **bad)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	unsigned long flags;
	bool idle, kick;
	int err = 0;

	spin_lock_irqsave(&q->lock, flags);
	/* IBTA 10.8.3: RTS and later; in ERR requests complete as flushed */
	if (q->dying || q->core.state < TBIB_QPS_RTS) {
		spin_unlock_irqrestore(&q->lock, flags);
		*bad = wr;
		return -EINVAL;
	}
	idle = tbib_vqp_idle(q);
	if (q->user)
		tbib_sq_pull(q);
	for (; wr && !q->user; wr = wr->next) {
		err = post_one(q, wr);
		if (err) {
			*bad = wr;
			break;
		}
	}
	if (idle)
		choose_lane(q);
	kick = tbib_vqp_after(q);
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		tbib_fabric_kick(q->dev->node);
	return err;
}
