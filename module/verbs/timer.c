// SPDX-License-Identifier: GPL-2.0-only
/*
 * One timer per QP for everything that the core times, and for the sweep of a
 * user's queues in ERR (sweep.c). It is left alone when it fires earlier than needed:
 * posting moves deadlines far more often than one of them passes.
 */
#include "verbs/ibdev.h"

/* tbib_vqp_timer_arm() - make the timer fire for the next deadline; locked */
void tbib_vqp_timer_arm(struct tbib_vqp *q)
{
	u64 at = tbib_qp_deadline(&q->core);

	if (q->sweep_at && (!at || q->sweep_at < at))
		at = q->sweep_at;
	if (!at || q->dying || (q->armed_at && q->armed_at <= at))
		return;
	q->armed_at = at;
	hrtimer_start(&q->timer, ns_to_ktime(at), HRTIMER_MODE_ABS_SOFT);
}

static enum hrtimer_restart vqp_timer(struct hrtimer *timer)
{
	struct tbib_vqp *q = container_of(timer, struct tbib_vqp, timer);
	struct tbib_node *node = q->dev->node;
	unsigned long flags;
	bool kick = false;
	u64 now, at;

	spin_lock_irqsave(&q->lock, flags);
	q->armed_at = 0;
	if (!q->dying) {
		now = ktime_get_ns();
		if (q->sweep_at && q->sweep_at <= now) {
			q->sweep_at = 0;
			tbib_vqp_sweep_soon(q);
		}
		at = tbib_qp_deadline(&q->core);
		if (at && at <= now) {
			tbib_qp_timer(&q->core, now);
			kick = tbib_vqp_after(q);
		} else {
			tbib_vqp_timer_arm(q);
		}
	}
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		tbib_fabric_kick(node);
	return HRTIMER_NORESTART;
}

void tbib_vqp_timer_init(struct tbib_vqp *q)
{
	hrtimer_setup(&q->timer, vqp_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_SOFT);
}
