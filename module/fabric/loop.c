// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loopback trunk: trains from this node to itself. Sources fill trains just
 * as for a neighbour; a worker in softirq context hands the packets back up.
 * There is no wire, so there is no sequence and no ack.
 */
#include "priv.h"

#define LOOP_BATCH	32

static struct tbib_train *loop_pull(struct tbib_trunk *tr)
{
	struct tbib_train *t;
	u32 l;

	for (l = 0; l < TBIB_LANES; l++) {
		t = tbib_source_pull(tr, l);
		if (t)
			return t;
	}
	return NULL;
}

/* what the peer's receiver would make of @t */
static void loop_convert(struct tbib_rx_train *rx, const struct tbib_train *t)
{
	u32 i;

	rx->next = NULL;
	rx->h.flags = t->flags | t->lane;
	rx->h.dlid = t->dlid;
	rx->h.slid = t->slid;
	rx->h.n_raw = t->n_raw;
	rx->h.n_pkt = t->n_pkt;
	rx->h.pkt_len = t->pkt_len;
	rx->pkts = t->hdr + TBIB_FRAME_HDR;
	for (i = 0; i < t->n_raw; i++) {
		rx->raw[i].data = t->raw[i].data;
		rx->raw[i].len = t->raw[i].len;
	}
}

/* tbib_loop_work() - runs on the softirq workqueue; BHs off */
void tbib_loop_work(struct work_struct *work)
{
	struct tbib_priv *priv = container_of(work, struct tbib_priv,
					      loop_work);
	struct tbib_trunk *tr = priv->trunk[TBIB_TRUNK_LOOP];
	struct tbib_train *t;
	int n;

	for (n = 0; n < LOOP_BATCH; n++) {
		tbib_trunk_lock(tr);
		t = loop_pull(tr);
		tbib_trunk_unlock(tr);
		if (!t)
			break;
		loop_convert(&priv->loop_rx, t);
		rcu_read_lock();
		tbib_rx_packets(priv, &priv->loop_rx, priv->node.self, NULL,
				&tr->stats.malformed);
		rcu_read_unlock();
		tr->tx.stats.trains++;
		tr->tx.stats.packets += t->n_pkt;
		tr->tx.stats.bytes += t->pkt_len + t->raw_bytes;
		tbib_trunk_lock(tr);
		tbib_train_release(tr, t, true);
		tbib_trunk_unlock(tr);
	}
	if (n && priv->upper->rx_end)
		priv->upper->rx_end(&priv->node);
	if (n == LOOP_BATCH)
		tbib_trunk_want(tr);
	/* sources that could fill nothing are asked again: they do not kick */
	if (READ_ONCE(tr->retry_at)) {
		tbib_trunk_lock(tr);
		tbib_trunk_timer(tr, ktime_get_ns());
		tbib_trunk_unlock(tr);
	}
	tbib_fabric_kick(&priv->node);
}
