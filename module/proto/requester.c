// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requester of RC (IBTA 9.7.3): work requests to request packets.
 *
 * Positions are PSNs: the byte offset of a packet is its distance from the
 * first PSN of its WQE, so that going back to any PSN is setting two numbers.
 * A READ is asked for in chunks of TBIB_READ_CHUNK PSNs, counted from the
 * first PSN of the WQE, so that responses in flight are bounded by the window
 * just as requests are.
 */
#include "qp_int.h"

/* --- starting a WQE ------------------------------------------------------ */

/* what can be told wrong without the host. Return: enum tbib_status. */
static u8 wqe_check(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	const struct tbib_wr_info *info;

	if (w->op >= TBIB_WR_OPS)
		return TBIB_LOC_QP_OP_ERR;
	info = &tbib_wr_info[w->op];
	if (!(info->services & tbib_service_bit(qp)))
		return TBIB_LOC_QP_OP_ERR;
	if ((info->kind == TBIB_WK_READ || info->kind == TBIB_WK_ATOMIC) &&
	    !qp->attr.max_rd_atomic)
		return TBIB_LOC_QP_OP_ERR;
	if (info->kind == TBIB_WK_LOCAL)
		return TBIB_OK;
	if (w->flags & TBIB_WF_INLINE &&
	    (info->kind != TBIB_WK_DATA || w->length > TBIB_MAX_INLINE))
		return TBIB_LOC_LEN_ERR;
	if (w->length > TBIB_MAX_MSG ||
	    (info->kind == TBIB_WK_ATOMIC && w->length != 8) ||
	    (w->op == TBIB_WR_ATOMIC_WRITE && w->length != 8) ||
	    (w->op == TBIB_WR_FLUSH && w->length) ||
	    (qp->service == TBIB_UD && w->length > qp->attr.mtu))
		return TBIB_LOC_LEN_ERR;
	return TBIB_OK;
}

/* those before it may still complete, IBTA 10.8.6 */
static enum tbib_tx_step wqe_fail(struct tbib_qp *qp, struct tbib_wqe *w,
				  u8 status)
{
	w->state = TBIB_WS_FAILED;
	w->status = status;
	tbib_sq_reap(qp);
	return TBIB_TX_IDLE;
}

enum tbib_tx_step tbib_req_no_payload(struct tbib_qp *qp, struct tbib_wqe *w,
				      u8 status)
{
	struct tbib_req *r = &qp->req;

	if (status == TBIB_NO_PAGE)
		return TBIB_TX_HELD;
	/* a probe repeats one that was passed: nothing behind @w goes now */
	while (r->send == r->prod || tbib_sq_at(qp, r->send) != w)
		r->send--;
	if (qp->service == TBIB_RC)
		r->psn = w->first_psn;
	r->probe = false;
	r->rtt_on = false;
	return wqe_fail(qp, w, status);
}

enum tbib_tx_step tbib_req_start(struct tbib_qp *qp, struct tbib_wqe *w)
{
	u8 status = wqe_check(qp, w);

	if (!status && !w->prepared) {
		status = qp->ops->wqe_prepare(qp, w);
		w->prepared = !status;
	}
	if (status)
		return wqe_fail(qp, w, status);
	w->first_psn = qp->req.psn;
	if (tbib_wr_info[w->op].kind == TBIB_WK_LOCAL) {
		w->state = TBIB_WS_DONE;
		return TBIB_TX_NEXT;
	}
	w->state = TBIB_WS_ACTIVE;
	w->last_psn = tbib_psn_add(w->first_psn,
				   tbib_n_pkts(w->length, qp->attr.mtu) - 1);
	return TBIB_TX_NEXT;
}

/* --- what may be sent now ------------------------------------------------ */

/*
 * PSNs that the next packet of @w takes: a READ takes those of its responses,
 * to the end of the chunk
 */
static u32 psns_wanted(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	u32 index = 0, left;

	if (tbib_wr_info[w->op].kind != TBIB_WK_READ)
		return 1;
	if (w->state == TBIB_WS_ACTIVE)
		index = (u32)tbib_psn_diff(qp->req.psn, w->first_psn);
	left = tbib_n_pkts(w->length, qp->attr.mtu) - index;
	index = TBIB_READ_CHUNK - index % TBIB_READ_CHUNK;
	return left < index ? left : index;
}

/* is @w of a new WQE held back by those before it? */
static bool fenced(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	if (!(w->flags & TBIB_WF_FENCE))
		return false;
	/* LOCAL_INV and its kind wait for everything, IBTA 10.8.3.3.3 */
	if (tbib_wr_info[w->op].kind == TBIB_WK_LOCAL)
		return qp->req.cons != qp->req.send;
	return qp->req.rd_atomic;
}

