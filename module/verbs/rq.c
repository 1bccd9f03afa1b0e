// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive queues: rings of struct rxe_recv_wqe, produced by librxe without a
 * system call or by a kernel user through post_recv, consumed when a message
 * arrives.
 */
#include "verbs/ibdev.h"

static u32 rq_elem(u32 max_sge)
{
	return sizeof(struct rxe_recv_wqe) + max_sge * sizeof(struct rxe_sge);
}

/* tbib_rq_create() - ring of @max_wr receives; @mi as tbib_queue_alloc() */
int tbib_rq_create(struct tbib_rq *rq, u32 max_wr, u32 max_sge,
		   struct ib_udata *udata, struct mminfo *mi)
{
	rq->max_wr = max_wr;
	rq->max_sge = max_sge;
	return tbib_queue_alloc(&rq->q, max_wr, rq_elem(max_sge), udata, mi);
}

/*
 * tbib_rq_post() - a kernel user's receive; the producer side is locked
 * Return: 0, -EINVAL (too many SGEs) or -ENOMEM (full).
 */
int tbib_rq_post(struct tbib_rq *rq, const struct ib_recv_wr *wr)
{
	u32 prod = rq->q.buf->producer_index;
	struct rxe_recv_wqe *slot;
	int i;

	if (wr->num_sge < 0 || wr->num_sge > rq->max_sge)
		return -EINVAL;
	if (((prod - tbib_queue_consumer(&rq->q)) & rq->q.mask) >= rq->max_wr)
		return -ENOMEM;
	slot = tbib_queue_slot(&rq->q, prod);
	slot->wr_id = wr->wr_id;
	slot->dma.num_sge = wr->num_sge;
	for (i = 0; i < wr->num_sge; i++) {
		slot->dma.sge[i].addr = wr->sg_list[i].addr;
		slot->dma.sge[i].length = wr->sg_list[i].length;
		slot->dma.sge[i].lkey = wr->sg_list[i].lkey;
	}
	tbib_queue_set_producer(&rq->q, prod + 1);
	return 0;
}

/*
 * tbib_rq_peek() - private copy of the oldest receive; consumer side locked
 * The slot is in memory that the process may be writing: it is copied first
 * and bounded then. A list that is too long becomes an empty one, which fails
 * with a length error as soon as a byte arrives.
 * Return: false = empty.
 */
bool tbib_rq_peek(struct tbib_rq *rq, struct tbib_rwqe *out)
{
	const struct rxe_recv_wqe *slot;
	u64 length = 0;
	u32 i, n;

	if (!tbib_queue_count(&rq->q))
		return false;
	slot = tbib_queue_slot(&rq->q, rq->q.index);
	out->wr_id = READ_ONCE(slot->wr_id);
	n = READ_ONCE(slot->dma.num_sge);
	if (n > rq->max_sge)
		n = 0;
	for (i = 0; i < n; i++) {
		struct tbib_sge *sge = &out->sge[i];

		sge->addr = READ_ONCE(slot->dma.sge[i].addr);
		sge->len = READ_ONCE(slot->dma.sge[i].length);
		sge->lkey = READ_ONCE(slot->dma.sge[i].lkey);
		sge->mr = NULL;
		length += sge->len;
	}
	out->n_sge = n;
	out->length = min_t(u64, length, TBIB_MAX_MSG);
	out->srq = NULL;
	return true;
}

/* tbib_rq_advance() - the oldest receive is consumed */
void tbib_rq_advance(struct tbib_rq *rq)
{
	rq->q.index = (rq->q.index + 1) & rq->q.mask;
	tbib_queue_set_consumer(&rq->q, rq->q.index);
}

int tbib_post_recv(struct ib_qp *ib, const struct ib_recv_wr *wr,
		   const struct ib_recv_wr **bad)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	unsigned long flags;
	bool kick;
	int err = 0;

	*bad = wr;
	if (q->user || q->srq)
		return -EINVAL;
	spin_lock_irqsave(&q->lock, flags);
	/* IBTA C10-97.2.1: not in RESET */
	if (q->dying || q->core.state == TBIB_QPS_RESET)
		err = -EINVAL;
	for (; wr && !err; wr = wr->next) {
		err = tbib_rq_post(&q->rq, wr);
		if (err)
			*bad = wr;
	}
	if (q->core.state == TBIB_QPS_ERR)
		tbib_recv_flush(q);
	else if (q->core.state >= TBIB_QPS_RTR)
		tbib_qp_recv_posted(&q->core);
	kick = tbib_vqp_after(q);
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		tbib_fabric_kick(q->dev->node);
	return err;
}

/* tbib_recv_get() - see tbib_qp_ops.recv_get */
u8 tbib_recv_get(struct tbib_qp *core, struct tbib_rwqe *r)
{
	struct tbib_vqp *q = core_to_vqp(core);
	u8 status;

	r->prepared = false;
	if (q->srq) {
		if (!tbib_srq_take(q->srq, r))
			return TBIB_RNR_RETRY_EXC_ERR;
	} else {
		if (!tbib_rq_peek(&q->rq, r))
			return TBIB_RNR_RETRY_EXC_ERR;
		q->rq_taken = true;
	}
	status = tbib_sges_get(q, q->srq ? q->srq->ib.pd : q->pd, r->sge,
			       r->n_sge, IB_ACCESS_LOCAL_WRITE, false);
	if (status == TBIB_OK)
		r->prepared = true;
	else
		r->n_sge = 0;
	return status;
}

/* tbib_recv_release() - see tbib_qp_ops.recv_release */
void tbib_recv_release(struct tbib_qp *core, struct tbib_rwqe *r)
{
	if (!r->prepared)
		return;
	r->prepared = false;
	tbib_sges_put(r->sge, r->n_sge);
}

/*
 * tbib_recv_done() - the receive in use completes: its slot may be reused
 * Before the CQE is published, or the user would find its queue full.
 */
void tbib_recv_done(struct tbib_vqp *q)
{
	if (!q->rq_taken)
		return;
	q->rq_taken = false;
	tbib_rq_advance(&q->rq);
}

/*
 * tbib_recv_flush() - complete receives in error (QP is in ERR)
 * IBTA 10.3.1: receives that were posted, or are posted later, are flushed.
 * All those of a kernel user, who posts under our lock; of a process, which may
 * produce as fast as we flush, a batch.
 */
void tbib_recv_flush(struct tbib_vqp *q)
{
	struct tbib_cqe c = { .status = TBIB_FLUSH_ERR, .recv = true };
	u32 max, i;

	if (q->srq)
		return;
	max = q->user ? TBIB_FLUSH_BATCH : q->rq.q.mask + 1;
	for (i = 0; i < max && tbib_queue_count(&q->rq.q); i++) {
		const struct rxe_recv_wqe *slot =
			tbib_queue_slot(&q->rq.q, q->rq.q.index);

		c.wr_id = READ_ONCE(slot->wr_id);
		tbib_rq_advance(&q->rq);
		tbib_cq_add(q->rcq, q, &c);
	}
}
