// SPDX-License-Identifier: GPL-2.0-only
/*
 * The raw-ring sender: moves 4 KiB frames over one ring pair by the stock
 * driver's API, as fast as that goes, and does nothing else. What it reaches is
 * the ceiling of this cable at this minute; other figures are quoted against it.
 *
 * Loaded on both hosts, it pairs up by itself (service "tbibraw", fixed HopID).
 * /sys/kernel/debug/tbib_rawring/<xdomain>/
 *	send	write N: send N frames; write 0: stop
 *	report	one line "tx frames=.. bytes=.. ns=.. gbps=.. running=.." and
 *		one for rx; times run from the first to the last frame
 *	reset	write anything: zero the counters
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "compat_tb.h"

#define RING_SIZE	256
#define RX_BUFFERS	(RING_SIZE - 1)
#define TX_FRAMES	128	/* in flight, as many as tbib allows itself */
#define FRAME_BYTES	4096
#define HOPID		15	/* the highest that every peer takes */
#define PDF_SOF		1
#define PDF_EOF		2

/* d54d9a3c-13f0-4e0b-a9a5-6a6bb4e3a6f1 */
static const uuid_t dir_uuid =
	UUID_INIT(0xd54d9a3c, 0x13f0, 0x4e0b,
		  0xa9, 0xa5, 0x6a, 0x6b, 0xb4, 0xe3, 0xa6, 0xf1);

/* struct raw_frame - a page, mapped once, and its descriptor */
struct raw_frame {
	struct ring_frame frame;
	struct raw_link *link;
	struct page *page;
};

/* struct raw_count - what one direction has moved */
struct raw_count {
	u64 frames, bad;
	u64 first, last;	/* ns */
};

/*
 * struct raw_link - one cable
 * @lock: guards left, parked and tx
 * @left: frames still to be posted
 * @parked: TX frames that are not posted
 */
struct raw_link {
	struct tb_xdomain *xd;
	struct tb_ring *tx_ring, *rx_ring;
	struct raw_frame *tx_frame, *rx_frame;
	spinlock_t lock;
	u64 left;
	struct list_head parked;
	struct raw_count tx, rx;
	struct dentry *dir;
	bool paths;
};

static struct dentry *root;
static struct tb_property_dir *dir;

static void count(struct raw_count *c)
{
	c->last = ktime_get_ns();
	if (!c->frames++)
		c->first = c->last;
}

/* @link->lock is held */
static void post(struct raw_link *link)
{
	while (link->left && !list_empty(&link->parked)) {
		struct ring_frame *f = list_first_entry(&link->parked,
							struct ring_frame,
							list);

		list_del_init(&f->list);
		link->left--;
		f->size = 0;	/* 4096 */
		f->sof = PDF_SOF;
		f->eof = PDF_EOF;
		if (tb_ring_tx(link->tx_ring, f)) {
			list_add(&f->list, &link->parked);
			link->left = 0;
		}
	}
}

static void sent(struct tb_ring *ring, struct ring_frame *frame, bool canceled)
{
	struct raw_frame *f = container_of(frame, struct raw_frame, frame);
	struct raw_link *link = f->link;
	unsigned long flags;

	spin_lock_irqsave(&link->lock, flags);
	list_add_tail(&frame->list, &link->parked);
	if (!canceled) {
		count(&link->tx);
		post(link);
	}
	spin_unlock_irqrestore(&link->lock, flags);
}

static void received(struct tb_ring *ring, struct ring_frame *frame,
		     bool canceled)
{
	struct raw_frame *f = container_of(frame, struct raw_frame, frame);
	struct raw_link *link = f->link;

	if (canceled)
		return;
	count(&link->rx);
	if (frame->flags & (RING_DESC_CRC_ERROR | RING_DESC_BUFFER_OVERRUN) ||
	    frame->size)
		link->rx.bad++;
	tb_ring_rx(ring, frame);
}

/* ---- debugfs --------------------------------------------------------- */

