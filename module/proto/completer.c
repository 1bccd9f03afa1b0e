// SPDX-License-Identifier: GPL-2.0-only
/*
 * Completer of RC (IBTA 9.7.5.2, 9.7.6): responses to completions, retries,
 * timers.
 *
 * Everything before una_psn is acked. An answer for a PSN says that those
 * before it are done, except READs and atomics, whose own answers must have
 * come: when they have not, they were lost (implied NAK, IBTA 9.7.5.1.2).
 */
#include "qp_int.h"

enum tbib_comp_step {
	COMP_CHECK,		/* is the PSN one that we have sent? */
	COMP_ACK,
	COMP_NAK,
	COMP_RNR,
	COMP_READ,
	COMP_ATOMIC,
	COMP_IMPLIED_NAK,
	COMP_RETRY,
	COMP_BAD_RESPONSE,
	COMP_LOCAL_ERROR,	/* memory of the WQE went away */
	COMP_FAILED,
	COMP_DONE,
	COMP_DROP,
	COMP_STEPS,
};

static const char * const step_name[COMP_STEPS] = {
	[COMP_CHECK]		= "check",
	[COMP_ACK]		= "ack",
	[COMP_NAK]		= "nak",
	[COMP_RNR]		= "rnr",
	[COMP_READ]		= "read",
	[COMP_ATOMIC]		= "atomic",
	[COMP_IMPLIED_NAK]	= "implied nak",
	[COMP_RETRY]		= "retry",
	[COMP_BAD_RESPONSE]	= "bad response",
	[COMP_LOCAL_ERROR]	= "local error",
	[COMP_FAILED]		= "failed",
	[COMP_DONE]		= "done",
	[COMP_DROP]		= "drop",
};

const char *tbib_comp_step_name(u8 step)
{
	return step < COMP_STEPS ? step_name[step] : "?";
}

/* NAK code to completion status, IBTA table 58 */
static const u8 nak_status[] = {
	[TBIB_NAK_INV_REQ & 0x1f] = TBIB_REM_INV_REQ_ERR,
	[TBIB_NAK_REM_ACC & 0x1f] = TBIB_REM_ACCESS_ERR,
	[TBIB_NAK_REM_OP & 0x1f] = TBIB_REM_OP_ERR,
};

/* --- timers -------------------------------------------------------------- */

static u64 probe_interval(const struct tbib_comp *c)
{
	u64 t = c->srtt ? 4 * c->srtt : TBIB_PROBE_FIRST;

	if (t < TBIB_PROBE_MIN)
		t = TBIB_PROBE_MIN;
	return t << c->probe_shift;
}

static u64 ack_interval(const struct tbib_qp *qp)
{
	return TBIB_TIMER_SLACK * tbib_timeout_ns(qp->attr.timeout);
}

void tbib_comp_start(struct tbib_qp *qp, u64 now)
{
	struct tbib_comp *c = &qp->comp;

	if (!c->ack_deadline && qp->attr.timeout)
		c->ack_deadline = now + ack_interval(qp);
	if (!c->probe_deadline)
		c->probe_deadline = now + probe_interval(c);
}

/* timers after progress or after going back */
static void comp_arm(struct tbib_qp *qp, u64 now)
{
	struct tbib_comp *c = &qp->comp;

	c->ack_deadline = 0;
	c->probe_deadline = 0;
	/* what is added on resuming counts from here */
	c->stalled_at = now;
	if (qp->req.rnr_wait || qp->req.una_psn == qp->req.max_psn)
		return;
	tbib_comp_start(qp, now);
	/* nothing is on its way whose answer a probe could hurry */
	if (qp->req.una_psn == qp->req.psn)
		c->probe_deadline = 0;
}

static void rtt_sample(struct tbib_qp *qp, u64 now)
{
	struct tbib_comp *c = &qp->comp;
	u64 rtt = now - qp->req.rtt_at;

	qp->req.rtt_on = false;
	/* RFC 6298 smoothing; never 0, which means unknown */
	c->srtt = c->srtt ? c->srtt - c->srtt / 8 + rtt / 8 : rtt;
	if (!c->srtt)
		c->srtt = 1;
}

