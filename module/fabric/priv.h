/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the fabric layer share.
 *
 * Trunks live in a table that only grows while the module is loaded: a trunk
 * that has carried a train is never freed, because both ends go on with its
 * sequence numbers for as long as neither of them reloads the module. So a
 * trunk pointer stays valid without a reference.
 *
 * Contexts of a trunk:
 *	tx half   under tx_lock, BHs off
 *	rx half   in its NAPI poll; process context disables the NAPI around
 *	          changes
 */
#ifndef TBIB_FABRIC_PRIV_H
#define TBIB_FABRIC_PRIV_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include "fabric.h"
#include "proto/trunk.h"
#include "proto/turn.h"
#include "ring/ring.h"

#define TBIB_TRUNKS	32	/* null, loop, and neighbours ever seen */
#define TBIB_NHIS	4	/* NHIs that fabric memory is mapped for */
#define TBIB_TRAINS	(TBIB_LANES * TBIB_WINDOW + 16)
#define TBIB_LOOP_TRAINS 16
#define TBIB_CTRL_BUFS	16	/* control frames in flight on a ring */
#define TBIB_CTRL_BUF	256	/* bytes of each */
#define TBIB_MGMT_BUFS	4	/* management datagrams in flight on a link */
#define TBIB_RX_BATCH	32

enum tbib_trunk_index {
	TBIB_TRUNK_NULL,	/* sources without a route: ->drop() */
	TBIB_TRUNK_LOOP,	/* to ourselves */
	TBIB_TRUNK_FIRST,
};

struct tbib_priv;
struct tbib_trunk;
struct tbib_flink;

/** struct tbib_ktrain - a train and what the kernel keeps beside it */
struct tbib_ktrain {
	struct tbib_train t;
	struct page *page;		/* behind t.hdr */
	dma_addr_t hdr_dma[TBIB_NHIS];
	struct device *map_dev;		/* raw frames in @mapped are mapped for */
	u32 mapped;			/* bit per raw frame: unmap when back */
	dma_addr_t raw_dma[TBIB_MAX_RAW];
};

/* what a posted frame's cookie says in its low bits */
enum tbib_cookie {
	TBIB_COOKIE_TRAIN,	/* pointer to struct tbib_ktrain */
	TBIB_COOKIE_CTRL,	/* control buffer number << 2 */
	TBIB_COOKIE_MGMT,	/* management buffer number << 2 */
	TBIB_COOKIE_MASK = 3,
};

/**
 * struct tbib_fring - a ring pair as member of a trunk
 * @slot: index in the trunk's tables
 * @joined: part of the trunk's sequence space (link is authorised)
 * @stopping: set under tx_lock by link_down: nothing is posted or polled
 */
struct tbib_fring {
	struct tbib_ring *ring;
	struct tbib_flink *fl;
	struct tbib_trunk *trunk;
	struct page_pool *pool;
	struct device *dev;
	u8 slot;
	u8 nhi;			/* index of the NHI in dma tables */
	bool joined;
	bool stopping;
	int masked;		/* its interrupt has come and is masked */
	u32 posted;		/* frames not given back; tx_lock */
	struct page *ctrl;
	dma_addr_t ctrl_dma;
	unsigned long ctrl_busy;	/* bit per buffer; tx_lock */
};

/** struct tbib_mgmt_buf - one outgoing management datagram */
struct tbib_mgmt_buf {
	struct page *page;
	dma_addr_t dma;
	bool busy;		/* tx_lock of the trunk */
};

/**
 * struct tbib_flink - a cable, as the fabric knows it
 * Guarded by priv->mutex unless said otherwise.
 * @open: the peer has spoken on this link as member of the trunk, so trains
 *	may use it (written in NAPI)
 */
