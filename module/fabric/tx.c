// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sending half of a trunk: the kernel around proto/trunk_tx.c. Trains are
 * pulled, mapped for the NHI of their ring, posted, taken back, released.
 *
 * Who has something to send sets the trunk's bit in priv->want and tries the
 * lock. Who holds the lock looks at the bit after unlocking. So nobody waits
 * for another CPU that is sending anyway.
 */
#include <linux/dma-mapping.h>
#include <net/page_pool/helpers.h>
#include "priv.h"

#define LOOK_AGAIN_NS	NSEC_PER_MSEC	/* the timer is set no further ahead */
#define RUN_BUDGET	32	/* trains sent before completions are reaped */
#define KICK_RUNS	64	/* of trunks, in one kick */

/* ---- lock and kick ----------------------------------------------------- */

void tbib_trunk_lock(struct tbib_trunk *tr)
{
	spin_lock_bh(&tr->tx_lock);
	rcu_read_lock();
}

void tbib_trunk_unlock(struct tbib_trunk *tr)
{
	rcu_read_unlock();
	spin_unlock(&tr->tx_lock);
	tbib_trunk_run(tr);
	/* sources that went on from here to other trunks */
	if (READ_ONCE(tr->priv->want))
		queue_work(system_bh_wq, &tr->priv->kick_work);
	local_bh_enable();
}

/* A process may post as fast as we drop: what is left has its turn later. */
static void null_later(struct tbib_trunk *tr)
{
	smp_mb();	/* the unlock before the look, as in tbib_trunk_run() */
	if (test_bit(tr->index, &tr->priv->want))
		queue_work(system_bh_wq, &tr->priv->kick_work);
}

/*
 * tbib_trunk_run() - send when something waits. BHs off, tx lock not held.
 * Return: false when somebody else does it, or it is put off.
 */
bool tbib_trunk_run(struct tbib_trunk *tr)
{
	unsigned long *want = &tr->priv->want;
	u64 now;

	for (;;) {
		/* pairs with the one behind spin_trylock() on another CPU */
		smp_mb();
		if (!test_bit(tr->index, want))
			return true;
		if (!spin_trylock(&tr->tx_lock)) {
			/* the holder unlocks, then sees the bit */
			return false;
		}
		clear_bit(tr->index, want);
		smp_mb__after_atomic();	/* pairs with tbib_trunk_want() */
		now = ktime_get_ns();
		rcu_read_lock();
		tbib_trunk_run_locked(tr, now);
		if (!in_serving_softirq())
			tbib_trunk_answered(tr, now);
		rcu_read_unlock();
		spin_unlock(&tr->tx_lock);
		if (tr->index == TBIB_TRUNK_NULL) {
			null_later(tr);
			return false;
		}
	}
}

void tbib_fabric_kick(struct tbib_node *node)
{
	struct tbib_priv *priv = to_priv(node);
	unsigned long want, skip = 0;
	unsigned int i, n;

	if (!READ_ONCE(priv->want))
		return;
	if (in_hardirq() || irqs_disabled()) {
		queue_work(system_bh_highpri_wq, &priv->kick_work);
		return;
	}
	local_bh_disable();
	/* sources go on from one trunk to another meanwhile, and back */
	for (n = 0; (want = READ_ONCE(priv->want) & ~skip); n++) {
		if (n == KICK_RUNS) {
			queue_work(system_bh_wq, &priv->kick_work);
			break;
		}
		i = __ffs(want);
		if (!tbib_trunk_run(priv->trunk[i]))
			skip |= BIT(i);
	}
	local_bh_enable();
}

/* ---- timer -------------------------------------------------------------- */

/* when something is due, ns; 0 = never */
static u64 trunk_due(const struct tbib_trunk *tr)
{
	return tbib_earlier(tbib_earlier(tbib_tx_deadline(&tr->tx), tr->ack_at),
		       tr->retry_at);
}

static void timer_start(struct tbib_trunk *tr, u64 now, u64 at)
{
	u64 ahead = at > now ? at - now : 1;

	tr->timer_at = at;
	/* one interrupt serves several timers when each may be a little late */
	hrtimer_start_range_ns(&tr->timer, ns_to_ktime(ahead),
			       min(ahead / 4, LOOK_AGAIN_NS / 4),
			       HRTIMER_MODE_REL_SOFT);
}

