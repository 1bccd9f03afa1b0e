/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the ring layer share. Order of locks, outer to inner:
 *
 *	tb->lock (thunderbolt; only ever held by our callers)
 *	nhi_mutex (nhi.c)	never together with link->mutex
 *	link->mutex
 *	links_lock		spinlock
 *	link->inbox.lock	spinlock
 *
 * Bring-up of a link: rings allocated, started, RX buffers posted, login, paths
 * enabled last. Teardown is the mirror: paths first, because a router may wait
 * for frames that a stopped ring no longer drains.
 */
#ifndef TBIB_RING_INTERNAL_H
#define TBIB_RING_INTERNAL_H

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include "compat/compat_tb.h"
#include "proto/trunk.h"
#include "ring.h"

#define TBIB_RX_BUFFERS		(TBIB_RX_RING - 1)	/* the NHI's maximum */
#define TBIB_PLAN_RINGS		2	/* express and bulk (design D6) */

/**
 * struct tbib_slot - one descriptor's worth of memory
 * @done: TX: the ring gave the frame back (set with release semantics)
 */
struct tbib_slot {
	struct ring_frame frame;
	union {
		void *cookie;		/* TX */
		struct page *page;	/* RX: always one, ours or the NHI's */
	};
	struct tbib_ring *ring;
	bool done;
};

/**
 * struct tbib_ring - one NHI TX/RX ring pair
 * @tx_head, @tx_tail: counters of posted and reaped frames; guarded by the
 *	fabric's tx lock, by link->mutex once link_down has returned
 * @room_timer: somebody waits for room; calls rx_ready() after @room_wait ns
 * @room_late: it did, and nobody has waited again
 * @room_tail: what @tx_tail was when it was started last
 * @polls: calls of tbib_ring_poll(), for the watchdog
 */
struct tbib_ring {
	struct tbib_link *link;
	void *priv;
	struct device *dma;
	struct tb_ring *tx, *rx;
	struct page_pool *pool;
	struct tbib_slot *tx_slot, *rx_slot;
	u32 tx_head, tx_tail;
	u32 peer_limit;
	u8 index;
	u8 lanes;
	bool running;
	bool room_late;
	bool live;		/* rx_ready() may be called */

	struct hrtimer room_timer;
	u64 room_wait;
	u32 room_tail;

	struct timer_list watchdog;
	unsigned long polls;
	unsigned long wd_polls;
	u64 wd_activity;
	unsigned int wd_idle;
	bool wd_pending;

	struct tbib_ring_stats stats;
};

/** struct tbib_path - one ring pair's two paths; plain integers */
struct tbib_path {
	int tx_hopid, tx_ring;
	int rx_hopid, rx_ring;
	bool on;
};

/**
 * struct tbib_paths - the paths of one bring-up; outlives the link if it must
 *
 * tb_xdomain_enable_paths() waits for tb->lock, which the caller of .remove()
 * may hold (before 7.2). So it runs in @work, which owns nothing but this block
 * of integers and references; .remove() does not wait for it, and it undoes
 * what came too late.
 *
 * @dying: the owner gave up; whoever sees it switches everything off
 * @opened, @closed: the two things that an owner waits for
 */
struct tbib_paths {
	struct kref ref;
	struct work_struct work;
	struct completion opened, closed;
	struct tb_xdomain *xd;
	struct device *domain;
	struct tbib_path path[TBIB_LINK_RINGS];
	unsigned int n;		/* pairs with an output HopID */
	unsigned int n_on;	/* pairs to be enabled */
	bool dying;
	int error;
};

/** enum tbib_again - when a link has to log in again */
enum tbib_again {
	TBIB_AGAIN,
	TBIB_AGAIN_TO_SHRINK,	/* if it has more ring pairs than the plan */
	TBIB_AGAIN_TO_GROW,	/* if the plan allows more than it did */
};

/**
 * struct tbib_told - what other contexts have told the link's worker
 * One place for each kind of message: a repeated one replaces the older.
 */
struct tbib_told {
	bool request, response, logout, no_answer;
	bool restart, shrink, grow;	/* enum tbib_again */
	bool left;		/* the logout ends a session asked for here */
	u32 sn;			/* sequence bits of the newest, echoed */
	struct tbib_login request_msg, response_msg, logout_msg;
};

/**
 * struct tbib_inbox - of a link
 * @told: for the worker
 * @expects, @expected_sn: a question waits for an answer with these bits
 * @replied: completed with @has_reply and @reply, which are its answer
 */
struct tbib_inbox {
	spinlock_t lock;	/* everything here */
	struct tbib_told told;
	struct completion replied;
	bool expects, has_reply;
	u32 expected_sn;
	struct tbib_login reply;
};

/**
 * struct tbib_link - one cable to a host that speaks tbib
 * @mutex: guards everything that has no lock of its own
 * @work: the state machine; never waits for tb->lock
 * @asking: sends one request and waits a while for its answer;
 *	apart from @work, because the peer may be asking us meanwhile
 */
