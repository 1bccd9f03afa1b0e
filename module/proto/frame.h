/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wire format of tbib frames: the frame header, trains and packets.
 *
 * Every number is big endian. A header frame is
 *
 *	frame header (40 B) | packets | raw-length table (u16 * n_raw)
 *
 * and is followed, on the same ring and without another frame between, by
 * n_raw raw frames that hold nothing but payload bytes. Header frame and raw
 * frames together are a train: the unit of sequence, ack, retry, forwarding.
 *
 *	offset size field
 *	 0     1    version << 4 | kind
 *	 1     1    flags (TBIB_FF_*): bit 0 is the lane, 4..7 the raw tag
 *	 2     2    DLID
 *	 4     2    SLID
 *	 6     1    hop limit
 *	 7     1    number of raw frames in this train (0..32)
 *	 8     4    destination epoch (checked by the node that owns DLID)
 *	12     4    link cookie (given by the receiver at login)
 *	16     4    lane sequence of this train (trains only)
 *	20     4    next lane sequence expected from the peer (cumulative ack)
 *	24     4    ring frame: frames sent on this ring before this one
 *	28     4    credit limit of the ring pair's other direction
 *	32     2    length of the packets that follow, in bytes
 *	34     2    number of packets (trains) / control type (control frames)
 *	36     4    CRC32C of header (this field zero), packets and length table
 *
 * A packet is an 8-byte packet header, then inline bytes, then padding to 8:
 *
 *	 0     1    type (enum tbib_pkt_type)
 *	 1     1    flags (TBIB_PF_*)
 *	 2     2    inline bytes (transport headers, then inline payload)
 *	 4     2    out-of-line payload bytes, taken from the raw frames in order
 *	 6     2    zero
 *
 * The payload of a packet is its inline bytes behind the transport headers,
 * followed by its out-of-line bytes. Raw-frame boundaries follow the source's
 * pages, not the packets.
 */
#ifndef TBIB_PROTO_FRAME_H
#define TBIB_PROTO_FRAME_H

#include "tbib_host.h"

#define TBIB_WIRE_VERSION	1
#define TBIB_FRAME_SIZE		4096	/* bytes in one NHI frame, at most */
#define TBIB_FRAME_HDR		40
#define TBIB_PKT_HDR		8
#define TBIB_PKT_ALIGN		8
#define TBIB_MAX_RAW		32	/* raw frames in one train */
#define TBIB_MAX_PACKETS	250	/* packets in one train */
#define TBIB_TRAIN_FRAMES	(1 + TBIB_MAX_RAW)
/* packets area that always leaves room for header and a full length table */
#define TBIB_PKTS_MAX \
	(TBIB_FRAME_SIZE - TBIB_FRAME_HDR - 2 * TBIB_MAX_RAW)

/* Protocol Defined Field of NHI descriptors; SOF is always 1 (design D3). */
#define TBIB_PDF_SOF		1
#define TBIB_PDF_HEADER		2
#define TBIB_PDF_RAW(tag)	(3 + (tag))	/* 3..15 */
#define TBIB_RAW_TAGS		13
#define TBIB_PDF_EOF_MASK	0xfffcu

enum tbib_frame_kind {
	TBIB_KIND_TRAIN		= 1,
	TBIB_KIND_CONTROL	= 2,	/* ack, credit, probe; never sequenced */
};

enum tbib_ctrl_type {
	TBIB_CTRL_ACK		= 1,	/* state of the receiver, see trunk.h */
	TBIB_CTRL_PROBE		= 2,	/* the same, and "answer with an ACK" */
	TBIB_CTRL_BYE		= 3,	/* quiesce: the sender leaves this link */
	TBIB_CTRL_MGMT		= 4,	/* datagram between two tbibd; not counted */
};

enum tbib_lane {
	TBIB_LANE_EXPRESS	= 0,
	TBIB_LANE_BULK		= 1,
	TBIB_LANES		= 2,
};

#define TBIB_FF_LANE		0x01	/* enum tbib_lane */
#define TBIB_FF_ACK_REQ		0x02	/* ack at the end of this poll */
#define TBIB_FF_MARK		0x04	/* congestion seen on the way (FECN) */
#define TBIB_FF_BMARK		0x08	/* destination reports marks (BECN) */
/*
 * Tag of this train's raw frames, 0..TBIB_RAW_TAGS - 1: their EOF PDF is
 * TBIB_PDF_RAW(tag). On one ring no two unacked trains have the same tag, so
 * a raw frame can never be taken for one of another train, however many
 * frames a burst swallows between the two. (The lane sequence would not do:
 * one ring carries both lanes, and retransmissions.)
 */
