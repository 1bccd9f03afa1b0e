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

#include "train.h"

#define TBIB_RINGS		8	/* ring pairs of a trunk, all links */
#define TBIB_WINDOW		128	/* unacked trains in a lane */
#define TBIB_RING_RESERVE	16	/* RX buffers kept for control frames */

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

/* payload of ACK and PROBE control frames, behind the frame header */
#define TBIB_CTRL_MAX	(TBIB_FRAME_HDR + TBIB_LANES * 20 + 4 + TBIB_RINGS * 16)

/* ---- sender ---------------------------------------------------------- */

struct tbib_tx;

/**
 * struct tbib_tx_ops - what the sender asks of its host; all are called with
 * the host's tx lock held and must not sleep.
 * @room: frames that ring @ring takes now without queueing (0 = none)
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

/** struct tbib_tx_ring - sender's view of one ring; private to trunk_tx.c */
struct tbib_tx_ring {
	bool up;
	u8 lanes;		/* bit per lane that may use this ring */
	u8 index;		/* ring number within its link */
	u32 cookie;		/* peer's cookie, goes into our headers */
	u32 my_cookie;		/* ours: how the peer's acks name this pair */
	u32 sent;		/* ring frame counter */
	u32 limit;		/* credit limit from the peer */
	u32 seen;		/* highest counter the peer has accounted */
	u32 weight;		/* link rate in 100 Mb/s, for striping */
};

/** struct tbib_tx_lane - sender's view of one lane; private to trunk_tx.c */
struct tbib_tx_lane {
	u32 next_seq;
	u32 una;		/* oldest unacked sequence */
	struct tbib_train *slot[TBIB_WINDOW];
	u32 n_lost;		/* trains waiting for retransmission */
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
	u64 probe_at;		/* deadline, 0 = none */
	u32 probe_backoff;
	struct tbib_tx_stats stats;
};

void tbib_tx_init(struct tbib_tx *tx, const struct tbib_tx_ops *ops);

/**
 * tbib_tx_reset() - new trunk epoch: release everything unacked as not
 * delivered (as soon as its frames are back), sequences start at 0 again
 */
void tbib_tx_reset(struct tbib_tx *tx);

/**
 * tbib_tx_ring_up() - ring @ring may be used from now on; counter starts at 0
 * @limit: first credit limit, from the peer's login
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

/** tbib_tx_ack() - the peer's receiver said @ack */
void tbib_tx_ack(struct tbib_tx *tx, const struct tbib_ack *ack, u64 now);

/**
 * tbib_tx_control() - write a control frame for ring @ring and count it
 * @buf: TBIB_CTRL_MAX bytes; the host posts them at once, under the same lock
 * Return: length in bytes.
 */
u32 tbib_tx_control(struct tbib_tx *tx, unsigned int ring,
		    enum tbib_ctrl_type type, const struct tbib_ack *ack,
		    u8 *buf);

/** tbib_tx_deadline() - when tbib_tx_timer() wants to run (ns), 0 = never */
u64 tbib_tx_deadline(const struct tbib_tx *tx);

/** tbib_tx_timer() - Return: bit per ring on which to send a PROBE now */
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
 * @ack: the peer acknowledged (goes to tbib_tx_ack() under the tx lock)
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

struct tbib_rx_slot {
	struct tbib_rx_train t;
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
	u32 buffers;		/* posted, less TBIB_RING_RESERVE */
	struct tbib_rx_slot *cur; /* train being assembled, or NULL */
};

struct tbib_rx_lane {
	u32 next;
	struct tbib_rx_slot *slot[TBIB_WINDOW];
	u32 n_held;
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

/** TBIB_RX_SLOTS - slots that a receiver needs to never run out by itself */
#define TBIB_RX_SLOTS (TBIB_LANES * TBIB_WINDOW + TBIB_RINGS + 64)

void tbib_rx_init(struct tbib_rx *rx, const struct tbib_rx_ops *ops,
		  struct tbib_rx_slot *slots, u32 n_slots);
/** tbib_rx_reset() - new trunk epoch: drop what is held, expect sequence 0 */
void tbib_rx_reset(struct tbib_rx *rx);
void tbib_rx_ring_up(struct tbib_rx *rx, unsigned int ring, u32 cookie,
		     u8 index, u32 buffers);
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

/** tbib_rx_limit() - credit limit of @ring, for train headers */
u32 tbib_rx_limit(const struct tbib_rx *rx, unsigned int ring);

#endif
