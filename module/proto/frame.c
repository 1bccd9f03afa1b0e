// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frame header: host order to wire and back.
 */
#include "frame.h"

#define OFF_CRC		36

/* CRC32C of the frame with the CRC field taken as zero */
static u32 frame_crc(const u8 *buf, u32 len)
{
	static const u8 zero[4];
	u32 crc;

	crc = tbib_crc32c(~0u, buf, OFF_CRC);
	crc = tbib_crc32c(crc, zero, sizeof(zero));
	return ~tbib_crc32c(crc, buf + TBIB_FRAME_HDR, len - TBIB_FRAME_HDR);
}

u32 tbib_frame_encode(u8 *buf, const struct tbib_frame_hdr *h,
		      const u16 *raw_len)
{
	u8 *p = buf + TBIB_FRAME_HDR + h->pkt_len;
	u32 len, i;

	buf[0] = (u8)(TBIB_WIRE_VERSION << 4 | h->kind);
	buf[1] = h->flags;
	tbib_put16(buf + 2, h->dlid);
	tbib_put16(buf + 4, h->slid);
	buf[6] = h->hop_limit;
	buf[7] = h->n_raw;
	tbib_put32(buf + 8, h->dest_epoch);
	tbib_put32(buf + 12, h->cookie);
	tbib_put32(buf + 16, h->seq);
	tbib_put32(buf + 20, h->ack);
	tbib_put32(buf + 24, h->ring_frame);
	tbib_put32(buf + 28, h->credit);
	tbib_put16(buf + 32, h->pkt_len);
	tbib_put16(buf + 34, h->n_pkt);
	tbib_put32(buf + OFF_CRC, 0);
	for (i = 0; i < h->n_raw; i++, p += 2)
		tbib_put16(p, raw_len[i]);
	len = (u32)(p - buf);
	tbib_put32(buf + OFF_CRC, ~tbib_crc32c(~0u, buf, len));
	return len;
}

static void frame_read(const u8 *buf, struct tbib_frame_hdr *h)
{
	h->kind = buf[0] & 0xf;
	h->flags = buf[1];
	h->dlid = tbib_get16(buf + 2);
	h->slid = tbib_get16(buf + 4);
	h->hop_limit = buf[6];
	h->n_raw = buf[7];
	h->dest_epoch = tbib_get32(buf + 8);
	h->cookie = tbib_get32(buf + 12);
	h->seq = tbib_get32(buf + 16);
	h->ack = tbib_get32(buf + 20);
	h->ring_frame = tbib_get32(buf + 24);
	h->credit = tbib_get32(buf + 28);
	h->pkt_len = tbib_get16(buf + 32);
	h->n_pkt = tbib_get16(buf + 34);
}

/* bounds that differ between trains and control frames */
static bool frame_counts_ok(const struct tbib_frame_hdr *h)
{
	if (h->flags >> TBIB_FF_TAG_SHIFT >= TBIB_RAW_TAGS)
		return false;
	switch (h->kind) {
	case TBIB_KIND_TRAIN:
		return h->n_raw <= TBIB_MAX_RAW &&
		       h->n_pkt >= 1 && h->n_pkt <= TBIB_MAX_PACKETS &&
		       h->pkt_len % TBIB_PKT_ALIGN == 0 &&
		       h->pkt_len >= h->n_pkt * TBIB_PKT_HDR &&
		       h->pkt_len <= TBIB_PKTS_MAX;
	case TBIB_KIND_CONTROL:
		return h->n_raw == 0 && h->pkt_len <= TBIB_PKTS_MAX &&
		       h->n_pkt >= TBIB_CTRL_ACK && h->n_pkt <= TBIB_CTRL_MGMT;
	default:
		return false;
	}
}

enum tbib_frame_err tbib_frame_decode(const u8 *buf, u32 len,
				      struct tbib_frame_hdr *h, u16 *raw_len)
{
	const u8 *p;
	u32 want, i;

	if (len < TBIB_FRAME_HDR || len > TBIB_FRAME_SIZE)
		return TBIB_FRAME_SHORT;
	if (buf[0] >> 4 != TBIB_WIRE_VERSION)
		return TBIB_FRAME_VERSION;
	frame_read(buf, h);
	if (!frame_counts_ok(h))
		return TBIB_FRAME_BAD;
	want = TBIB_FRAME_HDR + h->pkt_len + 2 * h->n_raw;
	if (len != want)
		return len < want ? TBIB_FRAME_SHORT : TBIB_FRAME_BAD;
	if (frame_crc(buf, len) != tbib_get32(buf + OFF_CRC))
		return TBIB_FRAME_CRC;
	p = buf + TBIB_FRAME_HDR + h->pkt_len;
	for (i = 0; i < h->n_raw; i++, p += 2) {
		raw_len[i] = tbib_get16(p);
		if (!raw_len[i] || raw_len[i] > TBIB_FRAME_SIZE)
			return TBIB_FRAME_BAD;
	}
	return TBIB_FRAME_OK;
}
