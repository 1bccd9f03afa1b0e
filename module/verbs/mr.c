// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions: user memory (pinned), all of kernel memory (DMA MR, for
 * kernel users), and fast registrations (FRWR); mr_dmabuf.c has one more.
 *
 * A region has two counts. @ref keeps the structure and is held by WQEs and
 * messages in progress, for as long as a peer likes; @users keeps the pages
 * and is held only while bytes are copied and by raw frames until their
 * train is released. dereg_mr waits for @users alone, so no peer can hold up
 * a process that wants its memory back.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "verbs/ibdev.h"

/* tbib_mr_alloc() - a region that nobody can name yet, or NULL */
struct tbib_mr *tbib_mr_alloc(struct ib_pd *pd, enum tbib_mr_kind kind,
			      u32 access)
{
	struct tbib_mr *mr = kzalloc(sizeof(*mr), GFP_KERNEL_ACCOUNT);

	if (!mr)
		return NULL;
	refcount_set(&mr->ref, 1);
	refcount_set(&mr->users, 1);
	init_completion(&mr->idle);
	spin_lock_init(&mr->lock);
	INIT_LIST_HEAD(&mr->on_nhis);
	mr->dev = to_tbib_dev(pd->device);
	mr->pd = pd;
	mr->kind = kind;
	mr->access = access;
	mr->shift = PAGE_SHIFT;
	mr->ib.device = pd->device;
	mr->ib.pd = pd;
	return mr;
}

/*
 * tbib_mr_publish() - give it its key: the upper 24 bits are the index, the
 * lower 8 are random (D11). Return: 0 or negative errno.
 */
int tbib_mr_publish(struct tbib_mr *mr)
{
	bool user = mr->kind != TBIB_MR_DMA && mr->kind != TBIB_MR_FAST;
	u32 index;
	int err;

	err = tbib_count_take(&mr->dev->counts, TBIB_OBJ_MR, user);
	if (err)
		return err;
	err = xa_alloc_cyclic(&mr->dev->mrs, &index, mr,
			      XA_LIMIT(1, TBIB_MR_INDEX_MAX), &mr->dev->next_mr,
			      GFP_KERNEL);
	if (err < 0) {
		tbib_count_give(&mr->dev->counts, TBIB_OBJ_MR);
		return err;
	}
	mr->key = index << 8 | (get_random_u32() & 0xff);
	mr->ib.lkey = mr->key;
	mr->ib.rkey = mr->key;
	/* readers look at the key after they have seen @valid */
	smp_store_release(&mr->valid, mr->kind != TBIB_MR_FAST);
	return 0;
}

/* tbib_mr_free() - mirror of tbib_mr_alloc(), for one that was not published */
void tbib_mr_free(struct tbib_mr *mr)
{
	kvfree(mr->page);
	kvfree(mr->spare);
	kfree_rcu(mr, rcu);
}

/* tbib_mr_put() - drop a reference on the structure; any context */
void tbib_mr_put(struct tbib_mr *mr)
{
	if (refcount_dec_and_test(&mr->ref))
		kfree_rcu(mr, rcu);
}

/* tbib_mr_find() - Return: MR with @key, referenced, or NULL */
struct tbib_mr *tbib_mr_find(struct tbib_ibdev *dev, u32 key)
{
	struct tbib_mr *mr;

	rcu_read_lock();
	mr = xa_load(&dev->mrs, key >> 8);
	if (mr && (!smp_load_acquire(&mr->valid) || mr->key != key ||
		   !refcount_inc_not_zero(&mr->ref)))
		mr = NULL;
	rcu_read_unlock();
	return mr;
}

/*
 * tbib_mr_pin() - keep the pages of @len bytes at @va while they are moved
 * @key: that the bytes were granted under. It and the range are looked at once
 *	more: another QP may have given a fast registration away and to others.
 * The holder of such a region is waited for with interrupts off, so it must
 * not wait for anything, nor be preempted, until tbib_mr_unpin().
 * Return: false when the region has been deregistered or invalidated.
 */
