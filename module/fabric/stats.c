// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the whole fabric: sums over trunks and rings. They are read
 * without locks; each is a word that one context writes.
 */
#include "priv.h"

static void add_tx(struct tbib_fabric_stats *s, const struct tbib_tx_stats *t)
{
	s->tx_frames += t->frames;
	s->tx_trains += t->trains;
	s->tx_packets += t->packets;
	s->tx_bytes += t->bytes;
	s->trunk_retries += t->retries;
	s->trunk_probes += t->probes;
	s->ctrl_frames += t->ctrl;
	s->no_credit += t->no_credit;
	s->no_room += t->no_room;
	s->no_window += t->no_window;
}

static void add_rx(struct tbib_fabric_stats *s, const struct tbib_rx_stats *r)
{
	s->rx_frames += r->frames;
	s->rx_trains += r->trains;
	s->rx_packets += r->packets;
	s->rx_bytes += r->bytes;
	s->crc_errors += r->crc;
	s->torn_trains += r->torn;
	s->duplicates += r->duplicate;
	s->gaps += r->gaps;
}

static void add_trunk(struct tbib_fabric_stats *s, const struct tbib_trunk *tr)
{
	const struct tbib_trunk_stats *t = &tr->stats;

	add_tx(s, &tr->tx.stats);
	add_rx(s, &tr->rx.stats);
	s->transit_trains += t->transit_trains;
	s->transit_drops += t->transit_drops;
	s->epoch_drops += t->epoch_drops;
	s->source_drops += t->source_drops;
	s->unauthorised += t->unauthorised;
	s->malformed += t->malformed;
	s->marked += t->marked;
}

/* tbib_stats_ring() - add what the ring layer counts to @s */
void tbib_stats_ring(struct tbib_fabric_stats *s, struct tbib_ring *ring)
{
	struct tbib_ring_stats r;

	tbib_ring_get_stats(ring, &r);
	s->doorbells += r.doorbells;
	s->interrupts += r.interrupts;
	s->lost_interrupts += r.lost_irq;
	s->no_page += r.rx_nobuf;
}

void tbib_fabric_get_stats(struct tbib_node *node, struct tbib_fabric_stats *s)
{
	struct tbib_priv *priv = to_priv(node);
	u32 n = smp_load_acquire(&priv->n_trunk);
	u32 i, k;

	/* rings go under this lock, see link_drained() */
	spin_lock_bh(&priv->stats_lock);
	*s = priv->gone;
	for (i = 0; i < n; i++) {
		struct tbib_trunk *tr = priv->trunk[i];

		add_trunk(s, tr);
		for (k = 0; k < TBIB_RINGS; k++)
			if (tr->ring[k])
				tbib_stats_ring(s, tr->ring[k]->ring);
	}
	spin_unlock_bh(&priv->stats_lock);
	s->no_route += priv->no_route;
	s->mcast_drops += priv->mcast_drops;
}

void tbib_fabric_no_route(struct tbib_node *node)
{
	to_priv(node)->no_route++;
}
