// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links as members of trunks: what the ring layer tells about cables.
 *
 * A link that is up but not authorised carries management datagrams only; its
 * rings are polled by the trunk of the GUID that the peer claims, but nothing
 * from them reaches the trunk's sequences. Once authorised it is joined (we
 * listen), and once the peer says the same it is open (we send).
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "priv.h"

#define HELLO_IDLE	(1 * HZ)

/* tbib_flink_find() - by netlink id. Under priv->mutex. */
struct tbib_flink *tbib_flink_find(struct tbib_priv *priv, u32 id)
{
	struct tbib_flink *fl;

	list_for_each_entry(fl, &priv->links, list)
		if (fl->id == id)
			return fl;
	return NULL;
}

static void link_event(struct tbib_flink *fl)
{
	struct tbib_link_info info;

	tbib_link_get_info(fl->link, &info);
	tbib_genl_link_event(fl->priv, &info);
	schedule_work(&fl->priv->state_work);
}

/* transit queues hold 2 ms of what the trunk's links can do together */
static void trunk_rate(struct tbib_trunk *tr)
{
	struct tbib_flink *fl;
	u32 mbps = 0, l;

	list_for_each_entry(fl, &tr->priv->links, list)
		if (fl->trunk == tr && fl->up)
			mbps += fl->speed_mbps;
	for (l = 0; l < TBIB_LANES; l++)
		tbib_fwd_queue_rate(&tr->lane[l].fwd, mbps);
}

/* ---- rings ------------------------------------------------------------------ */

static int ctrl_alloc(struct tbib_fring *fr)
{
	fr->ctrl = alloc_page(GFP_KERNEL);
	if (!fr->ctrl)
		return -ENOMEM;
	fr->ctrl_dma = dma_map_page(fr->dev, fr->ctrl, 0, PAGE_SIZE,
				    DMA_TO_DEVICE);
	if (dma_mapping_error(fr->dev, fr->ctrl_dma)) {
		__free_page(fr->ctrl);
		fr->ctrl = NULL;
		return -ENOMEM;
	}
	fr->ctrl_busy = 0;
	return 0;
}

static void ctrl_free(struct tbib_fring *fr)
{
	if (!fr->ctrl)
		return;
	dma_unmap_page(fr->dev, fr->ctrl_dma, PAGE_SIZE, DMA_TO_DEVICE);
	__free_page(fr->ctrl);
	fr->ctrl = NULL;
}

static int free_slot(const struct tbib_trunk *tr)
{
	int i;

	for (i = 0; i < TBIB_RINGS; i++)
		if (!tr->ring[i])
			return i;
	return -1;
}

/* Caller holds priv->mutex and has paused the NAPI. */
static int ring_attach(struct tbib_flink *fl, u8 i, int nhi)
{
	struct tbib_trunk *tr = fl->trunk;
	struct tbib_fring *fr = &fl->ring[i];
	int slot = free_slot(tr), ret;

	if (slot < 0)
		return -ENOSPC;
	memset(fr, 0, sizeof(*fr));
	fr->ring = tbib_link_ring(fl->link, i);
	fr->fl = fl;
	fr->trunk = tr;
	fr->pool = tbib_ring_pool(fr->ring);
	fr->dev = tbib_ring_dma(fr->ring);
	fr->slot = slot;
	fr->nhi = nhi;
	fr->masked = 1;
	ret = ctrl_alloc(fr);
	if (ret)
		return ret;
	tbib_ring_set_priv(fr->ring, fr);
	tr->ring[slot] = fr;
	return 0;
}

