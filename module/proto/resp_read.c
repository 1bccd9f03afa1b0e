// SPDX-License-Identifier: GPL-2.0-only
/*
 * Responder resources of RC: READs and atomics that are answered, or have
 * been and may be asked for again (IBTA 9.7.5.1.2, 9.4.5.3).
 *
 * They stand in a ring in PSN order. Their responses are sent in that order;
 * when the peer goes back to an older one, those behind it wait to be asked
 * for again, too.
 */
#include "qp_int.h"

/* the resource @i places before the newest, 0 <= i < rd_count */
static struct tbib_rd_res *rd_back(const struct tbib_qp *qp, u32 i)
{
	struct tbib_resp *r = (struct tbib_resp *)&qp->resp;

	return &r->rd[(r->rd_head + TBIB_MAX_RD_ATOMIC - 1 - i) %
		      TBIB_MAX_RD_ATOMIC];
}

static void rd_stop(struct tbib_qp *qp, struct tbib_rd_res *res)
{
	if (res->mem.mr)
		qp->ops->mem_put(qp, &res->mem);
	res->mem.mr = NULL;
	if (res->active)
		qp->resp.rd_active--;
	res->active = false;
}

static void rd_start(struct tbib_qp *qp, struct tbib_rd_res *res)
{
	if (!res->active)
		qp->resp.rd_active++;
	res->active = true;
}

bool tbib_rd_active(const struct tbib_qp *qp)
{
	return qp->resp.rd_active;
}

void tbib_rd_drop_all(struct tbib_qp *qp)
{
	u32 i;

	for (i = 0; i < qp->resp.rd_count; i++)
		rd_stop(qp, rd_back(qp, i));
	qp->resp.rd_count = 0;
}

/*
 * A repetition that is still being answered when the peer already asks for
 * more is a late one: it has its answer, or it would be over the limit.
 */
static bool rd_stop_late(struct tbib_qp *qp)
{
	u32 i = qp->resp.rd_count;

	while (i--) {
		struct tbib_rd_res *res = rd_back(qp, i);

		if (res->active && res->again) {
			rd_stop(qp, res);
			return true;
		}
	}
	return false;
}

bool tbib_rd_room(struct tbib_qp *qp)
{
	struct tbib_resp *r = &qp->resp;

	while (r->rd_active >= qp->attr.max_dest_rd_atomic)
		if (!rd_stop_late(qp))
			return false;
	return true;
}

struct tbib_rd_res *tbib_rd_add(struct tbib_qp *qp)
{
	struct tbib_resp *r = &qp->resp;
	struct tbib_rd_res *res = &r->rd[r->rd_head];

	/* the oldest gives way, also when a late repetition of it is to go */
	rd_stop(qp, res);
	r->rd_head = (u8)((r->rd_head + 1) % TBIB_MAX_RD_ATOMIC);
	if (r->rd_count < TBIB_MAX_RD_ATOMIC)
		r->rd_count++;
	memset(res, 0, sizeof(*res));
	rd_start(qp, res);
	return res;
}

u32 tbib_rd_ack_limit(const struct tbib_qp *qp, u32 psn)
{
	u32 limit = qp->resp.epsn;
	u32 i;

	/* one whose answer may have been lost is not to be spoken for */
	for (i = 0; i < qp->resp.rd_count; i++) {
		const struct tbib_rd_res *res = rd_back(qp, i);

		if (tbib_psn_diff(res->first_psn, psn) > 0 &&
		    tbib_psn_diff(res->first_psn, limit) < 0)
			limit = res->first_psn;
	}
	return tbib_psn_add(limit, -1u);
}

/* --- repeated requests --------------------------------------------------- */

/* the peer went back to a PSN before @newer resources: it will ask again */
static void rd_stop_newer(struct tbib_qp *qp, u32 newer)
{
	while (newer--)
		rd_stop(qp, rd_back(qp, newer));
}

static void dup_read(struct tbib_qp *qp, const struct tbib_bth *b,
		     struct tbib_rd_res *res, u32 place)
{
	u32 n = tbib_n_pkts(b->dma_len, qp->attr.mtu);
	struct tbib_mem mem = { 0 };

	if (b->dma_len > TBIB_MAX_MSG ||
	    n > (u32)tbib_psn_diff(res->last_psn, b->psn) + 1)
		return;
	/* still to be sent: a probe that came early */
	if (res->active && tbib_psn_diff(b->psn, res->cur_psn) >= 0)
		return;
	/* no NAK: the peer may have had its answer and dropped the rkey */
	if (b->dma_len &&
	    qp->ops->mem_get(qp, b->rkey, b->va, b->dma_len,
			     TBIB_ACC_REMOTE_READ, &mem))
		return;
	rd_stop(qp, res);
	rd_stop_newer(qp, place);
	res->mem = mem;
	res->len = b->dma_len;
	res->base_psn = res->cur_psn = b->psn;
	res->end_psn = tbib_psn_add(b->psn, n - 1);
	res->again = true;
	rd_start(qp, res);
}

