// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unreliable connection (IBTA 9.8): the RC packets of SEND and WRITE without
 * answers. A WQE completes when the trunk has acked each train that carries a
 * part of it, since until then its pages may be read again.
 */
#include "qp_int.h"

#define OP_CLASS (TBIB_OI_SEND | TBIB_OI_WRITE)

#define NOTE_INDEX_MASK	0xffffffu
#define NOTE_GEN_SHIFT	24

/* --- notes --------------------------------------------------------------- */

static void *note_value(const struct tbib_qp *qp, u32 index)
{
	u32 v = (u32)qp->req.note_gen << NOTE_GEN_SHIFT |
		(index & qp->req.mask & NOTE_INDEX_MASK);

	return (void *)(uintptr_t)v;
}

/* is the last note of @t the one for the WQE at @index? */
static bool note_there(const struct tbib_qp *qp, u32 index,
		       const struct tbib_train *t)
{
	const struct tbib_note *end = t->note + t->n_note;

	return t->n_note && end[-1].owner == qp &&
	       end[-1].value == note_value(qp, index);
}

bool tbib_note_room(const struct tbib_qp *qp, u32 index,
		    const struct tbib_train *t)
{
	return t->n_note < TBIB_TRAIN_NOTES || note_there(qp, index, t);
}

void tbib_note_add(struct tbib_qp *qp, u32 index, struct tbib_train *t)
{
	struct tbib_note *n;

	if (note_there(qp, index, t))
		return;
	n = &t->note[t->n_note++];
	n->owner = qp;
	n->value = note_value(qp, index);
	tbib_sq_at(qp, index)->notes++;
}

void tbib_qp_note(struct tbib_qp *qp, void *value, bool delivered)
{
	u32 v = (u32)(uintptr_t)value;
	struct tbib_wqe *w;

	/* lost to a reset of the trunk is sent all the same: unreliable */
	(void)delivered;
	if ((u8)(v >> NOTE_GEN_SHIFT) != qp->req.note_gen ||
	    qp->req.cons == qp->req.prod)
		return;
	w = tbib_sq_at(qp, v & NOTE_INDEX_MASK);
	if (!w->notes)
		return;
	w->notes--;
	tbib_sq_reap(qp);
}

/* --- requester ----------------------------------------------------------- */

bool tbib_uc_ready(const struct tbib_qp *qp)
{
	const struct tbib_req *r = &qp->req;
	const struct tbib_wqe *w;

	if (r->send == r->prod)
		return false;
	w = r->slot((struct tbib_qp *)qp, r->send & r->mask);
	if (w->state == TBIB_WS_ACTIVE || w->state == TBIB_WS_DONE)
		return qp->state == TBIB_QPS_RTS || qp->state == TBIB_QPS_SQD;
	if (w->state != TBIB_WS_NEW || qp->state != TBIB_QPS_RTS)
		return false;
	/* a fenced local operation waits for those before it */
	return !(w->flags & TBIB_WF_FENCE) || w->op >= TBIB_WR_OPS ||
	       tbib_wr_info[w->op].kind != TBIB_WK_LOCAL ||
	       r->cons == r->send;
}

static void uc_passed(struct tbib_qp *qp, struct tbib_wqe *w)
{
	if (w->state == TBIB_WS_ACTIVE)
		w->state = TBIB_WS_SENT;
	qp->req.send++;
	tbib_sq_reap(qp);
}

static enum tbib_tx_step uc_step(struct tbib_qp *qp, struct tbib_train *t)
{
	struct tbib_req *r = &qp->req;
	enum tbib_tx_step step;
	struct tbib_wqe *w;

	if (!tbib_uc_ready(qp))
		return TBIB_TX_IDLE;
	w = tbib_sq_at(qp, r->send);
	if (w->state == TBIB_WS_NEW) {
		step = tbib_req_start(qp, w);
		if (step != TBIB_TX_NEXT)
			return step;
	}
	if (w->state == TBIB_WS_DONE) {
		uc_passed(qp, w);
		return TBIB_TX_NEXT;
	}
	if (!tbib_note_room(qp, r->send, t))
		return TBIB_TX_FULL;
	step = tbib_req_data(qp, w, r->psn, false, t);
	if (step != TBIB_TX_NEXT)
		return step;
	tbib_note_add(qp, r->send, t);
	r->psn = tbib_psn_add(r->psn, 1);
	if (tbib_psn_diff(r->psn, w->last_psn) > 0)
		uc_passed(qp, w);
	return TBIB_TX_NEXT;
}