bool tbib_mr_pin(struct tbib_mr *mr, u32 key, u64 va, u32 len)
{
	if (mr->kind == TBIB_MR_FAST)
		preempt_disable();
	if (!READ_ONCE(mr->valid) || !refcount_inc_not_zero(&mr->users))
		goto gone;
	/* dereg and invalidate clear @valid and look at @users then */
	smp_mb__after_atomic();
	if (likely(smp_load_acquire(&mr->valid) && mr->key == key &&
		   tbib_mr_range_ok(mr, va, len)))
		return true;
	tbib_mr_unuse(mr);

gone:
	if (mr->kind == TBIB_MR_FAST)
		preempt_enable();
	return false;
}

struct ib_mr *tbib_get_dma_mr(struct ib_pd *pd, int access)
{
	struct tbib_mr *mr = tbib_mr_alloc(pd, TBIB_MR_DMA, access);
	int err;

	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->length = ~0ull;
	err = tbib_mr_publish(mr);
	if (err) {
		kfree(mr);
		return ERR_PTR(err);
	}
	return &mr->ib;
}

/* flat array, so that any offset finds its page in O(1) */
static int mr_fill_pages(struct tbib_mr *mr)
{
	struct sg_page_iter iter;
	u32 i = 0;

	mr->page = kvmalloc_array(mr->n_pages, sizeof(*mr->page),
				  GFP_KERNEL_ACCOUNT);
	if (!mr->page)
		return -ENOMEM;
	for_each_sgtable_page(&mr->umem->sgt_append.sgt, &iter, 0) {
		if (WARN_ON_ONCE(i >= mr->n_pages))
			break;
		if (!(i % TBIB_MR_RESCHED))
			cond_resched();
		mr->page[i++] = page_address(sg_page_iter_page(&iter));
	}
	return i == mr->n_pages ? 0 : -EINVAL;
}

struct ib_mr *tbib_reg_user_mr(struct ib_pd *pd, u64 start, u64 length,
			       u64 iova, int access, TBIB_DMAH_PARAM
			       struct ib_udata *udata)
{
	struct tbib_mr *mr;
	u64 pages;
	int err;

	if (TBIB_DMAH_GIVEN || access & ~TBIB_ACCESS_SUPPORTED)
		return ERR_PTR(-EOPNOTSUPP);
	if (!length || length > TBIB_MAX_MR_SIZE)
		return ERR_PTR(-EINVAL);
	pages = DIV_ROUND_UP_ULL(offset_in_page(start) + length, PAGE_SIZE);
	mr = tbib_mr_alloc(pd, TBIB_MR_USER, access);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->umem = ib_umem_get_va(pd->device, start, length, access);
	if (IS_ERR(mr->umem)) {
		err = PTR_ERR(mr->umem);
		goto err_free;
	}
	mr->iova = iova;
	mr->length = length;
	mr->page_off = offset_in_page(start);
	mr->n_pages = pages;
	err = mr_fill_pages(mr);
	if (err)
		goto err_umem;
	tbib_mr_map_all(mr);
	err = tbib_mr_publish(mr);
	if (err)
		goto err_unmap;
	mr->ib.length = length;
	mr->ib.iova = iova;
	return &mr->ib;

err_unmap:
	tbib_mr_unmap_all(mr);
err_umem:
	ib_umem_release(mr->umem);
err_free:
	tbib_mr_free(mr);
	return ERR_PTR(err);
}

static bool writes(u32 access)
{
	return access & (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE |
			 IB_ACCESS_REMOTE_ATOMIC);
}

