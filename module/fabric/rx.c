// SPDX-License-Identifier: GPL-2.0-only
/*
 * The receiving half of a trunk: the NAPI poll around proto/trunk_rx.c, and
 * what becomes of a train: packets for this node, or transit.
 *
 * One poll takes frames from all rings of the trunk (express first), hands
 * complete trains up, and at its end, with the tx lock taken once, brings the
 * peer's acks in, sends what the packets made ready, and acknowledges.
 */
#include <net/page_pool/helpers.h>
#include "priv.h"

#define ACK_SOON_NS	NSEC_PER_MSEC
#define ACK_AGAIN_NS	(100 * NSEC_PER_USEC)	/* there was no room for one */

static struct tbib_trunk *rx_trunk(struct tbib_rx *rx)
{
	return container_of(rx, struct tbib_trunk, rx);
}

/* ---- trains ------------------------------------------------------------- */

/*
 * tbib_rx_packets() - hand the packets of @t to the layers above
 * @napi: NULL in the loopback worker
 */
void tbib_rx_packets(struct tbib_priv *priv, const struct tbib_rx_train *t,
		     struct tbib_peer *from, struct napi_struct *napi,
		     u64 *malformed)
{
	const struct tbib_upper_ops *upper = priv->upper;
	struct tbib_pkt_iter it;
	struct tbib_pkt p;
	int ret;

	tbib_pkt_iter_init(&it, t);
	while ((ret = tbib_pkt_next(&it, &p)) > 0) {
		switch (p.type) {
		case TBIB_PKT_TRANSPORT:
			upper->rx_transport(&priv->node, &p, from, t->h.slid);
			break;
		case TBIB_PKT_ETHERNET:
			upper->rx_ethernet(&priv->node, &p, from, napi);
			break;
		}
	}
	if (ret < 0)
		(*malformed)++;
}

bool tbib_rx_scarce(const struct page *page)
{
	return tbib_pool_scarce(page->pp);
}

static void note_marks(struct tbib_trunk *tr, struct tbib_peer *from, u8 flags)
{
	if (flags & TBIB_FF_MARK) {
		WRITE_ONCE(from->marked, true);
		tr->stats.marked++;
	}
	if (flags & TBIB_FF_BMARK)
		tbib_pace_cut(tr->priv, from, tr->now);
}

/* multicast: to us and along the branches of the source's tree */
static void deliver_mcast(struct tbib_trunk *tr, const struct tbib_rx_train *t,
			  const struct tbib_lft_entry *src)
{
	struct tbib_priv *priv = tr->priv;
	unsigned long out = src->mcast & ~BIT(tr->index);
	unsigned int i;

	if (t->h.hop_limit > 1)
		for_each_set_bit(i, &out, TBIB_TRUNKS)
			tbib_fwd_train(tr, priv->trunk[i], t, true);
	tbib_rx_packets(priv, t, src->peer, &tr->napi, &tr->stats.malformed);
}

/* Return: true when the pages have gone to the transit queue */
static bool deliver_transit(struct tbib_trunk *tr,
			    const struct tbib_rx_train *t,
			    const struct tbib_lft *lft)
{
	struct tbib_trunk *out = lft->to[t->h.dlid].trunk;

	if (!out || out == tr || out->index < TBIB_TRUNK_FIRST ||
	    t->h.hop_limit <= 1) {
		tr->stats.transit_drops++;
		return false;
	}
	return tbib_fwd_train(tr, out, t, false);
}

static bool deliver(struct tbib_trunk *tr, const struct tbib_rx_train *t)
{
	struct tbib_priv *priv = tr->priv;
	const struct tbib_lft *lft = rcu_dereference(priv->lft);
	const struct tbib_frame_hdr *h = &t->h;
	const struct tbib_lft_entry *src;

	if (h->dlid == TBIB_LID_NONE)
		return false;		/* withdrawn by the neighbour */
	if (!h->slid || h->slid > TBIB_LID_MAX)
		goto bad_source;
	src = &lft->to[h->slid];
	/* nobody may speak for a node but over the trunk that leads there */
	if (src->trunk != tr || !src->peer)
		goto bad_source;

	if (h->dlid == READ_ONCE(priv->node.lid)) {
		if (h->dest_epoch != READ_ONCE(priv->node.epoch)) {
			tr->stats.epoch_drops++;
			return false;
		}
		note_marks(tr, src->peer, h->flags);
		tbib_rx_packets(priv, t, src->peer, &tr->napi,
				&tr->stats.malformed);
		return false;
	}
	if (h->dlid <= TBIB_LID_MAX)
		return deliver_transit(tr, t, lft);
	if (h->dlid == TBIB_LID_MCAST)
		deliver_mcast(tr, t, src);
	else
		tr->stats.malformed++;
	return false;

bad_source:
	tr->stats.source_drops++;
	return false;
}

