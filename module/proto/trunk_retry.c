// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trunk, sender: acks, losses, release of trains, probe timers.
 *
 * An ack of a train costs O(1): it is unlinked from its ring's list. What is
 * then left at the head of the list, below the counter that the receiver has
 * got to, is lost.
 */
#include "trunk_int.h"

#define MS		1000000ull
#define RTO_MIN		(2 * MS)
#define RTO_MAX		(50 * MS)
#define ACK_DELAY	(1 * MS)	/* the receiver's TBIB_RX_ACK_SOON */
#define BACKOFF_MAX	5		/* 2 ms << 5 is beyond RTO_MAX */

/* ---- time ------------------------------------------------------------- */

static u64 rto(const struct tbib_tx *tx)
{
	u64 t = tx->srtt + 4 * tx->rttvar + ACK_DELAY;

	return t < RTO_MIN ? RTO_MIN : t < RTO_MAX ? t : RTO_MAX;
}

/* RFC 6298; only trains that were sent once (Karn) */
static void rtt_sample(struct tbib_tx *tx, u64 rtt)
{
	u64 err;

	if (rtt > RTO_MAX)
		rtt = RTO_MAX;
	if (!tx->srtt) {
		tx->srtt = rtt;
		tx->rttvar = rtt / 2;
		return;
	}
	err = rtt > tx->srtt ? rtt - tx->srtt : tx->srtt - rtt;
	tx->rttvar = tx->rttvar - tx->rttvar / 4 + err / 4;
	tx->srtt = tx->srtt - tx->srtt / 8 + rtt / 8;
}

void tbib_tx_arm(const struct tbib_tx *tx, struct tbib_tx_ring *r, u64 now)
{
	u64 t = rto(tx) << r->backoff;

	r->probe_at = now + (t < RTO_MAX ? t : RTO_MAX);
}

/* ---- trains leave ------------------------------------------------------ */

/* by sequence, so that what the receiver waits for longest goes first */
void tbib_tx_enqueue(struct tbib_tx *tx, struct tbib_train *t)
{
	struct tbib_train_list *q = &tx->lane[t->lane].queue;
	struct tbib_train *pos = q->tail;

	while (pos && tbib_before(t->seq, pos->seq))
		pos = pos->prev;
	train_list_insert(q, pos, t);
	t->state = TBIB_TRAIN_QUEUED;
}

static void train_finish(struct tbib_tx *tx, struct tbib_train *t, u8 state)
{
	t->state = state;
	if (t->posted)
		return;		/* tbib_tx_frame_done() goes on */
	t->state = TBIB_TRAIN_IDLE;
	tx->n_out--;
	tx->ops->release(tx, t, state == TBIB_TRAIN_ACKED);
}

static void flying_remove(struct tbib_tx *tx, struct tbib_train *t)
{
	struct tbib_tx_ring *r = &tx->ring[t->ring];

	train_list_del(&r->flying, t);
	r->inflight -= train_frames(t);
	if (t->n_raw) {
		r->tags &= (u16)~(1u << t->tag);
		r->n_tag--;
	}
}

/* off every list, whatever the state */
static void train_unlink(struct tbib_tx *tx, struct tbib_train *t)
{
	if (t->state == TBIB_TRAIN_SENT)
		flying_remove(tx, t);
	else
		train_list_del(&tx->lane[t->lane].queue, t);
	tx->lane[t->lane].slot[t->seq % TBIB_WINDOW] = NULL;
}

static void train_acked(struct tbib_tx *tx, struct tbib_train *t, u64 now)
{
	struct tbib_tx_ring *r = &tx->ring[t->ring];
	bool sent = t->state == TBIB_TRAIN_SENT;
	bool oldest = sent && r->flying.head == t;

	train_unlink(tx, t);
	/* only the oldest is progress: a lost tail must not hide behind others */
	if (oldest) {
		r->backoff = 0;
		if (r->flying.head)
			tbib_tx_arm(tx, r, now);
		else
			r->probe_at = 0;
	}
	train_finish(tx, t, TBIB_TRAIN_ACKED);
}

void tbib_tx_drop(struct tbib_tx *tx, struct tbib_train *t)
{
	train_unlink(tx, t);
	train_finish(tx, t, TBIB_TRAIN_DROPPED);
}

void tbib_tx_ground(struct tbib_tx *tx, struct tbib_tx_ring *r)
{
	struct tbib_train *t;

	while ((t = r->flying.head)) {
		flying_remove(tx, t);
		tbib_tx_enqueue(tx, t);
	}
}

