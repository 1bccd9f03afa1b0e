/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring layer: cables, logins, paths and NHI rings. It is the only code that
 * includes <linux/thunderbolt.h>; the fabric above sees the structures here.
 *
 * Lifetime of a link, as the fabric sees it:
 *
 *	link_add  (peer said hello; trunk may be created)      process context
 *	link_up   (rings run, paths enabled)                   process context
 *	   rx ready -> NAPI poll by the fabric -> tbib_ring_poll()
 *	   tbib_ring_post(), tbib_ring_reap()
 *	link_down (nothing is posted or polled after return)    process context
 *	   done() for each frame still posted; no lock held
 *	link_drained (all came back; the rings are freed next)  process context
 *	link_del  (the cable or the peer's service is gone)    process context
 *
 * link_up/link_down may alternate for one link_add. Calls for one link are
 * serialised by its mutex. link_down, link_drained, link_del and link_state may
 * run under the domain's lock (hot unplug before 7.2), which somebody who holds
 * RTNL may wait for: they must not take RTNL. nhi_add and nhi_del may.
 */
#ifndef TBIB_RING_H
#define TBIB_RING_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/uuid.h>
#include "proto/login.h"
#include "proto/train.h"

struct tbib_link;
struct tbib_ring;
struct page_pool;
struct napi_struct;

/** struct tbib_nhi - a host interface: what can do DMA, parent of tbib0 */
struct tbib_nhi {
	struct list_head list;
	struct device *dev;	/* the device that does DMA (PCI function) */
	int domain;		/* N of domainN */
};

/* Beside enum tbib_login_status, never on the wire: no ring pair is free. */
#define TBIB_LINK_NO_RINGS	(TBIB_LOGIN_BAD + 1)

/**
 * struct tbib_link_info - a cable, for the fabric, netlink and doctor
 * @id: small number, unique while the module is loaded
 */
struct tbib_link_info {
	u32 id;
	u8 state;		/* enum tbib_link_state */
	u8 refused;		/* enum tbib_login_status or TBIB_LINK_NO_RINGS */
	u64 peer_guid;
	u64 nonce, peer_nonce;	/* of the login */
	uuid_t local_uuid, remote_uuid;
	u64 route;
	int domain;
	u32 speed_gbps;		/* per lane */
	u32 width;		/* lanes */
	u8 n_ring;
	char peer_name[64];
};

/** struct tbib_tx_frame - one frame to post */
struct tbib_tx_frame {
	dma_addr_t dma;
	u16 len;		/* 1..4096 */
	u8 eof;
	void *cookie;		/* comes back by done() */
};

/**
 * struct tbib_fabric_ops - upcalls, set once by tbib_ring_init()
 * @nhi_add: an NHI appeared; may sleep
 * @nhi_del: it is about to go: unmap all that was mapped for it before return
 * @link_add, @link_up, @link_down, @link_del: see the head of this file;
 *	@link_up may refuse (negative errno): login is tried again later.
 * @link_drained: after link_down: every posted frame has come back by done();
 *	the rings are freed after it returns
 * @link_state: fsm state changed (for netlink events); also for a link that
 *	never got link_add (refused, no answer). Must not sleep for long.
 * @rx_ready: hardirq context, maybe under the NHI's locks: napi_schedule() only.
 *	@masked: the RX interrupt is off until tbib_ring_unmask()
 * @done: one posted frame came back (consumed locally, or cancelled by stop)
 *	from tbib_ring_reap() or ring stop; context of those
 */
struct tbib_fabric_ops {
	void (*nhi_add)(struct tbib_nhi *nhi);
	void (*nhi_del)(struct tbib_nhi *nhi);
	int (*link_add)(struct tbib_link *link);
	int (*link_up)(struct tbib_link *link);
	void (*link_down)(struct tbib_link *link);
	void (*link_drained)(struct tbib_link *link);
	void (*link_del)(struct tbib_link *link);
	void (*link_state)(struct tbib_link *link);
	void (*rx_ready)(struct tbib_ring *ring, bool masked);
	void (*done)(struct tbib_ring *ring, void *cookie);
};

/** struct tbib_rx_desc - a received frame */
struct tbib_rx_desc {
	struct page *page;	/* now the caller's; from tbib_ring_pool() */
	u16 len;
	u8 eof;
	bool bad;		/* CRC error or buffer overrun */
};

#define TBIB_TX_RING		256	/* descriptors */
#define TBIB_RX_RING		512
#define TBIB_TX_DEPTH		128	/* frames in flight at most (facts) */

/**
 * tbib_ring_init() - register protocol handler, service and bus notifier
 * @fops: upcalls; @guid: node GUID; @nonce: boot nonce
 * Return: 0 or negative errno. May sleep. Upcalls may come before it returns.
 */
int tbib_ring_init(const struct tbib_fabric_ops *fops, u64 guid, u64 nonce);
/** tbib_ring_exit() - BYE on every link, then the mirror of init. May sleep. */
void tbib_ring_exit(void);
/** tbib_ring_set_node() - new GUID and boot nonce: all links log in again */
void tbib_ring_set_node(u64 guid, u64 nonce);

/** tbib_link_for_each() - every cable with a peer that speaks tbib, up or not
 * Process context; @fn is called under a spinlock and must not call back.
 */
void tbib_link_for_each(void (*fn)(const struct tbib_link_info *info,
				   void *arg), void *arg);

/* --- links: any context unless said otherwise ------------------------- */
void tbib_link_get_info(struct tbib_link *link, struct tbib_link_info *info);
/** tbib_link_set_priv() - the fabric's pointer, set in link_add */
void tbib_link_set_priv(struct tbib_link *link, void *priv);
void *tbib_link_priv(struct tbib_link *link);
u32 tbib_link_id(struct tbib_link *link);
u32 tbib_link_cookie(struct tbib_link *link, bool mine);
unsigned int tbib_link_rings(struct tbib_link *link);
struct tbib_ring *tbib_link_ring(struct tbib_link *link, unsigned int i);
struct tbib_nhi *tbib_link_nhi(struct tbib_link *link);
/** tbib_link_restart() - fabric heard nothing for too long, or was told BYE:
 * take the link down and log in again. Any context (queues work).
 */
void tbib_link_restart(struct tbib_link *link);

/* --- rings, between link_up and link_down ------------------------------ */
void tbib_ring_set_priv(struct tbib_ring *ring, void *priv);
void *tbib_ring_priv(struct tbib_ring *ring);
struct tbib_link *tbib_ring_link(struct tbib_ring *ring);
struct device *tbib_ring_dma(struct tbib_ring *ring);
/** tbib_ring_index() - position within the link */
unsigned int tbib_ring_index(struct tbib_ring *ring);
u8 tbib_ring_lanes(struct tbib_ring *ring);
/** tbib_ring_peer_limit() - first credit limit, from the peer's login */
u32 tbib_ring_peer_limit(struct tbib_ring *ring);
/** tbib_ring_buffers() - RX buffers kept posted */
u32 tbib_ring_buffers(struct tbib_ring *ring);
/** tbib_ring_pool() - where RX pages come from and go back to (DMA_BIDIR) */
struct page_pool *tbib_ring_pool(struct tbib_ring *ring);

/**
 * tbib_ring_room() - frames that tbib_ring_post() takes now
 * Caller holds the trunk's tx lock (it is the only poster of this ring).
 */
u32 tbib_ring_room(struct tbib_ring *ring);

/**
 * tbib_ring_wait_room() - have rx_ready() called when there may be more room
 * After about the time in which the NHI consumes half of what it may hold.
 * Same lock. A later call replaces an earlier one.
 */
void tbib_ring_wait_room(struct tbib_ring *ring);

/**
 * tbib_ring_post() - post frames contiguously; @n <= tbib_ring_room()
 * Under the trunk's tx lock; does not sleep. Each cookie comes back by done().
 */
void tbib_ring_post(struct tbib_ring *ring, const struct tbib_tx_frame *f,
		    u32 n);

/** tbib_ring_reap() - give back consumed TX frames by done(); tx lock held */
void tbib_ring_reap(struct tbib_ring *ring);

/**
 * tbib_ring_poll() - take received frames, re-posting a fresh buffer for each
 * NAPI context. @desc: room for @budget. A page is synced for the CPU and
 * dma_rmb() was done. When no fresh page is to be had, the frame is dropped
 * and its page re-posted (counted). Return: frames in @desc.
 */
int tbib_ring_poll(struct tbib_ring *ring, struct tbib_rx_desc *desc,
		   int budget);

/**
 * tbib_pool_scarce() - is half of what a ring may have out in use?
 * Who would keep a page for as long as somebody else likes takes a copy then.
 * In the NAPI that polls the ring.
 */
bool tbib_pool_scarce(struct page_pool *pool);

/** tbib_ring_unmask() - after napi_complete_done() returned true */
void tbib_ring_unmask(struct tbib_ring *ring);

/** tbib_ring_pending() - completed RX descriptors wait (watchdog) */
bool tbib_ring_pending(struct tbib_ring *ring);

/** tbib_ring_interval() - least time between two RX interrupts in ns, 0: none
 * The same for all rings, and not ours to choose. Any context.
 */
u32 tbib_ring_interval(void);

struct tbib_ring_stats {
	u64 tx_frames, rx_frames, rx_bad, rx_nobuf, interrupts, doorbells,
	    lost_irq;
};
void tbib_ring_get_stats(struct tbib_ring *ring, struct tbib_ring_stats *s);

#endif
