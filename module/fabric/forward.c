// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transit: trains that pass through this node, and multicast trains from here.
 *
 * A train in transit has left its ring; its pages wait in a bounded queue of
 * the egress trunk and lane. Nobody waits for room there: a train that finds
 * the queue full, or that is too old when its turn comes, is dropped whole,
 * and the ends repair it. So no topology or loop can deadlock (design D4).
 */
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <net/page_pool/helpers.h>
#include "priv.h"

#define FWD_AGE_NS	(10 * NSEC_PER_MSEC)
#define FWD_PATIENT_NS	NSEC_PER_SEC	/* flow_stale() */
#define FWD_MARK_NS	(FWD_AGE_NS / 4)
#define FWD_MIN_LIMIT	(4 * TBIB_TRAIN_FRAMES)
#define FWD_QUANTUM	TBIB_TRAIN_FRAMES

static struct kmem_cache *fwd_cache;

int tbib_forward_init(void)
{
	fwd_cache = KMEM_CACHE(tbib_fwd, 0);
	return fwd_cache ? 0 : -ENOMEM;
}

void tbib_forward_exit(void)
{
	kmem_cache_destroy(fwd_cache);
}

int tbib_fwd_queue_init(struct tbib_fwd_queue *q)
{
	u32 i;

	spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->active);
	q->limit = FWD_MIN_LIMIT;
	q->flow = kvcalloc(TBIB_LID_MAX + 1, sizeof(*q->flow), GFP_KERNEL);
	if (!q->flow)
		return -ENOMEM;
	for (i = 0; i <= TBIB_LID_MAX; i++)
		q->flow[i].tail = &q->flow[i].head;
	return 0;
}

/* tbib_fwd_queue_rate() - the queue may hold 2 ms of @mbps */
void tbib_fwd_queue_rate(struct tbib_fwd_queue *q, u32 mbps)
{
	u32 frames = (u32)((u64)mbps * 250 / TBIB_FRAME_SIZE);

	WRITE_ONCE(q->limit, max_t(u32, frames, FWD_MIN_LIMIT));
}

/* ---- pages ---------------------------------------------------------------- */

static void page_drop(u8 kind, struct page *page)
{
	if (kind == TBIB_RAW_RX)
		page_pool_put_full_page(page->pp, page, false);
	else
		put_page(page);
}

static void page_hold(u8 kind, struct page *page)
{
	if (kind == TBIB_RAW_RX)
		page_pool_ref_page(page);
	else
		get_page(page);
}

static void fwd_hold(const struct tbib_fwd *f)
{
	u32 i;

	page_hold(f->kind, f->hdr);
	for (i = 0; i < f->n_raw; i++)
		page_hold(f->kind, f->raw[i].page);
}

static void fwd_drop(struct tbib_fwd *f)
{
	u32 i;

	page_drop(f->kind, f->hdr);
	for (i = 0; i < f->n_raw; i++)
		page_drop(f->kind, f->raw[i].page);
	kmem_cache_free(fwd_cache, f);
}

/* a list that was cut off a queue under its lock */
static u32 fwd_drop_list(struct tbib_fwd *f)
{
	u32 n = 0;

	while (f) {
		struct tbib_fwd *next = f->next;

		fwd_drop(f);
		f = next;
		n++;
	}
	return n;
}

/* ---- queue ----------------------------------------------------------------- */

static u32 fwd_frames(const struct tbib_fwd *f)
{
	return 1u + f->n_raw;
}

/* room for all while there is plenty; then nobody gets more than its share */
static bool fwd_admit(const struct tbib_fwd_queue *q,
		      const struct tbib_fwd_flow *flow, u32 frames)
{
	u32 active = q->n_active + (flow->head ? 0 : 1);

	if (q->frames + frames > q->limit)
		return false;
	return q->frames < q->limit / 2 ||
	       (flow->frames + frames) * active <= q->limit;
}

static bool fwd_enqueue(struct tbib_trunk *out, u32 lane, struct tbib_fwd *f)
{
	struct tbib_fwd_queue *q = &out->lane[lane].fwd;
	struct tbib_fwd_flow *flow = &q->flow[f->slid];
	u32 frames = fwd_frames(f);
	bool ok;

	spin_lock_bh(&q->lock);
	ok = fwd_admit(q, flow, frames);
	if (ok) {
		if (q->frames > q->limit / 4)
			f->flags |= TBIB_FF_MARK;
		if (!flow->head) {
			list_add_tail(&flow->active, &q->active);
			WRITE_ONCE(q->n_active, q->n_active + 1);
		}
		f->next = NULL;
		*flow->tail = f;
		flow->tail = &f->next;
		flow->frames += frames;
		q->frames += frames;
	}
	spin_unlock_bh(&q->lock);
	if (ok)
		tbib_trunk_want(out);
	return ok;
}

