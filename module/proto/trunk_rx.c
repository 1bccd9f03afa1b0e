// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trunk, receiver: assembling trains on each ring, putting them in order in
 * each lane, saying what has arrived.
 *
 * Whatever arrives on a ring is at least one frame that was sent on it, so it
 * is counted; a good header says the true number. A train is kept only when
 * its header and all raw frames came in a row with the right tags and lengths.
 */
#include "trunk.h"

#define ACK_TRAINS	16	/* an ack is due after that many */
#define ALL_LANES	((1u << TBIB_LANES) - 1)

/* ---- slots ------------------------------------------------------------- */

static struct tbib_rx_slot *slot_get(struct tbib_rx *rx)
{
	struct tbib_rx_slot *s = rx->free;

	if (!s)
		return NULL;
	rx->free = s->next_free;
	s->next_free = NULL;
	s->n_page = 0;
	return s;
}

static void slot_put(struct tbib_rx *rx, struct tbib_rx_slot *s)
{
	u32 i;

	for (i = 0; i < s->n_page; i++)
		rx->ops->put(rx, s->page[i]);
	s->n_page = 0;
	s->next_free = rx->free;
	rx->free = s;
}

void tbib_rx_train_free(struct tbib_rx *rx, struct tbib_rx_train *t)
{
	slot_put(rx, (struct tbib_rx_slot *)t);
}

/* the train being assembled will not become whole */
static void ring_tear(struct tbib_rx *rx, struct tbib_rx_ring *r)
{
	if (!r->cur)
		return;
	slot_put(rx, r->cur);
	r->cur = NULL;
	rx->stats.torn++;
}

/* ---- lanes ------------------------------------------------------------- */

static u64 seq_bit(u32 seq)
{
	return 1ull << seq % 64;
}

static u64 *seq_word(struct tbib_rx_lane *l, u32 seq)
{
	return &l->held[seq % TBIB_WINDOW / 64];
}

static void lane_hold(struct tbib_rx_lane *l, struct tbib_rx_slot *s)
{
	u32 seq = s->t.h.seq;

	l->slot[seq % TBIB_WINDOW] = s;
	*seq_word(l, seq) |= seq_bit(seq);
	l->n_held++;
	l->held_pages += s->n_page;
}

static struct tbib_rx_slot *lane_take(struct tbib_rx_lane *l, u32 seq)
{
	struct tbib_rx_slot *s = l->slot[seq % TBIB_WINDOW];

	if (!s)
		return NULL;
	l->slot[seq % TBIB_WINDOW] = NULL;
	*seq_word(l, seq) &= ~seq_bit(seq);
	l->n_held--;
	l->held_pages -= s->n_page;
	return s;
}

static bool lane_has(const struct tbib_rx_lane *l, u32 seq)
{
	return tbib_before(seq, l->next) || l->slot[seq % TBIB_WINDOW];
}

/* bits of next + 1 .. next + 128, from bits by sequence mod 128 */
static void lane_sack(const struct tbib_rx_lane *l, u64 *sack)
{
	u32 first = (l->next + 1) % TBIB_WINDOW;
	u64 lo = l->held[first / 64], hi = l->held[1 - first / 64];
	u32 n = first % 64;

	sack[0] = n ? lo >> n | hi << (64 - n) : lo;
	sack[1] = n ? hi >> n | lo << (64 - n) : hi;
}

static void deliver(struct tbib_rx *rx, struct tbib_rx_lane *l,
		    struct tbib_rx_slot *s)
{
	l->next++;
	rx->ops->deliver(rx, &s->t);
}

/* a whole train: in order, early, or known already */
static u32 train_complete(struct tbib_rx *rx, struct tbib_rx_ring *r,
			  struct tbib_rx_slot *s)
{
	struct tbib_rx_lane *l = &rx->lane[s->t.h.flags & TBIB_FF_LANE];
	u32 seq = s->t.h.seq, ret = TBIB_RX_ACK_SOON;

	r->cur = NULL;
	/* a second copy may have been assembled on another ring meanwhile */
	if (lane_has(l, seq)) {
		rx->stats.duplicate++;
		slot_put(rx, s);
		return TBIB_RX_ACK_NOW;
	}
	if (s->t.h.flags & TBIB_FF_ACK_REQ || ++rx->since_ack >= ACK_TRAINS ||
	    r->seen - r->acked >= r->buffers / 4)
		ret = TBIB_RX_ACK_NOW;
	if (seq != l->next) {
		/* an honest sender stays below; memory is bounded anyway */
		if (l->held_pages + s->n_page > TBIB_WINDOW_FRAMES) {
			rx->stats.no_slot++;
			slot_put(rx, s);
			return TBIB_RX_ACK_SOON;
		}
		lane_hold(l, s);
	} else {
		deliver(rx, l, s);
		while (l->n_held && (s = lane_take(l, l->next)))
			deliver(rx, l, s);
	}
	return ret;
}

/* ---- header frames ----------------------------------------------------- */

