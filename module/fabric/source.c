// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sources and the pull model: who has something to send waits on a ready list
 * of a lane of its egress trunk. When the trunk may send a train, it pulls one
 * from the head of the list; sources with the same destination share it.
 */
#include "priv.h"
#include "proto/qp.h"

#define PULL_TRIES	32	/* sources looked at for one train */
#define MIN_ROOM	128	/* a packet with less inline bytes is not worth it */
#define STALL_LOOKS	64	/* sources looked at for new ones that wait */
#define STALL_BATCH	16	/* of them told in one go; the next run tells more */
#define DROP_BATCH	64	/* packets of a source dropped in one go */

void tbib_source_init(struct tbib_source *src,
		      const struct tbib_source_ops *ops, u8 lane)
{
	INIT_LIST_HEAD(&src->ready);
	src->ops = ops;
	src->on = NULL;
	src->lane = lane;
	src->flags = 0;
}

void tbib_lane_init(struct tbib_lane_queue *lq, struct tbib_trunk *tr)
{
	spin_lock_init(&lq->ready_lock);
	INIT_LIST_HEAD(&lq->ready);
	lq->trunk = tr;
}

/* put @src on @lq; @head: it was taken from there and not used */
static void lane_push(struct tbib_lane_queue *lq, struct tbib_source *src,
		      bool head)
{
	unsigned long flags;

	spin_lock_irqsave(&lq->ready_lock, flags);
	if (!test_bit(TBIB_SRC_DEAD, &src->flags) &&
	    !test_and_set_bit(TBIB_SRC_QUEUED, &src->flags)) {
		src->on = lq;
		if (head)
			list_add(&src->ready, &lq->ready);
		else
			list_add_tail(&src->ready, &lq->ready);
	}
	spin_unlock_irqrestore(&lq->ready_lock, flags);
}

static struct tbib_source *lane_pop(struct tbib_lane_queue *lq)
{
	struct tbib_source *src;
	unsigned long flags;

	if (list_empty(&lq->ready))
		return NULL;
	spin_lock_irqsave(&lq->ready_lock, flags);
	src = list_first_entry_or_null(&lq->ready, struct tbib_source, ready);
	if (src) {
		list_del_init(&src->ready);
		src->on = NULL;
		/* from here on ready() queues it again: nothing is missed */
		clear_bit(TBIB_SRC_QUEUED, &src->flags);
	}
	spin_unlock_irqrestore(&lq->ready_lock, flags);
	return src;
}

static void push_to(struct tbib_trunk *tr, struct tbib_source *src)
{
	lane_push(&tr->lane[src->lane % TBIB_LANES], src, false);
	tbib_trunk_want(tr);
}

void tbib_source_ready(struct tbib_node *node, struct tbib_source *src,
		       struct tbib_peer *peer)
{
	/*
	 * Who puts it on a list again after we have looked takes the source's
	 * lock after clearing the bit, and so sees what the caller has to send.
	 */
	if (test_bit(TBIB_SRC_QUEUED, &src->flags))
		return;
	rcu_read_lock();
	push_to(tbib_egress(to_priv(node), peer), src);
	rcu_read_unlock();
}

static void forget_notes(struct tbib_trunk *tr, struct tbib_source *src)
{
	u32 i, k;

	for (i = 0; i < tr->n_train; i++) {
		struct tbib_train *t = &tr->trains[i].t;

		for (k = 0; k < t->n_note; k++)
			if (t->note[k].owner == src)
				t->note[k].owner = NULL;
	}
}

static void lane_forget(struct tbib_lane_queue *lq, struct tbib_source *src)
{
	unsigned long flags;

	/* taken also when it is not there: who adds it now sees that it died */
	spin_lock_irqsave(&lq->ready_lock, flags);
	if (src->on == lq) {
		list_del_init(&src->ready);
		src->on = NULL;
		clear_bit(TBIB_SRC_QUEUED, &src->flags);
	}
	spin_unlock_irqrestore(&lq->ready_lock, flags);
}

void tbib_source_kill(struct tbib_node *node, struct tbib_source *src)
{
	struct tbib_priv *priv = to_priv(node);
	u32 n, i, l;

	set_bit(TBIB_SRC_DEAD, &src->flags);
	/* a trunk that is made from here on sees the bit */
	smp_mb__after_atomic();
	n = smp_load_acquire(&priv->n_trunk);
	for (i = 0; i < n; i++) {
		struct tbib_trunk *tr = priv->trunk[i];

		/* callbacks run with this lock: none does after it */
		tbib_trunk_lock(tr);
		for (l = 0; l < TBIB_LANES; l++)
			lane_forget(&tr->lane[l], src);
		forget_notes(tr, src);
		tbib_trunk_unlock(tr);
	}
}