struct tbib_flink {
	struct list_head list;		/* priv->links; RCU for readers */
	struct rcu_head rcu;
	struct tbib_priv *priv;
	struct tbib_link *link;
	struct tbib_trunk *trunk;
	u32 id;
	u64 peer_guid;
	u64 nonce, peer_nonce;	/* of the login */
	u32 speed_mbps;
	bool up;
	bool auth;
	bool joined;
	bool open;
	u8 n_ring;
	u32 quiet;		/* ticks since a frame came; NAPI clears it */
	unsigned long sent;		/* jiffies; tx_lock */
	u32 cookie_mine, cookie_peer;
	struct tbib_fring ring[TBIB_LINK_RINGS];
	struct tbib_mgmt_buf mgmt[TBIB_MGMT_BUFS];
	struct sk_buff_head mgmt_rx;	/* own lock; bounded */
	struct work_struct mgmt_work;
	u64 mgmt_drops;
};

/** struct tbib_fwd - a train in transit; owns one reference of each page */
struct tbib_fwd {
	struct tbib_fwd *next;
	u64 at;			/* ns, when it was queued */
	u32 epoch;
	u16 dlid, slid;
	u16 n_pkt, pkt_len;
	u8 hop_limit, flags, n_raw;
	u8 kind;		/* TBIB_RAW_RX or TBIB_RAW_PAGE */
	struct page *hdr;
	const u8 *pkts;
	struct {
		struct page *page;
		void *data;
		u16 len;
	} raw[TBIB_MAX_RAW];
};

/** struct tbib_fwd_flow - trains of one source LID, in order */
struct tbib_fwd_flow {
	struct list_head active;	/* in tbib_fwd_queue.active */
	struct tbib_fwd *head, **tail;
	u32 frames;
	s32 deficit;
};

/** struct tbib_fwd_queue - transit queue of one egress trunk and lane */
struct tbib_fwd_queue {
	spinlock_t lock;	/* guards everything here */
	struct list_head active;	/* round robin over sources */
	u32 n_active;
	u32 frames;
	u32 limit;		/* frames; 2 ms of the trunk's rate */
	u32 turn;		/* local sources count as one source */
	u64 blocked_at;		/* ns; the trunk could not send what waits; 0 = could */
	struct tbib_fwd_flow *flow;	/* by source LID */
};

/** struct tbib_lane_queue - sources ready to send on a lane of a trunk */
struct tbib_lane_queue {
	spinlock_t ready_lock;	/* guards @ready and ->on of its members */
	struct list_head ready;
	struct tbib_trunk *trunk;
	struct tbib_fwd_queue fwd;
};

struct tbib_trunk_stats {
	u64 transit_trains, transit_drops, epoch_drops,
	    source_drops, unauthorised, malformed, marked;
};

struct tbib_trunk {
	struct tbib_priv *priv;
	u8 index;		/* in priv->trunk */
	u64 guid;		/* the neighbour */
	u64 nonce, peer_nonce;	/* of the sequences in tx and rx */
	bool used;		/* has joined once: never reused */
	u8 n_joined;		/* links; priv->mutex */
	unsigned long down_since;	/* jiffies since no link is joined; 0 = up */
	bool blanked;		/* unacked trains were withdrawn */
	bool stuck;		/* peer acks nothing: links leave; priv->mutex */
	u32 una_seen[TBIB_LANES];	/* oldest unacked, as of the last tick */
	u32 una_ticks[TBIB_LANES];	/* since it moved, or had no need to */
	struct tbib_lane_queue lane[TBIB_LANES];

	spinlock_t tx_lock ____cacheline_aligned_in_smp; /* guards the tx half */
	struct tbib_tx tx;
	struct tbib_train *free;
	struct tbib_ktrain *trains;
	u32 n_train;
	u32 told[TBIB_LANES];	/* lane acks that the peer was sent */
	u32 told_limit[TBIB_RINGS];	/* and credit limits */
	u64 retry_at;		/* a source could not fill: run again */
	bool held;		/* a gap: what comes behind it waits */
	u64 ack_at;		/* an ack is owed, ns; 0 = none */
	struct tbib_turn turn;
	u64 timer_at;
	struct hrtimer timer;
	u8 hdr_mapped;		/* bit per NHI */
	struct tbib_fring *ring[TBIB_RINGS];	/* changed with NAPI paused */