/* A window that is bound meanwhile has seen the new rights, or is seen here. */
static struct ib_mr *rereg_in_place(struct tbib_mr *mr, struct ib_pd *pd,
				    u32 access)
{
	u32 old_access = mr->access;
	struct ib_pd *old_pd = mr->pd;

	WRITE_ONCE(mr->pd, pd);
	WRITE_ONCE(mr->access, access);
	smp_mb();	/* pairs with tbib_mw_bind() */
	if (!atomic_read(&mr->windows))
		return NULL;
	WRITE_ONCE(mr->pd, old_pd);
	WRITE_ONCE(mr->access, old_access);
	return ERR_PTR(-EBUSY);
}

/*
 * IBTA 11.2.8.5. Other rights and another PD are changed in place, and the keys
 * stay; other memory, or memory that was pinned for reading only, makes a new
 * region with new keys, and the core deregisters the old one.
 */
struct ib_mr *tbib_rereg_user_mr(struct ib_mr *ib, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata)
{
	struct tbib_mr *mr = to_tbib_mr(ib);

	if (mr->kind != TBIB_MR_USER)
		return ERR_PTR(-EOPNOTSUPP);
	if (!(flags & IB_MR_REREG_ACCESS))
		access = mr->access;
	if (access & ~TBIB_ACCESS_SUPPORTED)
		return ERR_PTR(-EOPNOTSUPP);
	if (atomic_read(&mr->windows))
		return ERR_PTR(-EBUSY);
	if (!(flags & IB_MR_REREG_TRANS)) {
		if (!writes(access) || mr->umem->writable)
			return rereg_in_place(mr, pd, access);
		/* the addresses mean what they meant in the process that has them */
		if (mr->umem->owning_mm != current->mm)
			return ERR_PTR(-EINVAL);
		start = mr->umem->address;
		length = mr->length;
		iova = mr->iova;
	}
	return tbib_reg_user_mr(pd, start, length, iova, access, TBIB_NO_DMAH
				udata);
}

int tbib_dereg_mr(struct ib_mr *ib, struct ib_udata *udata)
{
	struct tbib_mr *mr = to_tbib_mr(ib);

	/*
	 * IBTA 10.6.7.2.6. A binding that we miss, because it is made now, leads
	 * nowhere: who uses it pins the region first.
	 */
	if (atomic_read(&mr->windows))
		return -EBUSY;
	/* erase, put, wait, free */
	xa_erase(&mr->dev->mrs, mr->key >> 8);
	WRITE_ONCE(mr->valid, false);
	tbib_mr_unuse(mr);
	wait_for_completion(&mr->idle);
	if (mr->kind == TBIB_MR_USER) {
		tbib_mr_unmap_all(mr);
		ib_umem_release(mr->umem);
	} else if (mr->kind == TBIB_MR_DMABUF) {
		tbib_mr_dmabuf_release(mr);
	}
	kvfree(mr->page);
	kvfree(mr->spare);
	mr->page = NULL;
	tbib_count_give(&mr->dev->counts, TBIB_OBJ_MR);
	tbib_mr_put(mr);
	return 0;
}

struct ib_mr *tbib_alloc_mr(struct ib_pd *pd, enum ib_mr_type type,
			    u32 max_num_sg)
{
	struct tbib_mr *mr;
	int err = -ENOMEM;

	if (type != IB_MR_TYPE_MEM_REG)
		return ERR_PTR(-EOPNOTSUPP);
	if (max_num_sg > TBIB_MAX_FRWR_PAGES)
		return ERR_PTR(-EINVAL);
	mr = tbib_mr_alloc(pd, TBIB_MR_FAST, 0);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->max_pages = max_num_sg;
	mr->page = kvcalloc(max_num_sg, sizeof(*mr->page), GFP_KERNEL);
	mr->spare = kvcalloc(max_num_sg, sizeof(*mr->spare), GFP_KERNEL);
	if (!mr->page || !mr->spare)
		goto err_free;
	err = tbib_mr_publish(mr);
	if (err)
		goto err_free;
	return &mr->ib;

err_free:
	tbib_mr_free(mr);
	return ERR_PTR(err);
}