/* una_psn has moved on */
static void comp_progress(struct tbib_qp *qp, u64 now)
{
	struct tbib_req *r = &qp->req;
	struct tbib_comp *c = &qp->comp;

	c->retries_left = qp->attr.retry_cnt;
	c->rnr_left = qp->attr.rnr_retry;
	c->gap = false;
	c->not_ready = false;
	c->probe_shift = 0;
	if (r->rtt_on && tbib_psn_diff(r->una_psn, r->rtt_psn) > 0)
		rtt_sample(qp, now);
	/* the answer to what was sent before we went back */
	if (tbib_psn_diff(r->una_psn, r->psn) >= 0) {
		r->psn = r->una_psn;
		r->send = r->cons;
		r->rd_atomic = 0;
		r->probe = false;
	}
	comp_arm(qp, now);
}

/* --- retries ------------------------------------------------------------- */

static enum tbib_comp_step comp_retry(struct tbib_qp *qp, u64 now)
{
	struct tbib_comp *c = &qp->comp;

	if (!c->retries_left) {
		tbib_sq_fail(qp, TBIB_RETRY_EXC_ERR);
		return COMP_FAILED;
	}
	c->retries_left--;
	qp->stats.retries++;
	tbib_req_restart(qp);
	comp_arm(qp, now);
	return COMP_DONE;
}

/*
 * The answer for @psn came, that for una_psn did not. Answers come in order:
 * as long as they grow they belong to one stream and we go back once.
 */
static enum tbib_comp_step comp_implied_nak(struct tbib_qp *qp, u32 psn)
{
	struct tbib_comp *c = &qp->comp;
	bool known = c->gap && tbib_psn_diff(psn, c->gap_psn) > 0;

	c->gap = true;
	c->gap_psn = psn;
	return known ? COMP_DROP : COMP_RETRY;
}

static void timer_rnr(struct tbib_qp *qp, u64 now)
{
	qp->comp.rnr_deadline = 0;
	qp->req.rnr_wait = false;
	tbib_req_restart(qp);
	comp_arm(qp, now);
}

void tbib_comp_timer(struct tbib_qp *qp, u64 now)
{
	struct tbib_comp *c = &qp->comp;

	if (c->rnr_deadline && now >= c->rnr_deadline)
		timer_rnr(qp, now);
	if (c->stalled)
		return;
	if (c->ack_deadline && now >= c->ack_deadline) {
		qp->stats.timeouts++;
		c->ack_deadline = 0;
		c->gap = false;
		/* it may have run for a WQE that is gone meanwhile */
		if (qp->req.una_psn != qp->req.max_psn || tbib_req_ready(qp))
			comp_retry(qp, now);
		return;
	}
	if (c->probe_deadline && now >= c->probe_deadline) {
		qp->req.probe = true;
		if (c->probe_shift < TBIB_PROBE_SHIFT_MAX)
			c->probe_shift++;
		c->probe_deadline = now + probe_interval(c);
	}
}

/* --- progress ------------------------------------------------------------ */

static bool has_response(const struct tbib_wqe *w)
{
	return tbib_wr_info[w->op].kind != TBIB_WK_DATA;
}

/* is @psn the last one of a READ request of @w, or of an atomic? */
static bool ends_request(const struct tbib_wqe *w, u32 psn)
{
	u32 index = (u32)tbib_psn_diff(psn, w->first_psn);

	return psn == w->last_psn ||
	       index % TBIB_READ_CHUNK == TBIB_READ_CHUNK - 1;
}

/* una_psn up to @to: all SENDs and WRITEs before are done */
static void comp_advance(struct tbib_qp *qp, u32 to, u64 now)
{
	struct tbib_req *r = &qp->req;
	u32 una = r->una_psn;

	while (tbib_psn_diff(to, r->una_psn) > 0 && r->cons != r->prod) {
		struct tbib_wqe *w = tbib_sq_at(qp, r->cons);

		if (w->state == TBIB_WS_ACTIVE) {
			if (has_response(w))
				break;
			r->una_psn = tbib_psn_diff(to, w->last_psn) > 0 ?
				     tbib_psn_add(w->last_psn, 1) : to;
		} else if (w->state != TBIB_WS_DONE) {
			break;
		}
		if (tbib_psn_diff(r->una_psn, w->last_psn) > 0 ||
		    w->state == TBIB_WS_DONE)
			tbib_sq_complete(qp, TBIB_OK);
	}
	if (una != r->una_psn)
		comp_progress(qp, now);
	tbib_sq_reap(qp);
}