/* does the timer fire from now on, but not after @at? */
static bool timer_before(const struct tbib_trunk *tr, u64 now, u64 at)
{
	return tr->timer_at > now && tr->timer_at <= at;
}

/* tbib_trunk_timer() - the trunk shall run when something is due; tx lock */
void tbib_trunk_timer(struct tbib_trunk *tr, u64 now)
{
	const struct tbib_turn *turn = &tr->turn;
	u64 at = trunk_due(tr);

	if (turn->due && !timer_before(tr, now, turn->late))
		at = tbib_earlier(at, turn->due);
	if (at && !timer_before(tr, now, at))
		timer_start(tr, now, at);
}

/* @tr has its turn soon. The loopback trunk has no NAPI, it only sends. */
static void trunk_wake(struct tbib_trunk *tr)
{
	if (tr->index == TBIB_TRUNK_LOOP)
		tbib_trunk_want(tr);
	else
		napi_schedule(&tr->napi);
}

/*
 * The timer is not moved when what it was for is done before its time: that
 * would cost more than to look once more here. Nor is it set far ahead: the
 * next frame would move it back.
 */
enum hrtimer_restart tbib_trunk_expire(struct hrtimer *timer)
{
	struct tbib_trunk *tr = container_of(timer, struct tbib_trunk, timer);
	u64 now = ktime_get_ns(), at;

	if (spin_trylock(&tr->tx_lock)) {
		tr->timer_at = 0;
		at = tbib_earlier(trunk_due(tr), tr->turn.due);
		if (at && at <= now)
			trunk_wake(tr);
		else if (at)
			timer_start(tr, now, min(at, now + LOOK_AGAIN_NS));
		spin_unlock(&tr->tx_lock);
	} else {
		WRITE_ONCE(tr->timer_at, 0);
		trunk_wake(tr);
	}
	smp_mb();	/* the unlock before the look, as in tbib_trunk_run() */
	tbib_fabric_kick(&tr->priv->node);
	return HRTIMER_NORESTART;
}

/* ---- run ---------------------------------------------------------------- */

/* tbib_trunk_reap() - take back what the NHIs have consumed; tx lock held */
void tbib_trunk_reap(struct tbib_trunk *tr)
{
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_fring *fr = tr->ring[i];

		if (fr && fr->posted && !fr->stopping)
			tbib_ring_reap(fr->ring);
	}
}

/* posting is cheap while there is room; then NAPI will reap */
static void reap_when_tight(struct tbib_trunk *tr)
{
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_fring *fr = tr->ring[i];

		if (fr && !fr->stopping && fr->posted > TBIB_TX_DEPTH / 4)
			tbib_ring_reap(fr->ring);
	}
}

/*
 * Does a ring lack room for a full train? Who does not look @again asks to be
 * called when it has some.
 */
static bool wait_when_tight(struct tbib_trunk *tr, bool again)
{
	bool tight = false;
	u32 i;

	for (i = 0; i < TBIB_RINGS; i++) {
		struct tbib_fring *fr = tr->ring[i];

		if (!fr || fr->stopping ||
		    fr->posted <= TBIB_TX_DEPTH - TBIB_TRAIN_FRAMES)
			continue;
		tight = true;
		if (!again)
			tbib_ring_wait_room(fr->ring);
	}
	return tight;
}

/* whoever is left waits for the trunk, or @out: for a cable */
static void trunk_blocked(struct tbib_trunk *tr, u64 now, bool out)
{
	u32 l;

	for (l = 0; l < TBIB_LANES; l++) {
		tbib_fwd_blocked(&tr->lane[l].fwd, now);
		if (!out)
			tbib_source_mark_stalled(tr, l);
	}
}

