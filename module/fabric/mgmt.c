// SPDX-License-Identifier: GPL-2.0-only
/*
 * Management datagrams between the daemons at the two ends of a link. They are
 * control frames outside of the trunk's sequences, may be lost, and are
 * bounded per link in both directions.
 *
 * An empty one is the link's keepalive. Its sequence field says how far the
 * sender is: see enum hello.
 */
#include <linux/dma-mapping.h>
#include <linux/skbuff.h>
#include "priv.h"
#include "uapi/tbib_genl.h"

#define MGMT_QUEUE	64	/* received, not yet taken by the daemon */

enum hello {
	HELLO_JOINED	= 1,	/* the sender takes trains on this link */
	HELLO_OPEN	= 2,	/* and knows that we do */
};

static void mgmt_work(struct work_struct *work)
{
	struct tbib_flink *fl = container_of(work, struct tbib_flink,
					     mgmt_work);
	struct sk_buff *skb;

	while ((skb = skb_dequeue(&fl->mgmt_rx))) {
		if (tbib_genl_mgmt(fl->priv, fl->id, skb->data, skb->len))
			fl->mgmt_drops++;
		kfree_skb(skb);
	}
}

void tbib_mgmt_init(struct tbib_flink *fl)
{
	skb_queue_head_init(&fl->mgmt_rx);
	INIT_WORK(&fl->mgmt_work, mgmt_work);
}

/* tbib_mgmt_up() - buffers for the NHI of @fl. Under priv->mutex. */
int tbib_mgmt_up(struct tbib_flink *fl)
{
	struct device *dev = fl->ring[0].dev;
	int i;

	for (i = 0; i < TBIB_MGMT_BUFS; i++) {
		struct tbib_mgmt_buf *b = &fl->mgmt[i];

		b->busy = false;
		b->page = alloc_page(GFP_KERNEL);
		if (!b->page)
			goto undo;
		b->dma = dma_map_page(dev, b->page, 0, PAGE_SIZE,
				      DMA_TO_DEVICE);
		if (dma_mapping_error(dev, b->dma)) {
			__free_page(b->page);
			b->page = NULL;
			goto undo;
		}
	}
	return 0;
undo:
	tbib_mgmt_down(fl);
	return -ENOMEM;
}

void tbib_mgmt_down(struct tbib_flink *fl)
{
	struct device *dev = fl->ring[0].dev;
	int i;

	for (i = 0; i < TBIB_MGMT_BUFS; i++) {
		struct tbib_mgmt_buf *b = &fl->mgmt[i];

		if (!b->page)
			continue;
		dma_unmap_page(dev, b->dma, PAGE_SIZE, DMA_TO_DEVICE);
		__free_page(b->page);
		b->page = NULL;
	}
}

/* tbib_mgmt_del() - the link is going; nothing is received any more */
void tbib_mgmt_del(struct tbib_flink *fl)
{
	cancel_work_sync(&fl->mgmt_work);
	skb_queue_purge(&fl->mgmt_rx);
}

static u32 mgmt_encode(struct tbib_flink *fl, u8 *buf, const void *data,
		       u32 len)
{
	struct tbib_frame_hdr h = {
		.kind = TBIB_KIND_CONTROL,
		.dlid = TBIB_LID_NEIGHBOUR,
		.slid = fl->priv->node.lid,
		.hop_limit = 1,
		.cookie = fl->cookie_peer,
		.seq = (fl->joined ? HELLO_JOINED : 0) |
		       (fl->open ? HELLO_OPEN : 0),
		.pkt_len = len,
		.n_pkt = TBIB_CTRL_MGMT,
	};

	if (len)
		memcpy(buf + TBIB_FRAME_HDR, data, len);
	return tbib_frame_encode(buf, &h, NULL);
}

static int mgmt_free(const struct tbib_flink *fl)
{
	int i;

	for (i = 0; i < TBIB_MGMT_BUFS; i++)
		if (!fl->mgmt[i].busy)
			return i;
	return -1;
}

/*
 * tbib_mgmt_send() - post a datagram to the neighbour on @fl
 * The link is up. BHs may be on or off; the tx lock is not held.
 * Return: 0, -EAGAIN when too many are in flight.
 */
int tbib_mgmt_send(struct tbib_flink *fl, const void *data, u32 len)
{
	struct tbib_fring *fr = &fl->ring[0];
	struct tbib_trunk *tr = fr->trunk;
	struct tbib_tx_frame f;
	int b, ret = -EAGAIN;

	tbib_trunk_lock(tr);
	if (fr->stopping)
		goto out;
	tbib_ring_reap(fr->ring);
	b = mgmt_free(fl);
	if (b < 0 || !tbib_ring_room(fr->ring))
		goto out;
	f.len = mgmt_encode(fl, page_address(fl->mgmt[b].page), data, len);
	f.dma = fl->mgmt[b].dma;
	f.eof = TBIB_PDF_HEADER;
	f.cookie = (void *)(unsigned long)(b << 2 | TBIB_COOKIE_MGMT);
	dma_sync_single_for_device(fr->dev, f.dma, f.len, DMA_TO_DEVICE);
	fl->mgmt[b].busy = true;
	tbib_ring_post(fr->ring, &f, 1);
	fr->posted++;
	fl->sent = jiffies;
	ret = 0;
out:
	tbib_trunk_unlock(tr);
	return ret;
}

/* the peer says how far it is; say so too if that helps it on */
static void mgmt_hello(struct tbib_flink *fl, u32 state)
{
	if (!fl->joined || !(state & HELLO_JOINED))
		return;
	if (!fl->open)
		tbib_flink_open(fl);
	if (!(state & HELLO_OPEN))
		tbib_mgmt_send(fl, NULL, 0);
}

/*
 * tbib_mgmt_rx() - a management frame of this session has come. NAPI context.
 * Its CRC is not checked yet.
 */
void tbib_mgmt_rx(struct tbib_fring *fr, const u8 *data, u32 len)
{
	struct tbib_flink *fl = fr->fl;
	u16 raw_len[TBIB_MAX_RAW];
	struct tbib_frame_hdr h;
	struct sk_buff *skb;

	if (tbib_frame_decode(data, len, &h, raw_len) != TBIB_FRAME_OK)
		return;
	mgmt_hello(fl, h.seq);
	if (!h.pkt_len)
		return;
	if (h.pkt_len > TBIB_MGMT_MAX ||
	    skb_queue_len(&fl->mgmt_rx) >= MGMT_QUEUE)
		goto drop;
	skb = alloc_skb(h.pkt_len, GFP_ATOMIC | __GFP_NOWARN);
	if (!skb)
		goto drop;
	skb_put_data(skb, data + TBIB_FRAME_HDR, h.pkt_len);
	skb_queue_tail(&fl->mgmt_rx, skb);
	schedule_work(&fl->mgmt_work);
	return;
drop:
	fl->mgmt_drops++;
}
