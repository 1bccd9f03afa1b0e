// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data path of a ring pair: post, reap, poll, and the watchdog for lost
 * interrupts. Nothing here sleeps or allocates but RX pages.
 */
#include <linux/netdevice.h>
#include <net/page_pool/helpers.h>
#include "internal.h"
#include "trace.h"

/*
 * Pages of one ring that the layers above may hold at a time (sockets, transit
 * queues, resequencers), besides those that wait in the pool: 32 MiB.
 */
#define POOL_MAX	8192

/*
 * How long to wait for room in a TX ring before looking again. It follows the
 * pace of the NHI, so that about half of the ring is free then: sooner costs
 * wake-ups for a train or two, later lets the ring run dry. At 12 Gb/s half a
 * ring takes 175 us.
 */
#define ROOM_WAIT_MIN	(100 * NSEC_PER_USEC)
#define ROOM_WAIT_MAX	(2 * NSEC_PER_MSEC)

/* Half of the time within which a lost interrupt shall be noticed. */
#define WATCHDOG_TICK	msecs_to_jiffies(5)
#define WATCHDOG_IDLE	20		/* ticks without traffic until it rests */

/*
 * An RX or TX descriptor as the NHI sees it: address (8 bytes), then length 12,
 * EOF 4, SOF 4 and flags 12 bits, then time (4 bytes).
 */
struct nhi_desc {
	__le64 addr;
	__le32 word;
	__le32 time;
};

#define DESC_COMPLETED	(RING_DESC_COMPLETED << 20)

/*
 * The fabric is only called between the return of link_up() and the call of
 * link_down(); then synchronize_rcu() waits for those that are in the call.
 */
static void ready(struct tbib_ring *ring, bool masked)
{
	rcu_read_lock();
	if (READ_ONCE(ring->live))
		tbib_fops->rx_ready(ring, masked);
	rcu_read_unlock();
}

/**
 * tbib_ring_live() - link_up() has returned; frames may wait already
 * @ring: the ring pair
 */
void tbib_ring_live(struct tbib_ring *ring)
{
	WRITE_ONCE(ring->live, true);
	local_bh_disable();
	ready(ring, true);
	local_bh_enable();
}

/* ---- TX -------------------------------------------------------------- */

/*
 * For each frame that tb_ring_stop() cancels; without MSI-X also for those that
 * were sent, in a work item beside tbib_ring_reap().
 */
void tbib_ring_tx_callback(struct tb_ring *tb, struct ring_frame *frame,
			   bool canceled)
{
	struct tbib_slot *slot = container_of(frame, struct tbib_slot, frame);

	smp_store_release(&slot->done, true);
}

/* hardirq: whoever polls reaps first, and then there may be room */
enum hrtimer_restart tbib_ring_room_timer(struct hrtimer *timer)
{
	struct tbib_ring *ring = container_of(timer, struct tbib_ring,
					      room_timer);

	WRITE_ONCE(ring->room_late, true);
	ready(ring, false);
	return HRTIMER_NORESTART;
}

void tbib_ring_wait_room(struct tbib_ring *ring)
{
	u32 moved = ring->tx_tail - ring->room_tail;

	/* was the timer, and nobody else, who looked last? */
	if (READ_ONCE(ring->room_late)) {
		WRITE_ONCE(ring->room_late, false);
		if (moved < TBIB_TX_DEPTH / 4)
			ring->room_wait *= 2;
		else if (moved >= TBIB_TX_DEPTH - TBIB_TRAIN_FRAMES)
			ring->room_wait /= 2;
	}
	ring->room_wait = clamp(ring->room_wait, ROOM_WAIT_MIN, ROOM_WAIT_MAX);
	ring->room_tail = ring->tx_tail;
	hrtimer_start(&ring->room_timer, ns_to_ktime(ring->room_wait),
		      HRTIMER_MODE_REL);
}

static void arm_watchdog(struct tbib_ring *ring)
{
	if (!timer_pending(&ring->watchdog))
		mod_timer(&ring->watchdog, jiffies + WATCHDOG_TICK);
}

u32 tbib_ring_room(struct tbib_ring *ring)
{
	u32 posted = ring->tx_head - ring->tx_tail;

	return posted < TBIB_TX_DEPTH ? TBIB_TX_DEPTH - posted : 0;
}