/* @src goes on: it does not wait for room any more */
static void unstall(struct tbib_source *src)
{
	if (test_bit(TBIB_SRC_STALLED, &src->flags) &&
	    test_and_clear_bit(TBIB_SRC_STALLED, &src->flags) &&
	    src->ops->stalled)
		src->ops->stalled(src, false);
}

static struct tbib_train *open_train(struct tbib_trunk *tr, unsigned int lane,
				     struct tbib_peer *peer)
{
	struct tbib_node *node = &tr->priv->node;
	struct tbib_train *t = tr->free;

	if (!t)
		return NULL;
	tr->free = t->next;
	tbib_train_init(t, READ_ONCE(peer->lid), node->lid,
			READ_ONCE(peer->epoch), lane);
	if (READ_ONCE(peer->marked)) {
		WRITE_ONCE(peer->marked, false);
		t->flags |= TBIB_FF_BMARK;
	}
	return t;
}

/* struct pull - a train being filled */
struct pull {
	struct tbib_train *t;
	struct tbib_peer *to;
	struct tbib_source *paced;	/* first one that must wait */
};

enum turn {
	TURN_FILL,	/* it may fill the train */
	TURN_NEXT,	/* it has gone elsewhere, or waits: look at the next */
	TURN_STOP,	/* the train is finished */
};

/* its destination must be sent to more slowly */
static enum turn turn_paced(struct tbib_trunk *tr, struct tbib_lane_queue *lq,
			    struct tbib_source *src, struct pull *p, u64 until)
{
	tr->retry_at = tr->retry_at ? min(tr->retry_at, until) : until;
	lane_push(lq, src, false);
	if (p->paced == src)
		return TURN_STOP;	/* once round */
	p->paced = p->paced ?: src;
	return TURN_NEXT;
}

/* @src was taken from the head of @lane: what is to be done with it? */
static enum turn source_turn(struct tbib_trunk *tr, unsigned int lane,
			     struct tbib_source *src, struct tbib_dest *d,
			     struct pull *p)
{
	struct tbib_lane_queue *lq = &tr->lane[lane];
	struct tbib_trunk *out;
	u64 until;

	d->peer = NULL;
	d->ah = NULL;
	if (!src->ops->dest(src, d)) {
		unstall(src);
		return TURN_NEXT;
	}
	out = tbib_egress(tr->priv, d->peer);
	if (out != tr || src->lane != lane) {
		unstall(src);
		push_to(out, src);
		return TURN_NEXT;
	}
	if (p->t && d->peer != p->to) {
		lane_push(lq, src, true);
		return TURN_STOP;
	}
	if (p->t)
		return TURN_FILL;
	until = tbib_pace_wait(d->peer);
	if (until)
		return turn_paced(tr, lq, src, p, until);
	p->t = open_train(tr, lane, d->peer);
	if (!p->t) {
		lane_push(lq, src, true);
		return TURN_STOP;
	}
	p->to = d->peer;
	return TURN_FILL;
}

/* Return: true when others may add to the train */
static bool source_fill(struct tbib_trunk *tr, struct tbib_source *src,
			const struct tbib_dest *d, struct tbib_train *t)
{
	u16 before = t->n_pkt;

	unstall(src);
	if (src->ops->fill(src, t, d) != TBIB_FILL_MORE)
		return tbib_train_room(t) >= MIN_ROOM;
	/* not "want": who pulls goes on while it is worth while */
	lane_push(&tr->lane[src->lane % TBIB_LANES], src, false);
	/* it found the train full; or it lacks pages: let the others try */
	return t->n_pkt == before && !before;
}

/*
 * tbib_source_pull() - a train filled by ready sources of @lane, or NULL
 * tx lock held, under rcu_read_lock.
 */
struct tbib_train *tbib_source_pull(struct tbib_trunk *tr, unsigned int lane)
{
	struct tbib_source *src;
	struct pull p = { };
	struct tbib_dest d;
	int tries;