/* tell the sender half what the header of a train says, if it is news */
static void header_ack(struct tbib_rx *rx, struct tbib_rx_ring *r,
		       const struct tbib_frame_hdr *h)
{
	u32 lane = h->flags & TBIB_FF_LANE;
	struct tbib_rx_lane *l = &rx->lane[lane];
	struct tbib_ack ack;

	if (l->told && r->told && h->ack == l->peer_ack &&
	    h->credit == r->peer_credit)
		return;
	l->told = true;
	l->peer_ack = h->ack;
	r->told = true;
	r->peer_credit = h->credit;

	ack.lanes = (u8)(1u << lane);
	ack.full = false;
	ack.n_ring = 1;
	ack.next[lane] = h->ack;
	ack.ring[0].cookie = r->cookie;
	ack.ring[0].index = r->index;
	ack.ring[0].seen = 0;
	ack.ring[0].limit = h->credit;
	rx->ops->ack(rx, &ack);
}

static u32 rx_train(struct tbib_rx *rx, unsigned int ring,
		    const struct tbib_rx_buf *buf,
		    const struct tbib_frame_hdr *h, const u16 *raw_len)
{
	struct tbib_rx_ring *r = &rx->ring[ring];
	struct tbib_rx_lane *l = &rx->lane[h->flags & TBIB_FF_LANE];
	struct tbib_rx_slot *s;
	u32 i, ret = 0;

	r->skip = h->n_raw;
	header_ack(rx, r, h);
	if (!tbib_before(h->seq, l->next) && h->seq - l->next >= TBIB_WINDOW) {
		rx->stats.bad_header++;
	} else if (lane_has(l, h->seq)) {
		rx->stats.duplicate++;
		ret = TBIB_RX_ACK_NOW;	/* it has missed our ack */
	} else {
		s = slot_get(rx);
		if (s)
			goto start;
		rx->stats.no_slot++;
		ret = TBIB_RX_ACK_SOON;
	}
	rx->ops->put(rx, buf->page);
	return ret;

start:
	r->skip = 0;
	r->cur = s;
	s->t.next = NULL;
	s->t.h = *h;
	s->t.pkts = buf->data + TBIB_FRAME_HDR;
	s->t.ring = (u8)ring;
	s->t.host = NULL;
	s->page[0] = buf->page;
	s->n_page = 1;
	rx->stats.trains++;
	rx->stats.packets += h->n_pkt;
	rx->stats.bytes += h->pkt_len;
	for (i = 0; i < h->n_raw; i++) {
		s->raw_len[i] = raw_len[i];
		rx->stats.bytes += raw_len[i];
	}
	return h->n_raw ? 0 : train_complete(rx, r, s);
}

static u32 rx_control(struct tbib_rx *rx, unsigned int ring,
		      const struct tbib_rx_buf *buf,
		      const struct tbib_frame_hdr *h)
{
	struct tbib_ack ack;
	u32 ret = h->n_pkt == TBIB_CTRL_PROBE ? TBIB_RX_ACK_NOW : 0;

	switch (h->n_pkt) {
	case TBIB_CTRL_ACK:
	case TBIB_CTRL_PROBE:
		if (tbib_ack_decode(buf->data + TBIB_FRAME_HDR, h->pkt_len,
				    &ack))
			rx->ops->ack(rx, &ack);
		else
			rx->stats.bad_header++;
		break;
	case TBIB_CTRL_BYE:
		rx->ops->bye(rx, ring);
		break;
	}
	rx->ops->put(rx, buf->page);
	return ret;
}

/* a frame that says nothing: it was one frame, and what it cut is torn */
static u32 rx_drop(struct tbib_rx *rx, struct tbib_rx_ring *r,
		   const struct tbib_rx_buf *buf)
{
	ring_tear(rx, r);
	r->skip = 0;
	r->seen++;
	rx->ops->put(rx, buf->page);
	return TBIB_RX_ACK_NOW;
}

static u32 rx_header(struct tbib_rx *rx, unsigned int ring,
		     const struct tbib_rx_buf *buf)
{
	struct tbib_rx_ring *r = &rx->ring[ring];
	u16 raw_len[TBIB_MAX_RAW];
	struct tbib_frame_hdr h;
	u32 ret = 0;

	switch (tbib_frame_decode(buf->data, buf->len, &h, raw_len)) {
	case TBIB_FRAME_OK:
		break;
	case TBIB_FRAME_CRC:
		rx->stats.crc++;
		return rx_drop(rx, r, buf);
	default:
		rx->stats.bad_header++;
		return rx_drop(rx, r, buf);
	}
	/*
	 * Another session's frame is not in this ring's counter; management
	 * datagrams never are.
	 */
	if (h.cookie != r->cookie) {
		rx->stats.stale_cookie++;
		rx->ops->put(rx, buf->page);
		return 0;
	}
	if (h.kind == TBIB_KIND_CONTROL && h.n_pkt == TBIB_CTRL_MGMT) {
		rx->ops->put(rx, buf->page);
		return 0;
	}
	if (h.ring_frame != r->seen || r->cur) {
		ring_tear(rx, r);
		rx->stats.gaps++;
		ret = TBIB_RX_ACK_GAP;
	}
	r->skip = 0;
	r->seen = h.ring_frame + 1;
	if (h.kind == TBIB_KIND_CONTROL)
		return ret | rx_control(rx, ring, buf, &h);
	return ret | rx_train(rx, ring, buf, &h, raw_len);
}

