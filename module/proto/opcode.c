// SPDX-License-Identifier: GPL-2.0-only
/*
 * IBTA opcodes as a table; BTH and extension headers to host order and back.
 */
#include "opcode.h"

#define ON_RC	(1u << (TBIB_RC >> 5))
#define ON_UC	(1u << (TBIB_UC >> 5))
#define ON_UD	(1u << (TBIB_UD >> 5))

#define OP_MASK		0x1f
#define SERVICE_MASK	0xe0

/* second byte of the BTH: SE, M, PadCnt, TVer (IBTA 9.2) */
#define BTH_SE		0x80
#define BTH_PAD		0x30
#define BTH_TVER	0x0f
#define BTH_ACK_REQ	0x80

/* bytes that a row's flags ask for behind the BTH */
#define XLEN(f) (TBIB_BTH_LEN + \
	((f) & TBIB_OI_FLUSH ? TBIB_FETH_LEN : 0) + \
	((f) & TBIB_OI_RETH ? TBIB_RETH_LEN : 0) + \
	((f) & TBIB_OI_AETH ? TBIB_AETH_LEN : 0) + \
	((f) & TBIB_OI_IMM ? TBIB_IMM_LEN : 0) + \
	((f) & TBIB_OI_IETH ? TBIB_IETH_LEN : 0) + \
	((f) & TBIB_OI_ATOMICETH ? TBIB_ATOMICETH_LEN : 0) + \
	((f) & TBIB_OI_ATOMICACK ? TBIB_ATOMICACK_LEN : 0))