void tbib_rd_dup(struct tbib_qp *qp, const struct tbib_bth *b)
{
	bool read = b->info->flags & TBIB_OI_READ;
	u32 i;

	for (i = 0; i < qp->resp.rd_count; i++) {
		struct tbib_rd_res *res = rd_back(qp, i);

		if (tbib_psn_diff(b->psn, res->first_psn) < 0 ||
		    tbib_psn_diff(b->psn, res->last_psn) > 0)
			continue;
		if (read && res->kind == 1) {
			dup_read(qp, b, res, i);
		} else if (!read && res->kind == 2) {
			rd_stop_newer(qp, i);
			res->again = true;
			rd_start(qp, res);
		}
		return;
	}
	/* older than anything the peer may still wait for: nothing to say */
}

/* --- responses ----------------------------------------------------------- */

static void rd_bth(const struct tbib_qp *qp, const struct tbib_rd_res *res,
		   struct tbib_bth *b, u8 op)
{
	b->opcode = (u8)(TBIB_RC | op);
	b->pkey = tbib_qp_pkey(qp);
	b->dqpn = qp->attr.dest_qpn;
	b->psn = res->cur_psn;
	b->syndrome = TBIB_AETH_ACK_UNLIM;
	b->msn = res->msn;
	b->orig = res->orig;
}

static enum tbib_tx_step send_atomic(struct tbib_qp *qp,
				     struct tbib_rd_res *res,
				     struct tbib_train *t)
{
	struct tbib_bth b = { 0 };

	rd_bth(qp, res, &b, TBIB_OP_ATOMIC_ACK);
	if (!tbib_pkt_append(t, &b, 0, 0))
		return TBIB_TX_FULL;
	qp->stats.send_pkts++;
	rd_stop(qp, res);
	return TBIB_TX_NEXT;
}

/*
 * The host gave no payload. A READ that was asked for more than once may have
 * had its answer, and its rkey may have been dropped for that: the peer asks
 * again when it has not (see dup_read()).
 */
static enum tbib_tx_step no_payload(struct tbib_qp *qp,
				    struct tbib_rd_res *res, u8 status)
{
	if (status == TBIB_NO_PAGE)
		return TBIB_TX_HELD;
	if (res->again) {
		rd_stop(qp, res);
		return TBIB_TX_NEXT;
	}
	tbib_resp_abort(qp, res->cur_psn);
	return TBIB_TX_IDLE;
}

static enum tbib_tx_step send_read(struct tbib_qp *qp,
				   struct tbib_rd_res *res,
				   struct tbib_train *t)
{
	/* by place: bit 0 first, bit 1 last */
	static const u8 op[4] = {
		TBIB_OP_READ_RESP_MIDDLE, TBIB_OP_READ_RESP_FIRST,
		TBIB_OP_READ_RESP_LAST, TBIB_OP_READ_RESP_ONLY,
	};
	struct tbib_train_mark mark = tbib_train_mark(t);
	u32 mtu = qp->attr.mtu;
	u32 off = (u32)tbib_psn_diff(res->cur_psn, res->base_psn) * mtu;
	u32 len = res->len - off < mtu ? res->len - off : mtu;
	bool last = res->cur_psn == res->end_psn;
	struct tbib_bth b = { 0 };
	u8 status = TBIB_OK;
	u8 *p;

	rd_bth(qp, res, &b, op[(last ? 2 : 0) + !off]);
	p = tbib_pkt_append(t, &b, 0, len);
	if (!p)
		return TBIB_TX_FULL;
	if (len >= TBIB_ZCOPY_MIN)
		status = qp->ops->mem_read_raw(qp, &res->mem, off, len, t);
	else if (len)
		status = qp->ops->mem_read(qp, &res->mem, off, len,
					   p + tbib_bth_len(b.opcode));
	if (status) {
		tbib_train_undo(t, &mark);
		return no_payload(qp, res, status);
	}
	qp->stats.send_pkts++;
	res->cur_psn = tbib_psn_add(res->cur_psn, 1);
	if (last)
		rd_stop(qp, res);
	return TBIB_TX_NEXT;
}

enum tbib_tx_step tbib_rd_fill(struct tbib_qp *qp, struct tbib_train *t,
			       u32 raw_share)
{
	u32 start = t->n_raw;
	u32 i = qp->resp.rd_active ? qp->resp.rd_count : 0;

	while (i--) {
		struct tbib_rd_res *res = rd_back(qp, i);

		while (res->active) {
			enum tbib_tx_step step;

			if ((u32)(t->n_raw - start) >= raw_share)
				return TBIB_TX_FULL;
			step = res->kind == 1 ? send_read(qp, res, t) :
						send_atomic(qp, res, t);
			if (step != TBIB_TX_NEXT)
				return step;
		}
	}
	return TBIB_TX_IDLE;
}
