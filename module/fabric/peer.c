// SPDX-License-Identifier: GPL-2.0-only
/*
 * The node table: every node of the fabric that we have heard of, by MAC.
 *
 * A peer is what connections compare their packets' origin with, so a node
 * keeps its peer for as long as anybody refers to it, whatever happens to its
 * LID and its routes meanwhile.
 */
#include <linux/etherdevice.h>
#include <linux/hash.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include "priv.h"

u64 tbib_guid_from_mac(const u8 *mac)
{
	u8 g[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe,
		    mac[3], mac[4], mac[5] };

	return get_unaligned_be64(g);
}

void tbib_mac_from_guid(u8 *mac, u64 guid)
{
	u8 g[8];

	put_unaligned_be64(guid, g);
	mac[0] = g[0] ^ 2;
	mac[1] = g[1];
	mac[2] = g[2];
	mac[3] = g[5];
	mac[4] = g[6];
	mac[5] = g[7];
}

static u32 mac_hash(const u8 *mac)
{
	return hash_32(get_unaligned((const u32 *)(mac + 2)), TBIB_PEER_HASH);
}

struct tbib_peer *tbib_peer_by_mac(struct tbib_node *node, const u8 *mac)
{
	struct tbib_priv *priv = to_priv(node);
	struct tbib_peer *p;

	hlist_for_each_entry_rcu(p, &priv->peers[mac_hash(mac)], hash)
		if (ether_addr_equal(p->mac, mac))
			return p;
	return NULL;
}

struct tbib_peer *tbib_peer_by_lid(struct tbib_node *node, u16 lid)
{
	struct tbib_priv *priv = to_priv(node);

	if (!lid || lid > TBIB_LID_MAX)
		return NULL;
	return rcu_dereference(priv->lft)->to[lid].peer;
}

/*
 * tbib_peer_make() - the peer with @guid, made if it is new
 * Under priv->mutex. Return: the table's own reference, or NULL.
 */
struct tbib_peer *tbib_peer_make(struct tbib_priv *priv, u64 guid)
{
	struct tbib_peer *p;
	u8 mac[ETH_ALEN];

	tbib_mac_from_guid(mac, guid);
	rcu_read_lock();
	p = tbib_peer_by_mac(&priv->node, mac);
	rcu_read_unlock();
	if (p)
		return p;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return NULL;
	refcount_set(&p->ref, 1);
	p->guid = guid;
	ether_addr_copy(p->mac, mac);
	hlist_add_head_rcu(&p->hash, &priv->peers[mac_hash(mac)]);
	return p;
}

void tbib_peer_put(struct tbib_peer *p)
{
	if (p && refcount_dec_and_test(&p->ref))
		kfree_rcu(p, rcu);
}

/*
 * tbib_peer_prune() - forget nodes without a LID that nobody refers to
 * @all: on unload: forget every node
 * Under priv->mutex.
 */
void tbib_peer_prune(struct tbib_priv *priv, bool all)
{
	struct hlist_node *tmp;
	struct tbib_peer *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(priv->peers); i++)
		hlist_for_each_entry_safe(p, tmp, &priv->peers[i], hash) {
			if (!all && (p->lid || p->self))
				continue;
			/*
			 * Only the table refers to it? Then nobody can get a
			 * reference any more: the getters want a non-zero one.
			 */
			if (!all && !refcount_dec_if_one(&p->ref))
				continue;
			hlist_del_rcu(&p->hash);
			if (all)
				tbib_peer_put(p);
			else
				kfree_rcu(p, rcu);
		}
}
