/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fabric layer: this host's node, the other nodes, trunks to neighbours,
 * the linear forwarding table, and the sources that fill trains.
 *
 *	sources (QPs, netdev queue, management)  -- "I have something to send"
 *	    -> node table: MAC -> node -> LID -> egress trunk
 *	        -> trunk lane's ready list -> tbib_tx_run() pulls trains
 *
 * Locks, outer to inner (never the other way):
 *	trunk->tx_lock  >  a source's own lock (QP lock)  >  lane->ready_lock
 * Receive (NAPI, or the loopback worker) takes source locks and ready locks,
 * and the tx lock only when it holds no source lock.
 */
#ifndef TBIB_FABRIC_H
#define TBIB_FABRIC_H

#include <linux/etherdevice.h>
#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include "proto/train.h"

struct tbib_source;
struct tbib_node;
struct device;

/** struct tbib_peer - a node of the fabric; RCU, refcounted
 * @epoch: its boot epoch, goes into dest_epoch
 * @lid: changes in place (READ_ONCE); 0 = not reachable now
 */
struct tbib_peer {
	struct hlist_node hash;		/* by MAC, in the node table */
	struct rcu_head rcu;
	refcount_t ref;
	u64 guid;
	u8 mac[ETH_ALEN];
	u16 lid;
	u32 epoch;
	bool self;
	bool marked;		/* its trains came with a mark: tell it */
	u32 pace_mbps;		/* what we may send to it; 0 = no limit */
	u64 pace_at;		/* ns: when the next train may go */
	u64 pace_changed;	/* ns */
};

/**
 * struct tbib_dest - where a source's next packets go
 * @peer: valid under rcu_read_lock or with the source's reference
 */
struct tbib_dest {
	struct tbib_peer *peer;
	void *ah;		/* for the source itself (UD: address handle) */
};

enum tbib_source_flag {		/* bit numbers */
	TBIB_SRC_QUEUED,
	TBIB_SRC_DEAD,
	TBIB_SRC_STALLED,
};

/**
 * struct tbib_source_ops - called with the egress trunk's tx lock held, BHs
 * off, under rcu_read_lock; the source takes its own lock. Owners of notes are
 * struct tbib_source pointers.
 * @dest: destination of what comes next. Return: false = nothing to send.
 * @fill: append packets for @d to @t; TBIB_FILL_MORE = more is waiting
 * @drop: what comes next cannot be routed (no peer, no route): get rid of it
 * @note: a train with this source's note was acked (or lost to a reset);
 *	tx lock held
 * @stalled: waits for room in the trunk / does not any more (may be NULL)
 */
struct tbib_source_ops {
	bool (*dest)(struct tbib_source *src, struct tbib_dest *d);
	u8 (*fill)(struct tbib_source *src, struct tbib_train *t,
		   const struct tbib_dest *d);
	void (*drop)(struct tbib_source *src);
	void (*note)(struct tbib_source *src, void *value, bool delivered);
	void (*stalled)(struct tbib_source *src, bool stalled);
};

/**
 * struct tbib_source - something that fills trains; embedded in its owner
 * @on: lane whose list it is on; guarded by that lane's ready_lock
 */
struct tbib_source {
	struct list_head ready;
	const struct tbib_source_ops *ops;
	void *on;
	u8 lane;		/* enum tbib_lane */
	unsigned long flags;	/* enum tbib_source_flag */
};

void tbib_source_init(struct tbib_source *src,
		      const struct tbib_source_ops *ops, u8 lane);

/**
 * tbib_source_ready() - @src has packets for @peer: queue it on the egress
 * trunk (or the loopback trunk when @peer is ourselves). Any context but
 * hardirq, own lock may be held; does not transmit. Idempotent.
 * With @peer NULL or without a route the source is queued on the null trunk,
 * which calls ->drop() until ->dest() is false.
 */
void tbib_source_ready(struct tbib_node *node, struct tbib_source *src,
		       struct tbib_peer *peer);

/**
 * tbib_source_kill() - off every list, no callback runs or will run after
 * return, notes of trains in flight are forgotten (their WQEs are the owner's
 * to flush). May sleep. Raw frames hold their own references.
 */