/* the answer to the READ or atomic at una_psn has been taken */
static void comp_answered(struct tbib_qp *qp, const struct tbib_wqe *w,
			  u64 now)
{
	struct tbib_req *r = &qp->req;

	if (ends_request(w, r->una_psn) && r->rd_atomic &&
	    tbib_psn_diff(r->una_psn, r->psn) < 0)
		r->rd_atomic--;
	r->una_psn = tbib_psn_add(r->una_psn, 1);
	if (tbib_psn_diff(r->una_psn, w->last_psn) > 0)
		tbib_sq_complete(qp, TBIB_OK);
	comp_progress(qp, now);
	tbib_sq_reap(qp);
}

/* --- steps --------------------------------------------------------------- */

static enum tbib_comp_step comp_check(struct tbib_qp *qp,
				      const struct tbib_bth *b,
				      const struct tbib_pkt *pkt)
{
	const struct tbib_req *r = &qp->req;
	u32 flags = b->info->flags;

	if (qp->state != TBIB_QPS_RTS && qp->state != TBIB_QPS_SQD)
		return COMP_DROP;
	if (!(flags & TBIB_OI_PAYLOAD) && tbib_payload_len(b, pkt))
		return COMP_DROP;
	/* ghosts of acked requests, and answers to what was never asked */
	if (tbib_psn_diff(b->psn, r->una_psn) < 0 ||
	    tbib_psn_diff(b->psn, r->max_psn) >= 0)
		return COMP_DROP;
	if (flags & TBIB_OI_READ)
		return COMP_READ;
	if (flags & TBIB_OI_ATOMIC)
		return COMP_ATOMIC;
	switch (b->syndrome & TBIB_AETH_TYPE_MASK) {
	case TBIB_AETH_ACK:
		return COMP_ACK;
	case TBIB_AETH_RNR_NAK:
		return COMP_RNR;
	case TBIB_AETH_NAK:
		return COMP_NAK;
	default:
		return COMP_DROP;
	}
}

static enum tbib_comp_step comp_ack(struct tbib_qp *qp,
				    const struct tbib_bth *b, u64 now)
{
	u32 to = tbib_psn_add(b->psn, 1);

	comp_advance(qp, to, now);
	return qp->req.una_psn == to ? COMP_DONE : COMP_IMPLIED_NAK;
}

static enum tbib_comp_step comp_nak(struct tbib_qp *qp,
				    const struct tbib_bth *b, u64 now)
{
	struct tbib_req *r = &qp->req;
	u8 code = b->syndrome & 0x1f;

	qp->stats.naks_recv++;
	if (code >= sizeof(nak_status))
		return COMP_DROP;
	comp_advance(qp, b->psn, now);
	if (r->una_psn != b->psn)
		return COMP_IMPLIED_NAK;
	if (nak_status[code]) {
		tbib_sq_fail(qp, nak_status[code]);
		return COMP_FAILED;
	}
	if (r->rnr_wait) {
		/* a receive was posted there: no need to wait longer */
		qp->comp.not_ready = false;
		timer_rnr(qp, now);
		return COMP_DONE;
	}
	if (qp->comp.not_ready) {
		/* so it was, but what we sent when the timer ran out crossed it */
		qp->comp.not_ready = false;
		tbib_req_restart(qp);
		comp_arm(qp, now);
		return COMP_DONE;
	}
	qp->stats.seq_naks_recv++;
	/* gone back already, and nothing sent since */
	return r->psn == r->una_psn ? COMP_DONE : COMP_RETRY;
}

static enum tbib_comp_step comp_rnr(struct tbib_qp *qp,
				    const struct tbib_bth *b, u64 now)
{
	struct tbib_req *r = &qp->req;
	struct tbib_comp *c = &qp->comp;

	qp->stats.rnr_naks_recv++;
	comp_advance(qp, b->psn, now);
	if (r->una_psn != b->psn)
		return COMP_IMPLIED_NAK;
	if (r->rnr_wait)
		return COMP_DROP;
	if (!c->rnr_left) {
		tbib_sq_fail(qp, TBIB_RNR_RETRY_EXC_ERR);
		return COMP_FAILED;
	}
	if (c->rnr_left != 7)	/* 7 = for ever */
		c->rnr_left--;
	/* the peer is alive, only not ready */
	c->retries_left = qp->attr.retry_cnt;
	tbib_req_restart(qp);
	r->rnr_wait = true;
	c->not_ready = true;
	c->rnr_deadline = now + tbib_rnr_ns(b->syndrome & 0x1f);
	comp_arm(qp, now);
	return COMP_DONE;
}

