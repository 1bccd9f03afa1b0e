/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of tbib0 share. */
#ifndef TBIB_NETDEV_PRIV_H
#define TBIB_NETDEV_PRIV_H

#include "netdev.h"

#define TBIB_ND_QUEUES	16
#define TBIB_ND_BLOCK	8	/* bytes of an offload block */

/**
 * struct tbib_nd_queue - one TX queue: a FIFO that fills trains
 * Nodes are spread over the queues, so that one that takes nothing now holds
 * up few others. The source's destination is that of the FIFO's head.
 */
struct tbib_nd_queue {
	struct tbib_source src;
	struct net_device *dev;
	struct netdev_queue *txq;
	spinlock_t lock;	/* guards @skbs and completions to @txq */
	struct sk_buff_head skbs;
};

struct tbib_nd_stats {
	u64 tx_copied;		/* frames that rode inline */
	u64 tx_zerocopy;	/* frames sent from their pages */
	u64 tx_gathered;	/* frames of too many pieces, copied to pages */
	u64 tx_multicast, tx_flooded, tx_no_route, rx_malformed;
};

/** struct tbib_netdev - private part of tbib0 */
struct tbib_netdev {
	struct tbib_node *node;
	struct tbib_nd_stats stats;
	struct tbib_nd_queue queue[TBIB_ND_QUEUES];
};

extern const struct ethtool_ops tbib_ethtool_ops;
extern const struct tbib_source_ops tbib_nd_source_ops;

/* tx.c */
netdev_tx_t tbib_nd_xmit(struct sk_buff *skb, struct net_device *dev);
u16 tbib_nd_select_queue(struct net_device *dev, struct sk_buff *skb,
			 struct net_device *sb_dev);
void tbib_nd_queue_init(struct tbib_nd_queue *q, struct net_device *dev,
			u32 index);
void tbib_nd_queue_purge(struct tbib_nd_queue *q);

#endif
