// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bounce pages: payload that cannot be sent from where it stands is copied
 * into one of these. They are allocated once and mapped once per NHI, so the
 * data path neither allocates nor maps.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "priv.h"

#define BOUNCE_PAGES	2048
#define BOUNCE_SHARE	256	/* at most 1/256 of the memory */

struct bounce {
	struct page *page;
	dma_addr_t dma[TBIB_NHIS];
};

static struct {
	struct bounce *all;
	u32 n;
	spinlock_t lock;	/* guards @free and @n_free */
	struct page **free;	/* a stack: the page used last is still warm */
	u32 n_free;
} pool;

int tbib_bounce_init(void)
{
	u32 n = min_t(unsigned long, BOUNCE_PAGES,
		      totalram_pages() / BOUNCE_SHARE);
	u32 i;

	spin_lock_init(&pool.lock);
	pool.all = kvcalloc(n, sizeof(*pool.all), GFP_KERNEL);
	pool.free = kvcalloc(n, sizeof(*pool.free), GFP_KERNEL);
	if (!pool.all || !pool.free)
		goto fail;
	for (i = 0; i < n; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			goto fail;
		pool.all[i].page = page;
		set_page_private(page, (unsigned long)&pool.all[i]);
		pool.free[i] = page;
		pool.n = i + 1;
	}
	pool.n_free = pool.n;
	return 0;
fail:
	tbib_bounce_exit();
	return -ENOMEM;
}

void tbib_bounce_exit(void)
{
	u32 i;

	WARN_ON(pool.n_free && pool.n_free != pool.n);
	for (i = 0; i < pool.n; i++) {
		set_page_private(pool.all[i].page, 0);
		__free_page(pool.all[i].page);
	}
	kvfree(pool.all);
	kvfree(pool.free);
	pool.all = NULL;
	pool.free = NULL;
	pool.n = 0;
	pool.n_free = 0;
}

/* tbib_bounce_map() - make every page ready for DMA by @dev */
int tbib_bounce_map(struct device *dev, u8 nhi)
{
	u32 i;

	for (i = 0; i < pool.n; i++) {
		dma_addr_t dma = dma_map_page(dev, pool.all[i].page, 0,
					      PAGE_SIZE, DMA_TO_DEVICE);

		if (dma_mapping_error(dev, dma))
			goto undo;
		pool.all[i].dma[nhi] = dma;
	}
	return 0;
undo:
	while (i--)
		dma_unmap_page(dev, pool.all[i].dma[nhi], PAGE_SIZE,
			       DMA_TO_DEVICE);
	return -ENOMEM;
}

void tbib_bounce_unmap(struct device *dev, u8 nhi)
{
	u32 i;

	for (i = 0; i < pool.n; i++)
		dma_unmap_page(dev, pool.all[i].dma[nhi], PAGE_SIZE,
			       DMA_TO_DEVICE);
}

dma_addr_t tbib_bounce_dma(struct page *page, u8 nhi)
{
	const struct bounce *b = (const struct bounce *)page_private(page);

	return b->dma[nhi];
}

struct page *tbib_bounce_page(struct tbib_node *node)
{
	struct page *page = NULL;
	unsigned long flags;

	spin_lock_irqsave(&pool.lock, flags);
	if (pool.n_free)
		page = pool.free[--pool.n_free];
	spin_unlock_irqrestore(&pool.lock, flags);
	return page;
}

void tbib_bounce_put(struct tbib_node *node, struct page *page)
{
	unsigned long flags;

	spin_lock_irqsave(&pool.lock, flags);
	pool.free[pool.n_free++] = page;
	spin_unlock_irqrestore(&pool.lock, flags);
}