enum tbib_tx_step tbib_uc_fill(struct tbib_qp *qp, struct tbib_train *t)
{
	enum tbib_tx_step step;

	do {
		step = uc_step(qp, t);
	} while (step == TBIB_TX_NEXT);
	return step;
}

/* --- responder ----------------------------------------------------------- */

/* IBTA 9.8.2.2: a broken message is dropped in silence; the receive WQE stays */
static void uc_drop_message(struct tbib_qp *qp)
{
	qp->resp.in_msg = 0;
	tbib_resp_drop_write(qp);
}

static void uc_fail(struct tbib_qp *qp, u8 status)
{
	struct tbib_cqe cqe = { 0 };

	cqe.status = status;
	cqe.wr_id = qp->resp.rwqe.wr_id;
	cqe.recv = true;
	qp->ops->complete(qp, &cqe);
	tbib_qp_to_err(qp, false);
	qp->ops->event(qp, TBIB_EV_QP_FATAL);
}

/* memory of the receive WQE in use went away */
static void uc_lost_recv(struct tbib_qp *qp)
{
	struct tbib_cqe cqe = { 0 };

	cqe.status = TBIB_LOC_PROT_ERR;
	tbib_recv_complete(qp, &cqe);
	tbib_qp_to_err(qp, false);
	qp->ops->event(qp, TBIB_EV_QP_FATAL);
}

/* does the packet fit the PSN and the message in progress? */
static bool uc_in_sequence(struct tbib_qp *qp, const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	bool expected = rp->b->psn == r->epsn;

	r->epsn = tbib_psn_add(rp->b->psn, 1);
	if (!expected)
		qp->stats.out_of_seq++;
	if (rp->flags & TBIB_OI_FIRST) {
		uc_drop_message(qp);
		return true;
	}
	return expected && r->in_msg == (rp->flags & OP_CLASS);
}

/* Return: false = drop the message */
static bool uc_recv_wqe(struct tbib_qp *qp, const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	u32 off = rp->flags & TBIB_OI_FIRST ? 0 : r->msg_off;
	u8 status;

	if (!r->have_rwqe) {
		status = qp->ops->recv_get(qp, &r->rwqe);
		if (status && status != TBIB_RNR_RETRY_EXC_ERR)
			uc_fail(qp, status);
		if (status)
			return false;
		r->have_rwqe = true;
	}
	return rp->flags & TBIB_OI_WRITE ||
	       (rp->len <= r->rwqe.length && off <= r->rwqe.length - rp->len);
}

static bool uc_write_mem(struct tbib_qp *qp, const struct tbib_resp_pkt *rp)
{
	const struct tbib_bth *b = rp->b;

	if (!(qp->attr.access & TBIB_ACC_REMOTE_WRITE))
		return false;
	if (!(rp->flags & TBIB_OI_FIRST))
		return true;
	qp->resp.msg_len = b->dma_len;
	return !b->dma_len ||
	       !qp->ops->mem_get(qp, b->rkey, b->va, b->dma_len,
				 TBIB_ACC_REMOTE_WRITE, &qp->resp.mem);
}

void tbib_uc_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		const struct tbib_pkt *pkt)
{
	struct tbib_resp_pkt rp = { 0 };

	rp.b = b;
	rp.pkt = pkt;
	rp.flags = b->info->flags;
	rp.len = tbib_payload_len(b, pkt);
	if (!uc_in_sequence(qp, &rp) || !tbib_resp_len_ok(qp, &rp) ||
	    (rp.flags & TBIB_OI_WRITE && !uc_write_mem(qp, &rp)) ||
	    (rp.flags & (TBIB_OI_SEND | TBIB_OI_RWQE) &&
	     !uc_recv_wqe(qp, &rp))) {
		uc_drop_message(qp);
		return;
	}
	if (!tbib_resp_execute(qp, &rp))
		return;
	if (rp.flags & TBIB_OI_SEND)
		uc_lost_recv(qp);
	else
		uc_drop_message(qp);
}