static struct tbib_fwd *flow_take(struct tbib_fwd_queue *q,
				  struct tbib_fwd_flow *flow)
{
	struct tbib_fwd *f = flow->head;
	u32 frames = fwd_frames(f);

	flow->head = f->next;
	flow->frames -= frames;
	flow->deficit -= frames;
	q->frames -= frames;
	if (!flow->head) {
		flow->tail = &flow->head;
		flow->deficit = 0;
		list_del(&flow->active);
		WRITE_ONCE(q->n_active, q->n_active - 1);
		if (!q->n_active)
			q->blocked_at = 0;
	}
	return f;
}

/*
 * tbib_fwd_blocked() - the trunk can send no more for now
 * What waits from here on waits for the trunk, and not for this CPU: only that
 * makes it too old. tx lock held.
 */
void tbib_fwd_blocked(struct tbib_fwd_queue *q, u64 now)
{
	if (!READ_ONCE(q->n_active))
		return;
	spin_lock(&q->lock);
	if (q->n_active && !q->blocked_at)
		q->blocked_at = now;
	spin_unlock(&q->lock);
}

/*
 * Too old to be sent? A train with nothing behind it has not met congestion: it
 * waited for this CPU or for a cable that is coming back, so it gets more time.
 * So does a multicast, which nobody repairs (ADR 4 and 6).
 */
static bool flow_stale(const struct tbib_fwd_queue *q,
		       const struct tbib_fwd_flow *flow, u64 now)
{
	const struct tbib_fwd *f = flow->head;
	bool patient = !f->next || f->dlid == TBIB_LID_MCAST;
	u64 age = patient ? FWD_PATIENT_NS : FWD_AGE_NS;

	return q->blocked_at && max(f->at, q->blocked_at) + age < now;
}

/* deficit round robin; what is too old goes to @old */
static struct tbib_fwd *fwd_next(struct tbib_fwd_queue *q, u64 now,
				 struct tbib_fwd **old)
{
	while (!list_empty(&q->active)) {
		struct tbib_fwd_flow *flow;
		struct tbib_fwd *f;

		flow = list_first_entry(&q->active, struct tbib_fwd_flow,
					active);
		if (flow_stale(q, flow, now)) {
			s32 deficit = flow->deficit;

			f = flow_take(q, flow);
			flow->deficit = flow->head ? deficit : 0;
			f->next = *old;
			*old = f;
			continue;
		}
		if (flow->deficit <= 0) {
			flow->deficit += FWD_QUANTUM;
			list_move_tail(&flow->active, &q->active);
			continue;
		}
		return flow_take(q, flow);
	}
	return NULL;
}

/* tbib_fwd_age() - drop what waits for a trunk that does not send */
void tbib_fwd_age(struct tbib_trunk *tr, u64 now)
{
	u32 l;

	for (l = 0; l < TBIB_LANES; l++) {
		struct tbib_fwd_queue *q = &tr->lane[l].fwd;
		struct tbib_fwd_flow *flow, *tmp;
		struct tbib_fwd *old = NULL;

		spin_lock_bh(&q->lock);
		list_for_each_entry_safe(flow, tmp, &q->active, active)
			while (flow->head && flow_stale(q, flow, now)) {
				struct tbib_fwd *f = flow_take(q, flow);

				f->next = old;
				old = f;
			}
		spin_unlock_bh(&q->lock);
		tr->stats.transit_drops += fwd_drop_list(old);
	}
}

void tbib_fwd_queue_exit(struct tbib_fwd_queue *q)
{
	u32 i;

	for (i = 0; q->flow && i <= TBIB_LID_MAX; i++)
		fwd_drop_list(q->flow[i].head);
	kvfree(q->flow);
}

/* ---- pulling ---------------------------------------------------------------- */

/* the header page's packets are copied, the raw pages are sent as they are */
static void fwd_fill(struct tbib_train *t, const struct tbib_fwd *f, u8 lane)
{
	u32 i;

	tbib_train_init(t, f->dlid, f->slid, f->epoch, lane);
	t->hop_limit = f->hop_limit;
	t->flags = f->flags;
	t->n_pkt = f->n_pkt;
	t->pkt_len = f->pkt_len;
	memcpy(t->hdr + TBIB_FRAME_HDR, f->pkts, f->pkt_len);
	for (i = 0; i < f->n_raw; i++) {
		t->raw[i].data = f->raw[i].data;
		t->raw[i].len = f->raw[i].len;
		t->raw[i].ref = f->raw[i].page;
		t->raw[i].kind = f->kind;
		t->raw_bytes += f->raw[i].len;
	}
	t->n_raw = f->n_raw;
	t->ool_bytes = t->raw_bytes;
}

