// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of one ring pair: memory, NHI rings, RX buffers. The data path is in
 * poll.c.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/slab.h>
#include <net/page_pool/helpers.h>
#include "internal.h"

/* Pages that wait in the pool for reuse, besides those that are posted. */
#define POOL_PAGES	(4 * TBIB_RX_RING)

static struct page_pool *pool_new(struct device *dma)
{
	const struct page_pool_params params = {
		.order = 0,
		.pool_size = POOL_PAGES,
		.nid = dev_to_node(dma),
		.dev = dma,
		/* transit sends the same page again, by this or another NHI */
		.dma_dir = DMA_BIDIRECTIONAL,
		.max_len = TBIB_FRAME_SIZE,
		.flags = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV,
	};

	return page_pool_create(&params);
}

static void put_rx_pages(struct tbib_ring *ring)
{
	unsigned int i;

	for (i = 0; i < TBIB_RX_BUFFERS; i++) {
		if (!ring->rx_slot[i].page)
			continue;
		page_pool_put_full_page(ring->pool, ring->rx_slot[i].page,
					false);
		ring->rx_slot[i].page = NULL;
	}
}

static int get_rx_pages(struct tbib_ring *ring)
{
	unsigned int i;

	for (i = 0; i < TBIB_RX_BUFFERS; i++) {
		struct page *page;

		page = page_pool_alloc_pages(ring->pool, GFP_KERNEL);
		if (!page)
			return -ENOMEM;
		ring->rx_slot[i].page = page;
		ring->rx_slot[i].ring = ring;
		ring->rx_slot[i].frame.callback = tbib_ring_rx_callback;
	}
	return 0;
}

static int start(struct tbib_ring *ring)
{
	unsigned int i;
	int ret;

	tb_ring_start(ring->tx);
	tb_ring_start(ring->rx);
	ring->running = true;
	for (i = 0; i < TBIB_RX_BUFFERS; i++) {
		ret = tbib_ring_post_rx(ring, &ring->rx_slot[i]);
		if (ret)
			return ret;	/* the NHI is going away */
	}
	return 0;
}

/* hardirq: done by being called, for the ring is masked now */
static void tx_start_poll(void *data)
{
}

/**
 * tbib_ring_new() - allocate a ring pair, start it and post its RX buffers
 * @link: the cable
 * @index: position within the link
 *
 * Return: the ring, or an ERR_PTR. Process context.
 */
struct tbib_ring *tbib_ring_new(struct tbib_link *link, unsigned int index)
{
	struct tbib_ring *ring;
	int ret = -ENOMEM;

	ring = kzalloc(sizeof(*ring), GFP_KERNEL);
	if (!ring)
		return ERR_PTR(-ENOMEM);
	ring->link = link;
	ring->index = index;
	timer_setup(&ring->watchdog, tbib_ring_watchdog, 0);
	hrtimer_setup(&ring->room_timer, tbib_ring_room_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL);

	ring->tx_slot = kvcalloc(TBIB_TX_RING, sizeof(*ring->tx_slot),
				 GFP_KERNEL);
	ring->rx_slot = kvcalloc(TBIB_RX_BUFFERS, sizeof(*ring->rx_slot),
				 GFP_KERNEL);
	if (!ring->tx_slot || !ring->rx_slot)
		goto err_slots;

	ring->tx = tb_ring_alloc_tx(link->tb_nhi, -1, TBIB_TX_RING,
				    RING_FLAG_FRAME | RING_FLAG_NO_INTERRUPT);
	if (!ring->tx)
		goto err_slots;
	/*
	 * Before 7.2 a TX ring always interrupts, and each one wakes a worker
	 * only to say what tbib_ring_reap() finds by itself. Who polls is
	 * masked in the NHI by the first one; and here nobody unmasks.
	 */
	if (ring->tx->irq > 0)
		ring->tx->start_poll = tx_start_poll;
	ring->rx = tb_ring_alloc_rx(link->tb_nhi, -1, TBIB_RX_RING,
				    RING_FLAG_FRAME, 0, BIT(TBIB_PDF_SOF),
				    TBIB_PDF_EOF_MASK, tbib_ring_start_poll,
				    ring);
	if (!ring->rx)
		goto err_tx;
	ring->dma = tb_ring_dma_device(ring->rx);

