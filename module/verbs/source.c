// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QP as a source of packets: the fabric asks where they go and lets it fill
 * trains (fabric.h). Callbacks come with the trunk's tx lock held, under RCU.
 */
#include "verbs/ibdev.h"

/*
 * Where the next packet of @q goes; QP lock and RCU held.
 * Nowhere while the port is set down. Return: false = nothing to send. UD:
 * asking prepares the WQE, and what fails is completed.
 */
static bool next_dest(struct tbib_vqp *q, struct tbib_dest *d)
{
	struct tbib_node *node = q->dev->node;
	struct tbib_addr *addr;
	bool up = READ_ONCE(node->admin_up);

	d->ah = NULL;
	d->peer = NULL;
	if (q->dying || !tbib_qp_wants_tx(&q->core))
		return false;
	if (q->core.service == TBIB_UD) {
		addr = tbib_qp_next_ah(&q->core);
		if (!addr)
			return false;
		d->ah = addr;
		if (!up)
			return true;
		/* to a group: by way of ourselves, see mcast.c */
		d->peer = is_multicast_ether_addr(addr->dmac) ?
			READ_ONCE(node->self) :
			tbib_peer_by_mac(node, addr->dmac);
		return true;
	}
	if (up)
		d->peer = q->peer;
	return true;
}

/* tbib_vqp_idle() - nothing under way in either direction for a while */
bool tbib_vqp_idle(const struct tbib_vqp *q)
{
	return q->core.req.cons == q->core.req.prod &&
	       tbib_qp_idle(&q->core) &&
	       !test_bit(TBIB_SRC_QUEUED, &q->src.flags) &&
	       ktime_get_ns() - q->tx_at > TBIB_LANE_IDLE_NS;
}

/*
 * In ERR receives are flushed; those of a user may go on arriving without a
 * doorbell, so they are looked for again every 10 ms.
 */
static void vqp_error(struct tbib_vqp *q)
{
	if (!q->flushed)
		tbib_recv_flush(q);
	q->flushed = true;
	if (q->user && !q->sweep_at)
		q->sweep_at = ktime_get_ns() + TBIB_SWEEP_NS;
}

static void vqp_settle(struct tbib_vqp *q)
{
	if (q->user && !q->dying)
		tbib_sq_pull(q);
	if (q->core.state == TBIB_QPS_ERR)
		vqp_error(q);
	if (!q->dying && tbib_vqp_flush_waits(q))
		tbib_vqp_sweep_soon(q);
	tbib_vqp_timer_arm(q);
}

/*
 * tbib_vqp_after() - follow up a call into the core; QP lock held
 * Return: the QP has packets and is queued: kick the fabric without the lock.
 */
bool tbib_vqp_after(struct tbib_vqp *q)
{
	struct tbib_dest d;
	bool more;

	if (q->user)
		tbib_sq_pull(q);
	rcu_read_lock();
	more = next_dest(q, &d);
	if (more)
		tbib_source_ready(q->dev->node, &q->src, d.peer);
	rcu_read_unlock();
	/* last, because asking may have completed WQEs in error */
	vqp_settle(q);
	return more;
}

static struct tbib_vqp *src_to_vqp(struct tbib_source *src)
{
	return container_of(src, struct tbib_vqp, src);
}

static bool vqp_dest(struct tbib_source *src, struct tbib_dest *d)
{
	struct tbib_vqp *q = src_to_vqp(src);
	unsigned long flags;
	bool more;

	spin_lock_irqsave(&q->lock, flags);
	more = next_dest(q, d);
	if (!more && !q->dying)
		vqp_settle(q);
	spin_unlock_irqrestore(&q->lock, flags);
	return more;
}

static u8 vqp_fill(struct tbib_source *src, struct tbib_train *t,
		   const struct tbib_dest *d)
{
	struct tbib_vqp *q = src_to_vqp(src);
	u8 ret = TBIB_FILL_IDLE;
	unsigned long flags;
	u32 note;
	u64 now;

	spin_lock_irqsave(&q->lock, flags);
	if (q->dying)
		goto out;
	now = ktime_get_ns();
	q->tx_at = now;
	note = t->n_note;
	ret = tbib_qp_fill(&q->core, t, d->ah, now);
	/* the core signs its notes; the fabric knows sources */
	for (; note < t->n_note; note++)
		t->note[note].owner = src;
	vqp_settle(q);
	/* UD: the rest may be for another node */
	if (tbib_qp_wants_tx(&q->core))
		ret = TBIB_FILL_MORE;
out:
	spin_unlock_irqrestore(&q->lock, flags);
	return ret;
}

/* undo what a discarded train holds */
static void scratch_release(struct tbib_vqp *q, struct tbib_train *t)
{
	u32 i;

	for (i = 0; i < t->n_raw; i++) {
		if (t->raw[i].kind == TBIB_RAW_MR)
			tbib_mr_unpin(t->raw[i].ref);
		else
			tbib_bounce_put(q->dev->node, t->raw[i].ref);
	}
}

/*
 * No route. UD and UC complete without being sent, as they may. RC's packets
 * are lost: they go into a train that nobody sends, so that timers and retry
 * counters decide how long the connection waits for a cable.
 */
static void vqp_drop(struct tbib_source *src)
{
	struct tbib_vqp *q = src_to_vqp(src);
	struct tbib_ibdev *dev = q->dev;
	unsigned long flags;
	u64 sent;

	spin_lock_irqsave(&q->lock, flags);
	if (q->dying)
		goto out;
	if (q->core.service != TBIB_RC) {
		if (tbib_qp_unroutable(&q->core, ktime_get_ns()))
			q->stats.send_err++;
	} else {
		sent = q->core.stats.send_pkts;
		spin_lock(&dev->scratch_lock);
		tbib_train_init(&dev->scratch, 0, 0, 0, TBIB_LANE_EXPRESS);
		tbib_qp_fill(&q->core, &dev->scratch, NULL, ktime_get_ns());
		scratch_release(q, &dev->scratch);
		spin_unlock(&dev->scratch_lock);
		q->stats.send_err += q->core.stats.send_pkts - sent;
		q->core.stats.send_pkts = sent;
	}
	vqp_settle(q);
out:
	spin_unlock_irqrestore(&q->lock, flags);
}

static void vqp_note(struct tbib_source *src, void *value, bool delivered)
{
	struct tbib_vqp *q = src_to_vqp(src);
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	if (!q->dying) {
		tbib_qp_note(&q->core, value, delivered);
		tbib_vqp_after(q);	/* the fabric goes on sending */
	}
	spin_unlock_irqrestore(&q->lock, flags);
}

static void vqp_stalled(struct tbib_source *src, bool stalled)
{
	struct tbib_vqp *q = src_to_vqp(src);
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	if (!q->dying) {
		tbib_qp_stalled(&q->core, stalled, ktime_get_ns());
		tbib_vqp_timer_arm(q);
	}
	spin_unlock_irqrestore(&q->lock, flags);
}

const struct tbib_source_ops tbib_vqp_source_ops = {
	.dest		= vqp_dest,
	.fill		= vqp_fill,
	.drop		= vqp_drop,
	.note		= vqp_note,
	.stalled	= vqp_stalled,
};