/* the ring layer frees the rings after this. Under priv->mutex. */
static void rings_detach(struct tbib_flink *fl)
{
	struct tbib_trunk *tr = fl->trunk;
	struct tbib_priv *priv = fl->priv;
	u8 i;

	tbib_trunk_lock(tr);
	for (i = 0; i < fl->n_ring; i++)
		if (tr->tx.ring[fl->ring[i].slot].up)
			tbib_tx_ring_down(&tr->tx, fl->ring[i].slot);
	tbib_trunk_unlock(tr);
	spin_lock_bh(&priv->stats_lock);
	for (i = 0; i < fl->n_ring; i++) {
		tbib_stats_ring(&priv->gone, fl->ring[i].ring);
		tr->ring[fl->ring[i].slot] = NULL;
	}
	spin_unlock_bh(&priv->stats_lock);
	for (i = 0; i < fl->n_ring; i++) {
		WARN_ON_ONCE(fl->ring[i].posted);
		ctrl_free(&fl->ring[i]);
	}
	fl->n_ring = 0;
}

/* ---- upcalls ------------------------------------------------------------------ */

static int link_add(struct tbib_link *link)
{
	struct tbib_priv *priv = to_priv(tbib_the_node);
	struct tbib_flink *fl = kzalloc(sizeof(*fl), GFP_KERNEL);

	if (!fl)
		return -ENOMEM;
	fl->priv = priv;
	fl->link = link;
	fl->id = tbib_link_id(link);
	tbib_mgmt_init(fl);
	tbib_link_set_priv(link, fl);
	mutex_lock(&priv->mutex);
	list_add_tail_rcu(&fl->list, &priv->links);
	mutex_unlock(&priv->mutex);
	return 0;
}

static void take_info(struct tbib_flink *fl)
{
	struct tbib_link_info info;

	tbib_link_get_info(fl->link, &info);
	/* an authorisation is for one life of one node */
	if (info.peer_guid != fl->peer_guid ||
	    info.peer_nonce != fl->peer_nonce)
		fl->auth = false;
	fl->peer_guid = info.peer_guid;
	fl->nonce = info.nonce;
	fl->peer_nonce = info.peer_nonce;
	fl->speed_mbps = info.speed_gbps * max_t(u32, info.width, 1) * 1000;
	fl->cookie_mine = tbib_link_cookie(fl->link, true);
	fl->cookie_peer = tbib_link_cookie(fl->link, false);
}

static int rings_attach(struct tbib_flink *fl, int nhi)
{
	u8 n = min_t(u32, tbib_link_rings(fl->link), TBIB_LINK_RINGS);
	struct tbib_trunk *tr = fl->trunk;
	int ret = 0;
	u8 i;

	tbib_trunk_pause(tr);
	for (i = 0; i < n && !ret; i++) {
		ret = ring_attach(fl, i, nhi);
		if (!ret)
			fl->n_ring = i + 1;
	}
	tbib_trunk_order(tr);
	tbib_trunk_resume(tr);
	/* with fewer rings it still works; the peer's plan is the same */
	return ret == -ENOSPC && fl->n_ring ? 0 : ret;
}

/* Under priv->mutex; @fl->trunk is set */
static int link_start(struct tbib_flink *fl)
{
	struct tbib_nhi *nhi = tbib_link_nhi(fl->link);
	struct tbib_trunk *tr = fl->trunk;
	int index = tbib_node_nhi_index(fl->priv, nhi);
	int ret;

	if (index < 0)
		return index;
	ret = tbib_trunk_map(tr, nhi->dev, index);
	if (ret)
		return ret;
	ret = rings_attach(fl, index);
	if (ret)
		goto err_rings;
	ret = tbib_mgmt_up(fl);
	if (ret)
		goto err_rings;
	return 0;

err_rings:
	tbib_trunk_pause(tr);
	rings_detach(fl);
	tbib_trunk_order(tr);
	tbib_trunk_resume(tr);
	return ret;
}

