// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trunk, sender: choosing rings, sending, rings that come and go.
 *
 * A train is in exactly one place, which its state names:
 *
 *	pull -> (QUEUED: lane's queue) -> SENT: ring's flying list
 *	  SENT -> QUEUED	its ring has got past it, or is down: lost
 *	  SENT, QUEUED -> ACKED	 acknowledged; released when no frame is posted
 *	  SENT, QUEUED -> DROPPED  the same by a reset
 */
#include "trunk_int.h"

#define TAGS_ASK	(TBIB_RAW_TAGS / 3) /* raw trains between ack requests */
#define EXPRESS_BURST	128		/* frames before bulk gets a turn */

/* ---- sending ----------------------------------------------------------- */

/* room for @frames in two trains */
static bool ring_fits_two(struct tbib_tx *tx, u32 ring, u32 frames)
{
	const struct tbib_tx_ring *r = &tx->ring[ring];

	return ring_credit(r) >= frames && r->n_tag + 2 <= TBIB_RAW_TAGS &&
	       tx->ops->room(tx, ring) >= frames;
}

/* no ring takes a train: count why, and see to it that lost credit is found */
static int no_ring(struct tbib_tx *tx, u32 mask, u32 frames, u64 now)
{
	bool credit = true, tags = true;
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_tx_ring *r = &tx->ring[i];

		if (!(mask & 1u << i))
			continue;
		if (r->n_tag < TBIB_RAW_TAGS)
			tags = false;
		if (ring_credit(r) >= frames)
			continue;
		credit = false;
		if (!r->probe_at)
			tbib_tx_arm(tx, r, now);
	}
	if (!credit)
		tx->stats.no_credit++;
	else if (tags)
		tx->stats.no_window++;
	else
		tx->stats.no_room++;
	return -1;
}

/*
 * The ring on which @frames would be through first: frames in flight over the
 * rate, compared without division. Return: -1 when none takes them now.
 */
static int pick_ring(struct tbib_tx *tx, u32 lane, u32 frames, u64 now)
{
	u32 mask = tx->lane[lane].rings;
	u64 best_load = 0;
	int best = -1;
	u32 i;

	for (i = 0; mask >> i; i++) {
		const struct tbib_tx_ring *r = &tx->ring[i];
		u64 load = (u64)r->inflight + frames;

		if (!(mask & 1u << i) || ring_credit(r) < frames ||
		    (frames > 1 && r->n_tag == TBIB_RAW_TAGS))
			continue;
		if (best >= 0 && load * tx->ring[best].weight >=
				 best_load * r->weight)
			continue;
		if (tx->ops->room(tx, i) < frames)
			continue;
		best = (int)i;
		best_load = load;
	}
	return best >= 0 ? best : no_ring(tx, mask, frames, now);
}

/*
 * Ask for an ack at the end of the receiver's poll when half of the window or
 * of the ring's credit is used (and again at each further eighth), well before
 * the tags run out, and when nothing follows but somebody waits for a note.
 */
static bool want_ack(struct tbib_tx_lane *l, const struct tbib_tx_ring *r,
		     const struct tbib_train *t, bool more)
{
	if (t->flags & TBIB_FF_ACK_REQ || (l->noted && !more))
		return true;
	if (t->seq - l->una >= TBIB_WINDOW / 2 &&
	    t->seq - l->asked >= TBIB_WINDOW / 8)
		return true;
	if (r->raw_since >= TAGS_ASK)
		return true;
	return ring_credit(r) < r->window / 2 &&
	       r->sent - r->asked >= r->window / 8;
}

static void train_header(struct tbib_tx *tx, struct tbib_train *t, u32 ring,
			 bool more, struct tbib_frame_hdr *h)
{
	struct tbib_tx_lane *l = &tx->lane[t->lane];
	struct tbib_tx_ring *r = &tx->ring[ring];

	h->kind = TBIB_KIND_TRAIN;
	h->flags = t->flags & (TBIB_FF_MARK | TBIB_FF_BMARK);
	h->flags |= t->lane | (u8)(t->tag << TBIB_FF_TAG_SHIFT);
	h->dlid = t->dlid;
	h->slid = t->slid;
	h->hop_limit = t->hop_limit;
	h->n_raw = t->n_raw;
	h->dest_epoch = t->dest_epoch;
	h->cookie = r->cookie;
	h->seq = t->seq;
	h->ack = tx->ack_next[t->lane];
	h->ring_frame = r->sent;
	h->credit = tx->ack_limit[ring];
	h->pkt_len = t->pkt_len;
	h->n_pkt = t->n_pkt;
	l->noted |= t->n_note > 0;
	if (want_ack(l, r, t, more)) {
		h->flags |= TBIB_FF_ACK_REQ;
		l->asked = t->seq;
		l->noted = false;
		r->asked = r->sent;
		r->raw_since = 0;
	}
}