static int send_set(void *data, u64 frames)
{
	struct raw_link *link = data;

	spin_lock_irq(&link->lock);
	link->left = frames;
	post(link);
	spin_unlock_irq(&link->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(send_fops, NULL, send_set, "%llu\n");

static int reset_set(void *data, u64 value)
{
	struct raw_link *link = data;

	spin_lock_irq(&link->lock);
	memset(&link->tx, 0, sizeof(link->tx));
	memset(&link->rx, 0, sizeof(link->rx));
	spin_unlock_irq(&link->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(reset_fops, NULL, reset_set, "%llu\n");

static void show(struct seq_file *s, const char *name,
		 const struct raw_count *c, bool running)
{
	u64 ns = c->last - c->first;
	/* the time from first to last frame holds one frame less */
	u64 bits = c->frames > 1 ? (c->frames - 1) * FRAME_BYTES * 8 : 0;
	u64 mbps = ns ? div64_u64(bits * 1000, ns) : 0;

	seq_printf(s,
		   "%s frames=%llu bytes=%llu bad=%llu ns=%llu gbps=%llu.%03llu running=%d\n",
		   name, c->frames, c->frames * FRAME_BYTES, c->bad, ns,
		   mbps / 1000, mbps % 1000, running);
}

static int report_show(struct seq_file *s, void *data)
{
	struct raw_link *link = s->private;

	show(s, "tx", &link->tx, READ_ONCE(link->left) > 0);
	show(s, "rx", &link->rx, false);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(report);

/* ---- buffers, rings, paths ------------------------------------------- */

static void free_frames(struct raw_frame *frames, unsigned int n,
			struct device *dma, enum dma_data_direction direction)
{
	unsigned int i;

	for (i = 0; frames && i < n && frames[i].page; i++) {
		dma_unmap_page(dma, frames[i].frame.buffer_phy, FRAME_BYTES,
			       direction);
		__free_page(frames[i].page);
	}
	kvfree(frames);
}

static struct raw_frame *alloc_frames(struct raw_link *link, unsigned int n,
				      struct device *dma,
				      enum dma_data_direction direction)
{
	struct raw_frame *frames = kvcalloc(n, sizeof(*frames), GFP_KERNEL);
	unsigned int i;

	for (i = 0; frames && i < n; i++) {
		struct raw_frame *f = &frames[i];

		f->link = link;
		f->frame.callback = direction == DMA_TO_DEVICE ? sent
							       : received;
		f->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!f->page)
			goto err;
		f->frame.buffer_phy = dma_map_page(dma, f->page, 0,
						   FRAME_BYTES, direction);
		if (dma_mapping_error(dma, f->frame.buffer_phy)) {
			__free_page(f->page);
			f->page = NULL;
			goto err;
		}
	}
	return frames;

err:
	free_frames(frames, n, dma, direction);
	return NULL;
}

static void free_link(struct raw_link *link)
{
	struct device *dma;

	if (link->rx_ring) {
		dma = tb_ring_dma_device(link->rx_ring);
		free_frames(link->rx_frame, RX_BUFFERS, dma, DMA_FROM_DEVICE);
		free_frames(link->tx_frame, TX_FRAMES, dma, DMA_TO_DEVICE);
		tb_ring_free(link->rx_ring);
	}
	if (link->tx_ring)
		tb_ring_free(link->tx_ring);
	tb_xdomain_put(link->xd);
	kfree(link);
}

static int alloc_rings(struct raw_link *link)
{
	struct tb_nhi *nhi = link->xd->tb->nhi;
	struct device *dma;
	unsigned int i;

	link->tx_ring = tb_ring_alloc_tx(nhi, -1, RING_SIZE, RING_FLAG_FRAME);
	if (!link->tx_ring)
		return -ENOMEM;
	link->rx_ring = tb_ring_alloc_rx(nhi, -1, RING_SIZE, RING_FLAG_FRAME, 0,
					 BIT(PDF_SOF), BIT(PDF_EOF), NULL,
					 NULL);
	if (!link->rx_ring)
		return -ENOMEM;
	dma = tb_ring_dma_device(link->rx_ring);
	link->tx_frame = alloc_frames(link, TX_FRAMES, dma, DMA_TO_DEVICE);
	link->rx_frame = alloc_frames(link, RX_BUFFERS, dma, DMA_FROM_DEVICE);
	if (!link->tx_frame || !link->rx_frame)
		return -ENOMEM;
	for (i = 0; i < TX_FRAMES; i++)
		list_add_tail(&link->tx_frame[i].frame.list, &link->parked);
	return 0;
}

/* Rings first, then buffers, paths last; stop() is the mirror. */
static int start(struct raw_link *link)
{
	unsigned int i;
	int ret;

	ret = tb_xdomain_alloc_out_hopid(link->xd, HOPID);
	if (ret != HOPID) {
		if (ret >= 0)
			tb_xdomain_release_out_hopid(link->xd, ret);
		return -EBUSY;
	}
	ret = tb_xdomain_alloc_in_hopid(link->xd, HOPID);
	if (ret != HOPID) {
		if (ret >= 0)
			tb_xdomain_release_in_hopid(link->xd, ret);
		ret = -EBUSY;
		goto err_out;
	}
	tb_ring_start(link->tx_ring);
	tb_ring_start(link->rx_ring);
	for (i = 0; i < RX_BUFFERS; i++)
		tb_ring_rx(link->rx_ring, &link->rx_frame[i].frame);
	ret = tb_xdomain_enable_paths(link->xd, HOPID, link->tx_ring->hop,
				      HOPID, link->rx_ring->hop);
	if (ret)
		goto err_rings;
	link->paths = true;
	return 0;

err_rings:
	tb_ring_stop(link->rx_ring);
	tb_ring_stop(link->tx_ring);
	tb_xdomain_release_in_hopid(link->xd, HOPID);
err_out:
	tb_xdomain_release_out_hopid(link->xd, HOPID);
	return ret;
}

static void stop(struct raw_link *link)
{
	if (!link->paths)
		return;
	send_set(link, 0);
	tb_xdomain_disable_paths(link->xd, HOPID, link->tx_ring->hop, HOPID,
				 link->rx_ring->hop);
	tb_ring_stop(link->rx_ring);
	tb_ring_stop(link->tx_ring);
	msleep(10);	/* DMA that was under way */
	tb_xdomain_release_in_hopid(link->xd, HOPID);
	tb_xdomain_release_out_hopid(link->xd, HOPID);
}

/* ---- service --------------------------------------------------------- */

TB_SERVICE_PROBE(probe, svc)
{
	struct raw_link *link;
	int ret;

	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return -ENOMEM;
	spin_lock_init(&link->lock);
	INIT_LIST_HEAD(&link->parked);
	link->xd = tb_xdomain_get(tb_service_parent(svc));
	ret = alloc_rings(link);
	if (ret)
		goto err;
	ret = start(link);
	if (ret)
		goto err;
	link->dir = debugfs_create_dir(dev_name(&link->xd->dev), root);
	debugfs_create_file("send", 0200, link->dir, link, &send_fops);
	debugfs_create_file("reset", 0200, link->dir, link, &reset_fops);
	debugfs_create_file("report", 0400, link->dir, link, &report_fops);
	tb_service_set_drvdata(svc, link);
	return 0;

err:
	free_link(link);
	return ret;
}

static void remove(struct tb_service *svc)
{
	struct raw_link *link = tb_service_get_drvdata(svc);

	debugfs_remove_recursive(link->dir);
	stop(link);
	free_link(link);
}

static const struct tb_service_id ids[] = {
	{ TB_SERVICE("tbibraw", 1) },
	{ },
};
MODULE_DEVICE_TABLE(tbsvc, ids);

static struct tb_service_driver driver = {
	.driver = {
		.owner = THIS_MODULE,
		.name = "tbib_rawring",
	},
	.probe = probe,
	.remove = remove,
	.id_table = ids,
};

static int __init rawring_init(void)
{
	int ret = -ENOMEM;

	dir = tb_property_create_dir(&dir_uuid);
	if (!dir)
		return ret;
	/*
	 * All four, as other services do: a property block whose last packet
	 * holds only one or two dwords is refused by tb_xdp_properties_request().
	 */
	if (tb_property_add_immediate(dir, "prtcid", 1) ||
	    tb_property_add_immediate(dir, "prtcvers", 1) ||
	    tb_property_add_immediate(dir, "prtcrevs", 1) ||
	    tb_property_add_immediate(dir, "prtcstns", 0))
		goto err_dir;
	root = debugfs_create_dir("tbib_rawring", NULL);
	ret = tb_register_service_driver(&driver);
	if (ret)
		goto err_root;
	ret = tb_register_property_dir("tbibraw", dir);
	if (ret)
		goto err_driver;
	return 0;

err_driver:
	tb_unregister_service_driver(&driver);
err_root:
	debugfs_remove(root);
err_dir:
	tb_property_free_dir(dir);
	return ret;
}

static void __exit rawring_exit(void)
{
	tb_unregister_property_dir("tbibraw", dir);
	tb_unregister_service_driver(&driver);
	debugfs_remove(root);
	tb_property_free_dir(dir);
}

module_init(rawring_init);
module_exit(rawring_exit);

MODULE_DESCRIPTION("Raw-ring sender, the ceiling of a Thunderbolt cable");
MODULE_AUTHOR("The tbib authors");
MODULE_LICENSE("GPL");
