// SPDX-License-Identifier: GPL-2.0-only
/*
 * Responder of RC (IBTA 9.7.4, 9.7.5.1, 9.9.3): request packets to memory and
 * receive WQEs. The order of the checks is that of IBTA figure "inbound
 * request packet validation".
 *
 * Answers are state: one cumulative ACK or NAK in struct tbib_resp, and the
 * READs and atomics of resp_read.c, which go first.
 */
#include "qp_int.h"

enum tbib_resp_step {
	RESP_CHK_PSN,
	RESP_CHK_SEQ,		/* opcode against the message in progress */
	RESP_CHK_OP,		/* allowed on this QP? */
	RESP_CHK_LEN,
	RESP_CHK_RWQE,		/* receive WQE, and is it long enough? */
	RESP_CHK_RKEY,
	RESP_EXECUTE,
	RESP_ACCEPT,		/* PSN done, ACK when asked for */
	RESP_DUPLICATE,
	RESP_NAK_SEQ,
	RESP_RNR,
	RESP_REFUSE,		/* NAK and error state */
	RESP_DONE,
	RESP_STEPS,
};

static const char * const step_name[RESP_STEPS] = {
	[RESP_CHK_PSN]		= "check psn",
	[RESP_CHK_SEQ]		= "check sequence",
	[RESP_CHK_OP]		= "check opcode",
	[RESP_CHK_LEN]		= "check length",
	[RESP_CHK_RWQE]		= "check receive wqe",
	[RESP_CHK_RKEY]		= "check rkey",
	[RESP_EXECUTE]		= "execute",
	[RESP_ACCEPT]		= "accept",
	[RESP_DUPLICATE]	= "duplicate",
	[RESP_NAK_SEQ]		= "nak sequence",
	[RESP_RNR]		= "rnr",
	[RESP_REFUSE]		= "refuse",
	[RESP_DONE]		= "done",
};

const char *tbib_resp_step_name(u8 step)
{
	return step < RESP_STEPS ? step_name[step] : "?";
}

#define OP_CLASS (TBIB_OI_SEND | TBIB_OI_WRITE)

static enum tbib_resp_step refuse(struct tbib_resp_pkt *rp, u8 nak, u8 status)
{
	rp->nak = nak;
	rp->status = status;
	return RESP_REFUSE;
}

static enum tbib_resp_step invalid(struct tbib_resp_pkt *rp)
{
	return refuse(rp, TBIB_NAK_INV_REQ, TBIB_REM_INV_REQ_ERR);
}

/* --- checks -------------------------------------------------------------- */

static enum tbib_resp_step chk_psn(struct tbib_qp *qp,
				   const struct tbib_resp_pkt *rp)
{
	s32 diff = tbib_psn_diff(rp->b->psn, qp->resp.epsn);

	if (diff < 0)
		return RESP_DUPLICATE;
	return diff ? RESP_NAK_SEQ : RESP_CHK_SEQ;
}

/* IBTA 9.8.2: FIRST and ONLY begin a message, MIDDLE and LAST go on with it */
static enum tbib_resp_step chk_seq(struct tbib_qp *qp,
				   struct tbib_resp_pkt *rp)
{
	u32 want = rp->flags & TBIB_OI_FIRST ? 0 : rp->flags & OP_CLASS;

	qp->resp.nak_sent = false;
	qp->resp.rnr_sent = false;
	return qp->resp.in_msg == want ? RESP_CHK_OP : invalid(rp);
}

static enum tbib_resp_step chk_op(struct tbib_qp *qp, struct tbib_resp_pkt *rp)
{
	static const struct {
		u32 op, access;
	} need[] = {
		{ TBIB_OI_WRITE, TBIB_ACC_REMOTE_WRITE },
		{ TBIB_OI_READ, TBIB_ACC_REMOTE_READ },
		{ TBIB_OI_ATOMIC, TBIB_ACC_REMOTE_ATOMIC },
	};
	u32 i;

	for (i = 0; i < sizeof(need) / sizeof(need[0]); i++)
		if (rp->flags & need[i].op &&
		    !(qp->attr.access & need[i].access))
			return invalid(rp);
	return RESP_CHK_LEN;
}