/*
 * tbib_fwd_pull() - a train in transit for @lane; tx lock held
 * @idle: no local source waits, so it is not their turn
 * Return: NULL when there is none or it is the local sources' turn.
 */
struct tbib_train *tbib_fwd_pull(struct tbib_trunk *tr, unsigned int lane,
				 bool idle)
{
	struct tbib_fwd_queue *q = &tr->lane[lane].fwd;
	struct tbib_fwd *f = NULL, *old = NULL;
	struct tbib_train *t = tr->free;
	u64 now = ktime_get_ns();

	if (!t)
		return NULL;
	spin_lock(&q->lock);
	if (!idle && ++q->turn > q->n_active)
		q->turn = 0;
	else
		f = fwd_next(q, now, &old);
	spin_unlock(&q->lock);
	tr->stats.transit_drops += fwd_drop_list(old);
	if (!f)
		return NULL;
	tr->free = t->next;
	fwd_fill(t, f, lane);
	/* a link may do less than its nominal rate: waiting time tells too */
	if (now > f->at + FWD_MARK_NS)
		t->flags |= TBIB_FF_MARK;
	page_drop(f->kind, f->hdr);
	kmem_cache_free(fwd_cache, f);
	return t;
}

/* ---- trains that come in ------------------------------------------------------ */

/*
 * tbib_fwd_train() - queue a received train on its way out
 * @share: take references of our own (multicast), else take the pages over
 * NAPI context of @in. Return: true when it was queued.
 */
bool tbib_fwd_train(struct tbib_trunk *in, struct tbib_trunk *out,
		    const struct tbib_rx_train *t, bool share)
{
	const struct tbib_rx_slot *s = container_of(t, struct tbib_rx_slot, t);
	struct tbib_fwd *f;
	u32 i;

	f = kmem_cache_alloc(fwd_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!f)
		goto drop;
	f->at = in->now;
	f->epoch = t->h.dest_epoch;
	f->dlid = t->h.dlid;
	f->slid = t->h.slid;
	f->n_pkt = t->h.n_pkt;
	f->pkt_len = t->h.pkt_len;
	f->hop_limit = t->h.hop_limit - 1;
	f->flags = t->h.flags & (TBIB_FF_MARK | TBIB_FF_BMARK);
	f->n_raw = t->h.n_raw;
	f->kind = TBIB_RAW_RX;
	f->hdr = s->page[0];
	f->pkts = t->pkts;
	for (i = 0; i < f->n_raw; i++) {
		f->raw[i].page = s->page[i + 1];
		f->raw[i].data = (void *)t->raw[i].data;
		f->raw[i].len = t->raw[i].len;
	}
	if (share)
		fwd_hold(f);
	if (!fwd_enqueue(out, t->h.flags & TBIB_FF_LANE, f)) {
		if (share)
			fwd_drop(f);
		else
			kmem_cache_free(fwd_cache, f);
		goto drop;
	}
	in->stats.transit_trains++;
	return true;
drop:
	in->stats.transit_drops++;
	return false;
}

/* ---- multicast from here -------------------------------------------------------- */

#define MCAST_INLINE	2048

/* an empty raw frame of @f, or NULL */
static u8 *fwd_add_page(struct tbib_fwd *f, u32 len)
{
	struct page *page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);

	if (!page)
		return NULL;
	f->raw[f->n_raw].page = page;
	f->raw[f->n_raw].data = page_address(page);
	f->raw[f->n_raw].len = len;
	return f->raw[f->n_raw++].data;
}

static bool fwd_copy_rest(struct tbib_fwd *f, const struct sk_buff *skb,
			  u32 off)
{
	while (off < skb->len) {
		u32 len = min_t(u32, skb->len - off, TBIB_FRAME_SIZE);
		u8 *data = fwd_add_page(f, len);

		if (!data)
			return false;
		skb_copy_bits(skb, off, data, len);
		off += len;
	}
	return true;
}

/* one packet, header as in frame.h; @at: where its @inl inline bytes go */
static struct tbib_fwd *fwd_new(u8 type, u8 flags, u32 inl, u32 ool, u8 **at)
{
	struct tbib_fwd *f;
	u8 *p;

