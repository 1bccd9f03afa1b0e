// SPDX-License-Identifier: GPL-2.0-only
/*
 * tbib0, sending: a frame finds its node by its destination MAC and rides in a
 * train to it. Small frames are copied inline and are done at once; of large
 * ones the headers are inline and the pages are sent from where they are, until
 * the neighbour has acknowledged the train.
 *
 * An offload block in front of a frame (flags TBIB_PF_CSUM, TBIB_PF_GSO) says
 * what was left to the receiver; the trunk is lossless and checks what it
 * carries, so neither checksums nor segments need to be made here:
 *
 *	0  1  enum: VIRTIO_NET_HDR_F_*
 *	1  1  VIRTIO_NET_HDR_GSO_*
 *	2  2  GSO size
 *	4  2  checksum start
 *	6  2  checksum offset
 */
#include <linux/virtio_net.h>
#include "priv.h"
#include "proto/qp.h"

#define INLINE_MAX	2048	/* frames up to here are copied */
#define INLINE_HEADERS	128	/* of larger ones, when the linear part is long */
#define MAX_PIECES	MAX_SKB_FRAGS	/* what the receiver's skb can hold */

enum add {
	ADD_COPIED,	/* the skb is done with */
	ADD_REFERENCED,	/* the train has it */
	ADD_FULL,	/* try with another train */
	ADD_DROP,
};

/* ---- offload block ----------------------------------------------------------- */

/* Return: packet flags (0 = no block), or negative errno */
static int make_block(const struct sk_buff *skb, u8 *block)
{
	struct virtio_net_hdr vh;
	int ret;

	if (skb->ip_summed != CHECKSUM_PARTIAL && !skb_is_gso(skb))
		return 0;
	ret = virtio_net_hdr_from_skb(skb, &vh, true, false, 0);
	if (ret)
		return ret;
	block[0] = vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	block[1] = vh.gso_type;
	tbib_put16(block + 2, __virtio16_to_cpu(true, vh.gso_size));
	tbib_put16(block + 4, __virtio16_to_cpu(true, vh.csum_start));
	tbib_put16(block + 6, __virtio16_to_cpu(true, vh.csum_offset));
	return (block[0] ? TBIB_PF_CSUM : 0) |
	       (vh.gso_type != VIRTIO_NET_HDR_GSO_NONE ? TBIB_PF_GSO : 0);
}

/* ---- trains -------------------------------------------------------------------- */

static u32 pieces(u32 len)
{
	return DIV_ROUND_UP(len, TBIB_FRAME_SIZE);
}

/* raw frames for all of @skb behind the first @off bytes (in the linear part) */
static u32 count_pieces(const struct sk_buff *skb, u32 off)
{
	u32 n = pieces(skb_headlen(skb) - off);
	u32 i;

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		n += pieces(skb_frag_size(&skb_shinfo(skb)->frags[i]));
	return n;
}

static void add_bytes(struct tbib_train *t, u8 *data, u32 len)
{
	struct tbib_raw raw = { .kind = TBIB_RAW_SKB };

	while (len) {
		raw.data = data;
		raw.len = min_t(u32, len, TBIB_FRAME_SIZE);
		tbib_train_add_raw(t, &raw);
		data += raw.len;
		len -= raw.len;
	}
}

static u8 *add_packet(struct tbib_train *t, int flags, const u8 *block,
		      u32 inl, u32 ool)
{
	u32 extra = flags ? TBIB_ND_BLOCK : 0;
	u8 *p = tbib_train_add(t, TBIB_PKT_ETHERNET, flags, extra + inl, ool);

	if (!p)
		return NULL;
	memcpy(p, block, extra);
	return p + extra;
}

static enum add add_inline(struct tbib_train *t, struct sk_buff *skb,
			   int flags, const u8 *block)
{
	u8 *p = add_packet(t, flags, block, skb->len, 0);

	if (!p)
		return ADD_FULL;
	skb_copy_bits(skb, 0, p, skb->len);
	return ADD_COPIED;
}

/* the train keeps @skb until it is acked; the note tells the queue's limit */
static enum add add_frags(struct tbib_nd_queue *q, struct tbib_train *t,
			  struct sk_buff *skb, int flags, const u8 *block,
			  u32 hlen)
{
	u32 first = t->n_raw, i;
	u8 *p;

	if (t->n_note == TBIB_TRAIN_NOTES)
		return ADD_FULL;
	p = add_packet(t, flags, block, hlen, skb->len - hlen);
	if (!p)
		return ADD_FULL;
	skb_copy_from_linear_data(skb, p, hlen);
	add_bytes(t, skb->data + hlen, skb_headlen(skb) - hlen);
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *f = &skb_shinfo(skb)->frags[i];

		add_bytes(t, skb_frag_address(f), skb_frag_size(f));
	}
	t->raw[first].ref = skb;
	t->note[t->n_note].owner = &q->src;
	t->note[t->n_note++].value = (void *)(unsigned long)skb->len;
	return ADD_REFERENCED;
}