bool tbib_resp_len_ok(const struct tbib_qp *qp,
		      const struct tbib_resp_pkt *rp)
{
	bool first = rp->flags & TBIB_OI_FIRST;
	bool last = rp->flags & TBIB_OI_LAST;
	u32 mtu = qp->attr.mtu;

	if (!(rp->flags & TBIB_OI_PAYLOAD))
		return !rp->len;
	if (rp->len > mtu || (!last && rp->len != mtu))
		return false;
	/* only an ONLY packet may be empty */
	if (!first && !rp->len)
		return false;
	if (rp->flags & TBIB_OI_RETH)
		return last ? rp->b->dma_len == rp->len :
		       rp->b->dma_len > mtu &&
		       rp->b->dma_len <= TBIB_MAX_MSG;
	if (first)
		return true;
	if (rp->flags & TBIB_OI_WRITE) {
		u32 left = qp->resp.msg_len - qp->resp.msg_off;

		return last ? rp->len == left : rp->len < left;
	}
	return qp->resp.msg_off <= TBIB_MAX_MSG - rp->len;
}

static enum tbib_resp_step chk_len(struct tbib_qp *qp,
				   struct tbib_resp_pkt *rp)
{
	u32 flags = rp->flags;

	if (!tbib_resp_len_ok(qp, rp))
		return invalid(rp);
	if (flags & TBIB_OI_READ && rp->b->dma_len > TBIB_MAX_MSG)
		return invalid(rp);
	if (flags & (TBIB_OI_ATOMIC | TBIB_OI_ATOMIC_WRITE) && rp->b->va & 7)
		return invalid(rp);
	if (flags & TBIB_OI_ATOMIC_WRITE && rp->len != 8)
		return invalid(rp);
	return flags & (TBIB_OI_SEND | TBIB_OI_RWQE) ? RESP_CHK_RWQE :
						       RESP_CHK_RKEY;
}

static enum tbib_resp_step chk_rwqe(struct tbib_qp *qp,
				    struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	struct tbib_cqe cqe = { 0 };
	u32 off = rp->flags & TBIB_OI_FIRST ? 0 : r->msg_off;

	if (!r->have_rwqe) {
		cqe.status = qp->ops->recv_get(qp, &r->rwqe);
		if (cqe.status == TBIB_RNR_RETRY_EXC_ERR)
			return RESP_RNR;
		if (cqe.status) {
			/* the receive WQE is bad: that is told here */
			cqe.wr_id = r->rwqe.wr_id;
			cqe.recv = true;
			qp->ops->complete(qp, &cqe);
			return refuse(rp, TBIB_NAK_REM_OP, cqe.status);
		}
		r->have_rwqe = true;
	}
	if (rp->flags & TBIB_OI_WRITE)
		return RESP_CHK_RKEY;
	if (rp->len > r->rwqe.length || off > r->rwqe.length - rp->len)
		return refuse(rp, TBIB_NAK_INV_REQ, TBIB_LOC_LEN_ERR);
	return RESP_EXECUTE;
}

static enum tbib_resp_step chk_rkey(struct tbib_qp *qp,
				    struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	const struct tbib_bth *b = rp->b;

	if (!(rp->flags & TBIB_OI_WRITE) || !(rp->flags & TBIB_OI_FIRST))
		return RESP_EXECUTE;
	/* nothing is checked when nothing is moved, IBTA 9.7.4.1.4 */
	if (b->dma_len &&
	    qp->ops->mem_get(qp, b->rkey, b->va, b->dma_len,
			     TBIB_ACC_REMOTE_WRITE, &r->mem))
		return refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
	r->msg_len = b->dma_len;
	return RESP_EXECUTE;
}

/* --- execution ----------------------------------------------------------- */

void tbib_resp_drop_write(struct tbib_qp *qp)
{
	if (qp->resp.mem.mr)
		qp->ops->mem_put(qp, &qp->resp.mem);
	qp->resp.mem.mr = NULL;
}