	f = kmem_cache_zalloc(fwd_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!f)
		return NULL;
	f->hdr = alloc_page(GFP_ATOMIC | __GFP_NOWARN | __GFP_ZERO);
	if (!f->hdr) {
		kmem_cache_free(fwd_cache, f);
		return NULL;
	}
	f->kind = TBIB_RAW_PAGE;
	f->dlid = TBIB_LID_MCAST;
	f->hop_limit = TBIB_HOP_LIMIT;
	f->at = ktime_get_ns();
	p = page_address(f->hdr);
	f->pkts = p;
	p[0] = type;
	p[1] = flags;
	tbib_put16(p + 2, inl);
	tbib_put16(p + 4, ool);
	f->n_pkt = 1;
	f->pkt_len = TBIB_PKT_HDR + ALIGN(inl, TBIB_PKT_ALIGN);
	*at = p + TBIB_PKT_HDR;
	return f;
}

/* offload block, and as much of @skb as fits */
static struct tbib_fwd *fwd_from_skb(const struct sk_buff *skb, u8 flags,
				     const u8 *block, u32 block_len)
{
	u32 inl = min_t(u32, skb->len, MCAST_INLINE - block_len);
	struct tbib_fwd *f;
	u8 *p;

	f = fwd_new(TBIB_PKT_ETHERNET, flags, block_len + inl, skb->len - inl,
		    &p);
	if (!f)
		return NULL;
	memcpy(p, block, block_len);
	skb_copy_bits(skb, 0, p + block_len, inl);
	if (!fwd_copy_rest(f, skb, inl)) {
		fwd_drop(f);
		return NULL;
	}
	return f;
}

static struct tbib_fwd *fwd_from_pkt(const struct tbib_pkt *p)
{
	struct tbib_payload rest;
	struct tbib_fwd *f;
	u8 *at;
	u32 i;

	f = fwd_new(p->type, p->flags, p->inl_len, p->ool_len, &at);
	if (!f)
		return NULL;
	memcpy(at, p->inl, p->inl_len);
	tbib_pkt_payload(p, p->inl_len, &rest);
	for (i = 0; i < rest.n; i++) {
		at = fwd_add_page(f, rest.piece[i].len);
		if (!at) {
			fwd_drop(f);
			return NULL;
		}
		memcpy(at, rest.piece[i].data, rest.piece[i].len);
	}
	return f;
}

/* Return: true when the branch gets it */
static bool fwd_branch(struct tbib_trunk *out, const struct tbib_fwd *first)
{
	struct tbib_fwd *f;

	f = kmem_cache_alloc(fwd_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!f)
		return false;
	*f = *first;
	fwd_hold(f);
	if (fwd_enqueue(out, TBIB_LANE_EXPRESS, f))
		return true;
	fwd_drop(f);
	return false;
}

/* trunks that lead along the tree of this node, bit by bit */
static unsigned long mcast_tree(struct tbib_priv *priv, u16 lid)
{
	unsigned long out = 0;

	rcu_read_lock();
	if (lid)
		out = rcu_dereference(priv->lft)->to[lid].mcast;
	rcu_read_unlock();
	return out;
}

static int mcast_send(struct tbib_priv *priv, struct tbib_fwd *f,
		      unsigned long out, u16 lid)
{
	unsigned int i;

	if (!f)
		return -ENOBUFS;
	f->slid = lid;
	for_each_set_bit(i, &out, TBIB_TRUNKS)
		priv->mcast_drops += !fwd_branch(priv->trunk[i], f);
	fwd_drop(f);
	return 0;
}

int tbib_fabric_multicast(struct tbib_node *node, const struct sk_buff *skb,
			  u8 flags, const u8 *block, u32 block_len)
{
	struct tbib_priv *priv = to_priv(node);
	u16 lid = READ_ONCE(node->lid);
	unsigned long out = mcast_tree(priv, lid);

	if (skb->len > MCAST_INLINE + TBIB_MAX_RAW * TBIB_FRAME_SIZE / 2)
		return -EMSGSIZE;
	if (!out)
		return -ENETUNREACH;
	return mcast_send(priv, fwd_from_skb(skb, flags, block, block_len),
			  out, lid);
}

int tbib_fabric_multicast_pkt(struct tbib_node *node, const struct tbib_pkt *p)
{
	struct tbib_priv *priv = to_priv(node);
	u16 lid = READ_ONCE(node->lid);
	unsigned long out = mcast_tree(priv, lid);

	if (p->inl_len > TBIB_PKTS_MAX - TBIB_PKT_HDR ||
	    p->ool_len > TBIB_FRAME_SIZE)
		return -EMSGSIZE;
	if (!out)
		return -ENETUNREACH;
	return mcast_send(priv, fwd_from_pkt(p), out, lid);
}