#define ROW(op, services, flags) \
	[TBIB_OP_##op] = { #op, (flags), (services), XLEN(flags) }

#define FIRST	TBIB_OI_FIRST
#define LAST	TBIB_OI_LAST
#define ONLY	(TBIB_OI_FIRST | TBIB_OI_LAST)
#define SEND	(TBIB_OI_REQUEST | TBIB_OI_SEND | TBIB_OI_PAYLOAD)
#define WRITE_REQ (TBIB_OI_REQUEST | TBIB_OI_WRITE | TBIB_OI_PAYLOAD)
#define RESP	(TBIB_OI_ACK | TBIB_OI_READ | TBIB_OI_PAYLOAD)
#define ATOMIC	(TBIB_OI_REQUEST | TBIB_OI_ATOMIC | TBIB_OI_ATOMICETH | ONLY)
#define IMM	TBIB_OI_IMM
#define IETH	TBIB_OI_IETH
#define RETH	TBIB_OI_RETH
#define AETH	TBIB_OI_AETH
#define RWQE	TBIB_OI_RWQE

/* IBTA 9.2, table 38 (opcodes) and table 39 (headers of each) */
const struct tbib_op_info tbib_op_info[TBIB_OPS] = {
	ROW(SEND_FIRST,		ON_RC | ON_UC,	SEND | FIRST),
	ROW(SEND_MIDDLE,	ON_RC | ON_UC,	SEND),
	ROW(SEND_LAST,		ON_RC | ON_UC,	SEND | LAST | RWQE),
	ROW(SEND_LAST_IMM,	ON_RC | ON_UC,	SEND | LAST | RWQE | IMM),
	ROW(SEND_ONLY,		ON_RC | ON_UC | ON_UD,	SEND | ONLY | RWQE),
	ROW(SEND_ONLY_IMM,	ON_RC | ON_UC | ON_UD,
	    SEND | ONLY | RWQE | IMM),
	ROW(WRITE_FIRST,	ON_RC | ON_UC,	WRITE_REQ | FIRST | RETH),
	ROW(WRITE_MIDDLE,	ON_RC | ON_UC,	WRITE_REQ),
	ROW(WRITE_LAST,		ON_RC | ON_UC,	WRITE_REQ | LAST),
	ROW(WRITE_LAST_IMM,	ON_RC | ON_UC,	WRITE_REQ | LAST | RWQE | IMM),
	ROW(WRITE_ONLY,		ON_RC | ON_UC,	WRITE_REQ | ONLY | RETH),
	ROW(WRITE_ONLY_IMM,	ON_RC | ON_UC,
	    WRITE_REQ | ONLY | RWQE | RETH | IMM),
	ROW(READ_REQUEST,	ON_RC,
	    TBIB_OI_REQUEST | TBIB_OI_READ | ONLY | RETH),
	ROW(READ_RESP_FIRST,	ON_RC,	RESP | FIRST | AETH),
	ROW(READ_RESP_MIDDLE,	ON_RC,	RESP),
	ROW(READ_RESP_LAST,	ON_RC,	RESP | LAST | AETH),
	ROW(READ_RESP_ONLY,	ON_RC,	RESP | ONLY | AETH),
	ROW(ACK,		ON_RC,	TBIB_OI_ACK | ONLY | AETH),
	ROW(ATOMIC_ACK,		ON_RC,	TBIB_OI_ACK | TBIB_OI_ATOMIC | ONLY |
	    AETH | TBIB_OI_ATOMICACK),
	ROW(CMP_SWAP,		ON_RC,	ATOMIC),
	ROW(FETCH_ADD,		ON_RC,	ATOMIC),
	ROW(SEND_LAST_INV,	ON_RC,	SEND | LAST | RWQE | IETH),
	ROW(SEND_ONLY_INV,	ON_RC,	SEND | ONLY | RWQE | IETH),
	ROW(FLUSH,		ON_RC,
	    TBIB_OI_REQUEST | TBIB_OI_FLUSH | ONLY | RETH),
	ROW(ATOMIC_WRITE,	ON_RC,
	    WRITE_REQ | ONLY | RETH | TBIB_OI_ATOMIC_WRITE),
};

static const struct tbib_op_info *op_lookup(u8 opcode)
{
	const struct tbib_op_info *info;

	if ((opcode & OP_MASK) >= TBIB_OPS)
		return NULL;
	info = &tbib_op_info[opcode & OP_MASK];
	/* an empty row is on no service */
	return info->services & 1u << (opcode >> 5) ? info : NULL;
}

u32 tbib_bth_len(u8 opcode)
{
	const struct tbib_op_info *info = op_lookup(opcode);

	if (!info)
		return 0;
	return info->hdr_len +
	       ((opcode & SERVICE_MASK) == TBIB_UD ? TBIB_DETH_LEN : 0);
}

/* extension headers in their order on the wire, IBTA 9.2 figure 74 */
static void xhdr_read(const u8 *p, u32 flags, struct tbib_bth *b)
{
	if ((b->opcode & SERVICE_MASK) == TBIB_UD) {
		b->qkey = tbib_get32(p);
		b->sqpn = tbib_get24(p + 5);
		p += TBIB_DETH_LEN;
	}
	if (flags & TBIB_OI_FLUSH) {
		b->feth = tbib_get32(p);
		p += TBIB_FETH_LEN;
	}
	if (flags & TBIB_OI_RETH) {
		b->va = tbib_get64(p);
		b->rkey = tbib_get32(p + 8);
		b->dma_len = tbib_get32(p + 12);
		p += TBIB_RETH_LEN;
	}
	if (flags & TBIB_OI_ATOMICETH) {
		b->va = tbib_get64(p);
		b->rkey = tbib_get32(p + 8);
		b->swap_add = tbib_get64(p + 12);
		b->compare = tbib_get64(p + 20);
		p += TBIB_ATOMICETH_LEN;
	}
	if (flags & TBIB_OI_AETH) {
		b->syndrome = p[0];
		b->msn = tbib_get24(p + 1);
		p += TBIB_AETH_LEN;
	}
	if (flags & TBIB_OI_ATOMICACK) {
		b->orig = tbib_get64(p);
		p += TBIB_ATOMICACK_LEN;
	}
	if (flags & TBIB_OI_IMM)
		b->imm = tbib_get32(p);
	if (flags & TBIB_OI_IETH)
		b->rkey = tbib_get32(p);
}

int tbib_bth_decode(const u8 *buf, u32 len, bool grh, struct tbib_bth *b)
{
	u32 grh_len = grh ? TBIB_GRH_LEN : 0;
	const u8 *p = buf + grh_len;

	if (len < grh_len + TBIB_BTH_LEN)
		return -1;
	b->opcode = p[0];
	b->info = op_lookup(p[0]);
	/* TVer other than 0 is dropped silently, IBTA 9.6.1.1 */
	if (!b->info || p[1] & (BTH_TVER | BTH_PAD))
		return -1;
	b->hdr_len = grh_len + tbib_bth_len(p[0]);
	if (len < b->hdr_len)
		return -1;
	b->grh = grh ? buf : NULL;
	b->solicited = p[1] & BTH_SE;
	b->pkey = tbib_get16(p + 2);
	b->dqpn = tbib_get24(p + 5);
	b->ack_req = p[8] & BTH_ACK_REQ;
	b->psn = tbib_get24(p + 9);
	xhdr_read(p + TBIB_BTH_LEN, b->info->flags, b);
	return 0;
}

static u8 *xhdr_write(u8 *p, u32 flags, const struct tbib_bth *b)
{
	if ((b->opcode & SERVICE_MASK) == TBIB_UD) {
		tbib_put32(p, b->qkey);
		p[4] = 0;
		tbib_put24(p + 5, b->sqpn);
		p += TBIB_DETH_LEN;
	}
	if (flags & TBIB_OI_FLUSH) {
		tbib_put32(p, b->feth);
		p += TBIB_FETH_LEN;
	}
	if (flags & TBIB_OI_RETH) {
		tbib_put64(p, b->va);
		tbib_put32(p + 8, b->rkey);
		tbib_put32(p + 12, b->dma_len);
		p += TBIB_RETH_LEN;
	}
	if (flags & TBIB_OI_ATOMICETH) {
		tbib_put64(p, b->va);
		tbib_put32(p + 8, b->rkey);
		tbib_put64(p + 12, b->swap_add);
		tbib_put64(p + 20, b->compare);
		p += TBIB_ATOMICETH_LEN;
	}
	if (flags & TBIB_OI_AETH) {
		p[0] = b->syndrome;
		tbib_put24(p + 1, b->msn);
		p += TBIB_AETH_LEN;
	}
	if (flags & TBIB_OI_ATOMICACK) {
		tbib_put64(p, b->orig);
		p += TBIB_ATOMICACK_LEN;
	}
	if (flags & TBIB_OI_IMM) {
		tbib_put32(p, b->imm);
		p += TBIB_IMM_LEN;
	}
	if (flags & TBIB_OI_IETH) {
		tbib_put32(p, b->rkey);
		p += TBIB_IETH_LEN;
	}
	return p;
}

u32 tbib_bth_encode(u8 *buf, const struct tbib_bth *b)
{
	const struct tbib_op_info *info = op_lookup(b->opcode);

	if (!info)
		return 0;
	buf[0] = b->opcode;
	buf[1] = b->solicited ? BTH_SE : 0;
	tbib_put16(buf + 2, b->pkey);
	buf[4] = 0;
	tbib_put24(buf + 5, b->dqpn);
	buf[8] = b->ack_req ? BTH_ACK_REQ : 0;
	tbib_put24(buf + 9, b->psn);
	return (u32)(xhdr_write(buf + TBIB_BTH_LEN, info->flags, b) - buf);
}

/* IBTA 9.7.5.2.8, table 45: timer codes in units of 10 us */
static const u16 rnr_10us[32] = {
	0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192,
	256, 384, 512, 768, 1024, 1536, 2048, 3072,
	4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
};

u64 tbib_rnr_ns(u8 code)
{
	code &= 0x1f;
	return (code ? rnr_10us[code] : 65536) * 10000ull;
}

u64 tbib_timeout_ns(u8 exponent)
{
	exponent &= 0x1f;
	return exponent ? 4096ull << exponent : 0;
}
