// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queue pair as a whole: states, send queue, flush, and the entry points
 * that share the work out to requester, completer and responder.
 */
#include "qp_int.h"

#define RC	(1u << (TBIB_RC >> 5))
#define UC	(1u << (TBIB_UC >> 5))
#define UD	(1u << (TBIB_UD >> 5))

/* IBTA 10.7.2.2: which work requests a service takes, and their opcodes */
const struct tbib_wr_info tbib_wr_info[TBIB_WR_OPS] = {
	[TBIB_WR_SEND] = {
		"SEND", RC | UC | UD, TBIB_WK_DATA,
		{ TBIB_OP_SEND_MIDDLE, TBIB_OP_SEND_FIRST,
		  TBIB_OP_SEND_LAST, TBIB_OP_SEND_ONLY } },
	[TBIB_WR_SEND_IMM] = {
		"SEND_IMM", RC | UC | UD, TBIB_WK_DATA,
		{ TBIB_OP_SEND_MIDDLE, TBIB_OP_SEND_FIRST,
		  TBIB_OP_SEND_LAST_IMM, TBIB_OP_SEND_ONLY_IMM } },
	[TBIB_WR_SEND_INV] = {
		"SEND_INV", RC, TBIB_WK_DATA,
		{ TBIB_OP_SEND_MIDDLE, TBIB_OP_SEND_FIRST,
		  TBIB_OP_SEND_LAST_INV, TBIB_OP_SEND_ONLY_INV } },
	[TBIB_WR_WRITE] = {
		"WRITE", RC | UC, TBIB_WK_DATA,
		{ TBIB_OP_WRITE_MIDDLE, TBIB_OP_WRITE_FIRST,
		  TBIB_OP_WRITE_LAST, TBIB_OP_WRITE_ONLY } },
	[TBIB_WR_WRITE_IMM] = {
		"WRITE_IMM", RC | UC, TBIB_WK_DATA,
		{ TBIB_OP_WRITE_MIDDLE, TBIB_OP_WRITE_FIRST,
		  TBIB_OP_WRITE_LAST_IMM, TBIB_OP_WRITE_ONLY_IMM } },
	[TBIB_WR_READ] = {
		"READ", RC, TBIB_WK_READ,
		{ 0, 0, 0, TBIB_OP_READ_REQUEST } },
	[TBIB_WR_CMP_SWAP] = {
		"CMP_SWAP", RC, TBIB_WK_ATOMIC, { 0, 0, 0, TBIB_OP_CMP_SWAP } },
	[TBIB_WR_FETCH_ADD] = {
		"FETCH_ADD", RC, TBIB_WK_ATOMIC,
		{ 0, 0, 0, TBIB_OP_FETCH_ADD } },
	[TBIB_WR_LOCAL_INV] = {
		"LOCAL_INV", RC | UC, TBIB_WK_LOCAL, { 0, 0, 0, 0 } },
	[TBIB_WR_REG_MR] = {
		"REG_MR", RC | UC, TBIB_WK_LOCAL, { 0, 0, 0, 0 } },
	[TBIB_WR_BIND_MW] = {
		"BIND_MW", RC | UC, TBIB_WK_LOCAL, { 0, 0, 0, 0 } },
	[TBIB_WR_ATOMIC_WRITE] = {
		"ATOMIC_WRITE", RC, TBIB_WK_DATA,
		{ 0, 0, 0, TBIB_OP_ATOMIC_WRITE } },
	[TBIB_WR_FLUSH] = {
		"FLUSH", RC, TBIB_WK_DATA, { 0, 0, 0, TBIB_OP_FLUSH } },
};

#define IN(state) (1u << (state))

/* IBTA 10.3.1: states in which requests are answered, and are sent */
#define STATES_RX (IN(TBIB_QPS_RTR) | IN(TBIB_QPS_RTS) | \
		   IN(TBIB_QPS_SQD) | IN(TBIB_QPS_SQE))
#define STATES_FLUSH (IN(TBIB_QPS_SQE) | IN(TBIB_QPS_ERR))

u32 tbib_wqe_size(u32 n_sge, u32 n_inl)
{
	u32 tail = n_sge * (u32)sizeof(struct tbib_sge);
	u32 size;

	if (tail < n_inl)
		tail = n_inl;
	size = (u32)offsetof(struct tbib_wqe, tail) + tail;
	if (size < sizeof(struct tbib_wqe))
		size = sizeof(struct tbib_wqe);
	return (size + 7) & ~7u;
}

