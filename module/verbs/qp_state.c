// SPDX-License-Identifier: GPL-2.0-only
/* modify_qp and query_qp: checks, connection to a node, attributes. */
#include <rdma/ib_mad.h>
#include "verbs/ibdev.h"

static bool attr_in_bounds(const struct ib_qp_attr *attr, int mask)
{
	if (mask & IB_QP_PORT && attr->port_num != 1)
		return false;
	if (mask & IB_QP_PKEY_INDEX && attr->pkey_index)
		return false;
	if (mask & IB_QP_PATH_MTU && (attr->path_mtu < IB_MTU_256 ||
				      attr->path_mtu > IB_MTU_4096))
		return false;
	if (mask & IB_QP_DEST_QPN && attr->dest_qp_num > 0xffffff)
		return false;
	if (mask & IB_QP_MAX_QP_RD_ATOMIC &&
	    attr->max_rd_atomic > TBIB_MAX_RD_ATOMIC)
		return false;
	if (mask & IB_QP_MAX_DEST_RD_ATOMIC &&
	    attr->max_dest_rd_atomic > TBIB_MAX_RD_ATOMIC)
		return false;
	if (mask & IB_QP_TIMEOUT && attr->timeout > 31)
		return false;
	if (mask & IB_QP_RETRY_CNT && attr->retry_cnt > 7)
		return false;
	if (mask & IB_QP_RNR_RETRY && attr->rnr_retry > 7)
		return false;
	return !(mask & IB_QP_MIN_RNR_TIMER && attr->min_rnr_timer > 31);
}

static int check_modify(struct tbib_vqp *q, const struct ib_qp_attr *attr,
			int mask, enum ib_qp_state *cur, enum ib_qp_state *to)
{
	if (mask & ~IB_QP_ATTR_STANDARD_BITS)
		return -EOPNOTSUPP;
	/* no second path to fail over to: cables are the trunk's business */
	if (mask & IB_QP_ALT_PATH ||
	    (mask & IB_QP_PATH_MIG_STATE &&
	     attr->path_mig_state != IB_MIG_MIGRATED))
		return -EOPNOTSUPP;
	*cur = (enum ib_qp_state)q->core.state;
	if (mask & IB_QP_CUR_STATE && attr->cur_qp_state != *cur)
		return -EINVAL;
	*to = mask & IB_QP_STATE ? attr->qp_state : *cur;
	/* nothing changes under what still drains */
	if (q->core.req.draining && *to != IB_QPS_ERR && *to != IB_QPS_RESET)
		return -EINVAL;
	if (!ib_modify_qp_is_ok(*cur, *to, q->type, mask) ||
	    !attr_in_bounds(attr, mask))
		return -EINVAL;
	return 0;
}

/* the node that the address leads to, referenced */
static struct tbib_peer *find_peer(struct tbib_node *node, const u8 *mac)
{
	struct tbib_peer *peer;

	rcu_read_lock();
	peer = tbib_peer_get(tbib_peer_by_mac(node, mac));
	rcu_read_unlock();
	return peer;
}

