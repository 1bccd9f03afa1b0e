// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multicast: datagrams to every UD QP that is attached to a group.
 *
 * Who sends to a group sends to its own node, over the loopback trunk. There,
 * in softirq context, the datagram is handed to the QPs that are attached here
 * and copied along this node's multicast tree, which leads to every other node;
 * each of them looks for attached QPs of its own. So posting a multicast is
 * like posting any other datagram, and completes when it has gone that way.
 */
#include <linux/jhash.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <rdma/ib_addr.h>
#include "verbs/ibdev.h"

/* struct tbib_mcast_qp - a QP in a group; freed by RCU */
struct tbib_mcast_qp {
	struct hlist_node hash;
	struct list_head of_qp;
	struct rcu_head rcu;
	union ib_gid mgid;
	struct tbib_vqp *q;
};

static struct hlist_head *bucket_of(struct tbib_mcast *mc,
				    const union ib_gid *mgid)
{
	u32 hash = jhash(mgid->raw, sizeof(mgid->raw), mc->seed);

	return &mc->bucket[hash % TBIB_MCAST_BUCKETS];
}

static bool same_group(const union ib_gid *a, const union ib_gid *b)
{
	return !memcmp(a->raw, b->raw, sizeof(a->raw));
}

void tbib_mcast_init(struct tbib_mcast *mc)
{
	mutex_init(&mc->lock);
	mc->seed = get_random_u32();
}

static int attach_check(struct tbib_mcast *mc, struct tbib_vqp *q,
			const union ib_gid *mgid)
{
	struct tbib_mcast_qp *m;
	u32 n = 0;

	hlist_for_each_entry(m, bucket_of(mc, mgid), hash) {
		if (!same_group(&m->mgid, mgid))
			continue;
		if (m->q == q)
			return -EEXIST;
		n++;
	}
	/* a datagram costs that many copies, and searching a few steps */
	return n < TBIB_MAX_MCAST_QP && mc->n < TBIB_MAX_MCAST ? 0 : -ENOMEM;
}

/* the core has checked that @mgid is a group and the QP is a UD QP */
int tbib_attach_mcast(struct ib_qp *ib, union ib_gid *mgid, u16 mlid)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	struct tbib_mcast *mc = &q->dev->mcast;
	struct tbib_mcast_qp *m;
	int err;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return -ENOMEM;
	m->mgid = *mgid;
	m->q = q;
	mutex_lock(&mc->lock);
	err = attach_check(mc, q, mgid);
	if (!err) {
		mc->n++;
		list_add_tail(&m->of_qp, &q->mcast);
		hlist_add_head_rcu(&m->hash, bucket_of(mc, mgid));
	}
	mutex_unlock(&mc->lock);
	if (err)
		kfree(m);
	return err;
}

/* under mc->lock */
static void detach(struct tbib_mcast *mc, struct tbib_mcast_qp *m)
{
	mc->n--;
	list_del(&m->of_qp);
	hlist_del_rcu(&m->hash);
	kfree_rcu(m, rcu);
}

int tbib_detach_mcast(struct ib_qp *ib, union ib_gid *mgid, u16 mlid)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	struct tbib_mcast *mc = &q->dev->mcast;
	struct tbib_mcast_qp *m;
	int err = -EINVAL;

	mutex_lock(&mc->lock);
	list_for_each_entry(m, &q->mcast, of_qp) {
		if (same_group(&m->mgid, mgid)) {
			detach(mc, m);
			err = 0;
			break;
		}
	}
	mutex_unlock(&mc->lock);
	return err;
}

/* tbib_mcast_leave() - the QP goes */
void tbib_mcast_leave(struct tbib_vqp *q)
{
	struct tbib_mcast *mc = &q->dev->mcast;
	struct tbib_mcast_qp *m, *next;

	mutex_lock(&mc->lock);
	list_for_each_entry_safe(m, next, &q->mcast, of_qp)
		detach(mc, m);
	mutex_unlock(&mc->lock);
}

/*
 * tbib_mcast_rx() - a datagram to QPN 0xffffff; under rcu_read_lock
 * The sender's own QP is left out. What comes from ourselves goes on to the
 * other nodes; what comes from another node has been told to all of them.
 */
void tbib_mcast_rx(struct tbib_ibdev *dev, const struct tbib_bth *b,
		   const struct tbib_pkt *p, struct tbib_peer *from, u16 slid)
{
	struct tbib_mcast_qp *m;
	union ib_gid mgid;

	if (!tbib_ud_dgid(b, &mgid) ||
	    !rdma_is_multicast_addr((struct in6_addr *)&mgid)) {
		atomic64_inc(&dev->bad_packet);
		return;
	}
	if (from->self)
		tbib_fabric_multicast_pkt(dev->node, p);
	hlist_for_each_entry_rcu(m, bucket_of(&dev->mcast, &mgid), hash)
		if (same_group(&m->mgid, &mgid) &&
		    (!from->self || m->q->core.qpn != b->sqpn))
			tbib_vqp_rx(m->q, b, p, from, slid);
}
