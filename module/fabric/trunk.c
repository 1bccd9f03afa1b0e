// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trunks as objects: memory, NAPI, membership of links, epochs.
 *
 * A link becomes a member of the trunk to its peer in two steps. When the peer
 * is authorised here, we listen (joined). When the peer has said that it
 * listens too, trains may go out on the link (open, see flink.c).
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "priv.h"

static int alloc_trains(struct tbib_trunk *tr, u32 n)
{
	u32 i;

	tr->trains = kvcalloc(n, sizeof(*tr->trains), GFP_KERNEL);
	if (!tr->trains)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct tbib_ktrain *kt = &tr->trains[i];

		kt->page = alloc_page(GFP_KERNEL);
		if (!kt->page)
			return -ENOMEM;
		tr->n_train = i + 1;
		kt->t.hdr = page_address(kt->page);
		kt->t.next = tr->free;
		tr->free = &kt->t;
	}
	return 0;
}

static int alloc_receiver(struct tbib_trunk *tr)
{
	u32 l;
	int ret;

	tr->slots = kvcalloc(TBIB_RX_SLOTS, sizeof(*tr->slots), GFP_KERNEL);
	if (!tr->slots)
		return -ENOMEM;
	tbib_rx_init(&tr->rx, &tbib_trunk_rx_ops, tr->slots, TBIB_RX_SLOTS);
	for (l = 0; l < TBIB_LANES; l++) {
		ret = tbib_fwd_queue_init(&tr->lane[l].fwd);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * tbib_trunk_alloc() - a trunk for place @index of the table
 * Return: NULL when there is no memory.
 */
struct tbib_trunk *tbib_trunk_alloc(struct tbib_priv *priv, u8 index)
{
	struct tbib_trunk *tr = kzalloc(sizeof(*tr), GFP_KERNEL);
	int ret = 0;
	u32 l;

	if (!tr)
		return NULL;
	tr->priv = priv;
	tr->index = index;
	spin_lock_init(&tr->tx_lock);
	for (l = 0; l < TBIB_LANES; l++)
		tbib_lane_init(&tr->lane[l], tr);
	tbib_tx_init(&tr->tx, &tbib_trunk_tx_ops);
	hrtimer_setup(&tr->timer, tbib_trunk_expire, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_SOFT);
	if (index == TBIB_TRUNK_LOOP)
		ret = alloc_trains(tr, TBIB_LOOP_TRAINS);
	else if (index >= TBIB_TRUNK_FIRST)
		ret = alloc_trains(tr, TBIB_TRAINS) ?: alloc_receiver(tr);
	if (ret) {
		tbib_trunk_free(tr);
		return NULL;
	}
	return tr;
}

/* tbib_trunk_free() - on unload: no link, no NAPI, no source is left */
void tbib_trunk_free(struct tbib_trunk *tr)
{
	u32 i;

	hrtimer_cancel(&tr->timer);
	if (tr->slots) {
		/* nothing is sent any more, so not tbib_trunk_unlock() */
		tbib_trunk_lock(tr);
		tbib_tx_reset(&tr->tx);
		rcu_read_unlock();
		spin_unlock_bh(&tr->tx_lock);
		tbib_rx_reset(&tr->rx);
	}
	for (i = 0; i < TBIB_LANES; i++)
		tbib_fwd_queue_exit(&tr->lane[i].fwd);
	for (i = 0; i < tr->n_train; i++)
		__free_page(tr->trains[i].page);
	kvfree(tr->trains);
	kvfree(tr->slots);
	kfree(tr);
}

/* tbib_trunk_find() - the trunk to the neighbour @guid. Under priv->mutex. */
struct tbib_trunk *tbib_trunk_find(struct tbib_priv *priv, u64 guid)
{
	u32 i;

	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++)
		if (priv->trunk[i]->guid == guid)
			return priv->trunk[i];
	return NULL;
}

/* a trunk that never carried a train and that no link refers to */
static struct tbib_trunk *find_unused(struct tbib_priv *priv)
{
	struct tbib_flink *fl;
	u32 i;

	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++) {
		struct tbib_trunk *tr = priv->trunk[i];
		bool taken = tr->used;

		list_for_each_entry(fl, &priv->links, list)
			taken |= fl->trunk == tr;
		if (!taken)
			return tr;
	}
	return NULL;
}

/*
 * tbib_trunk_get() - the trunk to @guid, made when there is none
 * A peer that is not authorised costs no place in the table: its trunk is used
 * again once its link is gone. Under priv->mutex. Return: NULL when full.
 */
