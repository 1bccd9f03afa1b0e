// SPDX-License-Identifier: GPL-2.0-only
/*
 * The linear forwarding table: LID to node and egress trunk, and per source
 * LID the branches of its multicast tree. tbibd gives the whole table at once;
 * it is compiled into an array that the data path reads under RCU.
 */
#include <linux/slab.h>
#include "priv.h"

/* tbib_egress() - trunk that leads to @peer; the null trunk when none does */
struct tbib_trunk *tbib_egress(struct tbib_priv *priv,
			       const struct tbib_peer *peer)
{
	struct tbib_trunk *null = priv->trunk[TBIB_TRUNK_NULL];
	const struct tbib_lft_entry *e;
	u16 lid;

	if (!peer)
		return null;
	if (peer->self)
		return priv->trunk[TBIB_TRUNK_LOOP];
	lid = READ_ONCE(peer->lid);
	if (!lid)
		return null;
	e = &rcu_dereference(priv->lft)->to[lid];
	return e->peer == peer && e->trunk ? e->trunk : null;
}

/* the trunk that leads to the neighbour @guid, or NULL when there is none */
static struct tbib_trunk *via_trunk(struct tbib_priv *priv, u64 guid)
{
	if (guid == priv->node.guid)
		return priv->trunk[TBIB_TRUNK_LOOP];
	return tbib_trunk_find(priv, guid);
}

static u32 mcast_bits(struct tbib_priv *priv, const struct tbib_route *r)
{
	u32 bits = 0;
	u8 i;

	for (i = 0; i < r->n_mcast; i++) {
		struct tbib_trunk *tr = via_trunk(priv, r->mcast[i]);

		if (tr && tr->index >= TBIB_TRUNK_FIRST)
			bits |= BIT(tr->index);
	}
	return bits;
}

static int compile_route(struct tbib_priv *priv, struct tbib_lft *lft,
			 const struct tbib_route *r)
{
	struct tbib_lft_entry *e = &lft->to[r->lid];
	struct tbib_peer *p = tbib_peer_make(priv, r->guid);

	if (!p)
		return -ENOMEM;
	e->peer = p;
	e->trunk = via_trunk(priv, r->via);
	e->mcast = mcast_bits(priv, r);
	return 0;
}

/* LIDs and epochs in the node table follow the routes */
static void update_peers(struct tbib_priv *priv)
{
	const struct tbib_route_table *t = priv->routes;
	struct tbib_peer *p;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(priv->peers); i++)
		hlist_for_each_entry(p, &priv->peers[i], hash) {
			u16 lid = p->self ? priv->node.lid : 0;
			u32 epoch = p->self ? priv->node.epoch : p->epoch;
			u32 k;

			for (k = 0; t && !p->self && k < t->n; k++)
				if (t->r[k].guid == p->guid) {
					lid = t->r[k].lid;
					epoch = t->r[k].epoch;
				}
			WRITE_ONCE(p->epoch, epoch);
			WRITE_ONCE(p->lid, lid);
		}
}

/*
 * tbib_lft_rebuild() - compile the routes again: trunks or LIDs have changed
 * Under priv->mutex. Return: 0 or -ENOMEM (the old table stays then).
 */
int tbib_lft_rebuild(struct tbib_priv *priv)
{
	const struct tbib_route_table *t = priv->routes;
	struct tbib_lft *lft, *old;
	u32 i;
	int ret;

	lft = kzalloc(sizeof(*lft), GFP_KERNEL);
	if (!lft)
		return -ENOMEM;
	for (i = 0; t && i < t->n; i++) {
		ret = compile_route(priv, lft, &t->r[i]);
		if (ret) {
			kfree(lft);
			return ret;
		}
	}
	if (priv->node.lid) {	/* its @mcast stays: the tree from here */
		struct tbib_lft_entry *e = &lft->to[priv->node.lid];

		e->peer = priv->node.self;
		e->trunk = priv->trunk[TBIB_TRUNK_LOOP];
	}
	old = rcu_replace_pointer(priv->lft, lft,
				  lockdep_is_held(&priv->mutex));
	update_peers(priv);
	if (old)
		kfree_rcu(old, rcu);
	/* a packet on its way through may still look at a peer's old LID */
	synchronize_rcu();
	tbib_peer_prune(priv, false);
	tbib_source_resettle(priv);
	return 0;
}

/*
 * tbib_lft_set() - replace all routes by @t, which is taken over on success
 * Under priv->mutex. Return: 0, or -ENOMEM and nothing has changed.
 */
int tbib_lft_set(struct tbib_priv *priv, struct tbib_route_table *t)
{
	struct tbib_route_table *old = priv->routes;
	int ret;

	priv->routes = t;
	ret = tbib_lft_rebuild(priv);
	if (ret) {
		priv->routes = old;
		return ret;
	}
	kvfree(old);
	return 0;
}

void tbib_lft_exit(struct tbib_priv *priv)
{
	kfree(rcu_dereference_protected(priv->lft, true));
	RCU_INIT_POINTER(priv->lft, NULL);
	kvfree(priv->routes);
	priv->routes = NULL;
}