/* the last packet of a message: end it, tell the receiver */
static void end_message(struct tbib_qp *qp, const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	struct tbib_cqe cqe = { 0 };

	tbib_resp_drop_write(qp);
	r->in_msg = 0;
	r->msn = tbib_psn_add(r->msn, 1);
	if (!(rp->flags & TBIB_OI_RWQE))
		return;
	cqe.write_imm = rp->flags & TBIB_OI_WRITE;
	cqe.solicited = rp->b->solicited;
	cqe.imm_valid = rp->flags & TBIB_OI_IMM;
	cqe.inv_valid = rp->flags & TBIB_OI_IETH;
	cqe.imm = cqe.inv_valid ? rp->b->rkey : rp->b->imm;
	cqe.byte_len = r->msg_off;
	cqe.src_qp = qp->attr.dest_qpn;
	tbib_recv_complete(qp, &cqe);
}

/* 8 bytes in this CPU's order, as a WRITE would place them, but in one store */
static u8 exec_atomic_write(struct tbib_qp *qp, const struct tbib_payload *pl)
{
	u8 bytes[8];
	u64 value, none;
	u32 i, n = 0;

	for (i = 0; i < pl->n; i++) {
		memcpy(bytes + n, pl->piece[i].data, pl->piece[i].len);
		n += pl->piece[i].len;
	}
	memcpy(&value, bytes, sizeof(value));
	return qp->ops->mem_atomic(qp, &qp->resp.mem, TBIB_ATOMIC_STORE, value,
				   0, &none);
}

u8 tbib_resp_execute(struct tbib_qp *qp, const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	bool last = rp->flags & TBIB_OI_LAST;
	struct tbib_payload pl;
	u8 status;

	if (rp->flags & TBIB_OI_FIRST) {
		r->in_msg = (u8)(rp->flags & OP_CLASS);
		r->msg_off = 0;
	}
	if (rp->len) {
		tbib_pkt_payload(rp->pkt, rp->b->hdr_len, &pl);
		if (rp->flags & TBIB_OI_SEND)
			status = qp->ops->recv_scatter(qp, &r->rwqe,
						       r->msg_off, &pl, last);
		else if (rp->flags & TBIB_OI_ATOMIC_WRITE)
			status = exec_atomic_write(qp, &pl);
		else
			status = qp->ops->mem_write(qp, &r->mem, r->msg_off,
						    &pl, last);
		if (status)
			return status;
		r->msg_off += rp->len;
	}
	/* its own bytes may be for that region; the receiver is told later */
	if (rp->flags & TBIB_OI_IETH && qp->ops->invalidate(qp, rp->b->rkey))
		return TBIB_REM_ACCESS_ERR;
	if (last)
		end_message(qp, rp);
	return TBIB_OK;
}

static u32 flush_access(const struct tbib_bth *b)
{
	return (b->feth & TBIB_FETH_GLOBAL ? TBIB_ACC_FLUSH_GLOBAL : 0) |
	       (b->feth & TBIB_FETH_PERSISTENT ? TBIB_ACC_FLUSH_PERSISTENT : 0);
}

static enum tbib_resp_step exec_read(struct tbib_qp *qp,
				     struct tbib_resp_pkt *rp)
{
	const struct tbib_bth *b = rp->b;
	struct tbib_resp *r = &qp->resp;
	struct tbib_mem mem = { 0 };
	struct tbib_rd_res *res;
	u32 n = tbib_n_pkts(b->dma_len, qp->attr.mtu);

	/* half of the PSNs is what can be told apart, IBTA 9.7.1 */
	if (!tbib_rd_room(qp) || n > TBIB_PSN_MASK / 4)
		return invalid(rp);
	if (b->dma_len &&
	    qp->ops->mem_get(qp, b->rkey, b->va, b->dma_len,
			     TBIB_ACC_REMOTE_READ, &mem))
		return refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
	res = tbib_rd_add(qp);
	r->msn = tbib_psn_add(r->msn, 1);
	res->kind = 1;
	res->first_psn = b->psn;
	res->last_psn = tbib_psn_add(b->psn, n - 1);
	res->base_psn = res->cur_psn = res->first_psn;
	res->end_psn = res->last_psn;
	res->msn = r->msn;
	res->len = b->dma_len;
	res->mem = mem;
	r->epsn = tbib_psn_add(b->psn, n);
	return RESP_DONE;
}

