/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trains: building one for sending, taking one apart on receive.
 *
 * A TX train owns a header-frame buffer and up to TBIB_MAX_RAW raw frames. It
 * is retained until the trunk's peer has acknowledged it, because a link-level
 * retry sends the very same bytes again.
 */
#ifndef TBIB_PROTO_TRAIN_H
#define TBIB_PROTO_TRAIN_H

#include "frame.h"

/**
 * struct tbib_raw - one raw frame: bytes within one page
 * @data: CPU address of the first byte
 * @ref: what keeps the bytes alive (MR, page, skb); meaning is the host's
 * @index: for the host (page number within the MR)
 * @len: 1..4096
 * @kind: for the host (how to map and how to release)
 */
struct tbib_raw {
	void *data;
	void *ref;
	u32 index;
	u16 len;
	u8 kind;
};

#define TBIB_TRAIN_NOTES 64

/**
 * struct tbib_note - "tell @owner about @value when the trunk peer has acked"
 * UD and UC WQEs and netdev packets complete this way (design section 4).
 */
struct tbib_note {
	void *owner;
	void *value;
};

/**
 * struct tbib_train - a train to be sent
 * @hdr: TBIB_FRAME_SIZE bytes, DMA-able in the kernel; packets stand at
 *	TBIB_FRAME_HDR, the frame header is written at each transmission
 * @next, @prev: links in the trunk's lists; @next is the host's otherwise
 * @tag: raw frames are posted with EOF PDF TBIB_PDF_RAW(@tag); set by the
 *	trunk sender before each transmission
 * Fields from @seq on belong to the trunk sender (trunk.h).
 */
struct tbib_train {
	struct tbib_train *next, *prev;
	u8 *hdr;
	u16 dlid;
	u16 slid;
	u32 dest_epoch;
	u8 hop_limit;
	u8 lane;
	u8 flags;		/* TBIB_FF_ACK_REQ, TBIB_FF_MARK, TBIB_FF_BMARK */
	u8 n_raw;
	u8 n_note;
	u16 n_pkt;
	u16 pkt_len;
	u32 raw_bytes;		/* sum of raw[].len */
	u32 ool_bytes;		/* sum of packets' out-of-line bytes */
	struct tbib_raw raw[TBIB_MAX_RAW];
	struct tbib_note note[TBIB_TRAIN_NOTES];

	u32 seq;
	u32 ring_end;		/* ring counter behind our last frame */
	u8 ring;		/* ring of the newest transmission */
	u8 tag;
	u8 state;		/* enum tbib_train_state, trunk.h */
	u8 posted;		/* frames the ring has not given back yet */
	u8 tries;		/* transmissions, saturates */
	u64 sent_at;		/* ns */
};

/**
 * tbib_train_init() - make @t empty, keeping @t->hdr
 */
void tbib_train_init(struct tbib_train *t, u16 dlid, u16 slid, u32 dest_epoch,
		     u8 lane);

/** tbib_train_room() - inline bytes that one further packet may have */
u32 tbib_train_room(const struct tbib_train *t);

/** tbib_train_raw_room() - raw frames that still fit */
static inline u32 tbib_train_raw_room(const struct tbib_train *t)
{
	return TBIB_MAX_RAW - t->n_raw;
}

/**
 * tbib_train_add() - append a packet
 * @inl: inline bytes (transport headers + inline payload)
 * @ool: out-of-line bytes; the caller appends raw frames of just that many
 *	bytes by tbib_train_add_raw() before the next packet
 * Return: where the @inl bytes go, or NULL when there is no room (nothing was
 *	changed then).
 */
u8 *tbib_train_add(struct tbib_train *t, u8 type, u8 flags, u32 inl, u32 ool);

/** tbib_train_add_raw() - append a raw frame. Return: false when full. */
bool tbib_train_add_raw(struct tbib_train *t, const struct tbib_raw *raw);

/** struct tbib_train_mark - where a train stood, to undo a failed packet */
struct tbib_train_mark {
	u16 n_pkt, pkt_len;
	u8 n_raw, n_note;
	u32 raw_bytes, ool_bytes;
};

/** tbib_train_mark() - remember the end of @t */
struct tbib_train_mark tbib_train_mark(const struct tbib_train *t);

/**
 * tbib_train_undo() - cut @t back to @m. References of raw frames behind the
 * mark must have been dropped by the host before.
 */
void tbib_train_undo(struct tbib_train *t, const struct tbib_train_mark *m);

/** struct tbib_piece - a run of received bytes */
struct tbib_piece {
	const u8 *data;
	u32 len;
};

/**
 * struct tbib_rx_train - a whole received train, in host order
 * @pkts: first packet (h.pkt_len bytes)
 * @raw: the raw frames' bytes
 * @host: for the host (pages to give back)
 */
struct tbib_rx_train {
	struct tbib_rx_train *next;
	struct tbib_frame_hdr h;
	const u8 *pkts;
	struct tbib_piece raw[TBIB_MAX_RAW];
	u8 ring;
	void *host;
};

/**
 * struct tbib_pkt - one received packet
 * @inl: inline bytes, @inl_len of them
 * @ool_len: payload bytes in the raw frames
 * @raw_index, @raw_off: where the out-of-line bytes begin
 * @train: the train it rides in
 */
struct tbib_pkt {
	u8 type;
	u8 flags;
	u16 inl_len;
	u16 ool_len;
	u8 raw_index;
	u16 raw_off;
	const u8 *inl;
	const struct tbib_rx_train *train;
};

/** struct tbib_pkt_iter - walks the packets of a received train */
struct tbib_pkt_iter {
	const struct tbib_rx_train *train;
	u32 off;
	u16 left;
	u8 raw_index;
	u16 raw_off;
};

void tbib_pkt_iter_init(struct tbib_pkt_iter *it,
			const struct tbib_rx_train *train);

/**
 * tbib_pkt_next() - read the next packet; every length has been checked
 * Return: 1 = @p is valid, 0 = end, -1 = malformed train (stop; count it).
 */
int tbib_pkt_next(struct tbib_pkt_iter *it, struct tbib_pkt *p);

/**
 * struct tbib_payload - payload of a packet as a list of pieces
 * At most one inline piece and one piece a raw frame.
 */
struct tbib_payload {
	u32 len;
	u8 n;
	struct tbib_piece piece[1 + TBIB_MAX_RAW];
};

/**
 * tbib_pkt_payload() - the bytes behind the first @skip inline bytes
 * @skip: length of the transport headers, <= @p->inl_len
 */
void tbib_pkt_payload(const struct tbib_pkt *p, u32 skip,
		      struct tbib_payload *out);

#endif