struct tbib_link {
	struct list_head list;		/* links; links_lock */
	u32 id;
	struct tb_xdomain *xd;
	struct tb_nhi *tb_nhi;
	uuid_t local_uuid, remote_uuid;
	u64 route;
	int domain;

	struct mutex mutex;
	struct delayed_work work;
	struct work_struct asking;
	struct tbib_inbox inbox;

	struct tbib_nhi *nhi;
	struct tbib_link_fsm fsm;
	struct tbib_paths *paths;
	struct tbib_ring *ring[TBIB_LINK_RINGS];
	unsigned int n_open;		/* rings that exist */
	unsigned int n_ring;		/* rings in use */
	unsigned int planned;		/* what the plan allowed at open time */
	int hopid_hint;			/* where to look for free HopIDs */
	bool dirty;			/* rings have been connected */
	bool added;			/* fabric knows the link */
	bool up;			/* fabric uses the rings */
	bool drain;			/* fabric waits for link_drained */
	bool started;			/* the machine has its peer */
	bool dying;
	bool suspended;
	bool no_paths_told;
	u8 no_rings;			/* attempts that found none */
	u8 told_state, told_why;	/* last given to link_state */
	u64 added_guid;
	void *priv;
	char peer_name[64];
	/* what is sent: too large for the stack */
	u32 answer[64];
	u32 question[64];
};

extern const struct tbib_fabric_ops *tbib_fops;
extern struct workqueue_struct *tbib_wq;
extern struct tb_service_driver tbib_service_driver;

/* service.c */
u64 tbib_local_guid(void);
u64 tbib_local_nonce(void);
void tbib_service_tell_again(void);

/* link.c */
struct tbib_link *tbib_link_new(struct tb_service *svc);
void tbib_link_start(struct tbib_link *link);
void tbib_link_remove(struct tbib_link *link);
void tbib_link_suspend(struct tbib_link *link);
void tbib_link_resume(struct tbib_link *link);
void tbib_link_kick(struct tbib_link *link);
void tbib_link_again(struct tbib_link *link, enum tbib_again when);

/* links.c */
void tbib_links_add(struct tbib_link *link);
void tbib_links_del(struct tbib_link *link);
void tbib_links_deliver(const struct tbib_login *msg, u64 route, u32 sn);
void tbib_links_shrink(const struct tb_nhi *nhi);
void tbib_links_grow(const struct tb_xdomain *xd);
void tbib_links_restart(void);
unsigned int tbib_links_on(const struct tb_nhi *nhi);

/* inbox.c */
void tbib_inbox_init(struct tbib_inbox *box);
void tbib_inbox_put(struct tbib_inbox *box, const struct tbib_login *msg,
		    u32 sn);
void tbib_inbox_answered(struct tbib_inbox *box, const struct tbib_login *msg,
			 u32 sn);
void tbib_inbox_expect(struct tbib_inbox *box, u32 sn);
bool tbib_inbox_wait(struct tbib_inbox *box, unsigned int timeout,
		     struct tbib_login *answer);
void tbib_inbox_outcome(struct tbib_inbox *box,
			const struct tbib_login *answer);
void tbib_inbox_again(struct tbib_inbox *box, enum tbib_again when);
void tbib_inbox_take(struct tbib_inbox *box, struct tbib_told *told);

/* login.c */
int tbib_login_init(void);
void tbib_login_exit(void);
void tbib_login_ask(struct work_struct *work);
void tbib_login_answer(struct tbib_link *link, u32 sn);
void tbib_login_logout(struct tbib_link *link);

/* path.c */
unsigned int tbib_plan_rings(struct tbib_link *link);
unsigned int tbib_free_rings(struct tbib_link *link, unsigned int want);
struct tbib_paths *tbib_paths_new(struct tbib_link *link, unsigned int n);
int tbib_paths_open(struct tbib_paths *paths, unsigned int n,
		    const u16 *peer_hopid);
void tbib_paths_close(struct tbib_paths *paths);

/* ring.c */
struct tbib_ring *tbib_ring_new(struct tbib_link *link, unsigned int index);
void tbib_ring_stop(struct tbib_ring *ring);
void tbib_ring_free(struct tbib_ring *ring);
void tbib_ring_give_back(struct tbib_ring *ring);

/* poll.c */
void tbib_ring_live(struct tbib_ring *ring);
void tbib_ring_start_poll(void *data);
void tbib_ring_tx_callback(struct tb_ring *tb, struct ring_frame *frame,
			   bool canceled);
void tbib_ring_rx_callback(struct tb_ring *tb, struct ring_frame *frame,
			   bool canceled);
void tbib_ring_watchdog(struct timer_list *timer);
enum hrtimer_restart tbib_ring_room_timer(struct hrtimer *timer);
int tbib_ring_post_rx(struct tbib_ring *ring, struct tbib_slot *slot);

/* nhi.c */
int tbib_nhi_init(void);
void tbib_nhi_exit(void);
struct tbib_nhi *tbib_nhi_find(int domain);

#endif