static void merge_attr(struct ib_qp_attr *a, const struct ib_qp_attr *attr,
		       int mask)
{
	if (mask & IB_QP_PORT)
		a->port_num = attr->port_num;
	if (mask & IB_QP_ACCESS_FLAGS)
		a->qp_access_flags = attr->qp_access_flags;
	if (mask & IB_QP_QKEY)
		a->qkey = attr->qkey;
	if (mask & IB_QP_AV) {
		a->ah_attr = attr->ah_attr;
		/* the reference is the core's (qp->av_sgid_attr) */
		a->ah_attr.grh.sgid_attr = NULL;
	}
	if (mask & IB_QP_PATH_MTU)
		a->path_mtu = attr->path_mtu;
	if (mask & IB_QP_DEST_QPN)
		a->dest_qp_num = attr->dest_qp_num;
	if (mask & IB_QP_RQ_PSN)
		a->rq_psn = attr->rq_psn & TBIB_PSN_MASK;
	if (mask & IB_QP_SQ_PSN)
		a->sq_psn = attr->sq_psn & TBIB_PSN_MASK;
	if (mask & IB_QP_MAX_QP_RD_ATOMIC)
		a->max_rd_atomic = attr->max_rd_atomic;
	if (mask & IB_QP_MAX_DEST_RD_ATOMIC)
		a->max_dest_rd_atomic = attr->max_dest_rd_atomic;
	if (mask & IB_QP_TIMEOUT)
		a->timeout = attr->timeout;
	if (mask & IB_QP_RETRY_CNT)
		a->retry_cnt = attr->retry_cnt;
	if (mask & IB_QP_RNR_RETRY)
		a->rnr_retry = attr->rnr_retry;
	if (mask & IB_QP_MIN_RNR_TIMER)
		a->min_rnr_timer = attr->min_rnr_timer;
	if (mask & IB_QP_EN_SQD_ASYNC_NOTIFY)
		a->en_sqd_async_notify = attr->en_sqd_async_notify;
}

static struct tbib_qp_attr core_attr(const struct ib_qp_attr *a)
{
	struct tbib_qp_attr c = {
		.dest_qpn = a->dest_qp_num,
		.sq_psn = a->sq_psn,
		.rq_psn = a->rq_psn,
		.mtu = ib_mtu_enum_to_int(a->path_mtu),
		.qkey = a->qkey,
		.pkey = IB_DEFAULT_PKEY_FULL,
		.access = a->qp_access_flags,
		.retry_cnt = a->retry_cnt,
		.rnr_retry = a->rnr_retry,
		.timeout = a->timeout,
		.min_rnr_timer = a->min_rnr_timer,
		.max_rd_atomic = a->max_rd_atomic,
		.max_dest_rd_atomic = a->max_dest_rd_atomic,
	};

	return c;
}

/* nothing of the old connection may be left: packets in trains, notes, rings */
static void vqp_reset(struct tbib_vqp *q)
{
	struct tbib_peer *peer;
	unsigned long flags;
	struct tbib_qp_attr none = {};

	tbib_vqp_answer(q);
	spin_lock_irqsave(&q->lock, flags);
	tbib_qp_modify(&q->core, TBIB_QPS_RESET, &none);
	spin_unlock_irqrestore(&q->lock, flags);
	tbib_source_kill(q->dev->node, &q->src);
	spin_lock_irqsave(&q->lock, flags);
	tbib_source_init(&q->src, &tbib_vqp_source_ops, TBIB_LANE_EXPRESS);
	if (q->sq.mem)
		tbib_queue_reset(&q->sq);
	if (q->rq.q.mem)
		tbib_queue_reset(&q->rq.q);
	q->sq_base = 0;
	q->sq_last = 0;
	q->rq_taken = false;
	q->flushed = false;
	q->sweep_at = 0;
	q->peer_guid = 0;
	peer = q->peer;
	q->peer = NULL;
	spin_unlock_irqrestore(&q->lock, flags);
	if (peer)
		tbib_peer_put(peer);
}

/* Return: the fabric is to be kicked without the lock. QP lock held. */
static bool modify_locked(struct tbib_vqp *q, const struct ib_qp_attr *attr,
			  int mask, enum ib_qp_state cur, enum ib_qp_state to)
{
	struct tbib_qp_attr c;

	/* asked for each time (IBTA 11.2.5.2) */
	if (cur == IB_QPS_RTS && to == IB_QPS_SQD)
		q->attr.en_sqd_async_notify = 0;
	merge_attr(&q->attr, attr, mask);
	c = core_attr(&q->attr);
	tbib_qp_modify(&q->core, (enum tbib_qp_state)to, &c);
	/* librxe enqueues before it learns that post_send fails: forget those */
	if (q->user && cur == IB_QPS_RTR && to == IB_QPS_RTS)
		tbib_sq_discard(q);
	return tbib_vqp_after(q);
}