/* --- packets ------------------------------------------------------------- */

u8 *tbib_pkt_append(struct tbib_train *t, const struct tbib_bth *b, u32 pre,
		    u32 len)
{
	bool ool = len >= TBIB_ZCOPY_MIN;
	u32 hdr = pre + tbib_bth_len(b->opcode);
	u8 *p;

	if (ool && tbib_train_raw_room(t) < 2)
		return NULL;
	p = tbib_train_add(t, TBIB_PKT_TRANSPORT, pre ? TBIB_PF_GRH : 0,
			   hdr + (ool ? 0 : len), ool ? len : 0);
	if (p)
		tbib_bth_encode(p + pre, b);
	return p;
}

u8 tbib_pkt_payload_from(struct tbib_qp *qp, const struct tbib_wqe *w,
			 u32 off, u32 len, u8 *dst, struct tbib_train *t)
{
	if (!len)
		return TBIB_OK;
	if (len >= TBIB_ZCOPY_MIN)
		return qp->ops->gather_raw(qp, w, off, len, t);
	if (!(w->flags & TBIB_WF_INLINE))
		return qp->ops->gather(qp, w, off, len, dst);
	memcpy(dst, tbib_wqe_inl(w) + off, len);
	return TBIB_OK;
}

void tbib_qp_hold(struct tbib_qp *qp, u64 now)
{
	qp->req.held = true;
	qp->req.again_at = now + TBIB_HOLD_NS;
}

/* --- send queue ---------------------------------------------------------- */

struct tbib_wqe *tbib_sq_slot(struct tbib_qp *qp)
{
	if (qp->req.prod - qp->req.cons > qp->req.mask)
		return NULL;
	return tbib_sq_at(qp, qp->req.prod);
}

static void sq_flush(struct tbib_qp *qp)
{
	while (qp->req.cons != qp->req.prod)
		tbib_sq_complete(qp, TBIB_FLUSH_ERR);
	qp->req.send = qp->req.cons;
}

void tbib_sq_commit(struct tbib_qp *qp)
{
	struct tbib_wqe *w = tbib_sq_at(qp, qp->req.prod);

	w->state = TBIB_WS_NEW;
	w->prepared = 0;
	w->notes = 0;
	w->status = TBIB_OK;
	qp->req.prod++;
	if (IN(qp->state) & STATES_FLUSH)
		sq_flush(qp);
}

void tbib_sq_complete(struct tbib_qp *qp, u8 status)
{
	struct tbib_wqe *w = tbib_sq_at(qp, qp->req.cons);
	struct tbib_cqe cqe = { 0 };

	qp->ops->wqe_release(qp, w);
	w->prepared = 0;
	cqe.wr_id = w->wr_id;
	cqe.status = status;
	cqe.op = w->op;
	cqe.byte_len = w->length;
	qp->req.cons++;
	if (w->op <= TBIB_WR_SEND_INV && status != TBIB_FLUSH_ERR &&
	    w->state != TBIB_WS_FAILED)
		qp->stats.sends++;
	/* an error is always told, IBTA 10.8.6 */
	if (status || qp->sq_sig_all || w->flags & TBIB_WF_SIGNALED)
		qp->ops->complete(qp, &cqe);
}

void tbib_sq_fail(struct tbib_qp *qp, u8 status)
{
	if (qp->req.cons != qp->req.prod)
		tbib_sq_complete(qp, status);
	if (qp->service == TBIB_RC) {
		tbib_qp_to_err(qp, true);
		return;
	}
	/* UC and UD: only the send queue stops, IBTA 10.3.1.6 */
	qp->state = TBIB_QPS_SQE;
	qp->req.draining = false;
	qp->req.note_gen++;
	sq_flush(qp);
}

/* RC: acked; UC, UD: sent, and every trunk has acked its trains */
static bool wqe_done(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	switch (w->state) {
	case TBIB_WS_DONE:
		return true;
	case TBIB_WS_ACTIVE:
		return qp->service == TBIB_RC &&
		       tbib_psn_diff(qp->req.una_psn, w->last_psn) > 0;
	case TBIB_WS_SENT:
		return !w->notes;
	default:
		return false;
	}
}

