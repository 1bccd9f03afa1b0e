/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trunk: what makes all rings of all cables to one neighbour a lossless,
 * ordered pair of lanes (design D4). Sans-I/O; two halves that share nothing:
 *
 *	struct tbib_tx	sender:   everything under one lock of the host
 *	struct tbib_rx	receiver: everything in one context of the host (NAPI)
 *
 * Loss is found by the sender. Each ring is in order, so each transmission
 * gets a place on its ring (the ring frame counter). An ack says, for every
 * ring, how far the receiver has got on it, and, for every lane, which trains
 * it has. A train that is not among them although its ring has got past its
 * place is lost, and is sent again at once. A lost tail is found by a probe.
 *
 * Credits are absolute: the receiver says up to which ring frame counter it
 * has buffers. It counts frames by the counter in the headers, so that frames
 * lost on the wire do not leak credits. Control frames ignore the limit and
 * use TBIB_RING_RESERVE buffers that the limit never speaks of.
 */
#ifndef TBIB_PROTO_TRUNK_H
#define TBIB_PROTO_TRUNK_H

#include "deadline.h"
#include "train.h"

#define TBIB_RINGS		8	/* ring pairs of a trunk, all links */
#define TBIB_WINDOW		128	/* unacked trains in a lane */
#define TBIB_WINDOW_FRAMES	1024	/* frames of unacked trains in a lane */
#define TBIB_RING_RESERVE	16	/* RX buffers kept for control frames */
/*
 * A ring needs credit for a full train, and some for control frames on their
 * way, which are counted too: with less it would probe for credit for ever.
 */
#define TBIB_RING_LIMIT_MIN	(TBIB_TRAIN_FRAMES + 8)
#define TBIB_RING_BUFFERS_MIN	(TBIB_RING_RESERVE + TBIB_RING_LIMIT_MIN)

/** struct tbib_ack_ring - how far a receiver has got on one ring */
struct tbib_ack_ring {
	u32 cookie;		/* link cookie: which cable session */
	u8 index;		/* ring of that link */
	u32 seen;		/* frames accounted */
	u32 limit;		/* credit limit */
};

/**
 * struct tbib_ack - what a receiver tells the sender
 * @lanes: bit per lane that @next (and @sack) speak of
 * @next: lane sequence expected next; all before it have arrived
 * @sack: bit i = train next + 1 + i has arrived out of order
 * From a train header only @next of its lane and one ring's @limit are known.
 */
struct tbib_ack {
	u8 lanes;
	bool full;		/* from a control frame: sack and seen valid */
	u8 n_ring;
	u32 next[TBIB_LANES];
	u64 sack[TBIB_LANES][2];
	struct tbib_ack_ring ring[TBIB_RINGS];
};

/*
 * Payload of ACK and PROBE control frames, behind the frame header:
 *
 *	 0  1  lanes (bit mask)
 *	 1  1  number of rings
 *	 2  2  zero
 *	for each lane of the mask: next (4), sack bits 0..63 (8), 64..127 (8)
 *	for each ring: cookie (4), index (1), zero (3), seen (4), limit (4)
 *
 * The cookie is the one that frames to the ack's sender carry on that ring.
 */
#define TBIB_CTRL_MAX	(TBIB_FRAME_HDR + TBIB_LANES * 20 + 4 + TBIB_RINGS * 16)

/** tbib_ack_encode() - @buf: TBIB_CTRL_MAX - TBIB_FRAME_HDR. Return: bytes. */
u32 tbib_ack_encode(u8 *buf, const struct tbib_ack *ack);
/** tbib_ack_decode() - Return: false when malformed. */
bool tbib_ack_decode(const u8 *buf, u32 len, struct tbib_ack *ack);

/* ---- sender ---------------------------------------------------------- */

struct tbib_tx;

/**
 * struct tbib_tx_ops - what the sender asks of its host; all are called with
 * the host's tx lock held and must not sleep.
 * None may call back into the sender, but for tbib_tx_frame_done() of a train
 * that is being posted.
 * @room: frames that ring @ring takes now without queueing (0 = none). Nothing
 *	new is pulled unless some ring takes a full train (TBIB_TRAIN_FRAMES).
 * @xmit: post header frame (@hdr_len bytes at @t->hdr) and all raw frames of
 *	@t on @ring, contiguous; room was asked before. Each frame that the
 *	ring gives back later is reported by tbib_tx_frame_done().
 * @pull: a new train for @lane, filled by ready sources, or NULL
 * @release: @t has been acked (@delivered) or the trunk was reset, and no
 *	frame of it is posted: drop references, run its notes, reuse it
 */