/* tbib_trunk_run_locked() - send what may be sent; tx lock, rcu_read_lock */
void tbib_trunk_run_locked(struct tbib_trunk *tr, u64 now)
{
	struct tbib_priv *priv = tr->priv;
	u32 left = RUN_BUDGET, n;
	bool tight;

	if (tr->index == TBIB_TRUNK_NULL) {
		tbib_source_run_null(tr);
		return;
	}
	tr->retry_at = 0;
	if (tr->index == TBIB_TRUNK_LOOP) {
		queue_work(system_bh_highpri_wq, &priv->loop_work);
		return;
	}
	if (!tr->tx.lane[TBIB_LANE_EXPRESS].rings) {
		trunk_blocked(tr, now, true);
		return;		/* all cables are out: what waits, waits */
	}
	/*
	 * The NHI goes on while we post: what it has consumed meanwhile is
	 * room, without waiting for a timer or for the peer.
	 */
	do {
		reap_when_tight(tr);
		n = tbib_tx_run(&tr->tx, now, left);
		left -= n;
		tight = wait_when_tight(tr, n && left);
	} while (n && left && tight);
	if (!left)
		tbib_trunk_want(tr);
	else
		trunk_blocked(tr, now, false);
	tbib_trunk_timer(tr, now);
}

/* ---- what proto/trunk_tx.c asks ----------------------------------------- */

static struct tbib_trunk *tx_trunk(struct tbib_tx *tx)
{
	return container_of(tx, struct tbib_trunk, tx);
}

static u32 trunk_room(struct tbib_tx *tx, unsigned int ring)
{
	struct tbib_fring *fr = tx_trunk(tx)->ring[ring];

	return fr && !fr->stopping ? tbib_ring_room(fr->ring) : 0;
}

static struct tbib_train *trunk_pull(struct tbib_tx *tx, unsigned int lane)
{
	struct tbib_trunk *tr = tx_trunk(tx);
	struct tbib_lane_queue *lq = &tr->lane[lane];
	struct tbib_train *t;

	if (!READ_ONCE(lq->fwd.n_active))
		return tbib_source_pull(tr, lane);
	t = tbib_fwd_pull(tr, lane, list_empty(&lq->ready));
	if (!t)
		t = tbib_source_pull(tr, lane);
	return t ?: tbib_fwd_pull(tr, lane, true);
}

static void raw_release(struct tbib_trunk *tr, const struct tbib_raw *raw)
{
	struct tbib_node *node = &tr->priv->node;
	struct page *page = raw->ref;

	if (!raw->ref)
		return;
	switch (raw->kind) {
	case TBIB_RAW_BOUNCE:
		tbib_bounce_put(node, page);
		break;
	case TBIB_RAW_MR:
		node->mr_ops->put(raw->ref);
		break;
	case TBIB_RAW_SKB:
		dev_consume_skb_any(raw->ref);
		break;
	case TBIB_RAW_RX:
		page_pool_put_full_page(page->pp, page, false);
		break;
	case TBIB_RAW_PAGE:
		put_page(page);
		break;
	}
}

/* drop references and run notes; @t can be made empty afterwards */
static void train_drop(struct tbib_trunk *tr, struct tbib_train *t,
		       bool delivered)
{
	u32 i;

	for (i = 0; i < t->n_raw; i++)
		raw_release(tr, &t->raw[i]);
	for (i = 0; i < t->n_note; i++) {
		struct tbib_source *src = t->note[i].owner;

		if (src)
			src->ops->note(src, t->note[i].value, delivered);
	}
	t->n_raw = 0;
	t->n_note = 0;
}

/* tbib_train_release() - back to the free list; tx lock held */
void tbib_train_release(struct tbib_trunk *tr, struct tbib_train *t,
			bool delivered)
{
	train_drop(tr, t, delivered);
	t->next = tr->free;
	tr->free = t;
}

static void trunk_release(struct tbib_tx *tx, struct tbib_train *t,
			  bool delivered)
{
	tbib_train_release(tx_trunk(tx), t, delivered);
}

/*
 * tbib_trunk_blank() - withdraw what waits since all cables are out
 * The trains keep their sequence numbers, for the peer counts on them, but
 * carry a packet that says nothing; pages and MRs are given free.
 * tx lock held.
 */