void tbib_ring_post(struct tbib_ring *ring, const struct tbib_tx_frame *f,
		    u32 n)
{
	u32 i;

	for (i = 0; i < n; i++, f++) {
		struct tbib_slot *slot;

		slot = &ring->tx_slot[ring->tx_head++ % TBIB_TX_RING];
		slot->ring = ring;
		slot->cookie = f->cookie;
		slot->done = false;
		slot->frame.callback = tbib_ring_tx_callback;
		slot->frame.buffer_phy = f->dma;
		/* 12 bits, 0 means 4096 */
		slot->frame.size = f->len & (TBIB_FRAME_SIZE - 1);
		slot->frame.sof = TBIB_PDF_SOF;
		slot->frame.eof = f->eof;
		slot->frame.flags = 0;
		if (tb_ring_tx(ring->tx, &slot->frame))
			smp_store_release(&slot->done, true);
	}
	ring->stats.tx_frames += n;
	ring->stats.doorbells += n;
	trace_tbib_tx(ring->link->id, ring->index, n,
		      ring->tx_head - ring->tx_tail);
	arm_watchdog(ring);
}

void tbib_ring_reap(struct tbib_ring *ring)
{
	struct ring_frame *frame;

	if (ring->tx_tail == ring->tx_head)
		return;
	while (ring->tx && (frame = tb_ring_poll(ring->tx)))
		container_of(frame, struct tbib_slot, frame)->done = true;

	/* The callback may be behind us with an older frame: keep the order. */
	while (ring->tx_tail != ring->tx_head) {
		struct tbib_slot *slot;

		slot = &ring->tx_slot[ring->tx_tail % TBIB_TX_RING];
		if (!smp_load_acquire(&slot->done))
			break;
		ring->tx_tail++;
		tbib_fops->done(ring, slot->cookie);
	}
}

/* ---- RX -------------------------------------------------------------- */

/* Only for frames that tb_ring_stop() cancels: their pages stay in the slots. */
void tbib_ring_rx_callback(struct tb_ring *tb, struct ring_frame *frame,
			   bool canceled)
{
}

/* hardirq, under the NHI's and the ring's lock; the vector is masked now */
void tbib_ring_start_poll(void *data)
{
	struct tbib_ring *ring = data;

	ring->stats.interrupts++;
	ready(ring, true);
}

/**
 * tbib_ring_post_rx() - give a page to the NHI
 * @ring: the ring pair
 * @slot: holds the page
 */
int tbib_ring_post_rx(struct tbib_ring *ring, struct tbib_slot *slot)
{
	slot->frame.buffer_phy = page_pool_get_dma_addr(slot->page);
	ring->stats.doorbells++;
	return tb_ring_rx(ring->rx, &slot->frame);
}

/*
 * Are more than @most pages out: posted, in trains and transit queues, in skbs?
 * Those that wait in the pool are not, near enough while others give pages
 * back. In the NAPI of the ring.
 */
static bool pool_exceeds(struct page_pool *pool, u32 most)
{
	u32 held = pool->pages_state_hold_cnt -
		   atomic_read(&pool->pages_state_release_cnt);
	struct ptr_ring *r = &pool->ring;
	int n;

	if (likely(held <= most))
		return false;
	n = READ_ONCE(r->producer) - READ_ONCE(r->consumer_head);
	if (n < 0 || (!n && !__ptr_ring_empty(r)))
		n += r->size;
	return held - pool->alloc.count - n > most;
}

/* Bounds what a peer can make us hold. */
static struct page *fresh_page(struct tbib_ring *ring)
{
	if (pool_exceeds(ring->pool, POOL_MAX))
		return NULL;
	return page_pool_dev_alloc_pages(ring->pool);
}

bool tbib_pool_scarce(struct page_pool *pool)
{
	return pool_exceeds(pool, POOL_MAX / 2);
}

static bool take_frame(struct tbib_ring *ring, struct tbib_slot *slot,
		       struct tbib_rx_desc *d)
{
	struct page *page = slot->page;
	struct page *fresh = fresh_page(ring);

