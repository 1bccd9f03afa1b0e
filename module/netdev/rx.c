// SPDX-License-Identifier: GPL-2.0-only
/*
 * tbib0, receiving: the inline bytes of a packet become the linear part of an
 * skb, the raw frames' pages its fragments, without a copy, unless sockets that
 * are not read hold many of them already. Everything here was written by a peer:
 * lengths and the offload block are checked before use.
 */
#include <linux/virtio_net.h>
#include <net/page_pool/helpers.h>
#include "priv.h"

/* @data, of one page, as fragment @n. Return: false when there is no memory. */
static bool add_frag(struct sk_buff *skb, u32 n, const u8 *data, u32 len)
{
	struct page *page = virt_to_page(data);
	u32 off = offset_in_page(data);

	if (likely(!tbib_rx_scarce(page))) {
		/* the train keeps its own reference until it is given back */
		page_pool_ref_page(page);
	} else {
		page = dev_alloc_page();
		if (!page)
			return false;
		memcpy(page_address(page), data, len);
		off = 0;
	}
	skb_add_rx_frag(skb, n, page, off, len, PAGE_SIZE);
	return true;
}

/* @p's out-of-line bytes as fragments. Return: false when it cannot be. */
static bool add_frags(struct sk_buff *skb, const struct tbib_pkt *p)
{
	const struct tbib_rx_train *t = p->train;
	u32 left = p->ool_len, off = p->raw_off;
	u32 n = 0, i;

	for (i = p->raw_index; left; i++, off = 0) {
		const u8 *data = t->raw[i].data + off;
		u32 len = min_t(u32, left, t->raw[i].len - off);

		if (n == MAX_SKB_FRAGS || !add_frag(skb, n++, data, len))
			return false;
		left -= len;
	}
	return true;
}

static bool take_block(struct sk_buff *skb, const u8 *block)
{
	struct virtio_net_hdr vh = {
		.flags = block[0],
		.gso_type = block[1],
		.gso_size = __cpu_to_virtio16(true, tbib_get16(block + 2)),
		.csum_start = __cpu_to_virtio16(true, tbib_get16(block + 4)),
		.csum_offset = __cpu_to_virtio16(true, tbib_get16(block + 6)),
	};

	if (block[0] & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return false;
	return !virtio_net_hdr_to_skb(skb, &vh, true);
}

static struct sk_buff *make_skb(const struct tbib_pkt *p,
				struct napi_struct *napi)
{
	u32 extra = p->flags & (TBIB_PF_CSUM | TBIB_PF_GSO) ? TBIB_ND_BLOCK : 0;
	struct sk_buff *skb;

	if (p->inl_len < extra + ETH_HLEN)
		return NULL;
	skb = napi_alloc_skb(napi, p->inl_len - extra);
	if (!skb)
		return NULL;
	skb_put_data(skb, p->inl + extra, p->inl_len - extra);
	skb_mark_for_recycle(skb);
	if (!add_frags(skb, p) || (extra && !take_block(skb, p->inl))) {
		dev_kfree_skb_any(skb);
		return NULL;
	}
	return skb;
}

void tbib_netdev_rx(struct tbib_node *node, const struct tbib_pkt *p,
		    struct tbib_peer *from, struct napi_struct *napi)
{
	struct net_device *dev = READ_ONCE(node->netdev);
	struct tbib_netdev *nd;
	struct sk_buff *skb;

	/* the loopback worker has no NAPI: frames to ourselves stay in the stack */
	if (!dev || !napi)
		return;
	nd = netdev_priv(dev);
	if (!netif_running(dev)) {
		dev_core_stats_rx_dropped_inc(dev);
		return;
	}
	skb = make_skb(p, napi);
	if (!skb) {
		nd->stats.rx_malformed++;
		dev_core_stats_rx_dropped_inc(dev);
		return;
	}
	dev_sw_netstats_rx_add(dev, skb->len);
	skb->protocol = eth_type_trans(skb, dev);
	napi_gro_receive(napi, skb);
}