static void put_bounce(struct tbib_node *node, struct page **page, u32 n)
{
	while (n--)
		tbib_bounce_put(node, page[n]);
}

/* too many pieces: gather them into pages */
static enum add add_gathered(struct tbib_node *node, struct tbib_train *t,
			     struct sk_buff *skb, int flags, const u8 *block,
			     u32 hlen)
{
	u32 n = pieces(skb->len - hlen), off = hlen, i;
	struct tbib_raw raw = { .kind = TBIB_RAW_BOUNCE };
	struct page *page[MAX_PIECES];
	u8 *p;

	if (n > MAX_PIECES)
		return ADD_DROP;
	if (n > tbib_train_raw_room(t))
		return ADD_FULL;
	for (i = 0; i < n; i++) {
		page[i] = tbib_bounce_page(node);
		if (!page[i]) {
			put_bounce(node, page, i);
			return ADD_FULL;
		}
	}
	p = add_packet(t, flags, block, hlen, skb->len - hlen);
	if (!p) {
		put_bounce(node, page, n);
		return ADD_FULL;
	}
	skb_copy_bits(skb, 0, p, hlen);
	for (i = 0; i < n; i++) {
		raw.data = page_address(page[i]);
		raw.ref = page[i];
		raw.len = min_t(u32, skb->len - off, TBIB_FRAME_SIZE);
		skb_copy_bits(skb, off, raw.data, raw.len);
		tbib_train_add_raw(t, &raw);
		off += raw.len;
	}
	return ADD_COPIED;
}

static enum add add_skb(struct tbib_nd_queue *q, struct tbib_train *t,
			struct sk_buff *skb)
{
	struct tbib_netdev *nd = netdev_priv(q->dev);
	u8 block[TBIB_ND_BLOCK];
	int flags = make_block(skb, block);
	u32 hlen = skb_headlen(skb), n;

	if (flags < 0)
		return ADD_DROP;
	if (skb->len + TBIB_ND_BLOCK <= INLINE_MAX) {
		nd->stats.tx_copied++;
		return add_inline(t, skb, flags, block);
	}
	if (hlen > 2 * INLINE_HEADERS)
		hlen = INLINE_HEADERS;
	if (skb->len - hlen > U16_MAX || skb_has_frag_list(skb))
		return ADD_DROP;
	n = count_pieces(skb, hlen);
	if (n > MAX_PIECES) {
		nd->stats.tx_gathered++;
		return add_gathered(nd->node, t, skb, flags, block, hlen);
	}
	if (n > tbib_train_raw_room(t))
		return ADD_FULL;
	nd->stats.tx_zerocopy++;
	return add_frags(q, t, skb, flags, block, hlen);
}

/* ---- source --------------------------------------------------------------------- */

static struct tbib_nd_queue *to_queue(struct tbib_source *src)
{
	return container_of(src, struct tbib_nd_queue, src);
}

static struct tbib_peer *skb_peer(struct tbib_nd_queue *q,
				  const struct sk_buff *skb)
{
	struct tbib_netdev *nd = netdev_priv(q->dev);

	return tbib_peer_by_mac(nd->node, skb->data);
}

static bool nd_dest(struct tbib_source *src, struct tbib_dest *d)
{
	struct tbib_nd_queue *q = to_queue(src);
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	skb = skb_peek(&q->skbs);
	d->peer = skb ? skb_peer(q, skb) : NULL;
	spin_unlock_bh(&q->lock);
	return skb;
}

/* Under q->lock. */
static void skb_gone(struct tbib_nd_queue *q, struct sk_buff *skb, bool dropped)
{
	netdev_tx_completed_queue(q->txq, 1, skb->len);
	if (dropped) {
		dev_core_stats_tx_dropped_inc(q->dev);
		dev_kfree_skb_any(skb);
	} else {
		dev_consume_skb_any(skb);
	}
}