static int link_up(struct tbib_link *link)
{
	struct tbib_flink *fl = tbib_link_priv(link);
	struct tbib_priv *priv = fl->priv;
	int ret;

	mutex_lock(&priv->mutex);
	take_info(fl);
	ret = -EEXIST;
	if (fl->peer_guid == priv->node.guid) {
		pr_err("tbib: link %u: the other end has our own GUID %016llx\n",
		       fl->id, fl->peer_guid);
		goto out;
	}
	ret = -ENOSPC;
	fl->trunk = tbib_trunk_get(priv, fl->peer_guid);
	if (!fl->trunk) {
		/* without tbib0 there is no trunk; login is tried again */
		if (priv->napi_dev)
			pr_err("tbib: link %u: no room for another neighbour\n",
			       fl->id);
		goto out;
	}
	ret = link_start(fl);
	if (ret) {
		fl->trunk = NULL;
		goto out;
	}
	fl->quiet = 0;
	fl->sent = jiffies;
	fl->open = false;
	fl->up = true;
	trunk_rate(fl->trunk);
	tbib_trunk_join(fl->trunk, fl);
	/* not later than it is due: a peer may log in as often as it likes */
	queue_delayed_work(system_percpu_wq, &priv->tick, TBIB_TICK);
	link_event(fl);
out:
	mutex_unlock(&priv->mutex);
	return ret;
}

static void link_down(struct tbib_link *link)
{
	struct tbib_flink *fl = tbib_link_priv(link);
	struct tbib_priv *priv = fl->priv;
	struct tbib_trunk *tr = fl->trunk;
	u8 i;

	mutex_lock(&priv->mutex);
	if (!fl->up)
		goto out;
	tbib_trunk_lock(tr);
	if (fl->open)
		tbib_trunk_control(tr, &fl->ring[0], TBIB_CTRL_BYE, NULL);
	for (i = 0; i < fl->n_ring; i++)
		fl->ring[i].stopping = true;
	tbib_trunk_unlock(tr);

	tbib_trunk_pause(tr);
	synchronize_rcu();	/* a poll that is complete may still unmask */
	for (i = 0; i < fl->n_ring; i++)
		if (fl->ring[i].joined)
			tbib_rx_ring_down(&tr->rx, fl->ring[i].slot);
	tbib_trunk_order(tr);
	tbib_trunk_resume(tr);
out:
	mutex_unlock(&priv->mutex);
}

/* others that waited for @tr's old links to leave may join now */
static void join_waiting(struct tbib_trunk *tr)
{
	struct tbib_flink *fl;

	list_for_each_entry(fl, &tr->priv->links, list)
		if (fl->trunk == tr)
			tbib_trunk_join(tr, fl);
}

static void link_drained(struct tbib_link *link)
{
	struct tbib_flink *fl = tbib_link_priv(link);
	struct tbib_priv *priv = fl->priv;
	struct tbib_trunk *tr = fl->trunk;

	mutex_lock(&priv->mutex);
	if (!fl->up)
		goto out;
	rings_detach(fl);
	tbib_mgmt_down(fl);
	fl->up = false;
	fl->open = false;
	fl->trunk = NULL;
	if (fl->joined && !--tr->n_joined) {
		tr->down_since = jiffies | 1;
		tr->blanked = false;
		/* it is not offered the same bytes once more */
		if (tr->stuck)
			tbib_trunk_withdraw(tr);
		tr->stuck = false;
		tbib_source_unstall(tr);
	}
	fl->joined = false;
	trunk_rate(tr);
	join_waiting(tr);
	tbib_trunk_want(tr);
	link_event(fl);
out:
	mutex_unlock(&priv->mutex);
	tbib_fabric_kick(&priv->node);
}

static void link_del(struct tbib_link *link)
{
	struct tbib_flink *fl = tbib_link_priv(link);
	struct tbib_priv *priv = fl->priv;

	mutex_lock(&priv->mutex);
	list_del_rcu(&fl->list);
	mutex_unlock(&priv->mutex);
	tbib_mgmt_del(fl);
	tbib_link_set_priv(link, NULL);
	tbib_genl_link_gone(priv, fl->id);
	schedule_work(&priv->state_work);
	kfree_rcu(fl, rcu);
}