struct tbib_tx_ops {
	u32 (*room)(struct tbib_tx *tx, unsigned int ring);
	void (*xmit)(struct tbib_tx *tx, unsigned int ring,
		     struct tbib_train *t, u32 hdr_len);
	struct tbib_train *(*pull)(struct tbib_tx *tx, unsigned int lane);
	void (*release)(struct tbib_tx *tx, struct tbib_train *t,
			bool delivered);
};

enum tbib_train_state {
	TBIB_TRAIN_IDLE = 0,	/* the host's */
	TBIB_TRAIN_QUEUED,	/* in its lane's queue: never sent, or lost */
	TBIB_TRAIN_SENT,	/* in its ring's list */
	TBIB_TRAIN_ACKED,	/* waits for its frames to come back */
	TBIB_TRAIN_DROPPED,	/* the same, after a reset */
};

/** struct tbib_train_list - trains linked by @next and @prev */
struct tbib_train_list {
	struct tbib_train *head, *tail;
};

/**
 * struct tbib_tx_ring - sender's view of one ring; private to trunk_tx.c
 * @flying: unacked trains in the order in which they were sent on this ring
 */
struct tbib_tx_ring {
	bool up;
	u8 lanes;		/* bit per lane that may use this ring */
	u8 index;		/* ring number within its link */
	u8 tag;			/* newest one in use */
	u8 n_tag;		/* unacked trains with raw frames */
	u8 raw_since;		/* of them, since we asked for an ack */
	u16 tags;		/* tags in use, bit mask */
	u8 backoff;		/* probes without an answer */
	u32 cookie;		/* peer's: in our headers and its full acks */
	u32 my_cookie;		/* ours: in the headers that bring its credit */
	u32 sent;		/* ring frame counter */
	u32 limit;		/* credit limit from the peer */
	u32 window;		/* the first credit limit: size of the ring */
	u32 asked;		/* @sent when we asked for an ack last */
	u32 weight;		/* link rate in 100 Mb/s, for striping */
	u32 inflight;		/* frames of @flying */
	struct tbib_train_list flying;
	u64 probe_at;		/* deadline in ns, 0 = none */
};

/**
 * struct tbib_tx_lane - sender's view of one lane; private to trunk_tx.c
 * @slot: NULL for a train that was acked out of order
 * @frames: by slot, for @out
 */
struct tbib_tx_lane {
	u32 next_seq;
	u32 una;		/* oldest unacked sequence */
	u32 out;		/* frames of trains from @una on */
	u32 asked;		/* sequence that asked for an ack last */
	u32 rings;		/* rings that this lane may use now, bit mask */
	bool noted;		/* trains with notes sent since we asked */
	struct tbib_train_list queue;	/* to be sent (again), by sequence */
	struct tbib_train *slot[TBIB_WINDOW];
	u8 frames[TBIB_WINDOW];
};

struct tbib_tx_stats {
	u64 trains, frames, packets, bytes;	/* first transmissions */
	u64 retries, probes, ctrl;		/* trains, frames, frames */
	u64 no_credit, no_room, no_window;	/* times that sending stopped */
};

struct tbib_tx {
	const struct tbib_tx_ops *ops;
	struct tbib_tx_ring ring[TBIB_RINGS];
	struct tbib_tx_lane lane[TBIB_LANES];
	/* written by the host from the receiver half before each run */
	u32 ack_next[TBIB_LANES];
	u32 ack_limit[TBIB_RINGS];
	u64 srtt, rttvar;	/* ns */
	u32 express_burst;	/* express frames since bulk had its turn */
	u32 n_out;		/* trains pulled and not released yet */
	struct tbib_tx_stats stats;
};

/** tbib_tx_init() - no ring is up; @ops stays valid */
void tbib_tx_init(struct tbib_tx *tx, const struct tbib_tx_ops *ops);

/**
 * tbib_tx_reset() - new trunk epoch: release everything unacked as not
 * delivered (as soon as its frames are back), sequences start at 0 again
 * Acks carry no epoch: rings that stay up keep their cookies, so the host
 * takes all rings down first and brings them up with new cookies after.
 */
void tbib_tx_reset(struct tbib_tx *tx);

