// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unreliable datagram (IBTA 9.8.3), and GSI, which is UD with QPN 1. One
 * packet a message; a WQE completes when the trunk has acked its train.
 */
#include "qp_int.h"

/* --- sending ------------------------------------------------------------- */

/* the next WQE, prepared, or NULL; one that fails ends the loop in SQE */
static struct tbib_wqe *ud_next(struct tbib_qp *qp)
{
	struct tbib_wqe *w;

	if (!tbib_uc_ready(qp))
		return NULL;
	w = tbib_sq_at(qp, qp->req.send);
	if (w->state == TBIB_WS_NEW &&
	    tbib_req_start(qp, w) != TBIB_TX_NEXT)
		return NULL;
	return w;
}

void *tbib_qp_next_ah(struct tbib_qp *qp)
{
	struct tbib_wqe *w = ud_next(qp);

	return w ? w->av.ah : NULL;
}

static void ud_passed(struct tbib_qp *qp, struct tbib_wqe *w)
{
	w->state = TBIB_WS_SENT;
	qp->req.psn = tbib_psn_add(w->last_psn, 1);
	qp->req.send++;
	tbib_sq_reap(qp);
}

/* UC too: the rest of a message that was begun is not sent */
bool tbib_qp_drop_ud(struct tbib_qp *qp)
{
	struct tbib_wqe *w = ud_next(qp);

	if (w && w->state == TBIB_WS_ACTIVE) {
		ud_passed(qp, w);
		return true;
	}
	if (w) {	/* a local operation has been executed */
		qp->req.send++;
		tbib_sq_reap(qp);
	}
	return false;
}

static u32 ud_qkey(const struct tbib_qp *qp, const struct tbib_wqe *w)
{
	if (!(w->av.qkey & TBIB_QKEY_OWN))
		return w->av.qkey;
	return qp->qpn == TBIB_GSI_QPN ? TBIB_GSI_QKEY : qp->attr.qkey;
}

static enum tbib_tx_step ud_packet(struct tbib_qp *qp, struct tbib_wqe *w,
				   struct tbib_train *t)
{
	struct tbib_train_mark mark = tbib_train_mark(t);
	struct tbib_bth b = { 0 };
	u32 pre = qp->ops->grh ? TBIB_GRH_LEN : 0;
	u8 status;
	u8 *p;

	b.opcode = (u8)(TBIB_UD | tbib_wr_info[w->op].op[3]);
	b.solicited = w->flags & TBIB_WF_SOLICITED;
	b.pkey = tbib_qp_pkey(qp);
	b.dqpn = w->av.qpn & TBIB_PSN_MASK;
	b.psn = w->first_psn;
	b.qkey = ud_qkey(qp, w);
	b.sqpn = qp->qpn;
	b.imm = w->imm;
	p = tbib_pkt_append(t, &b, pre, w->length);
	if (!p)
		return TBIB_TX_FULL;
	if (pre)
		qp->ops->grh(qp, w, w->length, p);
	status = tbib_pkt_payload_from(qp, w, 0, w->length,
				       p + pre + tbib_bth_len(b.opcode), t);
	if (status) {
		tbib_train_undo(t, &mark);
		return tbib_req_no_payload(qp, w, status);
	}
	qp->stats.send_pkts++;
	return TBIB_TX_NEXT;
}

enum tbib_tx_step tbib_ud_fill(struct tbib_qp *qp, struct tbib_train *t,
			       void *ah)
{
	enum tbib_tx_step step;
	struct tbib_wqe *w;

	while ((w = ud_next(qp))) {
		/* another destination wants another train */
		if (w->av.ah != ah || !tbib_note_room(qp, qp->req.send, t))
			return TBIB_TX_FULL;
		step = ud_packet(qp, w, t);
		if (step != TBIB_TX_NEXT)
			return step;
		tbib_note_add(qp, qp->req.send, t);
		ud_passed(qp, w);
	}
	return TBIB_TX_IDLE;
}

/* --- receiving ----------------------------------------------------------- */

static bool ud_qkey_ok(const struct tbib_qp *qp, u32 qkey)
{
	return qkey == (qp->qpn == TBIB_GSI_QPN ? TBIB_GSI_QKEY :
						  qp->attr.qkey);
}

/* Return: false = drop; the receive WQE, when there is one, is kept */
static bool ud_recv_wqe(struct tbib_qp *qp, u32 len)
{
	struct tbib_resp *r = &qp->resp;
	struct tbib_cqe cqe = { 0 };

	if (!r->have_rwqe) {
		cqe.status = qp->ops->recv_get(qp, &r->rwqe);
		if (cqe.status && cqe.status != TBIB_RNR_RETRY_EXC_ERR) {
			cqe.wr_id = r->rwqe.wr_id;
			cqe.recv = true;
			qp->ops->complete(qp, &cqe);
			tbib_qp_to_err(qp, false);
		}
		if (cqe.status)
			return false;
		r->have_rwqe = true;
	}
	return len + TBIB_GRH_LEN <= r->rwqe.length;
}

/*
 * The first 40 bytes of the buffer belong to the GRH, there or not, 11.4.1.2.
 * Return: enum tbib_status.
 */
static u8 ud_place(struct tbib_qp *qp, const struct tbib_bth *b,
		     const struct tbib_pkt *pkt, u32 len)
{
	static const u8 no_grh[TBIB_GRH_LEN];
	struct tbib_payload pl;
	u8 status;

	pl.len = TBIB_GRH_LEN;
	pl.n = 1;
	pl.piece[0].data = b->grh ? b->grh : no_grh;
	pl.piece[0].len = TBIB_GRH_LEN;
	status = qp->ops->recv_scatter(qp, &qp->resp.rwqe, 0, &pl, !len);
	if (status || !len)
		return status;
	tbib_pkt_payload(pkt, b->hdr_len, &pl);
	return qp->ops->recv_scatter(qp, &qp->resp.rwqe, TBIB_GRH_LEN, &pl,
				     true);
}

void tbib_ud_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		const struct tbib_pkt *pkt, u16 slid)
{
	u32 len = tbib_payload_len(b, pkt);
	struct tbib_cqe cqe = { 0 };

	if (!ud_qkey_ok(qp, b->qkey) || len > qp->attr.mtu ||
	    !ud_recv_wqe(qp, len))
		return;
	cqe.status = ud_place(qp, b, pkt, len);
	cqe.solicited = b->solicited;
	cqe.imm_valid = b->info->flags & TBIB_OI_IMM;
	cqe.imm = b->imm;
	cqe.grh_valid = b->grh;
	/* IPv4 has the last 20 of the 40 bytes, after zeros */
	if (b->grh)
		cqe.ip_version = b->grh[0] >> 4 == 6 ? 6 : 4;
	cqe.byte_len = len + TBIB_GRH_LEN;
	cqe.src_qp = b->sqpn;
	cqe.slid = slid;
	tbib_recv_complete(qp, &cqe);
	if (cqe.status)
		tbib_qp_to_err(qp, false);
}