void tbib_trunk_blank(struct tbib_trunk *tr)
{
	u32 l, seq;

	for (l = 0; l < TBIB_LANES; l++) {
		struct tbib_tx_lane *lane = &tr->tx.lane[l];

		for (seq = lane->una; seq != lane->next_seq; seq++) {
			struct tbib_train *t = lane->slot[seq % TBIB_WINDOW];

			if (!t || t->state != TBIB_TRAIN_QUEUED || t->posted)
				continue;
			train_drop(tr, t, false);
			t->raw_bytes = 0;
			t->ool_bytes = 0;
			t->n_pkt = 0;
			t->pkt_len = 0;
			t->dlid = TBIB_LID_NONE;
			tbib_train_add(t, TBIB_PKT_BLANK, 0, 0, 0);
		}
	}
}

/* ---- mapping of raw frames ----------------------------------------------- */

static dma_addr_t sync_out(struct device *dev, dma_addr_t dma, u32 len)
{
	dma_sync_single_for_device(dev, dma, len, DMA_TO_DEVICE);
	return dma;
}

static dma_addr_t map_bounce(struct tbib_fring *fr, const struct tbib_raw *raw)
{
	return sync_out(fr->dev, tbib_bounce_dma(raw->ref, fr->nhi) +
			offset_in_page(raw->data), raw->len);
}

/*
 * map_once() - mapped for this transmission only
 * Frames in transit too, whatever their page pool has mapped: it takes that back
 * when the ring that they came by goes, which may be before they do.
 */
static dma_addr_t map_once(struct tbib_fring *fr, struct tbib_ktrain *kt,
			   u32 i)
{
	struct tbib_raw *raw = &kt->t.raw[i];
	dma_addr_t dma;

	dma = dma_map_single(fr->dev, raw->data, raw->len, DMA_TO_DEVICE);
	if (dma_mapping_error(fr->dev, dma))
		return DMA_MAPPING_ERROR;
	kt->raw_dma[i] = dma;
	kt->mapped |= BIT(i);
	kt->map_dev = fr->dev;
	return dma;
}

/* @mr cannot be mapped for this NHI: from now on a copy is sent */
static dma_addr_t map_copy(struct tbib_trunk *tr, struct tbib_fring *fr,
			   struct tbib_raw *raw)
{
	struct tbib_node *node = &tr->priv->node;
	struct page *page = tbib_bounce_page(node);

	if (!page)
		return DMA_MAPPING_ERROR;
	memcpy(page_address(page), raw->data, raw->len);
	if (raw->ref)
		node->mr_ops->put(raw->ref);
	raw->ref = page;
	raw->data = page_address(page);
	raw->kind = TBIB_RAW_BOUNCE;
	return map_bounce(fr, raw);
}

static dma_addr_t map_mr(struct tbib_trunk *tr, struct tbib_fring *fr,
			 struct tbib_raw *raw)
{
	const struct tbib_mr_ops *ops = tr->priv->node.mr_ops;
	dma_addr_t dma = ops->dma(raw->ref, raw->index, raw->data, fr->dev);

	return dma == DMA_MAPPING_ERROR ? map_copy(tr, fr, raw) : dma;
}

static dma_addr_t map_raw(struct tbib_trunk *tr, struct tbib_fring *fr,
			  struct tbib_ktrain *kt, u32 i)
{
	struct tbib_raw *raw = &kt->t.raw[i];

	switch (raw->kind) {
	case TBIB_RAW_BOUNCE:
		return map_bounce(fr, raw);
	case TBIB_RAW_MR:
		return map_mr(tr, fr, raw);
	default:
		return map_once(fr, kt, i);
	}
}

static void unmap_raws(struct tbib_ktrain *kt)
{
	while (kt->mapped) {
		u32 i = __ffs(kt->mapped);

		dma_unmap_single(kt->map_dev, kt->raw_dma[i], kt->t.raw[i].len,
				 DMA_TO_DEVICE);
		kt->mapped &= kt->mapped - 1;
	}
}

static void trunk_xmit(struct tbib_tx *tx, unsigned int ring,
		       struct tbib_train *t, u32 hdr_len)
{
	struct tbib_trunk *tr = tx_trunk(tx);
	struct tbib_fring *fr = tr->ring[ring];
	struct tbib_ktrain *kt = to_ktrain(t);
	struct tbib_tx_frame f[TBIB_TRAIN_FRAMES];
	u32 i;

