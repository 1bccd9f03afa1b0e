// SPDX-License-Identifier: GPL-2.0-only
/*
 * Building trains and walking through received ones.
 */
#include "train.h"

/* offsets in the packet header */
#define PH_TYPE		0
#define PH_FLAGS	1
#define PH_INL		2
#define PH_OOL		4
#define PH_ZERO		6

static u32 pkt_space(u32 inl)
{
	return TBIB_PKT_HDR +
	       (inl + TBIB_PKT_ALIGN - 1) / TBIB_PKT_ALIGN * TBIB_PKT_ALIGN;
}

void tbib_train_init(struct tbib_train *t, u16 dlid, u16 slid, u32 dest_epoch,
		     u8 lane)
{
	t->next = NULL;
	t->prev = NULL;
	t->dlid = dlid;
	t->slid = slid;
	t->dest_epoch = dest_epoch;
	t->hop_limit = TBIB_HOP_LIMIT;
	t->lane = lane;
	t->flags = 0;
	t->n_raw = 0;
	t->n_note = 0;
	t->n_pkt = 0;
	t->pkt_len = 0;
	t->raw_bytes = 0;
	t->ool_bytes = 0;
	t->seq = 0;
	t->ring_end = 0;
	t->ring = 0;
	t->tag = 0;
	t->state = 0;
	t->posted = 0;
	t->tries = 0;
	t->sent_at = 0;
}

u32 tbib_train_room(const struct tbib_train *t)
{
	u32 used = t->pkt_len + TBIB_PKT_HDR;

	if (t->n_pkt >= TBIB_MAX_PACKETS || used >= TBIB_PKTS_MAX)
		return 0;
	return TBIB_PKTS_MAX - used;
}

u8 *tbib_train_add(struct tbib_train *t, u8 type, u8 flags, u32 inl, u32 ool)
{
	u8 *p = t->hdr + TBIB_FRAME_HDR + t->pkt_len;
	u32 space;

	if (inl > TBIB_PKTS_MAX || ool > 0xffff ||
	    ool > tbib_train_raw_room(t) * TBIB_FRAME_SIZE)
		return NULL;
	space = pkt_space(inl);
	if (t->n_pkt >= TBIB_MAX_PACKETS || t->pkt_len + space > TBIB_PKTS_MAX)
		return NULL;
	p[PH_TYPE] = type;
	p[PH_FLAGS] = flags;
	tbib_put16(p + PH_INL, (u16)inl);
	tbib_put16(p + PH_OOL, (u16)ool);
	tbib_put16(p + PH_ZERO, 0);
	/* no stale kernel bytes on the wire: the last 8 bytes hold padding */
	if (inl % TBIB_PKT_ALIGN)
		memset(p + space - TBIB_PKT_ALIGN, 0, TBIB_PKT_ALIGN);
	t->pkt_len = (u16)(t->pkt_len + space);
	t->n_pkt++;
	t->ool_bytes += ool;
	return p + TBIB_PKT_HDR;
}

bool tbib_train_add_raw(struct tbib_train *t, const struct tbib_raw *raw)
{
	if (t->n_raw >= TBIB_MAX_RAW || !raw->len ||
	    raw->len > TBIB_FRAME_SIZE)
		return false;
	t->raw[t->n_raw++] = *raw;
	t->raw_bytes += raw->len;
	return true;
}

struct tbib_train_mark tbib_train_mark(const struct tbib_train *t)
{
	struct tbib_train_mark m;

	m.n_pkt = t->n_pkt;
	m.pkt_len = t->pkt_len;
	m.n_raw = t->n_raw;
	m.n_note = t->n_note;
	m.raw_bytes = t->raw_bytes;
	m.ool_bytes = t->ool_bytes;
	return m;
}

void tbib_train_undo(struct tbib_train *t, const struct tbib_train_mark *m)
{
	t->n_pkt = m->n_pkt;
	t->pkt_len = m->pkt_len;
	t->n_raw = m->n_raw;
	t->n_note = m->n_note;
	t->raw_bytes = m->raw_bytes;
	t->ool_bytes = m->ool_bytes;
}

void tbib_pkt_iter_init(struct tbib_pkt_iter *it,
			const struct tbib_rx_train *train)
{
	it->train = train;
	it->off = 0;
	it->left = train->h.n_pkt;
	it->raw_index = 0;
	it->raw_off = 0;
}

/* step over @len out-of-line bytes. Return: false when there are fewer. */
static bool iter_skip_raw(struct tbib_pkt_iter *it, u32 len)
{
	const struct tbib_rx_train *t = it->train;

	while (len) {
		u32 have, n;

		if (it->raw_index >= t->h.n_raw)
			return false;
		have = t->raw[it->raw_index].len - it->raw_off;
		n = len < have ? len : have;
		len -= n;
		it->raw_off = (u16)(it->raw_off + n);
		if (it->raw_off == t->raw[it->raw_index].len) {
			it->raw_index++;
			it->raw_off = 0;
		}
	}
	return true;
}

int tbib_pkt_next(struct tbib_pkt_iter *it, struct tbib_pkt *p)
{
	const struct tbib_rx_train *t = it->train;
	const u8 *h = t->pkts + it->off;
	u32 left = t->h.pkt_len - it->off;

	if (!it->left)	/* nothing may be left behind the last packet */
		return left || it->raw_index != t->h.n_raw ? -1 : 0;
	if (left < TBIB_PKT_HDR)
		return -1;
	p->type = h[PH_TYPE];
	p->flags = h[PH_FLAGS];
	p->inl_len = tbib_get16(h + PH_INL);
	p->ool_len = tbib_get16(h + PH_OOL);
	p->inl = h + TBIB_PKT_HDR;
	p->raw_index = it->raw_index;
	p->raw_off = it->raw_off;
	p->train = t;
	if (pkt_space(p->inl_len) > left || tbib_get16(h + PH_ZERO))
		return -1;
	if (!iter_skip_raw(it, p->ool_len))
		return -1;
	it->off += pkt_space(p->inl_len);
	it->left--;
	return 1;
}

void tbib_pkt_payload(const struct tbib_pkt *p, u32 skip,
		      struct tbib_payload *out)
{
	const struct tbib_rx_train *t = p->train;
	u32 left = p->ool_len, off = p->raw_off;
	u8 i;

	out->n = 0;
	out->len = p->inl_len - skip + left;
	if (skip < p->inl_len) {
		out->piece[0].data = p->inl + skip;
		out->piece[0].len = p->inl_len - skip;
		out->n = 1;
	}
	for (i = p->raw_index; left; i++, off = 0) {
		u32 have = t->raw[i].len - off;
		u32 n = left < have ? left : have;

		out->piece[out->n].data = t->raw[i].data + off;
		out->piece[out->n].len = n;
		out->n++;
		left -= n;
	}
}
