/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two halves of the trunk's sender share: trunk_tx.c sends, and
 * trunk_retry.c takes acks, finds losses and keeps the probe timers.
 */
#ifndef TBIB_PROTO_TRUNK_INT_H
#define TBIB_PROTO_TRUNK_INT_H

#include "trunk.h"

#define TBIB_ALL_LANES	((1u << TBIB_LANES) - 1)

static inline u32 train_frames(const struct tbib_train *t)
{
	return 1u + t->n_raw;
}

static inline u32 ring_credit(const struct tbib_tx_ring *r)
{
	return tbib_before(r->sent, r->limit) ? r->limit - r->sent : 0;
}

/** train_list_insert() - put @t behind @pos, or first when @pos is NULL */
static inline void train_list_insert(struct tbib_train_list *l,
				     struct tbib_train *pos,
				     struct tbib_train *t)
{
	t->prev = pos;
	t->next = pos ? pos->next : l->head;
	if (t->next)
		t->next->prev = t;
	else
		l->tail = t;
	if (pos)
		pos->next = t;
	else
		l->head = t;
}

static inline void train_list_del(struct tbib_train_list *l,
				  struct tbib_train *t)
{
	if (t->next)
		t->next->prev = t->prev;
	else
		l->tail = t->prev;
	if (t->prev)
		t->prev->next = t->next;
	else
		l->head = t->next;
	t->next = NULL;
	t->prev = NULL;
}

/** tbib_tx_arm() - @r has something to wait for: set its probe deadline */
void tbib_tx_arm(const struct tbib_tx *tx, struct tbib_tx_ring *r, u64 now);
/** tbib_tx_ground() - take all trains that fly on @r into their queues */
void tbib_tx_ground(struct tbib_tx *tx, struct tbib_tx_ring *r);
/** tbib_tx_enqueue() - @t is on no list: put it into its lane's queue */
void tbib_tx_enqueue(struct tbib_tx *tx, struct tbib_train *t);
/** tbib_tx_drop() - @t is unacked: take it off and release it undelivered */
void tbib_tx_drop(struct tbib_tx *tx, struct tbib_train *t);

#endif
