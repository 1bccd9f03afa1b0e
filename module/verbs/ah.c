// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address handles. A handle names a node by its MAC address; the LID is looked
 * up at send time, so a handle never goes stale (design D8).
 */
#include <linux/slab.h>
#include <net/ipv6.h>
#include <rdma/ib_addr.h>
#include <rdma/ib_cache.h>
#include "verbs/ibdev.h"

/*
 * Only programs name a handle by its number; they may sleep. The kernel's
 * handles have none, so that no program can use up what the CM needs.
 */
static int addr_publish(struct tbib_ibdev *dev, struct tbib_addr *addr)
{
	int err = tbib_count_take(&dev->counts, TBIB_OBJ_AH, true);

	if (err)
		return err;
	err = xa_alloc_cyclic(&dev->ahs, &addr->num, addr,
			      XA_LIMIT(1, TBIB_MAX_AH), &dev->next_ah,
			      GFP_KERNEL);
	if (err >= 0)
		return 0;
	tbib_count_give(&dev->counts, TBIB_OBJ_AH);
	return err;
}

static void addr_init(struct tbib_addr *addr, const struct rdma_ah_attr *attr)
{
	const struct ib_global_route *grh = rdma_ah_read_grh(attr);

	refcount_set(&addr->ref, 1);
	addr->attr = *attr;
	addr->attr.grh.sgid_attr = NULL;
	memcpy(addr->dmac, attr->roce.dmac, ETH_ALEN);
	addr->sgid = grh->sgid_attr->gid;
	addr->dgid = grh->dgid;
	addr->v4 = ipv6_addr_v4mapped((struct in6_addr *)&addr->dgid);
	addr->hop_limit = grh->hop_limit ?: 64;
	addr->tclass = grh->traffic_class;
	addr->flow_label = grh->flow_label;
}

int tbib_create_ah(struct ib_ah *ib, struct rdma_ah_init_attr *init,
		   struct ib_udata *udata)
{
	struct rdma_ah_attr *attr = init->ah_attr;
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct rxe_create_ah_resp resp = {};
	struct tbib_addr *addr;
	int err;

	if (!(rdma_ah_get_ah_flags(attr) & IB_AH_GRH) ||
	    !attr->grh.sgid_attr)
		return -EINVAL;
	if (udata && udata->outlen && udata->outlen < sizeof(resp))
		return -EINVAL;
	addr = kzalloc(sizeof(*addr), init->flags & RDMA_CREATE_AH_SLEEPABLE ?
		       GFP_KERNEL_ACCOUNT : GFP_ATOMIC);
	if (!addr)
		return -ENOMEM;
	addr_init(addr, attr);
	addr->pd = ib->pd;
	err = udata ? addr_publish(dev, addr) : 0;
	if (err)
		goto err_free;
	to_tbib_ah(ib)->addr = addr;
	if (!udata || !udata->outlen)
		return 0;
	resp.ah_num = addr->num;
	err = ib_copy_to_udata(udata, &resp, sizeof(resp));
	if (err)
		tbib_destroy_ah(ib, 0);
	return err;

err_free:
	kfree(addr);
	return err;
}

int tbib_query_ah(struct ib_ah *ib, struct rdma_ah_attr *attr)
{
	const struct ib_gid_attr *sgid_attr = attr->grh.sgid_attr;

	*attr = to_tbib_ah(ib)->addr->attr;
	attr->grh.sgid_attr = sgid_attr;
	return 0;
}

int tbib_destroy_ah(struct ib_ah *ib, u32 flags)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct tbib_addr *addr = to_tbib_ah(ib)->addr;

	if (addr->num) {
		xa_erase(&dev->ahs, addr->num);
		tbib_count_give(&dev->counts, TBIB_OBJ_AH);
	}
	tbib_addr_put(addr);
	return 0;
}

/*
 * tbib_addr_get() - address of a user's WQE, by number
 * Numbers are device-wide; a handle of another PD is refused (IBTA 10.2.5).
 * Return: a reference or NULL. Any context.
 */
struct tbib_addr *tbib_addr_get(struct tbib_ibdev *dev, u32 num,
				struct ib_pd *pd)
{
	struct tbib_addr *addr;

	rcu_read_lock();
	addr = xa_load(&dev->ahs, num);
	if (addr && (addr->pd != pd || !refcount_inc_not_zero(&addr->ref)))
		addr = NULL;
	rcu_read_unlock();
	return addr;
}

/* tbib_addr_ref() - address of a kernel user's WQE */
struct tbib_addr *tbib_addr_ref(struct ib_ah *ib)
{
	struct tbib_addr *addr = to_tbib_ah(ib)->addr;

	refcount_inc(&addr->ref);
	return addr;
}

void tbib_addr_put(struct tbib_addr *addr)
{
	if (refcount_dec_and_test(&addr->ref))
		kfree_rcu(addr, rcu);
}