	/* rx half */
	struct napi_struct napi ____cacheline_aligned_in_smp;
	bool napi_on;		/* priv->mutex */
	struct tbib_rx rx;
	struct tbib_rx_slot *slots;
	struct tbib_ack pend;	/* piggybacked acks of this poll */
	struct page_pool *poll_pool;	/* pool of the ring being polled */
	bool steal;		/* pages of the train go elsewhere */
	struct tbib_fring *poll[TBIB_RINGS];	/* express first */
	u8 n_poll;
	u8 ack_slot;		/* ring heard last */
	bool full_ack;		/* a probe asked for everything */
	u64 duplicates;		/* as of the last poll */
	u64 now;		/* of this poll */
	struct tbib_rx_desc desc[TBIB_RX_BATCH];
	struct tbib_trunk_stats stats;
};

/** struct tbib_lft_entry - one LID of the forwarding table */
struct tbib_lft_entry {
	struct tbib_trunk *trunk;
	struct tbib_peer *peer;
	u32 mcast;		/* bit per trunk: tree of this source LID */
};

/** struct tbib_lft - linear forwarding table; replaced as a whole */
struct tbib_lft {
	struct rcu_head rcu;
	struct tbib_lft_entry to[TBIB_LID_MAX + 1];
};

#define TBIB_ROUTE_MCAST	16
/*
 * Of a peer, in ticks, before its link restarts. A host may stand still for
 * seconds (firmware, a hypervisor, a driver that does not sleep) and go on as
 * if nothing had been; a link that restarts loses what UC and UD have under
 * way. Ticks and not time, for we may have stood still ourselves.
 */
#define TBIB_TICKS_PER_S	4
#define TBIB_TICK		(HZ / TBIB_TICKS_PER_S)
#define TBIB_SILENCE		(10 * TBIB_TICKS_PER_S)

/** struct tbib_route - a route as tbibd gave it */
struct tbib_route {
	u64 guid;
	u64 via;
	u32 epoch;
	u16 lid;
	u8 n_mcast;
	u64 mcast[TBIB_ROUTE_MCAST];
};

struct tbib_route_table {
	u32 generation;
	u32 n;
	struct tbib_route r[];
};

#define TBIB_PEER_HASH 6	/* bits */

/** struct tbib_priv - the private part of the one node */
struct tbib_priv {
	struct tbib_node node;
	const struct tbib_upper_ops *upper;
	struct mutex mutex;	/* guards links, routes, trunk table, peers */
	struct net_device *napi_dev;	/* where NAPIs may hang; mutex */
	struct mutex parent_mutex;	/* guards nhi[] and who is parent */
	struct list_head links;
	struct tbib_trunk *trunk[TBIB_TRUNKS];
	u32 n_trunk;		/* grows only; smp_store_release */
	unsigned long want;	/* bit per trunk: has something to send */
	struct work_struct kick_work;	/* kick asked with interrupts off */
	struct work_struct loop_work;
	struct tbib_rx_train loop_rx;
	struct tbib_lft __rcu *lft;
	struct tbib_route_table *routes;
	struct hlist_head peers[1 << TBIB_PEER_HASH];
	struct tbib_nhi *nhi[TBIB_NHIS];
	struct work_struct state_work;
	bool told_admin;	/* admin_up that was told; state_work only */
	struct delayed_work tick;
	struct page *poison[TBIB_NHIS];
	dma_addr_t poison_dma[TBIB_NHIS];
	u32 manager;		/* netlink port id, 0 = none; mutex */
	char desc[64];
	u64 no_route;
	u64 mcast_drops;
	spinlock_t stats_lock;	/* guards @gone and rings that leave a trunk */
	struct tbib_fabric_stats gone;	/* of rings that are gone */
};