/* under virtual DMA an "address" is a kernel virtual address */
static int mr_set_page(struct ib_mr *ib, u64 addr)
{
	struct tbib_mr *mr = to_tbib_mr(ib);

	if (mr->n_mapped >= mr->max_pages)
		return -ENOMEM;
	mr->spare[mr->n_mapped++] = (void *)(uintptr_t)addr;
	return 0;
}

/*
 * The region may still be valid: iser maps before it posts LOCAL_INV and REG_MR,
 * and a peer may write until the first of them is executed. What it reaches is
 * what was registered, so the new pages wait for their REG_MR.
 */
int tbib_map_mr_sg(struct ib_mr *ib, struct scatterlist *sg, int nents,
		   unsigned int *sg_offset)
{
	struct tbib_mr *mr = to_tbib_mr(ib);

	mr->n_mapped = 0;
	mr->mapped = true;
	return ib_sg_to_pages(ib, sg, nents, sg_offset, mr_set_page);
}

/* tbib_mr_reg() - IB_WR_REG_MR, in its turn in the send queue */
u8 tbib_mr_reg(struct tbib_vqp *q, struct tbib_mr *mr, u32 key, u32 access)
{
	if (mr->kind != TBIB_MR_FAST || mr->pd != q->pd)
		return TBIB_LOC_QP_OP_ERR;
	guard(spinlock_irqsave)(&mr->lock);
	if (mr->valid || (key >> 8) != (mr->key >> 8))
		return TBIB_LOC_QP_OP_ERR;
	/* nobody copies: who pins an invalid region lets go of it at once */
	if (mr->mapped) {
		swap(mr->page, mr->spare);
		mr->n_pages = mr->n_mapped;
		mr->shift = ilog2(mr->ib.page_size);
		mr->page_off = mr->ib.iova & (mr->ib.page_size - 1);
		mr->mapped = false;
	}
	mr->key = key;
	mr->access = access;
	mr->iova = mr->ib.iova;
	mr->length = mr->ib.length;
	smp_store_release(&mr->valid, true);
	return TBIB_OK;
}

/*
 * The completion of the invalidation gives the pages back to their owner, who
 * may map others into @mr at once. Another QP of the PD may be copying: one
 * packet at most, waiting for nothing. Raw frames never point at such a region.
 */
static void mr_wait_copies(struct tbib_mr *mr)
{
	smp_mb();	/* @valid is cleared; pairs with tbib_mr_pin() */
	while (refcount_read(&mr->users) > 1)
		cpu_relax();
	smp_acquire__after_ctrl_dep();
}

/* Return: false when @key is not its newest key, or nothing is registered. */
static bool mr_take_back(struct tbib_mr *mr, u32 key, bool remote)
{
	guard(spinlock_irqsave)(&mr->lock);
	if (mr->key != key || (remote && !mr->valid))
		return false;
	WRITE_ONCE(mr->valid, false);
	return true;
}

/*
 * tbib_mr_invalidate() - LOCAL_INV, or SEND with invalidate when @remote
 * Of regions, what may be invalidated is a fast registration of the QP's PD.
 * Locally it may be invalid already: a peer's SEND with invalidate can have
 * been first.
 */
u8 tbib_mr_invalidate(struct tbib_vqp *q, u32 key, bool remote)
{
	u8 status = remote ? TBIB_REM_ACCESS_ERR : TBIB_LOC_QP_OP_ERR;
	struct tbib_mr *mr;

	if (tbib_key_is_window(key))
		return tbib_mw_invalidate(q, key, remote);
	rcu_read_lock();
	mr = xa_load(&q->dev->mrs, key >> 8);
	if (mr && mr->kind == TBIB_MR_FAST && mr->pd == q->pd &&
	    mr_take_back(mr, key, remote)) {
		mr_wait_copies(mr);
		status = TBIB_OK;
	}
	rcu_read_unlock();
	return status;
}