/**
 * tbib_tx_ring_up() - ring @ring may be used from now on; counter starts at 0
 * @cookie: the peer's, from its login; goes into our headers
 * @my_cookie: ours, which the peer's headers on this ring pair carry
 * @lanes: bit per lane. A lane without any ring of its own uses all of them.
 * @limit: first credit limit, from the peer's login
 * @weight: link rate in 100 Mb/s
 */
void tbib_tx_ring_up(struct tbib_tx *tx, unsigned int ring, u32 cookie,
		     u32 my_cookie, u8 index, u8 lanes, u32 limit, u32 weight);

/**
 * tbib_tx_ring_down() - ring is gone. Trains sent on it and not acked are sent
 * again on other rings, or wait until one comes up. The host calls this after
 * the ring has given back all frames.
 */
void tbib_tx_ring_down(struct tbib_tx *tx, unsigned int ring);

/**
 * tbib_tx_run() - send what may be sent: lost trains first, then new ones,
 * express lane first
 * @budget: trains at most
 * Return: trains sent.
 */
u32 tbib_tx_run(struct tbib_tx *tx, u64 now, u32 budget);

/** tbib_tx_frame_done() - the ring gave back one frame of @t */
void tbib_tx_frame_done(struct tbib_tx *tx, struct tbib_train *t);

/**
 * tbib_tx_ack() - the peer's receiver said @ack
 * Acks may be old, repeated, or lies: a lie costs only retransmissions or
 * completions of the peer's own traffic. Call tbib_tx_run() afterwards.
 */
void tbib_tx_ack(struct tbib_tx *tx, const struct tbib_ack *ack, u64 now);

/**
 * tbib_tx_control() - write a control frame for ring @ring and count it
 * @ack: what tbib_rx_ack() said, or NULL
 * @buf: TBIB_CTRL_MAX bytes; the host posts them at once, under the same lock,
 *	as a frame of EOF PDF TBIB_PDF_HEADER
 * Return: length in bytes, 0 when the ring is down.
 */
u32 tbib_tx_control(struct tbib_tx *tx, unsigned int ring,
		    enum tbib_ctrl_type type, const struct tbib_ack *ack,
		    u8 *buf);

/** tbib_tx_deadline() - when tbib_tx_timer() wants to run (ns), 0 = never */
u64 tbib_tx_deadline(const struct tbib_tx *tx);

/**
 * tbib_tx_timer() - Return: bit per ring on which to send a PROBE now
 * A probe that cannot be posted is as good as lost: another one comes.
 */
u32 tbib_tx_timer(struct tbib_tx *tx, u64 now);

/** tbib_tx_busy() - anything unacked? */
bool tbib_tx_busy(const struct tbib_tx *tx);

/* ---- receiver -------------------------------------------------------- */

struct tbib_rx;

/** struct tbib_rx_buf - one received frame, as the ring gave it */
struct tbib_rx_buf {
	const u8 *data;
	void *page;		/* host's handle, given back by ops->put */
	u16 len;		/* 1..4096 */
	u8 eof;			/* EOF PDF */
	bool bad;		/* CRC error or overrun flagged by the NHI */
};

/**
 * struct tbib_rx_ops - what the receiver asks of its host; receive context
 * @deliver: @t is next in its lane. The host owns @t and its pages until it
 *	calls tbib_rx_train_free(); it may keep it (transit).
 * @ack: the peer acknowledged (goes to tbib_tx_ack() under the tx lock); from
 *	train headers only when it says something new
 * @put: @page of a dropped or control frame may be reused
 * @bye: the peer leaves the link of @ring
 */
struct tbib_rx_ops {
	void (*deliver)(struct tbib_rx *rx, struct tbib_rx_train *t);
	void (*ack)(struct tbib_rx *rx, const struct tbib_ack *ack);
	void (*put)(struct tbib_rx *rx, void *page);
	void (*bye)(struct tbib_rx *rx, unsigned int ring);
};

/* what tbib_rx_frame() returns: bits */
#define TBIB_RX_ACK_SOON	0x1	/* something new, ack within 1 ms */
#define TBIB_RX_ACK_NOW		0x2	/* ack at the end of this poll */
#define TBIB_RX_ACK_GAP		0x4	/* a loss was seen: ack at once (NAK) */

/** struct tbib_rx_slot - a train being assembled, held or delivered */
struct tbib_rx_slot {
	struct tbib_rx_train t;		/* first: the host gives back this */
	void *page[TBIB_TRAIN_FRAMES];	/* 0 = header frame */
	u8 n_page;
	u16 raw_len[TBIB_MAX_RAW];
	struct tbib_rx_slot *next_free;
};