static bool window_open(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	const struct tbib_req *r = &qp->req;
	u8 kind = tbib_wr_info[w->op].kind;
	s32 used = tbib_psn_diff(r->psn, r->una_psn);

	if ((kind == TBIB_WK_READ || kind == TBIB_WK_ATOMIC) &&
	    r->rd_atomic >= qp->attr.max_rd_atomic)
		return false;
	return (u32)used + psns_wanted(qp, w) <= TBIB_PSN_WINDOW;
}

static struct tbib_wqe *req_current(const struct tbib_qp *qp)
{
	if (qp->req.send == qp->req.prod)
		return NULL;
	return tbib_sq_at((struct tbib_qp *)qp, qp->req.send);
}

/* may the requester do something with @w now? */
static bool wqe_ready(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	switch (w->state) {
	case TBIB_WS_DONE:	/* passed again after going back */
		return true;
	case TBIB_WS_NEW:
		if (qp->state != TBIB_QPS_RTS)
			return false;
		/* tbib_req_start() finds out what is wrong with it */
		if (w->op >= TBIB_WR_OPS || wqe_check(qp, w))
			return true;
		if (fenced(qp, w))
			return false;
		return tbib_wr_info[w->op].kind == TBIB_WK_LOCAL ||
		       window_open(qp, w);
	case TBIB_WS_ACTIVE:
		/* its own READs do not hold it back */
		if (qp->req.psn == w->first_psn && fenced(qp, w))
			return false;
		return window_open(qp, w);
	default:
		return false;
	}
}

bool tbib_req_ready(const struct tbib_qp *qp)
{
	const struct tbib_wqe *w;

	if ((qp->state != TBIB_QPS_RTS && qp->state != TBIB_QPS_SQD) ||
	    qp->req.rnr_wait)
		return false;
	if (qp->req.probe)
		return true;
	w = req_current(qp);
	return w && wqe_ready(qp, w);
}

/* --- packets ------------------------------------------------------------- */

static void bth_init(const struct tbib_qp *qp, struct tbib_bth *b, u8 op,
		     u32 psn)
{
	b->opcode = (u8)(qp->service | op);
	b->pkey = tbib_qp_pkey(qp);
	b->dqpn = qp->attr.dest_qpn;
	b->psn = psn;
}

enum tbib_tx_step tbib_req_data(struct tbib_qp *qp, struct tbib_wqe *w,
				u32 psn, bool ack_req, struct tbib_train *t)
{
	struct tbib_train_mark mark = tbib_train_mark(t);
	u32 mtu = qp->attr.mtu;
	u32 off = (u32)tbib_psn_diff(psn, w->first_psn) * mtu;
	u32 len = w->length - off < mtu ? w->length - off : mtu;
	bool last = psn == w->last_psn;
	struct tbib_bth b = { 0 };
	u8 status;
	u8 *p;

	bth_init(qp, &b, tbib_wr_info[w->op].op[(last ? 2 : 0) + !off], psn);
	b.ack_req = ack_req;
	b.solicited = last && w->flags & TBIB_WF_SOLICITED;
	b.va = w->remote_addr;
	b.rkey = w->op == TBIB_WR_SEND_INV ? w->imm : w->rkey;
	b.dma_len = w->op == TBIB_WR_FLUSH ? (u32)w->compare : w->length;
	b.feth = w->imm;
	b.imm = w->imm;
	p = tbib_pkt_append(t, &b, 0, len);
	if (!p)
		return TBIB_TX_FULL;
	status = tbib_pkt_payload_from(qp, w, off, len,
				       p + tbib_bth_len(b.opcode), t);
	if (status) {
		tbib_train_undo(t, &mark);
		return tbib_req_no_payload(qp, w, status);
	}
	qp->stats.send_pkts++;
	return TBIB_TX_NEXT;
}

/* @n: PSNs asked for from @psn on */
static enum tbib_tx_step req_read(struct tbib_qp *qp, struct tbib_wqe *w,
				  u32 psn, u32 n, struct tbib_train *t)
{
	u32 mtu = qp->attr.mtu;
	u32 off = (u32)tbib_psn_diff(psn, w->first_psn) * mtu;
	u32 len = w->length - off;
	struct tbib_bth b = { 0 };

	bth_init(qp, &b, TBIB_OP_READ_REQUEST, psn);
	b.ack_req = true;
	b.va = w->remote_addr + off;
	b.rkey = w->rkey;
	b.dma_len = len / mtu < n ? len : n * mtu;
	if (!tbib_pkt_append(t, &b, 0, 0))
		return TBIB_TX_FULL;
	qp->stats.send_pkts++;
	return TBIB_TX_NEXT;
}

static enum tbib_tx_step req_atomic(struct tbib_qp *qp, struct tbib_wqe *w,
				    u32 psn, struct tbib_train *t)
{
	struct tbib_bth b = { 0 };

	bth_init(qp, &b, tbib_wr_info[w->op].op[3], psn);
	b.ack_req = true;
	b.va = w->remote_addr;
	b.rkey = w->rkey;
	b.swap_add = w->swap_add;
	b.compare = w->compare;
	if (!tbib_pkt_append(t, &b, 0, 0))
		return TBIB_TX_FULL;
	qp->stats.send_pkts++;
	return TBIB_TX_NEXT;
}