static inline struct tbib_priv *to_priv(struct tbib_node *node)
{
	return container_of(node, struct tbib_priv, node);
}

static inline struct tbib_ktrain *to_ktrain(struct tbib_train *t)
{
	return container_of(t, struct tbib_ktrain, t);
}

/* peer.c */
struct tbib_peer *tbib_peer_make(struct tbib_priv *priv, u64 guid);
void tbib_peer_prune(struct tbib_priv *priv, bool all);
struct tbib_peer *tbib_peer_first(struct tbib_priv *priv, u32 *bucket);

/* bounce.c */
int tbib_bounce_init(void);
void tbib_bounce_exit(void);
int tbib_bounce_map(struct device *dev, u8 nhi);
void tbib_bounce_unmap(struct device *dev, u8 nhi);
dma_addr_t tbib_bounce_dma(struct page *page, u8 nhi);

/* source.c */
void tbib_lane_init(struct tbib_lane_queue *lq, struct tbib_trunk *tr);
struct tbib_train *tbib_source_pull(struct tbib_trunk *tr, unsigned int lane);
void tbib_source_run_null(struct tbib_trunk *tr);
void tbib_source_mark_stalled(struct tbib_trunk *tr, unsigned int lane);
void tbib_source_resettle(struct tbib_priv *priv);
void tbib_source_unstall(struct tbib_trunk *tr);

/* trunk.c */
struct tbib_trunk *tbib_trunk_alloc(struct tbib_priv *priv, u8 index);
void tbib_trunk_free(struct tbib_trunk *tr);
struct tbib_trunk *tbib_trunk_find(struct tbib_priv *priv, u64 guid);
struct tbib_trunk *tbib_trunk_get(struct tbib_priv *priv, u64 guid);
void tbib_trunk_join(struct tbib_trunk *tr, struct tbib_flink *fl);
void tbib_trunk_check(struct tbib_trunk *tr);
void tbib_trunk_withdraw(struct tbib_trunk *tr);
void tbib_trunk_blank(struct tbib_trunk *tr);
void tbib_trunk_order(struct tbib_trunk *tr);
void tbib_trunk_pause(struct tbib_trunk *tr);
void tbib_trunk_resume(struct tbib_trunk *tr);
int tbib_trunk_napi_add(struct tbib_trunk *tr);
void tbib_trunk_napi_del(struct tbib_trunk *tr);
int tbib_trunk_map(struct tbib_trunk *tr, struct device *dev, u8 nhi);
void tbib_trunk_unmap(struct tbib_trunk *tr, struct device *dev, u8 nhi);

/* tx.c */
extern const struct tbib_tx_ops tbib_trunk_tx_ops;
void tbib_trunk_lock(struct tbib_trunk *tr);
void tbib_trunk_unlock(struct tbib_trunk *tr);
bool tbib_trunk_run(struct tbib_trunk *tr);
void tbib_trunk_run_locked(struct tbib_trunk *tr, u64 now);
void tbib_trunk_reap(struct tbib_trunk *tr);
void tbib_trunk_timer(struct tbib_trunk *tr, u64 now);
enum hrtimer_restart tbib_trunk_expire(struct hrtimer *timer);
void tbib_trunk_done(struct tbib_ring *ring, void *cookie);
void tbib_trunk_answered(struct tbib_trunk *tr, u64 now);
bool tbib_trunk_told(const struct tbib_trunk *tr);
bool tbib_trunk_control(struct tbib_trunk *tr, struct tbib_fring *fr,
			enum tbib_ctrl_type type, const struct tbib_ack *ack);
void tbib_train_release(struct tbib_trunk *tr, struct tbib_train *t,
			bool delivered);
static inline void tbib_trunk_want(struct tbib_trunk *tr)
{
	/* what was queued is seen by who clears the bit after our look at it */
	smp_mb();
	if (!test_bit(tr->index, &tr->priv->want))
		set_bit(tr->index, &tr->priv->want);
}