static enum tbib_resp_step exec_atomic(struct tbib_qp *qp,
				       struct tbib_resp_pkt *rp)
{
	const struct tbib_bth *b = rp->b;
	struct tbib_resp *r = &qp->resp;
	struct tbib_mem mem = { 0 };
	struct tbib_rd_res *res;
	u64 orig = 0;
	u8 status;

	if (!tbib_rd_room(qp))
		return invalid(rp);
	if (qp->ops->mem_get(qp, b->rkey, b->va, 8, TBIB_ACC_REMOTE_ATOMIC,
			     &mem))
		return refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
	status = qp->ops->mem_atomic(qp, &mem, (b->opcode & TBIB_OP_MASK) ==
				     TBIB_OP_CMP_SWAP ? TBIB_ATOMIC_CAS :
				     TBIB_ATOMIC_ADD, b->swap_add, b->compare,
				     &orig);
	qp->ops->mem_put(qp, &mem);
	if (status == TBIB_REM_ACCESS_ERR)
		return refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
	if (status)
		return refuse(rp, TBIB_NAK_REM_OP, status);
	res = tbib_rd_add(qp);
	r->msn = tbib_psn_add(r->msn, 1);
	res->kind = 2;
	res->first_psn = res->last_psn = res->cur_psn = b->psn;
	res->base_psn = res->end_psn = b->psn;
	res->msn = r->msn;
	res->orig = orig;
	res->mem.mr = NULL;
	r->epsn = tbib_psn_add(b->psn, 1);
	return RESP_DONE;
}

/*
 * FLUSH: the payload of earlier requests was stored by this CPU, so all that is
 * left to do for global visibility is to check the right to ask for it.
 */
static enum tbib_resp_step exec_flush(struct tbib_qp *qp,
				      struct tbib_resp_pkt *rp)
{
	const struct tbib_bth *b = rp->b;
	u32 len = b->feth & TBIB_FETH_REGION ? 0 : b->dma_len;
	struct tbib_mem mem = { 0 };

	if (b->feth & ~TBIB_FETH_VALID || !(b->feth & TBIB_FETH_PLACEMENT) ||
	    (qp->attr.access & flush_access(b)) != flush_access(b))
		return invalid(rp);
	if (qp->ops->mem_get(qp, b->rkey, b->va, len, flush_access(b), &mem))
		return refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
	qp->ops->mem_put(qp, &mem);
	qp->resp.msn = tbib_psn_add(qp->resp.msn, 1);
	return RESP_ACCEPT;
}

static enum tbib_resp_step execute(struct tbib_qp *qp,
				   struct tbib_resp_pkt *rp)
{
	u8 status;

	if (rp->flags & TBIB_OI_READ)
		return exec_read(qp, rp);
	if (rp->flags & TBIB_OI_ATOMIC)
		return exec_atomic(qp, rp);
	if (rp->flags & TBIB_OI_FLUSH)
		return exec_flush(qp, rp);
	status = tbib_resp_execute(qp, rp);
	if (!status)
		return RESP_ACCEPT;
	return rp->flags & TBIB_OI_SEND && status != TBIB_REM_ACCESS_ERR ?
	       refuse(rp, TBIB_NAK_REM_OP, status) :
	       refuse(rp, TBIB_NAK_REM_ACC, TBIB_LOC_ACCESS_ERR);
}

/* --- answers ------------------------------------------------------------- */

static bool nak_pending(const struct tbib_resp *r)
{
	return r->ack_pending &&
	       (r->ack_syndrome & TBIB_AETH_TYPE_MASK) != TBIB_AETH_ACK;
}

static void answer(struct tbib_qp *qp, u8 syndrome, u32 psn)
{
	struct tbib_resp *r = &qp->resp;

	r->ack_pending = true;
	r->ack_syndrome = syndrome;
	r->ack_psn = psn;
	r->ack_at = 0;
}

/*
 * Where each message is answered by one of ours, the ACK waits for it and
 * shares its frame: a frame and an interrupt less for both. Two round trips,
 * since a program that sleeps takes about one to wake; the peer's tail probe
 * comes after four. One that waited in vain, or a second message, ends that.
 */