	d->len = slot->frame.size ? slot->frame.size : TBIB_FRAME_SIZE;
	d->eof = slot->frame.eof;
	d->bad = slot->frame.flags &
		 (RING_DESC_CRC_ERROR | RING_DESC_BUFFER_OVERRUN);
	d->page = page;
	ring->stats.rx_bad += d->bad;
	if (!fresh) {
		ring->stats.rx_nobuf++;
		dma_sync_single_for_device(ring->dma,
					   page_pool_get_dma_addr(page),
					   TBIB_FRAME_SIZE, DMA_BIDIRECTIONAL);
		tbib_ring_post_rx(ring, slot);
		return false;
	}
	slot->page = fresh;
	tbib_ring_post_rx(ring, slot);
	page_pool_dma_sync_for_cpu(ring->pool, page, 0, d->len);
	return true;
}

int tbib_ring_poll(struct tbib_ring *ring, struct tbib_rx_desc *desc,
		   int budget)
{
	struct ring_frame *frame;
	int left = budget;
	int n = 0;

	WRITE_ONCE(ring->polls, ring->polls + 1);
	while (left-- > 0 && (frame = tb_ring_poll(ring->rx))) {
		/* the descriptor said "completed": now the bytes may be read */
		dma_rmb();
		ring->stats.rx_frames++;
		if (take_frame(ring,
			       container_of(frame, struct tbib_slot, frame),
			       &desc[n]))
			n++;
	}
	if (n)
		trace_tbib_rx(ring->link->id, ring->index, n);
	return n;
}

bool tbib_ring_pending(struct tbib_ring *ring)
{
	const struct tb_ring *rx = ring->rx;
	const struct nhi_desc *desc = (const void *)rx->descriptors;
	int tail = READ_ONCE(rx->tail);

	if (tail == READ_ONCE(rx->head))
		return false;
	return le32_to_cpu(READ_ONCE(desc[tail].word)) & DESC_COMPLETED;
}

/*
 * A frame that completed while the vector was masked need not interrupt after
 * the unmask (it does not on some NHIs): look once more.
 */
void tbib_ring_unmask(struct tbib_ring *ring)
{
	tb_ring_poll_complete(ring->rx);
	if (tbib_ring_pending(ring))
		ready(ring, false);
	arm_watchdog(ring);
}

/*
 * Frames that wait although nobody has polled for a whole tick mean a lost
 * interrupt.
 */
void tbib_ring_watchdog(struct timer_list *timer)
{
	struct tbib_ring *ring = timer_container_of(ring, timer, watchdog);
	bool pending = tbib_ring_pending(ring);
	unsigned long polls = READ_ONCE(ring->polls);
	u64 activity = ring->stats.rx_frames + ring->stats.tx_frames;

	if (pending && ring->wd_pending && polls == ring->wd_polls) {
		ring->stats.lost_irq++;
		trace_tbib_lost_irq(ring->link->id, ring->index);
		ready(ring, true);
	}
	ring->wd_pending = pending;
	ring->wd_polls = polls;

	ring->wd_idle = activity == ring->wd_activity ? ring->wd_idle + 1 : 0;
	ring->wd_activity = activity;
	if (pending || ring->wd_idle < WATCHDOG_IDLE)
		mod_timer(&ring->watchdog, jiffies + WATCHDOG_TICK);
	else
		ring->wd_idle = 0;
}

/* ---- what the fabric asks -------------------------------------------- */

void tbib_ring_set_priv(struct tbib_ring *ring, void *priv)
{
	ring->priv = priv;
}

void *tbib_ring_priv(struct tbib_ring *ring)
{
	return ring->priv;
}

struct tbib_link *tbib_ring_link(struct tbib_ring *ring)
{
	return ring->link;
}

struct device *tbib_ring_dma(struct tbib_ring *ring)
{
	return ring->dma;
}

unsigned int tbib_ring_index(struct tbib_ring *ring)
{
	return ring->index;
}

u8 tbib_ring_lanes(struct tbib_ring *ring)
{
	return ring->lanes;
}

u32 tbib_ring_peer_limit(struct tbib_ring *ring)
{
	return ring->peer_limit;
}

u32 tbib_ring_buffers(struct tbib_ring *ring)
{
	return TBIB_RX_BUFFERS;
}

struct page_pool *tbib_ring_pool(struct tbib_ring *ring)
{
	return ring->pool;
}

u32 tbib_ring_interval(void)
{
	return TB_RING_INTERVAL_NSEC;
}

void tbib_ring_get_stats(struct tbib_ring *ring, struct tbib_ring_stats *s)
{
	*s = ring->stats;
}
