// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flushing a user's queues in ERR. librxe does not ring for post_recv, so they
 * are looked at every 10 ms (design D2c), and what is found is as much as the
 * process likes: it may produce as fast as we flush. So this is done in small
 * batches by one worker for all QPs, which can be preempted, and which takes
 * QPs in turn when there is more.
 */
#include "verbs/ibdev.h"

static struct workqueue_struct *sweep_wq;

/* tbib_vqp_flush_waits() - is there more to be flushed? QP lock held */
bool tbib_vqp_flush_waits(const struct tbib_vqp *q)
{
	if (!q->user)
		return false;
	return tbib_sq_waits(q) ||
	       (q->core.state == TBIB_QPS_ERR && !q->srq &&
		tbib_queue_count(&q->rq.q));
}

static void vqp_sweep(struct work_struct *work)
{
	struct tbib_vqp *q = container_of(work, struct tbib_vqp, sweep_work);
	struct tbib_node *node = q->dev->node;
	unsigned long flags;
	bool kick = false;

	spin_lock_irqsave(&q->lock, flags);
	if (!q->dying) {
		if (q->core.state == TBIB_QPS_ERR)
			tbib_recv_flush(q);
		/* comes back to us when something is left */
		kick = tbib_vqp_after(q);
	}
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		tbib_fabric_kick(node);
}

/* tbib_vqp_sweep_soon() - in process context; QP lock held, QP not dying */
void tbib_vqp_sweep_soon(struct tbib_vqp *q)
{
	queue_work(sweep_wq, &q->sweep_work);
}

/*
 * tbib_vqp_flush_all() - QP in ERR: everything that its user has posted
 * Process context. Each queue once round at most.
 */
void tbib_vqp_flush_all(struct tbib_vqp *q)
{
	u32 left = max(q->sq.mask, q->rq.q.mask) / TBIB_FLUSH_BATCH + 1;
	unsigned long flags;
	bool more;

	do {
		spin_lock_irqsave(&q->lock, flags);
		tbib_sq_pull(q);
		tbib_recv_flush(q);
		more = tbib_vqp_flush_waits(q);
		spin_unlock_irqrestore(&q->lock, flags);
		cond_resched();
	} while (more && left--);
}

void tbib_vqp_sweep_init(struct tbib_vqp *q)
{
	INIT_WORK(&q->sweep_work, vqp_sweep);
}

int tbib_sweep_init(void)
{
	sweep_wq = alloc_ordered_workqueue("tbib_sweep", 0);
	return sweep_wq ? 0 : -ENOMEM;
}

/* every QP is gone */
void tbib_sweep_exit(void)
{
	destroy_workqueue(sweep_wq);
}
