// SPDX-License-Identifier: GPL-2.0-only
/*
 * One timer per QP for everything that the core times, and for the sweep of a
 * user's queues in ERR (sweep.c). It is left alone when it fires earlier than needed:
 * posting moves deadlines far more often than one of them passes.
 */
#include "verbs/ibdev.h"

/* one interrupt serves several timers when each may be a little late */
#define SLACK_MAX	(250 * NSEC_PER_USEC)

static u64 next_deadline(const struct tbib_vqp *q)
{
	return tbib_earlier(tbib_qp_deadline(&q->core), q->sweep_at);
}

static void arm(struct tbib_vqp *q, u64 at)
{
	u64 now = ktime_get_ns();
	u64 ahead = at > now ? at - now : 0;

	q->armed_at = at;
	hrtimer_start_range_ns(&q->timer, ns_to_ktime(at),
			       min(ahead / 4, SLACK_MAX),
			       HRTIMER_MODE_ABS_SOFT);
}

/* tbib_vqp_timer_arm() - make the timer fire for the next deadline; locked */
void tbib_vqp_timer_arm(struct tbib_vqp *q)
{
	u64 at = next_deadline(q);

	if (at && !q->dying && (!q->armed_at || q->armed_at > at))
		arm(q, at);
}

/* nothing is due yet; where messages take turns, the next ACK will be soon */
static void arm_again(struct tbib_vqp *q, u64 now)
{
	u64 at = next_deadline(q);

	if (at && q->core.resp.pingpong)
		at = min(at, now + TBIB_ACK_WAIT_MAX);
	if (at)
		arm(q, at);
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
			arm_again(q, now);
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