	ring->pool = pool_new(ring->dma);
	if (IS_ERR(ring->pool)) {
		ret = PTR_ERR(ring->pool);
		goto err_rx;
	}
	ret = get_rx_pages(ring);
	if (ret)
		goto err_pages;
	ret = start(ring);
	if (ret)
		goto err_start;
	return ring;

err_start:
	tbib_ring_stop(ring);
	tbib_ring_free(ring);
	return ERR_PTR(ret);
err_pages:
	put_rx_pages(ring);
	page_pool_destroy(ring->pool);
err_rx:
	tb_ring_free(ring->rx);
err_tx:
	tb_ring_free(ring->tx);
err_slots:
	kvfree(ring->rx_slot);
	kvfree(ring->tx_slot);
	kfree(ring);
	return ERR_PTR(ret);
}

#define NHI_CAPS	0x39640	/* USB4 host interface: host interface capabilities */

/*
 * tb_ring_stop() ends with register writes, which are posted: they, and the DMA
 * that was under way when they arrived, are done when a read has come back
 * (PCI Express ordering). Then pages may be given to others.
 */
static void flush_writes(struct tb_nhi *nhi)
{
	ioread32(nhi->iobase + NHI_CAPS);
}

/*
 * An interrupt that nobody polled for has left the ring masked in the NHI, and
 * tb_ring_stop() takes that for a bug. With the interrupt off, none can mask it
 * again in between. It is freed with the ring.
 */
static void stop_one(struct tb_ring *tb)
{
	if (tb->irq > 0)
		disable_irq(tb->irq);
	tb_ring_poll_complete(tb);
	tb_ring_stop(tb);
}

/**
 * tbib_ring_stop() - no DMA and no upcall but done() after it returns
 * @ring: the ring pair
 *
 * The paths have been disabled. Posted frames come back by done(), from here.
 * Process context.
 */
void tbib_ring_stop(struct tbib_ring *ring)
{
	if (!ring->running)
		return;
	ring->running = false;
	timer_shutdown_sync(&ring->watchdog);
	hrtimer_cancel(&ring->room_timer);
	stop_one(ring->rx);
	stop_one(ring->tx);
	flush_writes(ring->rx->nhi);
	tbib_ring_reap(ring);
}

/**
 * tbib_ring_free() - mirror of tbib_ring_new(), after tbib_ring_stop()
 * @ring: the ring pair
 *
 * The caller has waited for the NHI to forget the RX buffers.
 */
void tbib_ring_free(struct tbib_ring *ring)
{
	put_rx_pages(ring);
	page_pool_destroy(ring->pool);
	if (ring->rx)
		tb_ring_free(ring->rx);
	if (ring->tx)
		tb_ring_free(ring->tx);
	kvfree(ring->rx_slot);
	kvfree(ring->tx_slot);
	kfree(ring);
}

/**
 * tbib_ring_give_back() - done() for frames that the NHI never gave back
 * @ring: the ring pair, stopped
 *
 * A ring of an NHI that went away keeps its frames: free the NHI rings first.
 */
void tbib_ring_give_back(struct tbib_ring *ring)
{
	u32 i;

	if (ring->tx_head == ring->tx_tail)
		return;
	tb_ring_free(ring->rx);
	tb_ring_free(ring->tx);
	ring->rx = NULL;
	ring->tx = NULL;
	for (i = ring->tx_tail; i != ring->tx_head; i++)
		ring->tx_slot[i % TBIB_TX_RING].done = true;
	tbib_ring_reap(ring);
}