struct tbib_trunk *tbib_trunk_get(struct tbib_priv *priv, u64 guid)
{
	struct tbib_trunk *tr = tbib_trunk_find(priv, guid);

	if (tr)
		return tr;
	tr = find_unused(priv);
	if (!tr) {
		if (priv->n_trunk == TBIB_TRUNKS)
			return NULL;
		tr = tbib_trunk_alloc(priv, priv->n_trunk);
		if (!tr)
			return NULL;
		if (tbib_trunk_napi_add(tr)) {
			tbib_trunk_free(tr);
			return NULL;
		}
		priv->trunk[tr->index] = tr;
		/* tbib_source_kill() walks the table without the mutex */
		smp_store_release(&priv->n_trunk, priv->n_trunk + 1);
	}
	tr->guid = guid;
	/* routes may name this neighbour already */
	tbib_lft_rebuild(priv);
	return tr;
}

/* ---- NAPI ----------------------------------------------------------------- */

/* tbib_trunk_napi_add() - NAPI under tbib0, enabled. Under priv->mutex. */
int tbib_trunk_napi_add(struct tbib_trunk *tr)
{
	struct net_device *dev = tr->priv->napi_dev;

	if (!dev)
		return -ENODEV;
	/* already: it was made while tbib0 was being attached */
	if (tr->napi_on)
		return 0;
	netif_napi_add(dev, &tr->napi, tbib_trunk_poll);
	napi_enable(&tr->napi);
	tr->napi_on = true;
	local_bh_disable();
	napi_schedule(&tr->napi);
	local_bh_enable();
	return 0;
}

/* tbib_trunk_napi_del() - mirror; napi_schedule() does nothing from then on */
void tbib_trunk_napi_del(struct tbib_trunk *tr)
{
	if (!tr->napi_on)
		return;
	napi_disable(&tr->napi);
	netif_napi_del(&tr->napi);
	tr->napi_on = false;
}

/* tbib_trunk_pause() - the receiving half is the caller's until resume */
void tbib_trunk_pause(struct tbib_trunk *tr)
{
	if (tr->napi_on)
		napi_disable(&tr->napi);
}

void tbib_trunk_resume(struct tbib_trunk *tr)
{
	if (!tr->napi_on)
		return;
	napi_enable(&tr->napi);
	local_bh_disable();
	napi_schedule(&tr->napi);
	local_bh_enable();
}

/* tbib_trunk_order() - poll express rings first. NAPI paused. */
void tbib_trunk_order(struct tbib_trunk *tr)
{
	u32 pass, i;

	tr->n_poll = 0;
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < TBIB_RINGS; i++) {
			struct tbib_fring *fr = tr->ring[i];
			bool express;

			if (!fr || fr->stopping)
				continue;
			express = tbib_ring_lanes(fr->ring) &
				  BIT(TBIB_LANE_EXPRESS);
			if (express == !pass)
				tr->poll[tr->n_poll++] = fr;
		}
}

/* ---- DMA of header pages -------------------------------------------------- */

/* tbib_trunk_map() - header pages for NHI @nhi. Under priv->mutex. */
int tbib_trunk_map(struct tbib_trunk *tr, struct device *dev, u8 nhi)
{
	u32 i;

	if (tr->hdr_mapped & BIT(nhi))
		return 0;
	for (i = 0; i < tr->n_train; i++) {
		dma_addr_t dma = dma_map_page(dev, tr->trains[i].page, 0,
					      PAGE_SIZE, DMA_TO_DEVICE);

		if (dma_mapping_error(dev, dma))
			goto undo;
		tr->trains[i].hdr_dma[nhi] = dma;
	}
	tr->hdr_mapped |= BIT(nhi);
	return 0;
undo:
	while (i--)
		dma_unmap_page(dev, tr->trains[i].hdr_dma[nhi], PAGE_SIZE,
			       DMA_TO_DEVICE);
	return -ENOMEM;
}

void tbib_trunk_unmap(struct tbib_trunk *tr, struct device *dev, u8 nhi)
{
	u32 i;

	if (!(tr->hdr_mapped & BIT(nhi)))
		return;
	for (i = 0; i < tr->n_train; i++)
		dma_unmap_page(dev, tr->trains[i].hdr_dma[nhi], PAGE_SIZE,
			       DMA_TO_DEVICE);
	tr->hdr_mapped &= ~BIT(nhi);
}

/* ---- epochs ---------------------------------------------------------------- */