/* append the packet of @w at @psn, which takes @n PSNs */
static enum tbib_tx_step req_packet(struct tbib_qp *qp, struct tbib_wqe *w,
				    u32 psn, u32 n, bool ack_req,
				    struct tbib_train *t)
{
	switch (tbib_wr_info[w->op].kind) {
	case TBIB_WK_READ:
		return req_read(qp, w, psn, n, t);
	case TBIB_WK_ATOMIC:
		return req_atomic(qp, w, psn, t);
	default:
		return tbib_req_data(qp, w, psn, ack_req, t);
	}
}

/* bookkeeping after the packet of @w with PSNs psn .. psn + n - 1 */
static void req_sent(struct tbib_qp *qp, struct tbib_wqe *w, u32 n,
		     bool ack_req, u64 now)
{
	struct tbib_req *r = &qp->req;
	u32 psn = r->psn;

	r->psn = tbib_psn_add(psn, n);
	r->since_ack_req = ack_req ? 0 : r->since_ack_req + 1;
	if (tbib_wr_info[w->op].kind != TBIB_WK_DATA)
		r->rd_atomic++;
	/* only a packet sent once tells the round trip (Karn) */
	if (ack_req && !r->rtt_on && psn == r->max_psn) {
		r->rtt_on = true;
		r->rtt_psn = psn;
		r->rtt_at = now;
	}
	if (tbib_psn_diff(r->psn, r->max_psn) > 0)
		r->max_psn = r->psn;
	if (tbib_psn_diff(r->psn, w->last_psn) > 0)
		r->send++;
	if (!qp->comp.probe_deadline)
		tbib_comp_start(qp, now);
}

/* --- tail probe ---------------------------------------------------------- */

/* the WQE that holds the last PSN sent, or NULL */
static struct tbib_wqe *last_sent(struct tbib_qp *qp)
{
	struct tbib_req *r = &qp->req;
	u32 i = r->send;
	struct tbib_wqe *w;

	if (r->psn == r->una_psn)
		return NULL;
	w = req_current(qp);
	if (w && w->state == TBIB_WS_ACTIVE &&
	    tbib_psn_diff(r->psn, w->first_psn) > 0)
		return w;
	while (i-- != r->cons) {
		w = tbib_sq_at(qp, i);
		if (w->state == TBIB_WS_ACTIVE)
			return w;
	}
	return NULL;
}

/*
 * Send the last packet once more. Of a READ only the last response is asked
 * for: it answers as well and does not repeat a whole chunk.
 */
static enum tbib_tx_step req_probe(struct tbib_qp *qp, struct tbib_train *t)
{
	struct tbib_wqe *w = last_sent(qp);
	enum tbib_tx_step step;

	if (w) {
		step = req_packet(qp, w, tbib_psn_add(qp->req.psn, -1u), 1,
				  true, t);
		if (step != TBIB_TX_NEXT)
			return step;
		qp->stats.tail_probes++;
	}
	qp->req.probe = false;
	qp->req.rtt_on = false;
	return TBIB_TX_NEXT;
}

/* --- fill ---------------------------------------------------------------- */

static enum tbib_tx_step req_step(struct tbib_qp *qp, struct tbib_train *t,
				  u64 now)
{
	enum tbib_tx_step step;
	struct tbib_wqe *w;
	bool ack_req;
	u32 n;

	if (!tbib_req_ready(qp))
		return TBIB_TX_IDLE;
	if (qp->req.probe)
		return req_probe(qp, t);
	w = req_current(qp);
	if (w->state == TBIB_WS_NEW) {
		step = tbib_req_start(qp, w);
		if (step != TBIB_TX_NEXT)
			return step;
	}
	if (w->state == TBIB_WS_DONE) {
		qp->req.send++;
		tbib_sq_reap(qp);
		return TBIB_TX_NEXT;
	}
	n = psns_wanted(qp, w);
	ack_req = qp->req.psn == w->last_psn ||
		  qp->req.since_ack_req + 1 >= TBIB_ACK_EVERY;
	ack_req |= tbib_wr_info[w->op].kind != TBIB_WK_DATA;
	step = req_packet(qp, w, qp->req.psn, n, ack_req, t);
	if (step == TBIB_TX_NEXT)
		req_sent(qp, w, n, ack_req, now);
	return step;
}

enum tbib_tx_step tbib_req_fill(struct tbib_qp *qp, struct tbib_train *t,
				u64 now)
{
	enum tbib_tx_step step;

	do {
		step = req_step(qp, t, now);
	} while (step == TBIB_TX_NEXT);
	return step;
}

void tbib_req_restart(struct tbib_qp *qp)
{
	struct tbib_req *r = &qp->req;

	r->psn = r->una_psn;
	r->send = r->cons;
	r->rd_atomic = 0;
	r->since_ack_req = 0;
	r->probe = false;
	r->rtt_on = false;
}