/** struct tbib_rx_ring - receiver's view of one ring; private to trunk_rx.c */
struct tbib_rx_ring {
	bool up;
	u8 index;
	u32 cookie;		/* ours: what headers on this ring must carry */
	u32 seen;		/* frames accounted by the sender's counter */
	u32 acked;		/* @seen when the last ack was built */
	u32 buffers;		/* posted, less TBIB_RING_RESERVE */
	u32 peer_credit;	/* newest credit limit in the peer's headers */
	bool told;		/* @peer_credit has been handed up */
	u8 skip;		/* raw frames to come of a train not wanted */
	struct tbib_rx_slot *cur; /* train being assembled, or NULL */
};

/**
 * struct tbib_rx_lane - receiver's view of one lane; private to trunk_rx.c
 * @slot: trains that arrived before @next, by sequence
 * @held: the same as bits, by sequence
 */
struct tbib_rx_lane {
	u32 next;
	u32 peer_ack;		/* newest ack in the peer's headers */
	bool told;
	u32 n_held;		/* trains in @slot */
	u32 held_pages;		/* pages of them */
	u64 held[TBIB_WINDOW / 64];
	struct tbib_rx_slot *slot[TBIB_WINDOW];
};

struct tbib_rx_stats {
	u64 trains, frames, packets, bytes;
	u64 crc, bad_header, stale_cookie, torn, duplicate, gaps, no_slot;
};

struct tbib_rx {
	const struct tbib_rx_ops *ops;
	struct tbib_rx_ring ring[TBIB_RINGS];
	struct tbib_rx_lane lane[TBIB_LANES];
	struct tbib_rx_slot *free;	/* only touched in receive context */
	u32 since_ack;		/* trains since the last ack was built */
	struct tbib_rx_stats stats;
};

/**
 * TBIB_RX_SLOTS - slots that a receiver needs to never run out by itself, with
 * 64 delivered trains that the host has not given back
 */
#define TBIB_RX_SLOTS (TBIB_LANES * TBIB_WINDOW + TBIB_RINGS + 64)
/** TBIB_RX_PAGES - pages that a receiver holds at most, delivered ones apart */
#define TBIB_RX_PAGES \
	(TBIB_LANES * TBIB_WINDOW_FRAMES + TBIB_RINGS * TBIB_TRAIN_FRAMES)

/** tbib_rx_init() - @n_slots of @slots, TBIB_RX_SLOTS or more; no ring is up */
void tbib_rx_init(struct tbib_rx *rx, const struct tbib_rx_ops *ops,
		  struct tbib_rx_slot *slots, u32 n_slots);
/** tbib_rx_reset() - new trunk epoch: drop what is held, expect sequence 0 */
void tbib_rx_reset(struct tbib_rx *rx);
/**
 * tbib_rx_ring_up() - frames may come from ring @ring; counter starts at 0
 * @cookie: ours, new for each session; @index: number of the ring in its link
 * @buffers: receive buffers that are kept posted, all of them, at least
 *	TBIB_RING_BUFFERS_MIN
 */
void tbib_rx_ring_up(struct tbib_rx *rx, unsigned int ring, u32 cookie,
		     u8 index, u32 buffers);
/** tbib_rx_ring_buffers() - the number of posted buffers has changed */
void tbib_rx_ring_buffers(struct tbib_rx *rx, unsigned int ring, u32 buffers);
/** tbib_rx_ring_down() - ring is gone; complete trains of it stay */
void tbib_rx_ring_down(struct tbib_rx *rx, unsigned int ring);

/**
 * tbib_rx_frame() - one frame came out of ring @ring
 * Takes @buf->page over in every case. Return: TBIB_RX_* bits.
 */
u32 tbib_rx_frame(struct tbib_rx *rx, unsigned int ring,
		  const struct tbib_rx_buf *buf);

/** tbib_rx_train_free() - give back a delivered train and its pages */
void tbib_rx_train_free(struct tbib_rx *rx, struct tbib_rx_train *t);

/** tbib_rx_ack() - fill @ack for a control frame; clears "ack soon" */
void tbib_rx_ack(struct tbib_rx *rx, struct tbib_ack *ack);

/**
 * tbib_rx_told() - the peer knows all that we have, from headers of trains
 * The count of trains after which an ack is due begins anew.
 */
void tbib_rx_told(struct tbib_rx *rx);

/** tbib_rx_limit() - credit limit of @ring, for train headers */
u32 tbib_rx_limit(const struct tbib_rx *rx, unsigned int ring);

#endif