#define TBIB_FF_TAG_SHIFT	4
#define TBIB_FF_TAG		0xf0

/* LIDs: 0 = none, 0xC000.. = multicast, 0xFFFF = the neighbour on this link */
#define TBIB_LID_NONE		0
#define TBIB_LID_MCAST		0xC000	/* every node, source-rooted tree */
#define TBIB_LID_NEIGHBOUR	0xFFFF	/* management, never forwarded */
#define TBIB_LID_MAX		255	/* unicast LIDs are 1..255 */
#define TBIB_HOP_LIMIT		16

enum tbib_pkt_type {
	TBIB_PKT_TRANSPORT	= 1,	/* BTH and what follows */
	TBIB_PKT_ETHERNET	= 2,	/* an Ethernet frame for tbib0 */
	TBIB_PKT_BLANK		= 3,	/* withdrawn by its sender: skip it */
};

#define TBIB_PF_GRH		0x01	/* TRANSPORT: 40-byte GRH before BTH */
#define TBIB_PF_CSUM		0x02	/* ETHERNET: L4 checksum not computed */
#define TBIB_PF_GSO		0x04	/* ETHERNET: 8-byte GSO block in front */

/** struct tbib_frame_hdr - frame header in host order */
struct tbib_frame_hdr {
	u8 kind;		/* enum tbib_frame_kind */
	u8 flags;		/* TBIB_FF_* */
	u16 dlid;
	u16 slid;
	u8 hop_limit;
	u8 n_raw;
	u32 dest_epoch;
	u32 cookie;
	u32 seq;
	u32 ack;
	u32 ring_frame;
	u32 credit;
	u16 pkt_len;
	u16 n_pkt;		/* control frames: enum tbib_ctrl_type */
};

enum tbib_frame_err {
	TBIB_FRAME_OK = 0,
	TBIB_FRAME_SHORT,	/* shorter than the header says */
	TBIB_FRAME_VERSION,
	TBIB_FRAME_BAD,		/* a field out of its bounds */
	TBIB_FRAME_CRC,
};

/**
 * tbib_frame_encode() - write header and length table around packets in place
 * @buf: TBIB_FRAME_SIZE bytes; packets already stand at TBIB_FRAME_HDR
 * @h: header in host order; @h->pkt_len and @h->n_raw say what is there
 * @raw_len: length of each raw frame (n_raw of them, 1..4096)
 * Return: length of the header frame in bytes. Any context.
 */
u32 tbib_frame_encode(u8 *buf, const struct tbib_frame_hdr *h,
		      const u16 *raw_len);

/**
 * tbib_frame_decode() - check and read a received header frame
 * @buf: the frame, @len its length as the NHI gave it
 * @raw_len: out, TBIB_MAX_RAW entries
 * Every field of @h is within its bounds when TBIB_FRAME_OK is returned, and
 * the sum of packets' out-of-line bytes has NOT been looked at yet (packet.h).
 * Return: enum tbib_frame_err.
 */
enum tbib_frame_err tbib_frame_decode(const u8 *buf, u32 len,
				      struct tbib_frame_hdr *h, u16 *raw_len);

static inline u16 tbib_get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static inline u32 tbib_get24(const u8 *p)
{
	return (u32)p[0] << 16 | (u32)p[1] << 8 | p[2];
}

static inline u32 tbib_get32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static inline u64 tbib_get64(const u8 *p)
{
	return (u64)tbib_get32(p) << 32 | tbib_get32(p + 4);
}

static inline void tbib_put16(u8 *p, u16 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static inline void tbib_put24(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 16);
	p[1] = (u8)(v >> 8);
	p[2] = (u8)v;
}

static inline void tbib_put32(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 24);
	p[1] = (u8)(v >> 16);
	p[2] = (u8)(v >> 8);
	p[3] = (u8)v;
}

static inline void tbib_put64(u8 *p, u64 v)
{
	tbib_put32(p, (u32)(v >> 32));
	tbib_put32(p + 4, (u32)v);
}

/* serial-number comparison (RFC 1982) of 32-bit counters */
static inline bool tbib_before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

#endif