	f[0].dma = sync_out(fr->dev, kt->hdr_dma[fr->nhi], hdr_len);
	f[0].len = hdr_len;
	f[0].eof = TBIB_PDF_HEADER;
	f[0].cookie = kt;
	for (i = 0; i < t->n_raw; i++) {
		struct tbib_tx_frame *p = &f[i + 1];

		p->len = t->raw[i].len;
		p->eof = TBIB_PDF_RAW(t->tag);
		p->cookie = kt;
		p->dma = map_raw(tr, fr, kt, i);
		if (p->dma == DMA_MAPPING_ERROR) {
			/*
			 * A frame with a wrong tag tears the train at the
			 * other end: as if lost, it is sent again later.
			 */
			p->dma = tr->priv->poison_dma[fr->nhi];
			p->eof = TBIB_PDF_RAW((t->tag + 1) % TBIB_RAW_TAGS);
		}
	}
	tbib_ring_post(fr->ring, f, t->n_raw + 1);
	fr->posted += t->n_raw + 1;
	fr->fl->sent = jiffies;
	WRITE_ONCE(tr->told[t->lane], tx->ack_next[t->lane]);
	WRITE_ONCE(tr->told_limit[ring], tx->ack_limit[ring]);
	if (tr->ack_at && tbib_trunk_told(tr))
		tr->ack_at = 0;
}

const struct tbib_tx_ops tbib_trunk_tx_ops = {
	.pull = trunk_pull,
	.release = trunk_release,
	.room = trunk_room,
	.xmit = trunk_xmit,
};

/* ---- control frames and frames that come back ---------------------------- */

/*
 * tbib_trunk_control() - post a control frame; tx lock held
 * Return: false when there was no room; it may be lost anyway.
 */
bool tbib_trunk_control(struct tbib_trunk *tr, struct tbib_fring *fr,
			enum tbib_ctrl_type type, const struct tbib_ack *ack)
{
	u32 b = ffz(fr->ctrl_busy), off = b * TBIB_CTRL_BUF;
	struct tbib_tx_frame f;
	u32 i;

	if (fr->stopping || b >= TBIB_CTRL_BUFS || !tbib_ring_room(fr->ring))
		return false;
	f.len = tbib_tx_control(&tr->tx, fr->slot, type, ack,
				page_address(fr->ctrl) + off);
	if (!f.len)
		return false;
	f.dma = sync_out(fr->dev, fr->ctrl_dma + off, f.len);
	f.eof = TBIB_PDF_HEADER;
	f.cookie = (void *)(unsigned long)(b << 2 | TBIB_COOKIE_CTRL);
	fr->ctrl_busy |= BIT(b);
	tbib_ring_post(fr->ring, &f, 1);
	fr->posted++;
	fr->fl->sent = jiffies;
	if (!ack)
		return true;
	for (i = 0; i < TBIB_LANES; i++)
		WRITE_ONCE(tr->told[i], ack->next[i]);
	for (i = 0; i < TBIB_RINGS; i++)
		WRITE_ONCE(tr->told_limit[i], tr->tx.ack_limit[i]);
	return true;
}

static void train_done(struct tbib_trunk *tr, struct tbib_ktrain *kt)
{
	if (kt->t.posted == 1)
		unmap_raws(kt);
	tbib_tx_frame_done(&tr->tx, &kt->t);
}

/*
 * tbib_trunk_done() - see tbib_fabric_ops.done
 * From tbib_ring_reap() with the tx lock held, or, between link_down and
 * link_drained, without it.
 */
void tbib_trunk_done(struct tbib_ring *ring, void *cookie)
{
	struct tbib_fring *fr = tbib_ring_priv(ring);
	struct tbib_trunk *tr = fr->trunk;
	unsigned long c = (unsigned long)cookie;
	bool stopping = fr->stopping;

	if (stopping)
		tbib_trunk_lock(tr);
	fr->posted--;
	switch (c & TBIB_COOKIE_MASK) {
	case TBIB_COOKIE_TRAIN:
		train_done(tr, cookie);
		break;
	case TBIB_COOKIE_CTRL:
		fr->ctrl_busy &= ~BIT(c >> 2);
		break;
	case TBIB_COOKIE_MGMT:
		fr->fl->mgmt[c >> 2].busy = false;
		break;
	}
	if (stopping)
		tbib_trunk_unlock(tr);
}