/* the WQE at una_psn, which must be of @kind and begin its answer at @psn */
static struct tbib_wqe *answered_wqe(struct tbib_qp *qp, u32 psn, u8 kind)
{
	struct tbib_wqe *w;

	if (qp->req.una_psn != psn || qp->req.cons == qp->req.prod)
		return NULL;
	w = tbib_sq_at(qp, qp->req.cons);
	if (w->state != TBIB_WS_ACTIVE || tbib_wr_info[w->op].kind != kind)
		return NULL;
	return w;
}

static enum tbib_comp_step comp_read(struct tbib_qp *qp,
				     const struct tbib_bth *b,
				     const struct tbib_pkt *pkt, u64 now)
{
	u32 mtu = qp->attr.mtu;
	struct tbib_payload pl;
	struct tbib_wqe *w;
	u32 off, len;

	comp_advance(qp, b->psn, now);
	if (qp->req.una_psn != b->psn)
		return COMP_IMPLIED_NAK;
	w = answered_wqe(qp, b->psn, TBIB_WK_READ);
	if (!w)
		return COMP_BAD_RESPONSE;
	off = (u32)tbib_psn_diff(b->psn, w->first_psn) * mtu;
	len = w->length - off < mtu ? w->length - off : mtu;
	if (tbib_payload_len(b, pkt) != len ||
	    !!(b->info->flags & TBIB_OI_LAST) != ends_request(w, b->psn))
		return COMP_BAD_RESPONSE;
	if (len) {
		tbib_pkt_payload(pkt, b->hdr_len, &pl);
		if (qp->ops->scatter(qp, w, off, &pl, b->psn == w->last_psn))
			return COMP_LOCAL_ERROR;
	}
	comp_answered(qp, w, now);
	return COMP_DONE;
}

static enum tbib_comp_step comp_atomic(struct tbib_qp *qp,
				       const struct tbib_bth *b, u64 now)
{
	struct tbib_payload pl;
	struct tbib_wqe *w;
	u64 orig = b->orig;

	comp_advance(qp, b->psn, now);
	if (qp->req.una_psn != b->psn)
		return COMP_IMPLIED_NAK;
	w = answered_wqe(qp, b->psn, TBIB_WK_ATOMIC);
	if (!w)
		return COMP_BAD_RESPONSE;
	/* the result is a number of this CPU, IBTA 9.4.5.2 */
	pl.len = sizeof(orig);
	pl.n = 1;
	pl.piece[0].data = (const u8 *)&orig;
	pl.piece[0].len = sizeof(orig);
	if (qp->ops->scatter(qp, w, 0, &pl, true))
		return COMP_LOCAL_ERROR;
	comp_answered(qp, w, now);
	return COMP_DONE;
}

void tbib_comp_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		  const struct tbib_pkt *pkt, u64 now)
{
	enum tbib_comp_step step = COMP_CHECK;

	/* a local error may have come to the head of the queue on the way */
	while (step < COMP_FAILED && qp->state != TBIB_QPS_ERR) {
		qp->comp.step = (u8)step;
		switch (step) {
		case COMP_CHECK:
			step = comp_check(qp, b, pkt);
			break;
		case COMP_ACK:
			step = comp_ack(qp, b, now);
			break;
		case COMP_NAK:
			step = comp_nak(qp, b, now);
			break;
		case COMP_RNR:
			step = comp_rnr(qp, b, now);
			break;
		case COMP_READ:
			step = comp_read(qp, b, pkt, now);
			break;
		case COMP_ATOMIC:
			step = comp_atomic(qp, b, now);
			break;
		case COMP_IMPLIED_NAK:
			step = comp_implied_nak(qp, b->psn);
			break;
		case COMP_RETRY:
			step = comp_retry(qp, now);
			break;
		default:
			tbib_sq_fail(qp, step == COMP_LOCAL_ERROR ?
				     TBIB_LOC_PROT_ERR : TBIB_BAD_RESP_ERR);
			step = COMP_FAILED;
			break;
		}
	}
}