static void link_state(struct tbib_link *link)
{
	struct tbib_link_info info;

	tbib_link_get_info(link, &info);
	tbib_genl_link_event(to_priv(tbib_the_node), &info);
}

/* any context up to hardirq */
static void rx_ready(struct tbib_ring *ring, bool masked)
{
	struct tbib_fring *fr = tbib_ring_priv(ring);

	if (!fr)
		return;
	if (masked)
		WRITE_ONCE(fr->masked, 1);
	napi_schedule(&fr->trunk->napi);
}

const struct tbib_fabric_ops tbib_fabric_ring_ops = {
	.done = tbib_trunk_done,
	.link_add = link_add,
	.link_del = link_del,
	.link_down = link_down,
	.link_drained = link_drained,
	.link_state = link_state,
	.link_up = link_up,
	.nhi_add = tbib_node_nhi_add,
	.nhi_del = tbib_node_nhi_del,
	.rx_ready = rx_ready,
};

/* ---- authorisation, opening, keepalive ------------------------------------------ */

/*
 * tbib_flink_auth() - the daemon has judged the peer. Takes priv->mutex.
 * Return: 0, -ENODEV (no such link), -ENOLINK (it is not up).
 */
int tbib_flink_auth(struct tbib_priv *priv, u32 id, bool auth)
{
	struct tbib_flink *fl;
	int ret = 0;

	mutex_lock(&priv->mutex);
	fl = tbib_flink_find(priv, id);
	if (!fl) {
		ret = -ENODEV;
	} else if (!fl->up) {
		ret = -ENOLINK;
	} else if (fl->auth != auth) {
		fl->auth = auth;
		if (auth)
			tbib_trunk_join(fl->trunk, fl);
		else
			tbib_link_restart(fl->link);
		link_event(fl);
	}
	mutex_unlock(&priv->mutex);
	return ret;
}

/* tbib_flink_open() - the peer listens: trains may go. NAPI, no lock held. */
void tbib_flink_open(struct tbib_flink *fl)
{
	struct tbib_trunk *tr = fl->trunk;
	u8 i;

	tbib_trunk_lock(tr);
	for (i = 0; i < fl->n_ring && !fl->open; i++) {
		struct tbib_fring *fr = &fl->ring[i];

		if (fr->stopping)
			goto out;
		tbib_tx_ring_up(&tr->tx, fr->slot, fl->cookie_peer,
				fl->cookie_mine, tbib_ring_index(fr->ring),
				tbib_ring_lanes(fr->ring),
				tbib_ring_peer_limit(fr->ring),
				max(fl->speed_mbps / 100 / fl->n_ring, 1u));
		tr->told_limit[fr->slot] = tbib_ring_buffers(fr->ring) -
					   TBIB_RING_RESERVE;
	}
	fl->open = true;
	tr->down_since = 0;
	tbib_trunk_want(tr);
	schedule_work(&fl->priv->state_work);
out:
	tbib_trunk_unlock(tr);
}

/* tbib_flink_tick() - every quarter of a second. Under priv->mutex. */
void tbib_flink_tick(struct tbib_priv *priv)
{
	struct tbib_flink *fl;

	list_for_each_entry(fl, &priv->links, list) {
		if (!fl->up || fl->ring[0].stopping)
			continue;
		WRITE_ONCE(fl->quiet, fl->quiet + 1);
		if (fl->quiet > TBIB_SILENCE) {
			WRITE_ONCE(fl->quiet, 0);
			if (fl->joined)
				pr_info("tbib: link %u: nothing heard for %u s\n",
					fl->id, TBIB_SILENCE / TBIB_TICKS_PER_S);
			tbib_link_restart(fl->link);
			continue;
		}
		if (!fl->open ||
		    time_after(jiffies, READ_ONCE(fl->sent) + HELLO_IDLE))
			tbib_mgmt_send(fl, NULL, 0);
	}
}