static void count_sent(struct tbib_tx *tx, const struct tbib_train *t)
{
	if (t->tries > 1) {
		tx->stats.retries++;
		return;
	}
	tx->stats.trains++;
	tx->stats.frames += train_frames(t);
	tx->stats.packets += t->n_pkt;
	tx->stats.bytes += t->pkt_len + t->raw_bytes;
}

static void take_tag(struct tbib_tx_ring *r, struct tbib_train *t)
{
	if (!t->n_raw) {
		t->tag = 0;
		return;
	}
	do	/* pick_ring() has seen that one is free */
		r->tag = r->tag + 1 < TBIB_RAW_TAGS ? r->tag + 1 : 0;
	while (r->tags & 1u << r->tag);
	r->tags |= (u16)(1u << r->tag);
	r->n_tag++;
	r->raw_since++;
	t->tag = r->tag;
}

static void send_train(struct tbib_tx *tx, struct tbib_train *t, u32 ring,
		       bool more, u64 now)
{
	struct tbib_tx_ring *r = &tx->ring[ring];
	struct tbib_frame_hdr h;
	u16 raw_len[TBIB_MAX_RAW];
	u32 i, len;

	take_tag(r, t);
	train_header(tx, t, ring, more, &h);
	for (i = 0; i < t->n_raw; i++)
		raw_len[i] = t->raw[i].len;
	len = tbib_frame_encode(t->hdr, &h, raw_len);

	r->sent += train_frames(t);
	t->ring = (u8)ring;
	t->ring_end = r->sent;
	t->sent_at = now;
	if (t->tries < 0xff)
		t->tries++;
	t->posted = (u8)train_frames(t);
	t->state = TBIB_TRAIN_SENT;
	train_list_insert(&r->flying, r->flying.tail, t);
	r->inflight += train_frames(t);
	if (r->flying.head == t || !r->probe_at)
		tbib_tx_arm(tx, r, now);
	if (t->lane == TBIB_LANE_EXPRESS)
		tx->express_burst += train_frames(t);
	else
		tx->express_burst = 0;
	count_sent(tx, t);
	tx->ops->xmit(tx, ring, t, len);
}

/*
 * Trains that were lost, or pulled and not sent.
 * Return: false when one of them waits for a ring: nothing newer may go then.
 */
static bool run_queue(struct tbib_tx *tx, u32 lane, u64 now, u32 *budget)
{
	struct tbib_train_list *q = &tx->lane[lane].queue;
	struct tbib_train *t, *next;

	for (t = q->head; t; t = next) {
		int ring;

		next = t->next;
		/* its buffers belong to the old ring until that gave them back */
		if (t->posted)
			continue;
		if (!*budget)
			return false;
		ring = pick_ring(tx, lane, train_frames(t), now);
		if (ring < 0)
			return false;
		train_list_del(q, t);
		send_train(tx, t, (u32)ring, next != NULL, now);
		--*budget;
	}
	return true;
}

static bool window_open(const struct tbib_tx_lane *l)
{
	return l->next_seq - l->una < TBIB_WINDOW &&
	       l->out + TBIB_TRAIN_FRAMES <= TBIB_WINDOW_FRAMES;
}

static struct tbib_train *pull_train(struct tbib_tx *tx, u32 lane)
{
	struct tbib_tx_lane *l = &tx->lane[lane];
	struct tbib_train *t = tx->ops->pull(tx, lane);

	if (!t)
		return NULL;
	t->lane = (u8)lane;
	t->seq = l->next_seq++;
	t->tries = 0;
	t->posted = 0;
	l->slot[t->seq % TBIB_WINDOW] = t;
	l->frames[t->seq % TBIB_WINDOW] = (u8)train_frames(t);
	l->out += train_frames(t);
	tx->n_out++;
	return t;
}

/*
 * Pull and send on @ring while it takes full trains. The next train is pulled
 * before one is sent, to know whether it is the last.
 * Return: false when there was nothing more to pull.
 */
static bool run_streak(struct tbib_tx *tx, u32 lane, int ring, u64 now,
		       u32 *budget)
{
	struct tbib_tx_lane *l = &tx->lane[lane];
	struct tbib_train *t = pull_train(tx, lane);
	bool dry = !t;

	while (t) {
		struct tbib_train *next = NULL;

		--*budget;
		if (*budget && window_open(l) &&
		    ring_fits_two(tx, (u32)ring,
				  train_frames(t) + TBIB_TRAIN_FRAMES)) {
			next = pull_train(tx, lane);
			dry = !next;
		}
		send_train(tx, t, (u32)ring, next != NULL, now);
		t = next;
		if (!t)
			break;
		ring = pick_ring(tx, lane, train_frames(t), now);
		if (ring < 0) {	/* the host's room shrank meanwhile */
			tbib_tx_enqueue(tx, t);
			break;
		}
	}
	return !dry;
}