static void check_drained(struct tbib_qp *qp)
{
	struct tbib_req *r = &qp->req;

	if (!r->draining || r->cons != r->send)
		return;
	if (r->cons != r->prod &&
	    tbib_sq_at(qp, r->cons)->state != TBIB_WS_NEW)
		return;
	r->draining = false;
	qp->ops->event(qp, TBIB_EV_SQ_DRAINED);
}

void tbib_sq_reap(struct tbib_qp *qp)
{
	while (qp->req.cons != qp->req.prod) {
		struct tbib_wqe *w = tbib_sq_at(qp, qp->req.cons);

		if (w->state == TBIB_WS_FAILED) {
			tbib_sq_fail(qp, w->status);
			return;
		}
		if (!wqe_done(qp, w))
			break;
		tbib_sq_complete(qp, TBIB_OK);
	}
	/* an ACK may overtake the requester after it went back */
	if ((s32)(qp->req.cons - qp->req.send) > 0)
		qp->req.send = qp->req.cons;
	check_drained(qp);
}

/* --- receive queue ------------------------------------------------------- */

void tbib_recv_complete(struct tbib_qp *qp, struct tbib_cqe *cqe)
{
	struct tbib_rwqe *r = &qp->resp.rwqe;

	cqe->wr_id = r->wr_id;
	cqe->recv = true;
	qp->resp.have_rwqe = false;
	qp->ops->recv_release(qp, r);
	qp->ops->complete(qp, cqe);
}

/* --- states -------------------------------------------------------------- */

void tbib_qp_init(struct tbib_qp *qp, const struct tbib_qp_ops *ops, u32 qpn,
		  enum tbib_service service,
		  struct tbib_wqe *(*slot)(struct tbib_qp *qp, u32 index),
		  u32 slots)
{
	memset(qp, 0, sizeof(*qp));
	qp->ops = ops;
	qp->qpn = qpn;
	qp->service = (u8)service;
	qp->state = TBIB_QPS_RESET;
	qp->req.slot = slot;
	qp->req.mask = slots - 1;
}

static void stop_sending(struct tbib_qp *qp)
{
	struct tbib_req *r = &qp->req;
	struct tbib_comp *c = &qp->comp;

	r->una_psn = r->psn = r->max_psn;
	r->rd_atomic = 0;
	r->rnr_wait = r->probe = r->draining = r->rtt_on = false;
	r->note_gen++;
	c->ack_deadline = c->probe_deadline = c->rnr_deadline = 0;
	c->gap = c->not_ready = false;
}

void tbib_qp_to_err(struct tbib_qp *qp, bool keep_answer)
{
	struct tbib_cqe cqe = { 0 };

	if (!keep_answer) {
		tbib_rd_drop_all(qp);
		/* what was received before is acked all the same */
		tbib_qp_answer(qp);
	}
	if (qp->state == TBIB_QPS_ERR)
		return;
	qp->state = TBIB_QPS_ERR;
	stop_sending(qp);
	sq_flush(qp);
	tbib_resp_drop_write(qp);
	qp->resp.in_msg = 0;
	if (qp->resp.have_rwqe) {
		cqe.status = TBIB_FLUSH_ERR;
		tbib_recv_complete(qp, &cqe);
	}
	qp->ops->event(qp, TBIB_EV_LAST_WQE);
}

static void to_reset(struct tbib_qp *qp)
{
	struct tbib_req *r = &qp->req;
	u8 gen = (u8)(r->note_gen + 1);

	for (; r->cons != r->prod; r->cons++) {
		struct tbib_wqe *w = tbib_sq_at(qp, r->cons);

		qp->ops->wqe_release(qp, w);
		w->prepared = 0;
	}
	if (qp->resp.have_rwqe)
		qp->ops->recv_release(qp, &qp->resp.rwqe);
	tbib_resp_drop_write(qp);
	tbib_rd_drop_all(qp);
	memset(&qp->comp, 0, sizeof(qp->comp));
	memset(&qp->resp, 0, sizeof(qp->resp));
	r->prod = r->cons = r->send = 0;
	r->psn = r->una_psn = r->max_psn = 0;
	r->held = false;
	r->since_ack_req = 0;
	stop_sending(qp);
	r->note_gen = gen;
	qp->state = TBIB_QPS_RESET;
}