static int modify_one(struct tbib_vqp *q, const struct ib_qp_attr *attr,
		      int mask)
{
	struct tbib_peer *peer = NULL;
	enum ib_qp_state cur, to;
	unsigned long flags;
	bool kick = false;
	int err;

	err = check_modify(q, attr, mask, &cur, &to);
	if (err)
		return err;
	if (to == IB_QPS_RESET) {
		vqp_reset(q);
		return 0;
	}
	if (mask & IB_QP_AV) {
		if (!(rdma_ah_get_ah_flags(&attr->ah_attr) & IB_AH_GRH))
			return -EINVAL;
		peer = find_peer(q->dev->node, attr->ah_attr.roce.dmac);
		/* no node of this fabric has that address (design D12) */
		if (!peer)
			return -ENETUNREACH;
	}
	spin_lock_irqsave(&q->lock, flags);
	/* an error of the data path may have changed the state meanwhile */
	err = check_modify(q, attr, mask, &cur, &to);
	if (!err && peer) {
		swap(q->peer, peer);
		q->peer_guid = q->peer->guid;
	}
	if (!err)
		kick = modify_locked(q, attr, mask, cur, to);
	spin_unlock_irqrestore(&q->lock, flags);
	if (peer)
		tbib_peer_put(peer);
	if (kick)
		tbib_fabric_kick(q->dev->node);
	return err;
}

int tbib_modify_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
		   struct ib_udata *udata)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	int err;

	mutex_lock(&q->modify);
	err = modify_one(q, attr, mask);
	mutex_unlock(&q->modify);
	return err;
}

/* tbib_vqp_fail() - its completions cannot be told any more: ERR. Any context */
void tbib_vqp_fail(struct tbib_vqp *q)
{
	struct tbib_node *node = q->dev->node;
	unsigned long flags;
	bool kick = false;

	spin_lock_irqsave(&q->lock, flags);
	if (!q->dying && q->core.state >= TBIB_QPS_RTR &&
	    q->core.state != TBIB_QPS_ERR) {
		struct tbib_qp_attr same = q->core.attr;

		tbib_qp_modify(&q->core, TBIB_QPS_ERR, &same);
		tbib_vqp_ops.event(&q->core, TBIB_EV_QP_FATAL);
		kick = tbib_vqp_after(q);
	}
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		tbib_fabric_kick(node);
}

/*
 * Kernels before 7.x keep a QP in the table of resources while it is being
 * destroyed, so that "rdma resource show qp" comes here at any time: what it
 * finds is freed by RCU, and the shell says when it is too late.
 */
int tbib_query_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
		  struct ib_qp_init_attr *init)
{
	struct tbib_vqp *q;
	unsigned long flags;

	rcu_read_lock();
	q = READ_ONCE(to_tbib_qp_shell(ib)->q);
	if (!q) {
		rcu_read_unlock();
		return -EAGAIN;		/* the dump goes on with the next */
	}
	spin_lock_irqsave(&q->lock, flags);
	*attr = q->attr;
	attr->qp_state = (enum ib_qp_state)q->core.state;
	attr->cur_qp_state = attr->qp_state;
	attr->sq_draining = q->core.req.draining;
	attr->sq_psn = q->core.state >= TBIB_QPS_RTS ? q->core.req.psn :
						       q->attr.sq_psn;
	attr->rq_psn = q->core.state >= TBIB_QPS_RTR ? q->core.resp.epsn :
						       q->attr.rq_psn;
	spin_unlock_irqrestore(&q->lock, flags);
	init->event_handler = ib->event_handler;
	init->qp_context = ib->qp_context;
	init->send_cq = ib->send_cq;
	init->recv_cq = ib->recv_cq;
	init->srq = ib->srq;
	init->cap = q->attr.cap;
	init->sq_sig_type = q->core.sq_sig_all ? IB_SIGNAL_ALL_WR :
						 IB_SIGNAL_REQ_WR;
	init->qp_type = ib->qp_type;
	rcu_read_unlock();
	return 0;
}
