// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acknowledgements on the wire (payload of ACK and PROBE control frames).
 */
#include "trunk.h"

#define ACK_HEAD	4
#define ACK_LANE	20
#define ACK_RING	16
#define ALL_LANES	((1u << TBIB_LANES) - 1)

u32 tbib_ack_encode(u8 *buf, const struct tbib_ack *ack)
{
	u8 *p = buf;
	u32 i;

	p[0] = ack->lanes;
	p[1] = ack->n_ring;
	tbib_put16(p + 2, 0);
	p += ACK_HEAD;
	for (i = 0; i < TBIB_LANES; i++) {
		if (!(ack->lanes & 1u << i))
			continue;
		tbib_put32(p, ack->next[i]);
		tbib_put64(p + 4, ack->sack[i][0]);
		tbib_put64(p + 12, ack->sack[i][1]);
		p += ACK_LANE;
	}
	for (i = 0; i < ack->n_ring; i++, p += ACK_RING) {
		tbib_put32(p, ack->ring[i].cookie);
		tbib_put32(p + 4, (u32)ack->ring[i].index << 24);
		tbib_put32(p + 8, ack->ring[i].seen);
		tbib_put32(p + 12, ack->ring[i].limit);
	}
	return (u32)(p - buf);
}

bool tbib_ack_decode(const u8 *buf, u32 len, struct tbib_ack *ack)
{
	const u8 *p = buf + ACK_HEAD;
	u32 i, want = ACK_HEAD;

	if (len < ACK_HEAD || buf[0] & ~ALL_LANES || buf[1] > TBIB_RINGS)
		return false;
	ack->full = true;
	ack->lanes = buf[0];
	ack->n_ring = buf[1];
	for (i = 0; i < TBIB_LANES; i++)
		want += ack->lanes & 1u << i ? ACK_LANE : 0;
	if (len != want + ack->n_ring * ACK_RING)
		return false;
	for (i = 0; i < TBIB_LANES; i++) {
		if (!(ack->lanes & 1u << i))
			continue;
		ack->next[i] = tbib_get32(p);
		ack->sack[i][0] = tbib_get64(p + 4);
		ack->sack[i][1] = tbib_get64(p + 12);
		p += ACK_LANE;
	}
	for (i = 0; i < ack->n_ring; i++, p += ACK_RING) {
		ack->ring[i].cookie = tbib_get32(p);
		ack->ring[i].index = p[4];
		ack->ring[i].seen = tbib_get32(p + 8);
		ack->ring[i].limit = tbib_get32(p + 12);
	}
	return true;
}