/* are the sequences of @tr those of @fl's login? */
static bool same_epoch(const struct tbib_trunk *tr, const struct tbib_flink *fl)
{
	return tr->used && tr->nonce == fl->nonce &&
	       tr->peer_nonce == fl->peer_nonce;
}

/* either end has begun anew: both start at sequence 0. NAPI paused. */
static void trunk_reset(struct tbib_trunk *tr, const struct tbib_flink *fl)
{
	tbib_trunk_lock(tr);
	tbib_tx_reset(&tr->tx);
	memset(tr->told, 0, sizeof(tr->told));
	tr->ack_at = 0;
	tbib_trunk_unlock(tr);
	tbib_rx_reset(&tr->rx);
	tr->pend.lanes = 0;
	tr->pend.n_ring = 0;
	tr->nonce = fl->nonce;
	tr->peer_nonce = fl->peer_nonce;
	tr->used = true;
}

/* links of a former life of either end leave first: acks carry no epoch */
static bool old_life_left(struct tbib_trunk *tr, struct tbib_flink *fl)
{
	struct tbib_flink *o;
	bool left = false;

	list_for_each_entry(o, &tr->priv->links, list) {
		if (o->trunk != tr || !o->joined)
			continue;
		if (o->nonce != fl->nonce || o->peer_nonce != fl->peer_nonce)
			tbib_link_restart(o->link);
		left = true;
	}
	return left;
}

/*
 * tbib_trunk_join() - listen on @fl's rings, when it may be
 * Under priv->mutex. When links of a former life are in the way, or
 * links that leave because the peer acks nothing, it is called again once they
 * are drained.
 */
void tbib_trunk_join(struct tbib_trunk *tr, struct tbib_flink *fl)
{
	bool reset = !same_epoch(tr, fl);
	u8 i;

	if (!fl->up || !fl->auth || fl->joined || tr->stuck)
		return;
	if (reset && old_life_left(tr, fl))
		return;
	tbib_trunk_pause(tr);
	if (reset)
		trunk_reset(tr, fl);
	for (i = 0; i < fl->n_ring; i++) {
		struct tbib_fring *fr = &fl->ring[i];

		tbib_rx_ring_up(&tr->rx, fr->slot, fl->cookie_mine,
				tbib_ring_index(fr->ring),
				tbib_ring_buffers(fr->ring));
		fr->joined = true;
	}
	fl->joined = true;
	if (!tr->n_joined++)
		for (i = 0; i < TBIB_LANES; i++)
			tr->una_ticks[i] = 0;
	tbib_trunk_resume(tr);
	tbib_mgmt_send(fl, NULL, 0);
}

/* ---- progress -------------------------------------------------------------- */

/* tbib_trunk_withdraw() - what waits for a cable waits no longer. priv->mutex */
void tbib_trunk_withdraw(struct tbib_trunk *tr)
{
	if (!tr->down_since || tr->blanked)
		return;
	tbib_trunk_lock(tr);
	tbib_trunk_blank(tr);
	tbib_trunk_unlock(tr);
	tr->blanked = true;
}

/* have trains been out for too long of which none is acked? */
static bool no_progress(struct tbib_trunk *tr)
{
	bool stuck = false;
	u32 l;

	tbib_trunk_lock(tr);
	for (l = 0; l < TBIB_LANES; l++) {
		const struct tbib_tx_lane *lane = &tr->tx.lane[l];

		/* while all cables are out nobody could ack */
		if (tr->down_since || lane->una == lane->next_seq ||
		    lane->una != tr->una_seen[l])
			tr->una_ticks[l] = 0;
		else
			tr->una_ticks[l]++;
		tr->una_seen[l] = lane->una;
		stuck |= tr->una_ticks[l] > TBIB_SILENCE;
	}
	tbib_trunk_unlock(tr);
	return stuck;
}

/*
 * tbib_trunk_check() - every tick: does the peer ack? Under priv->mutex.
 * A peer that talks but acks nothing, out of order or on purpose, would keep
 * pages and MRs of ours for ever, and with them processes that deregister
 * memory or exit. Its links start anew, and what it holds is withdrawn.
 */
void tbib_trunk_check(struct tbib_trunk *tr)
{
	struct tbib_flink *fl;

	if (tr->stuck || !no_progress(tr))
		return;
	list_for_each_entry(fl, &tr->priv->links, list) {
		if (fl->trunk != tr || !fl->joined)
			continue;
		tr->stuck = true;
		if (fl->ring[0].stopping)
			continue;	/* it leaves already */
		pr_warn("tbib: link %u: the peer acknowledges nothing\n",
			fl->id);
		tbib_link_restart(fl->link);
	}
}