/* rx.c */
extern const struct tbib_rx_ops tbib_trunk_rx_ops;
int tbib_trunk_poll(struct napi_struct *napi, int budget);
void tbib_rx_packets(struct tbib_priv *priv, const struct tbib_rx_train *t,
		     struct tbib_peer *from, struct napi_struct *napi,
		     u64 *malformed);

/* loop.c */
void tbib_loop_work(struct work_struct *work);

/* lft.c */
struct tbib_trunk *tbib_egress(struct tbib_priv *priv,
			       const struct tbib_peer *peer);
int tbib_lft_set(struct tbib_priv *priv, struct tbib_route_table *t);
int tbib_lft_rebuild(struct tbib_priv *priv);
void tbib_lft_exit(struct tbib_priv *priv);

/* forward.c */
int tbib_forward_init(void);
void tbib_forward_exit(void);
int tbib_fwd_queue_init(struct tbib_fwd_queue *q);
void tbib_fwd_queue_exit(struct tbib_fwd_queue *q);
void tbib_fwd_queue_rate(struct tbib_fwd_queue *q, u32 mbps);
void tbib_fwd_age(struct tbib_trunk *tr, u64 now);
void tbib_fwd_blocked(struct tbib_fwd_queue *q, u64 now);
struct tbib_train *tbib_fwd_pull(struct tbib_trunk *tr, unsigned int lane,
				 bool idle);
bool tbib_fwd_train(struct tbib_trunk *in, struct tbib_trunk *out,
		    const struct tbib_rx_train *t, bool share);

/* flink.c */
extern const struct tbib_fabric_ops tbib_fabric_ring_ops;
struct tbib_flink *tbib_flink_find(struct tbib_priv *priv, u32 id);
int tbib_flink_auth(struct tbib_priv *priv, u32 id, bool auth);
void tbib_flink_open(struct tbib_flink *fl);
void tbib_flink_tick(struct tbib_priv *priv);

/* mgmt.c */
void tbib_mgmt_init(struct tbib_flink *fl);
int tbib_mgmt_up(struct tbib_flink *fl);
void tbib_mgmt_down(struct tbib_flink *fl);
void tbib_mgmt_del(struct tbib_flink *fl);
void tbib_mgmt_rx(struct tbib_fring *fr, const u8 *data, u32 len);
int tbib_mgmt_send(struct tbib_flink *fl, const void *data, u32 len);

/* genetlink.c */
int tbib_genl_init(void);
void tbib_genl_exit(void);
void tbib_genl_link_event(struct tbib_priv *priv,
			  const struct tbib_link_info *info);
void tbib_genl_link_gone(struct tbib_priv *priv, u32 id);
void tbib_genl_node_event(struct tbib_priv *priv);
int tbib_genl_mgmt(struct tbib_priv *priv, u32 id, const void *data, u32 len);

/* pace.c */
void tbib_pace_cut(struct tbib_priv *priv, struct tbib_peer *peer, u64 now);
u64 tbib_pace_wait(struct tbib_peer *peer);
void tbib_pace_sent(struct tbib_priv *priv, struct tbib_peer *peer, u32 bytes);

/* stats.c */
void tbib_stats_ring(struct tbib_fabric_stats *s, struct tbib_ring *ring);

/* node.c */
void tbib_node_nhi_add(struct tbib_nhi *nhi);
void tbib_node_nhi_del(struct tbib_nhi *nhi);
int tbib_node_nhi_index(struct tbib_priv *priv, struct tbib_nhi *nhi);
void tbib_node_state(struct tbib_priv *priv);
int tbib_node_set_guid(struct tbib_priv *priv, u64 guid);
int tbib_node_set_lid(struct tbib_priv *priv, u16 lid);
const char *tbib_port_state_name(u8 state);

#endif