static void trunk_deliver(struct tbib_rx *rx, struct tbib_rx_train *t)
{
	struct tbib_trunk *tr = rx_trunk(rx);

	tr->steal = deliver(tr, t);
	tbib_rx_train_free(rx, t);
	tr->steal = false;
}

static void trunk_put(struct tbib_rx *rx, void *handle)
{
	struct tbib_trunk *tr = rx_trunk(rx);
	struct page *page = handle;

	if (tr->steal)
		return;
	/* into the lockless cache only from the NAPI that allocates there */
	page_pool_put_full_page(page->pp, page, page->pp == tr->poll_pool);
}

/* ---- acks that come in -------------------------------------------------- */

static void pend_ring(struct tbib_ack *pend, const struct tbib_ack_ring *a)
{
	u32 i;

	for (i = 0; i < pend->n_ring; i++)
		if (pend->ring[i].cookie == a->cookie &&
		    pend->ring[i].index == a->index)
			break;
	if (i == TBIB_RINGS)
		return;
	if (i == pend->n_ring)
		pend->n_ring++;
	pend->ring[i] = *a;
}

/* what train headers say is cumulative: the last word of a poll is enough */
static void trunk_ack(struct tbib_rx *rx, const struct tbib_ack *ack)
{
	struct tbib_trunk *tr = rx_trunk(rx);
	u32 i;

	if (ack->full) {
		spin_lock(&tr->tx_lock);
		tbib_tx_ack(&tr->tx, ack, tr->now);
		spin_unlock(&tr->tx_lock);
		tbib_trunk_want(tr);
		return;
	}
	for (i = 0; i < TBIB_LANES; i++)
		if (ack->lanes & BIT(i) &&
		    (!(tr->pend.lanes & BIT(i)) ||
		     tbib_before(tr->pend.next[i], ack->next[i])))
			tr->pend.next[i] = ack->next[i];
	tr->pend.lanes |= ack->lanes;
	for (i = 0; i < ack->n_ring; i++)
		pend_ring(&tr->pend, &ack->ring[i]);
}

static void trunk_bye(struct tbib_rx *rx, unsigned int ring)
{
	struct tbib_fring *fr = rx_trunk(rx)->ring[ring];

	tbib_link_restart(fr->fl->link);
}

const struct tbib_rx_ops tbib_trunk_rx_ops = {
	.ack = trunk_ack,
	.bye = trunk_bye,
	.deliver = trunk_deliver,
	.put = trunk_put,
};

/* ---- frames -------------------------------------------------------------- */

/* a whole header frame whose cookie is of this session; CRC not looked at */
static bool is_ours(struct tbib_fring *fr, const u8 *data,
		    const struct tbib_rx_desc *d)
{
	return d->eof == TBIB_PDF_HEADER && !d->bad &&
	       d->len >= TBIB_FRAME_HDR &&
	       tbib_get32(data + 12) == fr->fl->cookie_mine;
}

/* Return: true when the trunk's core is to see the frame */
static bool rx_filter(struct tbib_trunk *tr, struct tbib_fring *fr,
		      const u8 *data, const struct tbib_rx_desc *d)
{
	bool ours = is_ours(fr, data, d);

	if (ours && (data[0] & 0xf) == TBIB_KIND_CONTROL) {
		u16 type = tbib_get16(data + 34);

		if (type == TBIB_CTRL_MGMT) {
			tbib_mgmt_rx(fr, data, d->len);
			return false;
		}
		tr->full_ack |= type == TBIB_CTRL_PROBE;
	}
	if (!fr->joined) {
		tr->stats.unauthorised++;
		return false;
	}
	/* who sends us trains takes ours too */
	if (ours && !fr->fl->open)
		tbib_flink_open(fr->fl);
	return true;
}