	for (tries = 0; tries < PULL_TRIES; tries++) {
		enum turn turn = TURN_STOP;

		src = lane_pop(&tr->lane[lane]);
		if (src)
			turn = source_turn(tr, lane, src, &d, &p);
		if (turn == TURN_STOP)
			break;
		if (turn == TURN_FILL && !source_fill(tr, src, &d, p.t))
			break;
	}
	if (!p.t) {
		/* that many had nothing to send: the others have their turn */
		if (tries == PULL_TRIES && !p.paced)
			tbib_trunk_want(tr);
		return NULL;
	}
	if (p.t->n_pkt) {
		tbib_pace_sent(tr->priv, p.to, p.t->pkt_len + p.t->raw_bytes);
		return p.t;
	}
	p.t->next = tr->free;
	tr->free = p.t;
	if (!list_empty(&tr->lane[lane].ready))
		tr->retry_at = ktime_get_ns() + NSEC_PER_MSEC;
	return NULL;
}

/* get rid of what @src has for nowhere. Return: where it goes on, or NULL. */
static struct tbib_trunk *drop_all(struct tbib_trunk *tr,
				   struct tbib_source *src)
{
	struct tbib_dest d;
	int i;

	for (i = 0; i < DROP_BATCH; i++) {
		struct tbib_trunk *out;

		if (!src->ops->dest(src, &d))
			return NULL;
		out = tbib_egress(tr->priv, d.peer);
		if (out != tr)
			return out;
		src->ops->drop(src);
		tr->priv->no_route++;
	}
	return tr;
}

/*
 * tbib_source_run_null() - what cannot be routed is dropped by its source
 * tx lock held, under rcu_read_lock. "want" is set when some is left.
 */
void tbib_source_run_null(struct tbib_trunk *tr)
{
	struct tbib_source *src;
	int tries;
	u32 l;

	for (l = 0; l < TBIB_LANES; l++) {
		for (tries = 0; tries < PULL_TRIES; tries++) {
			struct tbib_trunk *out;

			src = lane_pop(&tr->lane[l]);
			if (!src)
				break;
			unstall(src);
			out = drop_all(tr, src);
			if (out)
				push_to(out, src);
		}
		if (tries == PULL_TRIES)
			tbib_trunk_want(tr);
	}
}

/*
 * tbib_source_mark_stalled() - tell those who wait that they wait for us
 * tx lock held. New ones stand at the tail, so only its end is looked at.
 */
void tbib_source_mark_stalled(struct tbib_trunk *tr, unsigned int lane)
{
	struct tbib_lane_queue *lq = &tr->lane[lane];
	struct tbib_source *src, *batch[STALL_BATCH];
	unsigned long flags;
	int n = 0, looks = 0;

	if (list_empty(&lq->ready))
		return;
	spin_lock_irqsave(&lq->ready_lock, flags);
	list_for_each_entry_reverse(src, &lq->ready, ready) {
		if (n == STALL_BATCH || looks++ == STALL_LOOKS)
			break;
		if (!test_and_set_bit(TBIB_SRC_STALLED, &src->flags))
			batch[n++] = src;
	}
	spin_unlock_irqrestore(&lq->ready_lock, flags);
	/* their owners cannot get rid of them while we hold the tx lock */
	while (n--)
		if (batch[n]->ops->stalled)
			batch[n]->ops->stalled(batch[n], true);
}

/* every source of @tr chooses its trunk again, on its new route */
static void resettle(struct tbib_trunk *tr)
{
	struct tbib_source *src;
	struct tbib_dest d;
	u32 l, n;

	tbib_trunk_lock(tr);
	for (l = 0; l < TBIB_LANES; l++) {
		unsigned long flags;

		n = 0;
		spin_lock_irqsave(&tr->lane[l].ready_lock, flags);
		list_for_each_entry(src, &tr->lane[l].ready, ready)
			n++;
		spin_unlock_irqrestore(&tr->lane[l].ready_lock, flags);
		while (n-- && (src = lane_pop(&tr->lane[l]))) {
			unstall(src);
			if (src->ops->dest(src, &d))
				push_to(tbib_egress(tr->priv, d.peer), src);
		}
	}
	tbib_trunk_unlock(tr);
}

/* tbib_source_resettle() - routes have changed. Under priv->mutex. */
void tbib_source_resettle(struct tbib_priv *priv)
{
	u32 i;

	for (i = 0; i < priv->n_trunk; i++)
		resettle(priv->trunk[i]);
	tbib_fabric_kick(&priv->node);
}

/*
 * tbib_source_unstall() - the last cable is out: waiting for room is over,
 * timers of those who wait run on. Process context.
 */
void tbib_source_unstall(struct tbib_trunk *tr)
{
	resettle(tr);
}