static void to_rtr(struct tbib_qp *qp)
{
	qp->resp.epsn = qp->attr.rq_psn & TBIB_PSN_MASK;
	qp->resp.msn = 0;
}

static void to_rts(struct tbib_qp *qp, u8 from)
{
	struct tbib_req *r = &qp->req;

	if (from == TBIB_QPS_RTR) {
		r->psn = qp->attr.sq_psn & TBIB_PSN_MASK;
		r->una_psn = r->max_psn = r->psn;
	}
	qp->comp.retries_left = qp->attr.retry_cnt;
	qp->comp.rnr_left = qp->attr.rnr_retry;
	r->draining = false;
}

void tbib_qp_modify(struct tbib_qp *qp, enum tbib_qp_state state,
		    const struct tbib_qp_attr *attr)
{
	u8 from = qp->state;

	qp->attr = *attr;
	if (qp->attr.max_dest_rd_atomic > TBIB_MAX_RD_ATOMIC)
		qp->attr.max_dest_rd_atomic = TBIB_MAX_RD_ATOMIC;
	if (qp->attr.mtu < 256 || qp->attr.mtu > TBIB_FRAME_SIZE)
		qp->attr.mtu = 1024;
	switch (state) {
	case TBIB_QPS_RESET:
		to_reset(qp);
		return;
	case TBIB_QPS_ERR:
		tbib_qp_to_err(qp, false);
		return;
	case TBIB_QPS_RTR:
		if (from != TBIB_QPS_RTR)
			to_rtr(qp);
		break;
	case TBIB_QPS_RTS:
		to_rts(qp, from);
		break;
	case TBIB_QPS_SQD:
		if (from == TBIB_QPS_RTS)
			qp->req.draining = true;
		break;
	default:
		break;
	}
	qp->state = (u8)state;
	check_drained(qp);
}

/* --- sending ------------------------------------------------------------- */

bool tbib_qp_wants_tx(const struct tbib_qp *qp)
{
	if (qp->req.held)
		return false;
	if (qp->service != TBIB_RC)
		return tbib_uc_ready(qp);
	return tbib_resp_ready(qp) || tbib_req_ready(qp);
}

static enum tbib_fill fill_rc(struct tbib_qp *qp, struct tbib_train *t,
			      u64 now)
{
	bool requests = tbib_req_ready(qp);
	enum tbib_tx_step step;

	/* there is a route (again): time runs from the first packet sent */
	if (qp->req.una_psn == qp->req.max_psn)
		qp->comp.ack_deadline = 0;
	if (requests)
		tbib_resp_turn(qp, now);
	step = tbib_resp_fill(qp, t, requests ? TBIB_RESP_RAW_SHARE :
			      TBIB_MAX_RAW);
	if (step == TBIB_TX_HELD) {
		tbib_qp_hold(qp, now);
		return TBIB_FILL_IDLE;
	}
	if (requests) {
		enum tbib_tx_step more = tbib_req_fill(qp, t, now);

		if (more == TBIB_TX_HELD) {
			tbib_qp_hold(qp, now);
			return TBIB_FILL_IDLE;
		}
		if (more == TBIB_TX_FULL)
			step = more;
	}
	return step == TBIB_TX_FULL ? TBIB_FILL_MORE : TBIB_FILL_IDLE;
}

enum tbib_fill tbib_qp_fill(struct tbib_qp *qp, struct tbib_train *t, void *ah,
			    u64 now)
{
	enum tbib_tx_step step;

	tbib_qp_stalled(qp, false, now);
	if (qp->req.held)
		return TBIB_FILL_IDLE;
	if (qp->service == TBIB_RC)
		return fill_rc(qp, t, now);
	step = qp->service == TBIB_UD ? tbib_ud_fill(qp, t, ah) :
					tbib_uc_fill(qp, t);
	if (step == TBIB_TX_HELD)
		tbib_qp_hold(qp, now);
	return step == TBIB_TX_FULL ? TBIB_FILL_MORE : TBIB_FILL_IDLE;
}

bool tbib_qp_unroutable(struct tbib_qp *qp, u64 now)
{
	tbib_qp_stalled(qp, false, now);
	if (qp->service != TBIB_RC)
		return tbib_qp_drop_ud(qp);
	if (!qp->comp.ack_deadline && qp->attr.timeout && tbib_req_ready(qp))
		qp->comp.ack_deadline = now + TBIB_TIMER_SLACK *
			tbib_timeout_ns(qp->attr.timeout);
	return false;
}

