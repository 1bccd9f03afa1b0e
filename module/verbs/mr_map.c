// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA addresses of user memory for every host interface, so that raw frames
 * point straight at a region's pages. The table is private: under virtual DMA
 * the umem's own scatterlist holds kernel addresses. A region that cannot be
 * mapped, or that would need bounce buffers (swiotlb), is copied instead.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "verbs/ibdev.h"

static DEFINE_MUTEX(nhi_lock);	/* guards all below and writes to mr->map */
static struct device *nhi_dev[TBIB_MAX_NHI];
static LIST_HEAD(nhi_mrs);

static void map_free(struct tbib_mr_map *map)
{
	u32 i;

	for (i = 0; i < map->n; i++) {
		if (!(i % TBIB_MR_RESCHED))
			cond_resched();
		dma_unmap_page(map->dev, map->addr[i], PAGE_SIZE,
			       DMA_TO_DEVICE);
	}
	kvfree(map);
}

static struct tbib_mr_map *map_create(struct tbib_mr *mr, struct device *dev)
{
	struct tbib_mr_map *map;
	u32 i;

	map = kvmalloc(struct_size(map, addr, mr->n_pages),
		       GFP_KERNEL_ACCOUNT);
	if (!map)
		return NULL;
	map->dev = dev;
	map->n = 0;
	for (i = 0; i < mr->n_pages; i++) {
		if (!(i % TBIB_MR_RESCHED))
			cond_resched();
		map->addr[i] = dma_map_page(dev, virt_to_page(mr->page[i]), 0,
					    PAGE_SIZE, DMA_TO_DEVICE);
		if (dma_mapping_error(dev, map->addr[i]))
			goto err_free;
		map->n++;
		/* bounced pages would be stale: there is no sync per send */
		if (dma_need_sync(dev, map->addr[i]))
			goto err_free;
	}
	return map;

err_free:
	map_free(map);
	return NULL;
}

/* tbib_mr_map_all() - map a new user region for every NHI; may sleep */
void tbib_mr_map_all(struct tbib_mr *mr)
{
	int i;

	mutex_lock(&nhi_lock);
	for (i = 0; i < TBIB_MAX_NHI; i++)
		if (nhi_dev[i])
			rcu_assign_pointer(mr->map[i],
					   map_create(mr, nhi_dev[i]));
	list_add_tail(&mr->on_nhis, &nhi_mrs);
	mutex_unlock(&nhi_lock);
}

/*
 * tbib_mr_unmap_all() - mirror; nobody uses the pages any more (mr.users is
 * zero, and only its holders ask for addresses)
 */
void tbib_mr_unmap_all(struct tbib_mr *mr)
{
	int i;

	mutex_lock(&nhi_lock);
	list_del_init(&mr->on_nhis);
	for (i = 0; i < TBIB_MAX_NHI; i++) {
		struct tbib_mr_map *map =
			rcu_replace_pointer(mr->map[i], NULL,
					    lockdep_is_held(&nhi_lock));

		if (map)
			map_free(map);
	}
	mutex_unlock(&nhi_lock);
}

void tbib_verbs_nhi_add(struct tbib_node *node, struct device *dev)
{
	struct tbib_mr *mr;
	int i;

	mutex_lock(&nhi_lock);
	for (i = 0; i < TBIB_MAX_NHI && nhi_dev[i]; i++)
		;
	if (i == TBIB_MAX_NHI)
		goto out;	/* more NHIs than slots: those copy */
	nhi_dev[i] = dev;
	list_for_each_entry(mr, &nhi_mrs, on_nhis)
		rcu_assign_pointer(mr->map[i], map_create(mr, dev));
out:
	mutex_unlock(&nhi_lock);
}

/* the rings of @dev are stopped: no raw frame uses its addresses any more */
void tbib_verbs_nhi_gone(struct tbib_node *node, struct device *dev)
{
	struct tbib_mr_map *map, *dead = NULL, *next;
	struct tbib_mr *mr;
	int i;

	mutex_lock(&nhi_lock);
	for (i = 0; i < TBIB_MAX_NHI && nhi_dev[i] != dev; i++)
		;
	if (i == TBIB_MAX_NHI)
		goto out;
	nhi_dev[i] = NULL;
	list_for_each_entry(mr, &nhi_mrs, on_nhis) {
		map = rcu_replace_pointer(mr->map[i], NULL,
					  lockdep_is_held(&nhi_lock));
		if (!map)
			continue;
		map->next = dead;
		dead = map;
	}
	synchronize_rcu();
	for (map = dead; map; map = next) {
		next = map->next;
		map_free(map);
	}
out:
	mutex_unlock(&nhi_lock);
}

static dma_addr_t mr_dma(void *ref, u32 index, const void *data,
			 struct device *dev)
{
	dma_addr_t addr = DMA_MAPPING_ERROR;
	struct tbib_mr *mr = ref;
	struct tbib_mr_map *map;
	int i;

	for (i = 0; i < TBIB_MAX_NHI; i++) {
		map = rcu_dereference(mr->map[i]);
		if (map && map->dev == dev && index < map->n) {
			addr = map->addr[index] + offset_in_page(data);
			break;
		}
	}
	return addr;
}

static void mr_put(void *ref)
{
	struct tbib_mr *mr = ref;

	tbib_mr_unpin(mr);
}

const struct tbib_mr_ops tbib_verbs_mr_ops = {
	.dma = mr_dma,
	.put = mr_put,
};