static u32 rx_frames(struct tbib_trunk *tr, struct tbib_fring *fr, int n)
{
	u32 bits = 0;
	int i;

	for (i = 0; i < n; i++) {
		const struct tbib_rx_desc *d = &tr->desc[i];
		const u8 *data = page_address(d->page);
		struct tbib_rx_buf buf = {
			.data = data,
			.page = d->page,
			.len = d->len,
			.eof = d->eof,
			.bad = d->bad,
		};

		if (i + 1 < n)
			prefetch(page_address(tr->desc[i + 1].page));
		if (rx_filter(tr, fr, data, d))
			bits |= tbib_rx_frame(&tr->rx, fr->slot, &buf);
		else
			trunk_put(&tr->rx, d->page);
	}
	return bits;
}

/* Return: frames taken from @fr, at most @max */
static int poll_ring(struct tbib_trunk *tr, struct tbib_fring *fr, int max,
		     u32 *bits)
{
	int work = 0, n;

	tr->poll_pool = fr->pool;
	do {
		n = tbib_ring_poll(fr->ring, tr->desc,
				   min(max - work, TBIB_RX_BATCH));
		*bits |= rx_frames(tr, fr, n);
		work += n;
	} while (n == TBIB_RX_BATCH && work < max);
	tr->poll_pool = NULL;
	if (work) {
		WRITE_ONCE(fr->fl->quiet, 0);
		tr->ack_slot = fr->slot;
	}
	return work;
}

static int poll_rings(struct tbib_trunk *tr, int budget, u32 *bits)
{
	bool more = false;
	int work = 0;
	u8 i;

	for (i = 0; i < tr->n_poll; i++) {
		struct tbib_fring *fr = tr->poll[i];
		int left = budget - work, n;

		/* express comes first, but the others are not forgotten */
		if (i + 1 < tr->n_poll)
			left -= left / 4;
		if (left <= 0 || fr->stopping)
			continue;
		n = poll_ring(tr, fr, left, bits);
		work += n;
		more |= n == left;
	}
	/* who has used up its share has more: the poll is not complete */
	return more ? budget : work;
}

/* ---- acks that go out ----------------------------------------------------- */

/*
 * tbib_trunk_told() - has the peer been sent all that our receiver had to say
 * at the end of the last poll? Control frames say it, and headers of trains.
 * With the tx lock; without it the answer may be old.
 */
bool tbib_trunk_told(const struct tbib_trunk *tr)
{
	u32 i;

	if (tr->held)
		return false;
	for (i = 0; i < TBIB_LANES; i++)
		if (READ_ONCE(tr->told[i]) != tr->tx.ack_next[i])
			return false;
	for (i = 0; i < TBIB_RINGS; i++) {
		const struct tbib_fring *fr = tr->ring[i];

		if (!fr || !fr->joined || fr->stopping)
			continue;
		if (tr->tx.ack_limit[i] - READ_ONCE(tr->told_limit[i]) >
		    tbib_ring_buffers(fr->ring) / 4)
			return false;
	}
	return true;
}

/* what the headers of our trains and the next ack say; tx lock held */
static void note_received(struct tbib_trunk *tr)
{
	u32 i;

	tr->held = false;
	for (i = 0; i < TBIB_LANES; i++) {
		tr->tx.ack_next[i] = tr->rx.lane[i].next;
		tr->held |= tr->rx.lane[i].n_held > 0;
	}
	for (i = 0; i < TBIB_RINGS; i++)
		tr->tx.ack_limit[i] = tbib_rx_limit(&tr->rx, i);
}

/* Return: false = no room for it now */
static bool send_ack(struct tbib_trunk *tr, enum tbib_ctrl_type type,
		     struct tbib_fring *fr)
{
	struct tbib_ack ack;

	tbib_rx_ack(&tr->rx, &ack);
	return tbib_trunk_control(tr, fr, type, &ack);
}

static bool can_ack(const struct tbib_fring *fr)
{
	return fr && !fr->stopping && fr->fl->open;
}

/*
 * The ring on which an ack goes: it speaks of all rings, so the one with the
 * shortest queue; if there are several, where the peer was heard last.
 */
static struct tbib_fring *ack_ring(struct tbib_trunk *tr)
{
	struct tbib_fring *best = tr->ring[tr->ack_slot];
	u8 i;

	if (!can_ack(best))
		best = NULL;
	for (i = 0; i < tr->n_poll; i++) {
		struct tbib_fring *fr = tr->poll[i];

		if (can_ack(fr) && (!best || fr->posted < best->posted))
			best = fr;
	}
	return best;
}