static u8 nd_fill(struct tbib_source *src, struct tbib_train *t,
		  const struct tbib_dest *d)
{
	struct tbib_nd_queue *q = to_queue(src);
	u8 ret = TBIB_FILL_IDLE;
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	while ((skb = skb_peek(&q->skbs))) {
		enum add add;

		ret = TBIB_FILL_MORE;
		if (skb_peer(q, skb) != d->peer)
			break;
		add = add_skb(q, t, skb);
		if (add == ADD_FULL)
			break;
		__skb_unlink(skb, &q->skbs);
		if (add != ADD_REFERENCED)
			skb_gone(q, skb, add == ADD_DROP);
		ret = TBIB_FILL_IDLE;
	}
	spin_unlock_bh(&q->lock);
	return ret;
}

static void nd_drop(struct tbib_source *src)
{
	struct tbib_nd_queue *q = to_queue(src);
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	skb = __skb_dequeue(&q->skbs);
	if (skb)
		skb_gone(q, skb, true);
	spin_unlock_bh(&q->lock);
}

static void nd_note(struct tbib_source *src, void *value, bool delivered)
{
	struct tbib_nd_queue *q = to_queue(src);

	spin_lock_bh(&q->lock);
	netdev_tx_completed_queue(q->txq, 1, (unsigned long)value);
	spin_unlock_bh(&q->lock);
}

const struct tbib_source_ops tbib_nd_source_ops = {
	.dest = nd_dest,
	.drop = nd_drop,
	.fill = nd_fill,
	.note = nd_note,
};

void tbib_nd_queue_init(struct tbib_nd_queue *q, struct net_device *dev,
			u32 index)
{
	spin_lock_init(&q->lock);
	__skb_queue_head_init(&q->skbs);
	q->dev = dev;
	q->txq = netdev_get_tx_queue(dev, index);
	tbib_source_init(&q->src, &tbib_nd_source_ops, TBIB_LANE_EXPRESS);
}

void tbib_nd_queue_purge(struct tbib_nd_queue *q)
{
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	while ((skb = __skb_dequeue(&q->skbs)))
		skb_gone(q, skb, true);
	spin_unlock_bh(&q->lock);
}

/* ---- what the stack calls ---------------------------------------------------------- */

u16 tbib_nd_select_queue(struct net_device *dev, struct sk_buff *skb,
			 struct net_device *sb_dev)
{
	struct tbib_netdev *nd = netdev_priv(dev);
	struct tbib_peer *peer;
	u16 queue = 0;

	rcu_read_lock();
	peer = tbib_peer_by_mac(nd->node, skb->data);
	if (peer)
		queue = READ_ONCE(peer->lid) % dev->real_num_tx_queues;
	rcu_read_unlock();
	return queue;
}

/*
 * To many: along the tree. A MAC that is no node's is behind one of them
 * (a bridge there): every node looks.
 */
static netdev_tx_t xmit_multicast(struct tbib_netdev *nd, struct sk_buff *skb,
				  struct net_device *dev)
{
	u8 block[TBIB_ND_BLOCK];
	int flags = make_block(skb, block);
	int ret = flags;

	if (is_multicast_ether_addr(skb->data))
		nd->stats.tx_multicast++;
	else
		nd->stats.tx_flooded++;
	if (flags >= 0)
		ret = tbib_fabric_multicast(nd->node, skb, flags, block,
					    flags ? TBIB_ND_BLOCK : 0);
	if (ret) {
		nd->stats.tx_no_route += ret == -ENETUNREACH;
		dev_core_stats_tx_dropped_inc(dev);
		dev_kfree_skb_any(skb);
		return NETDEV_TX_OK;
	}
	dev_sw_netstats_tx_add(dev, 1, skb->len);
	dev_consume_skb_any(skb);
	tbib_fabric_kick(nd->node);
	return NETDEV_TX_OK;
}

netdev_tx_t tbib_nd_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct tbib_netdev *nd = netdev_priv(dev);
	struct tbib_nd_queue *q;
	struct tbib_peer *peer;
	bool send;

	rcu_read_lock();
	peer = is_multicast_ether_addr(skb->data) ? NULL :
	       tbib_peer_by_mac(nd->node, skb->data);
	if (!peer) {
		rcu_read_unlock();
		return xmit_multicast(nd, skb, dev);
	}
	q = &nd->queue[skb_get_queue_mapping(skb) % TBIB_ND_QUEUES];
	dev_sw_netstats_tx_add(dev, 1, skb->len);
	skb_tx_timestamp(skb);
	spin_lock_bh(&q->lock);
	__skb_queue_tail(&q->skbs, skb);
	send = __netdev_tx_sent_queue(q->txq, skb->len, netdev_xmit_more());
	spin_unlock_bh(&q->lock);
	tbib_source_ready(nd->node, &q->src, peer);
	rcu_read_unlock();
	if (send)
		tbib_fabric_kick(nd->node);
	return NETDEV_TX_OK;
}