/* ---- raw frames -------------------------------------------------------- */

static u32 rx_raw(struct tbib_rx *rx, struct tbib_rx_ring *r,
		  const struct tbib_rx_buf *buf)
{
	struct tbib_rx_slot *s = r->cur;
	u32 i, tag;

	if (!s) {
		u8 skip = r->skip;
		u32 ret = rx_drop(rx, r, buf);

		if (!skip)
			return ret;
		r->skip = skip - 1;
		return 0;
	}
	i = s->n_page - 1u;
	tag = (s->t.h.flags & TBIB_FF_TAG) >> TBIB_FF_TAG_SHIFT;
	if (buf->eof != TBIB_PDF_RAW(tag) || buf->len != s->raw_len[i])
		return rx_drop(rx, r, buf);
	r->seen++;
	s->t.raw[i].data = buf->data;
	s->t.raw[i].len = buf->len;
	s->page[s->n_page++] = buf->page;
	return i + 1 == s->t.h.n_raw ? train_complete(rx, r, s) : 0;
}

u32 tbib_rx_frame(struct tbib_rx *rx, unsigned int ring,
		  const struct tbib_rx_buf *buf)
{
	struct tbib_rx_ring *r = &rx->ring[ring];

	rx->stats.frames++;
	if (!r->up) {
		rx->ops->put(rx, buf->page);
		return 0;
	}
	if (buf->bad || !buf->len || buf->len > TBIB_FRAME_SIZE) {
		rx->stats.crc++;
		return rx_drop(rx, r, buf);
	}
	if (buf->eof == TBIB_PDF_HEADER)
		return rx_header(rx, ring, buf);
	return rx_raw(rx, r, buf);
}

/* ---- acks -------------------------------------------------------------- */

u32 tbib_rx_limit(const struct tbib_rx *rx, unsigned int ring)
{
	return rx->ring[ring].seen + rx->ring[ring].buffers;
}

void tbib_rx_ack(struct tbib_rx *rx, struct tbib_ack *ack)
{
	u32 i;

	memset(ack, 0, sizeof(*ack));
	ack->full = true;
	ack->lanes = ALL_LANES;
	for (i = 0; i < TBIB_LANES; i++) {
		ack->next[i] = rx->lane[i].next;
		lane_sack(&rx->lane[i], ack->sack[i]);
	}
	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_rx_ring *r = &rx->ring[i];
		struct tbib_ack_ring *a = &ack->ring[ack->n_ring];

		if (!r->up)
			continue;
		a->cookie = r->cookie;
		a->index = r->index;
		a->seen = r->seen;
		a->limit = tbib_rx_limit(rx, i);
		r->acked = r->seen;
		ack->n_ring++;
	}
	rx->since_ack = 0;
}

void tbib_rx_told(struct tbib_rx *rx)
{
	rx->since_ack = 0;
}

/* ---- up, down, reset ----------------------------------------------------- */

void tbib_rx_init(struct tbib_rx *rx, const struct tbib_rx_ops *ops,
		  struct tbib_rx_slot *slots, u32 n_slots)
{
	u32 i;

	memset(rx, 0, sizeof(*rx));
	rx->ops = ops;
	for (i = 0; i < n_slots; i++) {
		slots[i].n_page = 0;
		slots[i].next_free = rx->free;
		rx->free = &slots[i];
	}
}

void tbib_rx_reset(struct tbib_rx *rx)
{
	u32 i, n;

	for (i = 0; i < TBIB_RINGS; i++)
		ring_tear(rx, &rx->ring[i]);
	for (i = 0; i < TBIB_LANES; i++) {
		struct tbib_rx_lane *l = &rx->lane[i];

		for (n = 0; n < TBIB_WINDOW; n++) {
			struct tbib_rx_slot *s = lane_take(l, n);

			if (s)
				slot_put(rx, s);
		}
		l->next = 0;
		l->told = false;
	}
	rx->since_ack = 0;
}

void tbib_rx_ring_up(struct tbib_rx *rx, unsigned int ring, u32 cookie,
		     u8 index, u32 buffers)
{
	struct tbib_rx_ring *r = &rx->ring[ring];

	tbib_rx_ring_down(rx, ring);
	memset(r, 0, sizeof(*r));
	r->up = true;
	r->index = index;
	r->cookie = cookie;
	tbib_rx_ring_buffers(rx, ring, buffers);
}

void tbib_rx_ring_buffers(struct tbib_rx *rx, unsigned int ring, u32 buffers)
{
	rx->ring[ring].buffers = buffers > TBIB_RING_RESERVE ?
				 buffers - TBIB_RING_RESERVE : 0;
}

void tbib_rx_ring_down(struct tbib_rx *rx, unsigned int ring)
{
	ring_tear(rx, &rx->ring[ring]);
	rx->ring[ring].up = false;
}