static void run_lane(struct tbib_tx *tx, u32 lane, u64 now, u32 *budget)
{
	struct tbib_tx_lane *l = &tx->lane[lane];
	int ring;

	if (!l->rings || !run_queue(tx, lane, now, budget))
		return;
	while (*budget) {
		if (!window_open(l)) {
			tx->stats.no_window++;
			return;
		}
		ring = pick_ring(tx, lane, TBIB_TRAIN_FRAMES, now);
		if (ring < 0)
			return;
		if (!run_streak(tx, lane, ring, now, budget))
			break;
	}
	/* bulk had nothing to send: express did not keep it from anything */
	if (lane == TBIB_LANE_BULK && *budget)
		tx->express_burst = 0;
}

u32 tbib_tx_run(struct tbib_tx *tx, u64 now, u32 budget)
{
	u32 left = budget, turn = 1;

	if (budget && tx->express_burst >= EXPRESS_BURST) {
		run_lane(tx, TBIB_LANE_BULK, now, &turn);
		left -= 1 - turn;
	}
	run_lane(tx, TBIB_LANE_EXPRESS, now, &left);
	run_lane(tx, TBIB_LANE_BULK, now, &left);
	return budget - left;
}

u32 tbib_tx_control(struct tbib_tx *tx, unsigned int ring,
		    enum tbib_ctrl_type type, const struct tbib_ack *ack,
		    u8 *buf)
{
	struct tbib_tx_ring *r = &tx->ring[ring];
	struct tbib_frame_hdr h;

	if (!r->up)
		return 0;
	memset(&h, 0, sizeof(h));
	h.kind = TBIB_KIND_CONTROL;
	h.dlid = TBIB_LID_NEIGHBOUR;
	h.hop_limit = 1;
	h.cookie = r->cookie;
	h.ring_frame = r->sent++;
	h.credit = tx->ack_limit[ring];
	h.n_pkt = (u16)type;
	if (ack)
		h.pkt_len = (u16)tbib_ack_encode(buf + TBIB_FRAME_HDR, ack);
	tx->stats.ctrl++;
	return tbib_frame_encode(buf, &h, NULL);
}

/* ---- rings come and go --------------------------------------------------- */

bool tbib_tx_busy(const struct tbib_tx *tx)
{
	u32 i;

	for (i = 0; i < TBIB_LANES; i++)
		if (tx->lane[i].una != tx->lane[i].next_seq)
			return true;
	return false;
}

static void update_masks(struct tbib_tx *tx)
{
	u32 all = 0, mask[TBIB_LANES] = { 0 };
	u32 i, lane;

	for (i = 0; i < TBIB_RINGS; i++) {
		if (!tx->ring[i].up)
			continue;
		all |= 1u << i;
		for (lane = 0; lane < TBIB_LANES; lane++)
			if (tx->ring[i].lanes & 1u << lane)
				mask[lane] |= 1u << i;
	}
	for (lane = 0; lane < TBIB_LANES; lane++)
		tx->lane[lane].rings = mask[lane] ? mask[lane] : all;
}

void tbib_tx_init(struct tbib_tx *tx, const struct tbib_tx_ops *ops)
{
	memset(tx, 0, sizeof(*tx));
	tx->ops = ops;
}

void tbib_tx_ring_up(struct tbib_tx *tx, unsigned int ring, u32 cookie,
		     u32 my_cookie, u8 index, u8 lanes, u32 limit, u32 weight)
{
	struct tbib_tx_ring *r = &tx->ring[ring];

	tbib_tx_ring_down(tx, ring);
	memset(r, 0, sizeof(*r));
	r->up = true;
	r->lanes = lanes;
	r->index = index;
	r->cookie = cookie;
	r->my_cookie = my_cookie;
	r->limit = limit;
	r->window = limit;
	r->weight = weight ? weight : 1;
	update_masks(tx);
}

void tbib_tx_ring_down(struct tbib_tx *tx, unsigned int ring)
{
	struct tbib_tx_ring *r = &tx->ring[ring];

	tbib_tx_ground(tx, r);
	r->up = false;
	r->probe_at = 0;
	update_masks(tx);
}

void tbib_tx_reset(struct tbib_tx *tx)
{
	u32 i, seq;

	for (i = 0; i < TBIB_LANES; i++) {
		struct tbib_tx_lane *l = &tx->lane[i];

		for (seq = l->una; seq != l->next_seq; seq++) {
			struct tbib_train *t = l->slot[seq % TBIB_WINDOW];

			if (t)
				tbib_tx_drop(tx, t);
		}
		l->next_seq = 0;
		l->una = 0;
		l->out = 0;
		l->asked = 0;
		l->noted = false;
		tx->ack_next[i] = 0;
	}
	for (i = 0; i < TBIB_RINGS; i++)
		tx->ring[i].probe_at = 0;
	tx->express_burst = 0;
}