void tbib_source_kill(struct tbib_node *node, struct tbib_source *src);

/**
 * tbib_fabric_kick() - transmit from trunks that got ready sources.
 * No source lock held. Not in hardirq and not with interrupts off: then it
 * schedules NAPI instead. Called at the end of post_send, of a NAPI poll,
 * of ndo_start_xmit, of timers.
 */
void tbib_fabric_kick(struct tbib_node *node);

/* --- raw frames in trains: who keeps the bytes alive ------------------- */

enum tbib_raw_kind {
	TBIB_RAW_BOUNCE = 1,	/* ref = struct page of the bounce pool */
	TBIB_RAW_MR,		/* ref = struct tbib_mr; index = page of it */
	TBIB_RAW_SKB,		/* ref = skb, on one raw frame of it; else NULL */
	TBIB_RAW_RX,		/* ref = page_pool page (transit) */
	TBIB_RAW_PAGE,		/* ref = page (multicast from here) */
};

/**
 * struct tbib_mr_ops - how the fabric maps and releases MR pages; verbs set it
 * @dma: DMA address of byte @data of page @index for device @dev, or
 *	DMA_MAPPING_ERROR (then the bytes are copied); under rcu_read_lock()
 * @put: drop the reference that the raw frame held; any context
 */
struct tbib_mr_ops {
	dma_addr_t (*dma)(void *mr, u32 index, const void *data,
			  struct device *dev);
	void (*put)(void *mr);
};

/** tbib_bounce_page() - a page for copied payload; NULL when none. Atomic.
 * Lives until the train's release; add it as TBIB_RAW_BOUNCE.
 */
struct page *tbib_bounce_page(struct tbib_node *node);
void tbib_bounce_put(struct tbib_node *node, struct page *page);

/* --- node ------------------------------------------------------------- */

/**
 * struct tbib_upper_ops - what verbs and netdev give to the fabric
 * Receive calls come from NAPI (or the loopback worker), serialised per
 * trunk, under rcu_read_lock(); @rx packets are valid until return. The others come in process
 * context with no lock of the fabric's data path held; they may sleep.
 * @port_changed: node's port state or speed changed, or @admin_up of it
 * @attach: create the devices of @node under @parent. Return: 0 or -errno.
 * @detach: unregister the ib_device; the fabric stops its NAPIs between this
 *	and @detach_netdev. Again, when there is none any more, it does nothing.
 * @nhi_add: memory may be mapped for @dev from now on
 * @nhi_gone: unmap everything for @dev before return
 * @busy: somebody uses the devices, the GUID must not change (may be NULL)
 * @ib_name: name of the ib_device, empty when there is none (may be NULL)
 */
struct tbib_upper_ops {
	void (*rx_transport)(struct tbib_node *node, const struct tbib_pkt *p,
			     struct tbib_peer *from, u16 slid);
	void (*rx_ethernet)(struct tbib_node *node, const struct tbib_pkt *p,
			    struct tbib_peer *from, struct napi_struct *napi);
	void (*rx_end)(struct tbib_node *node);	/* end of a poll */
	void (*port_changed)(struct tbib_node *node);
	int (*attach)(struct tbib_node *node, struct device *parent);
	void (*detach)(struct tbib_node *node);
	void (*detach_netdev)(struct tbib_node *node);
	void (*nhi_add)(struct tbib_node *node, struct device *dev);
	void (*nhi_gone)(struct tbib_node *node, struct device *dev);
	bool (*busy)(struct tbib_node *node);
	void (*ib_name)(struct tbib_node *node, char *buf, size_t len);
};

enum tbib_port_state {	/* design D8; numbers of enum ib_port_state */
	TBIB_PORT_DOWN = 1, TBIB_PORT_INIT = 2, TBIB_PORT_ARMED = 3,
	TBIB_PORT_ACTIVE = 4,
};

/**
 * struct tbib_node - this host in the fabric; one per module
 * Public part; the rest is struct tbib_node_priv in node.c.
 */