static u64 ack_wait(const struct tbib_qp *qp)
{
	u64 wait = 2 * qp->comp.srtt;

	return wait < TBIB_ACK_WAIT_MAX ? wait : TBIB_ACK_WAIT_MAX;
}

static void message_came(struct tbib_qp *qp, u64 now)
{
	struct tbib_resp *r = &qp->resp;

	if (r->turn)
		r->pingpong = false;
	r->turn = true;
	r->turn_at = now;
	if (r->pingpong && r->ack_pending) {
		r->ack_at = now + ack_wait(qp);
		qp->stats.acks_deferred++;
	}
}

void tbib_resp_turn(struct tbib_qp *qp, u64 now)
{
	struct tbib_resp *r = &qp->resp;

	if (r->turn)
		r->pingpong = now - r->turn_at < ack_wait(qp);
	r->turn = false;
	r->ack_at = 0;		/* it rides with them */
}

void tbib_resp_timer(struct tbib_qp *qp, u64 now)
{
	struct tbib_resp *r = &qp->resp;

	if (!r->ack_at || now < r->ack_at)
		return;
	r->ack_at = 0;
	r->pingpong = false;
}

bool tbib_qp_answer(struct tbib_qp *qp)
{
	qp->resp.ack_at = 0;
	return qp->resp.ack_pending;
}

static enum tbib_resp_step accept(struct tbib_qp *qp,
				  struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	/* a NAK that has not gone yet is out of date */
	bool ack = rp->b->ack_req || nak_pending(r);

	if (ack)
		answer(qp, TBIB_AETH_ACK_UNLIM, r->epsn);
	if (rp->flags & TBIB_OI_LAST)
		message_came(qp, rp->now);
	rp->plain = !ack && !(rp->flags & TBIB_OI_LAST);
	r->epsn = tbib_psn_add(r->epsn, 1);
	return RESP_DONE;
}

/* IBTA 9.7.4.1.2, 9.7.5.1.3: answered as if new, and not executed again */
static enum tbib_resp_step duplicate(struct tbib_qp *qp,
				     const struct tbib_resp_pkt *rp)
{
	qp->stats.duplicate++;
	if (rp->flags & (TBIB_OI_READ | TBIB_OI_ATOMIC))
		tbib_rd_dup(qp, rp->b);
	else if (!nak_pending(&qp->resp))
		answer(qp, TBIB_AETH_ACK_UNLIM,
		       tbib_rd_ack_limit(qp, rp->b->psn));
	return RESP_DONE;
}

static enum tbib_resp_step rnr(struct tbib_qp *qp,
			       const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;

	answer(qp, (u8)(TBIB_AETH_RNR_NAK | (qp->attr.min_rnr_timer & 0x1f)),
	       r->epsn);
	/* what follows is resent anyway */
	r->nak_sent = true;
	r->rnr_sent = true;
	r->oos_psn = rp->b->psn;
	qp->stats.rnr_naks_sent++;
	return RESP_DONE;
}

/*
 * A gap. One NAK is enough while the PSNs behind it grow; when they do not,
 * the peer has gone back (or probes) and our NAK or its answer was lost.
 */
static enum tbib_resp_step nak_seq(struct tbib_qp *qp,
				   const struct tbib_resp_pkt *rp)
{
	struct tbib_resp *r = &qp->resp;
	bool told = r->nak_sent && tbib_psn_diff(rp->b->psn, r->oos_psn) > 0;

	/* the newest once more: a probe that crossed our RNR NAK, no gap */
	if (r->rnr_sent && rp->b->psn == r->oos_psn)
		return rnr(qp, rp);
	r->nak_sent = true;
	r->oos_psn = rp->b->psn;
	if (!told) {
		answer(qp, TBIB_NAK_PSN_SEQ, r->epsn);
		qp->stats.out_of_seq++;
		qp->stats.naks_sent++;
		qp->stats.seq_naks_sent++;
	}
	return RESP_DONE;
}

