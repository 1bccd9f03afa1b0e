/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IBTA transport opcodes and extension headers (IBTA 1.5, chapter 9) as a
 * table, and host-order forms of the headers.
 *
 * Framing differs from the standard in two points only: the payload length is
 * explicit in the packet header, so PadCnt is always 0, and there is no ICRC
 * (the frame has a CRC32C, the raw frames the link's CRC).
 */
#ifndef TBIB_PROTO_OPCODE_H
#define TBIB_PROTO_OPCODE_H

#include "frame.h"

enum tbib_service {		/* bits 7:5 of the opcode */
	TBIB_RC = 0x00,
	TBIB_UC = 0x20,
	TBIB_UD = 0x60,
};

enum tbib_op {			/* bits 4:0 of the opcode */
	TBIB_OP_SEND_FIRST		= 0x00,
	TBIB_OP_SEND_MIDDLE		= 0x01,
	TBIB_OP_SEND_LAST		= 0x02,
	TBIB_OP_SEND_LAST_IMM		= 0x03,
	TBIB_OP_SEND_ONLY		= 0x04,
	TBIB_OP_SEND_ONLY_IMM		= 0x05,
	TBIB_OP_WRITE_FIRST		= 0x06,
	TBIB_OP_WRITE_MIDDLE		= 0x07,
	TBIB_OP_WRITE_LAST		= 0x08,
	TBIB_OP_WRITE_LAST_IMM		= 0x09,
	TBIB_OP_WRITE_ONLY		= 0x0a,
	TBIB_OP_WRITE_ONLY_IMM		= 0x0b,
	TBIB_OP_READ_REQUEST		= 0x0c,
	TBIB_OP_READ_RESP_FIRST		= 0x0d,
	TBIB_OP_READ_RESP_MIDDLE	= 0x0e,
	TBIB_OP_READ_RESP_LAST		= 0x0f,
	TBIB_OP_READ_RESP_ONLY		= 0x10,
	TBIB_OP_ACK			= 0x11,
	TBIB_OP_ATOMIC_ACK		= 0x12,
	TBIB_OP_CMP_SWAP		= 0x13,
	TBIB_OP_FETCH_ADD		= 0x14,
	TBIB_OP_SEND_LAST_INV		= 0x16,
	TBIB_OP_SEND_ONLY_INV		= 0x17,
	TBIB_OP_FLUSH			= 0x1c,
	TBIB_OP_ATOMIC_WRITE		= 0x1d,
	TBIB_OPS			= 0x1e,
};

/* enum-like masks of struct tbib_op_info.flags */
#define TBIB_OI_FIRST		0x0001	/* first packet of a message */
#define TBIB_OI_LAST		0x0002	/* last packet of a message */
#define TBIB_OI_PAYLOAD		0x0004
#define TBIB_OI_REQUEST		0x0008	/* goes to the responder */
#define TBIB_OI_SEND		0x0010
#define TBIB_OI_WRITE		0x0020
#define TBIB_OI_READ		0x0040
#define TBIB_OI_ATOMIC		0x0080
#define TBIB_OI_ACK		0x0100	/* goes to the completer */
#define TBIB_OI_RETH		0x0200
#define TBIB_OI_AETH		0x0400
#define TBIB_OI_IMM		0x0800
#define TBIB_OI_IETH		0x1000
#define TBIB_OI_ATOMICETH	0x2000
#define TBIB_OI_ATOMICACK	0x4000
#define TBIB_OI_RWQE		0x8000	/* consumes a receive WQE at its end */
#define TBIB_OI_ATOMIC_WRITE	0x10000	/* with TBIB_OI_WRITE: one store of 8 bytes */
#define TBIB_OI_FLUSH		0x20000	/* with an FETH before the RETH */

#define TBIB_BTH_LEN		12
#define TBIB_FETH_LEN		4
#define TBIB_RETH_LEN		16
#define TBIB_AETH_LEN		4
#define TBIB_DETH_LEN		8
#define TBIB_IMM_LEN		4
#define TBIB_IETH_LEN		4
#define TBIB_ATOMICETH_LEN	28
#define TBIB_ATOMICACK_LEN	8
#define TBIB_GRH_LEN		40
#define TBIB_XHDR_MAX	(TBIB_GRH_LEN + TBIB_BTH_LEN + TBIB_ATOMICETH_LEN + 8)

/** struct tbib_op_info - row of the opcode table */
struct tbib_op_info {
	const char *name;	/* NULL: not an opcode */
	u32 flags;
	u8 services;		/* bit (service >> 5) that may use it */
	u8 hdr_len;		/* BTH and extension headers, without DETH */
};

extern const struct tbib_op_info tbib_op_info[TBIB_OPS];

/** struct tbib_bth - every transport header of one packet, in host order */
struct tbib_bth {
	u8 opcode;		/* service | op */
	bool solicited;
	bool ack_req;
	u16 pkey;
	u32 dqpn;		/* 24 bits */
	u32 psn;		/* 24 bits */
	/* extension headers, valid as the opcode says */
	u32 qkey, sqpn;			/* DETH */
	u32 feth;			/* FETH, TBIB_FETH_* */
	u64 va;				/* RETH, AtomicETH */
	u32 rkey;			/* RETH, AtomicETH, IETH */
	u32 dma_len;			/* RETH */
	u8 syndrome;			/* AETH */
	u32 msn;			/* AETH, 24 bits */
	u32 imm;			/* ImmDt, host order */
	u64 swap_add, compare;		/* AtomicETH */
	u64 orig;			/* AtomicAckETH */
	const u8 *grh;			/* TBIB_PF_GRH, else NULL */
	u32 hdr_len;			/* bytes in front of the payload */
	const struct tbib_op_info *info;
};

/**
 * tbib_bth_decode() - read BTH and extension headers of a TRANSPORT packet
 * @buf, @len: inline bytes; @grh: packet has TBIB_PF_GRH
 * Return: 0, or -1 when too short, or the opcode is not one.
 */
int tbib_bth_decode(const u8 *buf, u32 len, bool grh, struct tbib_bth *b);

/** tbib_bth_len() - header bytes for opcode @opcode, with DETH if UD */
u32 tbib_bth_len(u8 opcode);

/**
 * tbib_bth_encode() - write the headers that @b->opcode asks for
 * A GRH, when wanted, is written by the caller in front. Return: bytes.
 */
u32 tbib_bth_encode(u8 *buf, const struct tbib_bth *b);

/* FETH, IBTA annex A19: what shall see the data, and of which range */
#define TBIB_FETH_GLOBAL	0x01
#define TBIB_FETH_PERSISTENT	0x02
#define TBIB_FETH_PLACEMENT	0x0f
#define TBIB_FETH_REGION	0x10	/* not only the range of the RETH */
#define TBIB_FETH_VALID \
	(TBIB_FETH_GLOBAL | TBIB_FETH_PERSISTENT | TBIB_FETH_REGION)

/* AETH syndromes, IBTA 9.7.5.2 table 45..47 */
#define TBIB_AETH_TYPE_MASK	0xe0
#define TBIB_AETH_ACK		0x00	/* low 5 bits: credits, 31 = none */
#define TBIB_AETH_ACK_UNLIM	0x1f
#define TBIB_AETH_RNR_NAK	0x20	/* low 5 bits: RNR timer code */
#define TBIB_RNR_SHORTEST	1	/* 0.01 ms; 0 is the longest */
#define TBIB_AETH_NAK		0x60
#define TBIB_NAK_PSN_SEQ	0x60
#define TBIB_NAK_INV_REQ	0x61
#define TBIB_NAK_REM_ACC	0x62
#define TBIB_NAK_REM_OP		0x63

/* 24-bit PSN arithmetic, IBTA 9.7.1 */
#define TBIB_PSN_MASK 0xffffffu

static inline u32 tbib_psn_add(u32 psn, u32 n)
{
	return (psn + n) & TBIB_PSN_MASK;
}

/** tbib_psn_diff() - a - b as a signed 24-bit number */
static inline s32 tbib_psn_diff(u32 a, u32 b)
{
	return (s32)((a - b) << 8) >> 8;
}

/** tbib_rnr_ns() - RNR NAK timer code to ns, IBTA table 45 (0 = 655.36 ms) */
u64 tbib_rnr_ns(u8 code);

/** tbib_timeout_ns() - local ack timeout exponent to ns (4.096 us * 2^n) */
u64 tbib_timeout_ns(u8 exponent);

#endif