struct tbib_node {
	u64 guid;
	u8 mac[ETH_ALEN];
	u16 lid;		/* 0 = none yet */
	u64 nonce;
	u32 epoch;		/* what others put into dest_epoch for us */
	u8 port_state;		/* enum tbib_port_state */
	bool admin_up;		/* tbib0 is set up; see tbib_node_set_admin() */
	u32 speed_mbps;		/* sum of the links that are up */
	struct device *parent;	/* NHI that is parent of tbib0, or NULL */
	struct net_device *netdev;
	void *verbs;		/* struct tbib_ibdev shell, or NULL */
	u32 wakes;		/* grows when a completion wakes somebody; a hint */
	const struct tbib_mr_ops *mr_ops;
	struct tbib_peer *self;
};

/** the one node; valid from module init to exit */
extern struct tbib_node *tbib_the_node;

int tbib_fabric_init(const struct tbib_upper_ops *upper);
void tbib_fabric_exit(void);

/** tbib_peer_by_mac() - under rcu_read_lock. Return: NULL when unknown. */
struct tbib_peer *tbib_peer_by_mac(struct tbib_node *node, const u8 *mac);
struct tbib_peer *tbib_peer_by_lid(struct tbib_node *node, u16 lid);
static inline struct tbib_peer *tbib_peer_get(struct tbib_peer *p)
{
	return p && refcount_inc_not_zero(&p->ref) ? p : NULL;
}
void tbib_peer_put(struct tbib_peer *p);

/**
 * tbib_node_set_admin() - the network device was set up or down
 * The upper layers hear of it by port_changed(). Any context.
 */
void tbib_node_set_admin(struct tbib_node *node, bool up);

/** tbib_epoch() - dest_epoch that belongs to a boot nonce */
static inline u32 tbib_epoch(u64 nonce)
{
	return (u32)(nonce ^ nonce >> 32);
}

/** tbib_guid_from_mac() - EUI-64, universal/local bit flipped */
u64 tbib_guid_from_mac(const u8 *mac);
void tbib_mac_from_guid(u8 *mac, u64 guid);

/**
 * tbib_fabric_multicast() - send an Ethernet frame along our multicast tree
 * The frame is copied; @skb stays the caller's. BHs off.
 * Return: 0, -ENETUNREACH without a tree, -ENOBUFS.
 */
int tbib_fabric_multicast(struct tbib_node *node, const struct sk_buff *skb,
			  u8 flags, const u8 *block, u32 block_len);

/**
 * tbib_fabric_multicast_pkt() - send a packet of our own along that tree
 * @p: as it came over the loopback trunk; copied. BHs off.
 * Return: 0, -ENETUNREACH without a tree, -EMSGSIZE, -ENOBUFS.
 */
int tbib_fabric_multicast_pkt(struct tbib_node *node, const struct tbib_pkt *p);

/** tbib_fabric_no_route() - count a packet that had nowhere to go */
void tbib_fabric_no_route(struct tbib_node *node);

/* --- counters, for rdma statistic, ethtool -S and netlink --------------- */
#define TBIB_FABRIC_COUNTERS(X) \
	X(tx_frames) X(tx_trains) X(tx_packets) X(tx_bytes) \
	X(rx_frames) X(rx_trains) X(rx_packets) X(rx_bytes) \
	X(doorbells) X(interrupts) X(trunk_retries) X(trunk_probes) \
	X(ctrl_frames) X(crc_errors) X(torn_trains) X(duplicates) X(gaps) \
	X(no_page) X(no_credit) X(no_room) X(no_window) X(transit_trains) \
	X(transit_drops) X(epoch_drops) X(lost_interrupts) X(no_route) \
	X(mcast_drops) X(source_drops) X(unauthorised) X(malformed) X(marked)

/**
 * tbib_rx_scarce() - a raw frame's page: are many such pages held already?
 * Then it is copied, not kept: trunks need pages to go on. In rx_ethernet().
 */
bool tbib_rx_scarce(const struct page *page);

struct tbib_fabric_stats {
#define X(n) u64 n;
	TBIB_FABRIC_COUNTERS(X)
#undef X
};
void tbib_fabric_get_stats(struct tbib_node *node, struct tbib_fabric_stats *s);

#endif