/* IBTA 9.9.3.1: the receive WQE in use tells why, the QP goes to ERR */
static enum tbib_resp_step refuse_fatal(struct tbib_qp *qp,
					const struct tbib_resp_pkt *rp)
{
	struct tbib_cqe cqe = { 0 };

	answer(qp, rp->nak, qp->resp.epsn);
	qp->stats.naks_sent++;
	if (qp->resp.have_rwqe) {
		cqe.status = rp->status;
		tbib_recv_complete(qp, &cqe);
	}
	tbib_qp_to_err(qp, true);
	qp->ops->event(qp, rp->nak == TBIB_NAK_INV_REQ ? TBIB_EV_REQ_ERR :
			   rp->nak == TBIB_NAK_REM_ACC ? TBIB_EV_ACCESS_ERR :
							 TBIB_EV_QP_FATAL);
	return RESP_DONE;
}

void tbib_resp_abort(struct tbib_qp *qp, u32 psn)
{
	bool fresh = qp->state != TBIB_QPS_ERR;

	/* in the place of the answer; those behind it are not sent */
	tbib_rd_drop_all(qp);
	answer(qp, TBIB_NAK_REM_ACC, psn);
	qp->stats.naks_sent++;
	tbib_qp_to_err(qp, true);
	if (fresh)
		qp->ops->event(qp, TBIB_EV_ACCESS_ERR);
}

bool tbib_resp_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		  const struct tbib_pkt *pkt, u64 now)
{
	enum tbib_resp_step step = RESP_CHK_PSN;
	struct tbib_resp_pkt rp;

	rp.b = b;
	rp.pkt = pkt;
	rp.flags = b->info->flags;
	rp.len = tbib_payload_len(b, pkt);
	rp.now = now;
	rp.status = TBIB_OK;
	rp.nak = 0;
	rp.plain = false;
	while (step != RESP_DONE) {
		qp->resp.step = (u8)step;
		switch (step) {
		case RESP_CHK_PSN:
			step = chk_psn(qp, &rp);
			break;
		case RESP_CHK_SEQ:
			step = chk_seq(qp, &rp);
			break;
		case RESP_CHK_OP:
			step = chk_op(qp, &rp);
			break;
		case RESP_CHK_LEN:
			step = chk_len(qp, &rp);
			break;
		case RESP_CHK_RWQE:
			step = chk_rwqe(qp, &rp);
			break;
		case RESP_CHK_RKEY:
			step = chk_rkey(qp, &rp);
			break;
		case RESP_EXECUTE:
			step = execute(qp, &rp);
			break;
		case RESP_ACCEPT:
			step = accept(qp, &rp);
			break;
		case RESP_DUPLICATE:
			step = duplicate(qp, &rp);
			break;
		case RESP_NAK_SEQ:
			step = nak_seq(qp, &rp);
			break;
		case RESP_RNR:
			step = rnr(qp, &rp);
			break;
		default:
			step = refuse_fatal(qp, &rp);
			break;
		}
	}
	return !rp.plain;
}

/* --- sending answers ----------------------------------------------------- */

bool tbib_resp_ready(const struct tbib_qp *qp)
{
	const struct tbib_resp *r = &qp->resp;

	return (r->ack_pending && !r->ack_at) || tbib_rd_active(qp);
}

static enum tbib_tx_step fill_ack(struct tbib_qp *qp, struct tbib_train *t)
{
	struct tbib_resp *r = &qp->resp;
	struct tbib_bth b = { 0 };

	b.opcode = (u8)(qp->service | TBIB_OP_ACK);
	b.pkey = tbib_qp_pkey(qp);
	b.dqpn = qp->attr.dest_qpn;
	b.psn = r->ack_psn;
	b.syndrome = r->ack_syndrome;
	b.msn = r->msn;
	if (!tbib_pkt_append(t, &b, 0, 0))
		return TBIB_TX_FULL;
	r->ack_pending = false;
	r->ack_at = 0;
	qp->stats.send_pkts++;
	return TBIB_TX_IDLE;
}

enum tbib_tx_step tbib_resp_fill(struct tbib_qp *qp, struct tbib_train *t,
				 u32 raw_share)
{
	enum tbib_tx_step step = tbib_rd_fill(qp, t, raw_share);

	/* an ACK speaks for the READs before it, so those go first */
	if (step != TBIB_TX_IDLE || !qp->resp.ack_pending || qp->resp.ack_at)
		return step;
	return fill_ack(qp, t);
}