void tbib_tx_frame_done(struct tbib_tx *tx, struct tbib_train *t)
{
	if (--t->posted)
		return;
	if (t->state == TBIB_TRAIN_ACKED || t->state == TBIB_TRAIN_DROPPED)
		train_finish(tx, t, t->state);
}

/* ---- acks -------------------------------------------------------------- */

static void ack_sacked(struct tbib_tx *tx, struct tbib_tx_lane *l, u32 seq,
		       u64 bits, u64 now)
{
	for (; bits; bits >>= 1, seq++) {
		struct tbib_train *t = l->slot[seq % TBIB_WINDOW];

		if (bits & 1 && t && t->seq == seq)
			train_acked(tx, t, now);
	}
}

static void ack_cumulative(struct tbib_tx *tx, struct tbib_tx_lane *l,
			   u32 next, u64 now)
{
	struct tbib_train *t;

	if (next != l->una) {
		t = l->slot[(next - 1) % TBIB_WINDOW];
		if (t && t->tries == 1)
			rtt_sample(tx, now - t->sent_at);
	}
	for (; l->una != next; l->una++) {
		t = l->slot[l->una % TBIB_WINDOW];
		l->out -= l->frames[l->una % TBIB_WINDOW];
		if (t)
			train_acked(tx, t, now);
	}
}

static void ack_lane(struct tbib_tx *tx, struct tbib_tx_lane *l,
		     const struct tbib_ack *ack, u32 lane, u64 now)
{
	u32 next = ack->next[lane];

	if (next - l->una <= l->next_seq - l->una)
		ack_cumulative(tx, l, next, now);
	else if (!tbib_before(next, l->una))
		return;		/* trains that do not exist */
	/*
	 * An old ack, overtaken by a train header, still has to say what had
	 * arrived out of order: its ring counters are about to be believed.
	 */
	if (!ack->full)
		return;
	ack_sacked(tx, l, next + 1, ack->sack[lane][0], now);
	ack_sacked(tx, l, next + 65, ack->sack[lane][1], now);
}

/* the receiver has got to @seen: what is before and was not acked is lost */
static void ring_lost(struct tbib_tx *tx, struct tbib_tx_ring *r, u32 seen,
		      u64 now)
{
	struct tbib_train *t = r->flying.head;
	bool any = false;

	if (tbib_before(r->sent, seen))
		return;		/* it cannot have seen what was never sent */
	for (; t && !tbib_before(seen, t->ring_end); t = r->flying.head) {
		flying_remove(tx, t);
		tbib_tx_enqueue(tx, t);
		any = true;
	}
	if (!any)
		return;
	r->backoff = 0;
	r->probe_at = 0;
	if (r->flying.head)
		tbib_tx_arm(tx, r, now);
}

static void ack_ring(struct tbib_tx *tx, const struct tbib_ack_ring *a,
		     const struct tbib_ack *ack, u64 now)
{
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_tx_ring *r = &tx->ring[i];
		u32 cookie = ack->full ? r->cookie : r->my_cookie;

		if (!r->up || r->index != a->index || cookie != a->cookie)
			continue;
		if (tbib_before(r->limit, a->limit))
			r->limit = a->limit;
		/* seen speaks of both lanes' trains */
		if (ack->full && ack->lanes == TBIB_ALL_LANES)
			ring_lost(tx, r, a->seen, now);
		return;
	}
}

void tbib_tx_ack(struct tbib_tx *tx, const struct tbib_ack *ack, u64 now)
{
	u32 i;

	for (i = 0; i < TBIB_LANES; i++)
		if (ack->lanes & 1u << i)
			ack_lane(tx, &tx->lane[i], ack, i, now);
	/* after the lanes: what they acked is no longer on a list */
	for (i = 0; i < ack->n_ring && i < TBIB_RINGS; i++)
		ack_ring(tx, &ack->ring[i], ack, now);
}

/* ---- probes ------------------------------------------------------------ */

u64 tbib_tx_deadline(const struct tbib_tx *tx)
{
	u64 first = 0;
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		u64 at = tx->ring[i].probe_at;

		if (at && (!first || at < first))
			first = at;
	}
	return first;
}

u32 tbib_tx_timer(struct tbib_tx *tx, u64 now)
{
	u32 mask = 0, i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_tx_ring *r = &tx->ring[i];

		if (!r->probe_at || now < r->probe_at)
			continue;
		if (!r->flying.head && ring_credit(r) >= TBIB_TRAIN_FRAMES) {
			r->probe_at = 0;	/* credit came meanwhile */
			r->backoff = 0;
			continue;
		}
		if (r->backoff < BACKOFF_MAX)
			r->backoff++;
		tbib_tx_arm(tx, r, now);
		tx->stats.probes++;
		mask |= 1u << i;
	}
	return mask;
}