bool tbib_qp_idle(const struct tbib_qp *qp)
{
	const struct tbib_req *r = &qp->req;

	if (qp->service != TBIB_RC)
		return r->cons == r->send;
	return r->una_psn == r->max_psn && !tbib_resp_ready(qp);
}

/* --- receiving ----------------------------------------------------------- */

/* P_Keys match, and at least one is a full member, IBTA 10.9.1.1 */
static bool pkey_ok(u16 a, u16 b)
{
	return !((a ^ b) & 0x7fff) && (a | b) & 0x8000 && a & 0x7fff;
}

bool tbib_qp_rx(struct tbib_qp *qp, const struct tbib_bth *bth,
		const struct tbib_pkt *pkt, u16 slid, u64 now)
{
	if (!(IN(qp->state) & STATES_RX) ||
	    (bth->opcode & TBIB_SERVICE_MASK) != qp->service ||
	    !(bth->info->services & tbib_service_bit(qp)) ||
	    !pkey_ok(bth->pkey, tbib_qp_pkey(qp)))
		return false;
	qp->stats.recv_pkts++;
	if (!qp->resp.comm_est) {
		qp->resp.comm_est = true;
		if (qp->state == TBIB_QPS_RTR && qp->service != TBIB_UD)
			qp->ops->event(qp, TBIB_EV_COMM_EST);
	}
	switch (qp->service) {
	case TBIB_RC:
		if (bth->info->flags & TBIB_OI_REQUEST)
			return tbib_resp_rx(qp, bth, pkt, now);
		tbib_comp_rx(qp, bth, pkt, now);
		break;
	case TBIB_UC:
		tbib_uc_rx(qp, bth, pkt);
		break;
	default:
		tbib_ud_rx(qp, bth, pkt, slid);
		break;
	}
	return true;
}

void tbib_qp_recv_posted(struct tbib_qp *qp)
{
	struct tbib_resp *r = &qp->resp;

	if (!r->rnr_sent || !(IN(qp->state) & STATES_RX))
		return;
	r->rnr_sent = false;
	/* the RNR NAK has not left: let it ask for the shortest wait there is */
	if (r->ack_pending &&
	    (r->ack_syndrome & TBIB_AETH_TYPE_MASK) == TBIB_AETH_RNR_NAK) {
		r->ack_syndrome = TBIB_AETH_RNR_NAK | TBIB_RNR_SHORTEST;
		return;
	}
	/*
	 * The peer sits out its RNR timer, or soon will. A sequence NAK for
	 * the same PSN makes it resend now; without the RNR NAK before it, it
	 * would tell of a loss.
	 */
	r->ack_pending = true;
	r->ack_syndrome = TBIB_NAK_PSN_SEQ;
	r->ack_psn = r->epsn;
	r->ack_at = 0;
}

/* --- time ---------------------------------------------------------------- */

u64 tbib_qp_deadline(const struct tbib_qp *qp)
{
	const struct tbib_comp *c = &qp->comp;
	u64 d = c->rnr_deadline;

	d = tbib_earlier(d, qp->resp.ack_at);
	if (!c->stalled)
		d = tbib_earlier(d, tbib_earlier(c->ack_deadline, c->probe_deadline));
	return qp->req.held ? tbib_earlier(d, qp->req.again_at) : d;
}

void tbib_qp_timer(struct tbib_qp *qp, u64 now)
{
	if (qp->req.held && now >= qp->req.again_at)
		qp->req.held = false;
	tbib_resp_timer(qp, now);
	if (qp->state == TBIB_QPS_RTS || qp->state == TBIB_QPS_SQD)
		tbib_comp_timer(qp, now);
}

void tbib_qp_stalled(struct tbib_qp *qp, bool stalled, u64 now)
{
	struct tbib_comp *c = &qp->comp;

	if (c->stalled == stalled)
		return;
	c->stalled = stalled;
	if (stalled) {
		c->stalled_at = now;
		return;
	}
	if (c->ack_deadline)
		c->ack_deadline += now - c->stalled_at;
	if (c->probe_deadline)
		c->probe_deadline += now - c->stalled_at;
}