static void poll_ack(struct tbib_trunk *tr, u32 bits)
{
	bool again = tr->rx.stats.duplicate != tr->duplicates;
	struct tbib_fring *fr;
	bool now;

	tr->duplicates = tr->rx.stats.duplicate;
	now = tr->full_ack || again || bits & TBIB_RX_ACK_GAP;
	if (!now && tbib_trunk_told(tr)) {
		tr->ack_at = 0;
		return;
	}
	now |= bits & TBIB_RX_ACK_NOW || (tr->ack_at && tr->ack_at <= tr->now);
	if (!now) {
		if (!tr->ack_at)
			tr->ack_at = tr->now + ACK_SOON_NS;
		return;
	}
	tr->full_ack = false;
	tr->ack_at = 0;
	fr = ack_ring(tr);
	if (fr && !send_ack(tr, TBIB_CTRL_ACK, fr)) {
		tr->full_ack = true;
		tr->ack_at = tr->now + ACK_AGAIN_NS;
	}
}

static void send_probes(struct tbib_trunk *tr)
{
	unsigned long mask = tbib_tx_timer(&tr->tx, tr->now);
	unsigned int i;

	for_each_set_bit(i, &mask, TBIB_RINGS)
		if (tr->ring[i])
			send_ack(tr, TBIB_CTRL_PROBE, tr->ring[i]);
}

/* the sending half's share of a poll. Return: interrupts wait for the answer */
static bool poll_tx(struct tbib_trunk *tr, u32 bits, bool frames, bool woke)
{
	bool wait;

	spin_lock(&tr->tx_lock);
	clear_bit(tr->index, &tr->priv->want);
	smp_mb__after_atomic();	/* pairs with tbib_trunk_want() */
	tbib_trunk_reap(tr);
	if (tr->pend.lanes) {
		tbib_tx_ack(&tr->tx, &tr->pend, tr->now);
		tr->pend.lanes = 0;
		tr->pend.n_ring = 0;
	}
	note_received(tr);
	tbib_trunk_run_locked(tr, tr->now);
	if (tbib_tx_deadline(&tr->tx) && tbib_tx_deadline(&tr->tx) <= tr->now)
		send_probes(tr);
	poll_ack(tr, bits);
	wait = tbib_turn_poll(&tr->turn, frames, woke, tr->now);
	tbib_trunk_timer(tr, tr->now);
	spin_unlock(&tr->tx_lock);
	tbib_trunk_run(tr);
	return wait;
}

static void unmask_ring(struct tbib_fring *fr)
{
	if (!fr->stopping && READ_ONCE(fr->masked) && xchg(&fr->masked, 0))
		tbib_ring_unmask(fr->ring);
}

/*
 * Only those whose interrupt had come: each unmask reads a register. One that
 * comes from now on marks its ring before it asks for another poll.
 */
static void unmask(struct tbib_trunk *tr)
{
	u8 i;

	for (i = 0; i < tr->n_poll; i++)
		unmask_ring(tr->poll[i]);
}

/*
 * tbib_trunk_answered() - a process has sent on @tr; tx lock held
 * If the interrupts waited for that (proto/turn.h), they are unmasked now.
 */
void tbib_trunk_answered(struct tbib_trunk *tr, u64 now)
{
	u8 i;

	if (!tbib_turn_sent(&tr->turn, now))
		return;
	for (i = 0; i < TBIB_RINGS; i++)
		if (tr->ring[i])
			unmask_ring(tr->ring[i]);
}

/* tbib_trunk_poll() - NAPI poll of a trunk */
int tbib_trunk_poll(struct napi_struct *napi, int budget)
{
	struct tbib_trunk *tr = container_of(napi, struct tbib_trunk, napi);
	struct tbib_priv *priv = tr->priv;
	u32 wakes = READ_ONCE(priv->node.wakes);
	u32 bits = 0;
	bool wait;
	int work;

	rcu_read_lock();
	tr->now = ktime_get_ns();
	/* where messages take turns no other ack is needed */
	if (tbib_trunk_told(tr))
		tbib_rx_told(&tr->rx);
	work = poll_rings(tr, budget, &bits);
	if (work && priv->upper->rx_end)
		priv->upper->rx_end(&priv->node);
	wait = poll_tx(tr, bits, work, READ_ONCE(priv->node.wakes) != wakes);
	rcu_read_unlock();
	tbib_fabric_kick(&priv->node);
	if (work >= budget)
		return budget;
	if (napi_complete_done(napi, work) && !wait)
		unmask(tr);
	return work;
}
