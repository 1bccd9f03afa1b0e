// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory windows: a right to a part of a user region, under an rkey of its own,
 * that is given by a work request and taken back without a system call.
 *
 *	type 1	belongs to the PD, bound again as often as its owner likes
 *	type 2	belongs to the QP that bound it (2B), until it is invalidated
 *
 * Each binding has a number. A message in progress keeps the number of the
 * binding that let it in, and asks for it at every packet: a window that has
 * been taken back, or bound to something else, ends the message. Copies that
 * are going on are waited for, so that the completion of an invalidation means
 * what it says. Raw frames never point at memory that was reached by a window:
 * the NHI could still read it then.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include "verbs/ibdev.h"

/* rkeys of windows have the upper half of the numbers; regions the lower one */
#define MW_INDEX_MIN	(TBIB_MR_INDEX_MAX + 1)
#define MW_INDEX_MAX	0xffffff

#define MW_ACCESS \
	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | \
	 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC | IB_ZERO_BASED | \
	 IB_ACCESS_OPTIONAL)

/*
 * struct tbib_window - what an rkey leads to; freed by RCU
 * @ref: the ib_mw, and messages in progress
 * @users: 1, and copies going on; a binding ends when only 1 is left
 * @lock: guards everything below; inside vqp.lock
 * @binding: number of the binding, 0 = not bound; read without @lock
 * @qp_serial: type 2: the QP that may use it
 * @mr: what it is bound to, referenced
 */
struct tbib_window {
	struct rcu_head rcu;
	refcount_t ref;
	refcount_t users;
	struct tbib_ibdev *dev;
	struct ib_pd *pd;
	bool type2;

	spinlock_t lock;
	u32 key;
	u64 binding;
	u64 last_binding;
	u64 qp_serial;
	struct tbib_mr *mr;
	u32 access;
	u64 va;
	u64 length;
};

int tbib_alloc_mw(struct ib_mw *ib, struct ib_udata *udata)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct tbib_window *w;
	u32 index;
	int err;

	if (ib->type != IB_MW_TYPE_1 && ib->type != IB_MW_TYPE_2)
		return -EINVAL;
	err = tbib_count_take(&dev->counts, TBIB_OBJ_MW, true);
	if (err)
		return err;
	err = -ENOMEM;
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		goto err_count;
	refcount_set(&w->ref, 1);
	refcount_set(&w->users, 1);
	spin_lock_init(&w->lock);
	w->dev = dev;
	w->pd = ib->pd;
	w->type2 = ib->type == IB_MW_TYPE_2;
	err = xa_alloc_cyclic(&dev->mws, &index, NULL,
			      XA_LIMIT(MW_INDEX_MIN, MW_INDEX_MAX),
			      &dev->next_mw, GFP_KERNEL);
	if (err < 0)
		goto err_free;
	w->key = index << 8 | (get_random_u32() & 0xff);
	ib->rkey = w->key;
	to_tbib_mw(ib)->window = w;
	/* publish last; cannot fail, the place is reserved */
	xa_store(&dev->mws, index, w, GFP_KERNEL);
	return 0;

err_free:
	kfree(w);
err_count:
	tbib_count_give(&dev->counts, TBIB_OBJ_MW);
	return err;
}

static void window_put(struct tbib_window *w)
{
	if (refcount_dec_and_test(&w->ref))
		kfree_rcu(w, rcu);
}

/*
 * Nobody comes in any more, and who is in has left. As with fast registrations:
 * a holder copies one packet at most, waits for nothing and is not preempted.
 * Under w->lock.
 */
static void window_unbind(struct tbib_window *w)
{
	if (!w->binding)
		return;
	WRITE_ONCE(w->binding, 0);
	smp_mb();	/* pairs with tbib_mw_enter() */
	while (refcount_read(&w->users) > 1)
		cpu_relax();
	smp_acquire__after_ctrl_dep();
	atomic_dec(&w->mr->windows);
	tbib_mr_put(w->mr);
	w->mr = NULL;
}

int tbib_dealloc_mw(struct ib_mw *ib)
{
	struct tbib_window *w = to_tbib_mw(ib)->window;
	unsigned long flags;

	xa_erase(&w->dev->mws, w->key >> 8);
	spin_lock_irqsave(&w->lock, flags);
	window_unbind(w);
	/* who has found it before sees that it is gone */
	w->pd = NULL;
	spin_unlock_irqrestore(&w->lock, flags);
	tbib_count_give(&w->dev->counts, TBIB_OBJ_MW);
	window_put(w);
	return 0;
}

/* ---- binding ----------------------------------------------------------- */

/* the window with @key, locked; RCU held for as long as it is */
static struct tbib_window *window_lock(struct tbib_vqp *q, u32 key)
{
	struct tbib_window *w;

	/* the caller has interrupts off */
	w = xa_load(&q->dev->mws, key >> 8);
	if (!w)
		return NULL;
	spin_lock(&w->lock);
	if (w->key == key && w->pd == q->pd)
		return w;
	spin_unlock(&w->lock);
	return NULL;
}

/* IBTA C10-73 .. C10-75: what may a window into @mr be? */
static bool mr_allows(const struct tbib_mr *mr, const struct ib_pd *pd,
		      const struct tbib_mw_bind *b)
{
	const u32 writes = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_ATOMIC;
	u32 access = READ_ONCE(mr->access);

	return mr->kind == TBIB_MR_USER && READ_ONCE(mr->pd) == pd &&
	       access & IB_ACCESS_MW_BIND &&
	       (!(b->access & writes) || access & IB_ACCESS_LOCAL_WRITE) &&
	       tbib_mr_range_ok(mr, b->va, b->length);
}

static bool window_allows(const struct tbib_window *w,
			  const struct tbib_mw_bind *b)
{
	if (b->access & ~MW_ACCESS)
		return false;
	/* type 1 is unbound by binding it to nothing, type 2 is invalidated */
	if (w->type2)
		return !w->binding && b->length;
	return !(b->access & IB_ZERO_BASED);
}

static void window_bind(struct tbib_window *w, struct tbib_mr *mr,
			const struct tbib_vqp *q, const struct tbib_mw_bind *b)
{
	window_unbind(w);
	w->key = (w->key & ~0xffu) | (b->new_key & 0xff);
	if (!mr)
		return;
	w->mr = mr;
	w->access = b->access;
	w->va = b->va;
	w->length = b->length;
	w->qp_serial = q->serial;
	smp_store_release(&w->binding, ++w->last_binding);
}

/*
 * tbib_mw_bind() - IB_WR_BIND_MW, in its turn in the send queue
 * QP lock held. Return: enum tbib_status.
 */
u8 tbib_mw_bind(struct tbib_vqp *q, const struct tbib_mw_bind *b)
{
	u8 status = TBIB_MW_BIND_ERR;
	struct tbib_mr *mr = NULL;
	struct tbib_window *w;

	if (b->length) {
		mr = tbib_mr_find(q->dev, b->lkey);
		if (!mr)
			return status;
		atomic_inc(&mr->windows);
		smp_mb__after_atomic();	/* pairs with rereg_in_place() */
		if (!mr_allows(mr, q->pd, b))
			goto out;
	}
	rcu_read_lock();
	w = window_lock(q, b->key);
	if (w && window_allows(w, b)) {
		window_bind(w, mr, q, b);
		mr = NULL;	/* the window has it */
		status = TBIB_OK;
	}
	if (w)
		spin_unlock(&w->lock);
	rcu_read_unlock();
out:
	if (mr) {
		atomic_dec(&mr->windows);
		tbib_mr_put(mr);
	}
	return status;
}

/*
 * tbib_mw_invalidate() - LOCAL_INV, or SEND with invalidate when @remote
 * Type 2 only (IBTA o10-37.2.26); a peer only what its own QP has been given.
 */
u8 tbib_mw_invalidate(struct tbib_vqp *q, u32 key, bool remote)
{
	u8 status = remote ? TBIB_REM_ACCESS_ERR : TBIB_LOC_QP_OP_ERR;
	struct tbib_window *w;

	rcu_read_lock();
	w = window_lock(q, key);
	if (w && w->type2 &&
	    (!remote || (w->binding && w->qp_serial == q->serial))) {
		window_unbind(w);
		status = TBIB_OK;
	}
	if (w)
		spin_unlock(&w->lock);
	rcu_read_unlock();
	return status;
}

/* ---- access ------------------------------------------------------------- */

static bool window_grants(const struct tbib_window *w, const struct tbib_vqp *q,
			  u64 va, u32 len, u32 access)
{
	u64 start = w->access & IB_ZERO_BASED ? 0 : w->va;

	if (!w->binding || (w->access & access) != access ||
	    (w->type2 && w->qp_serial != q->serial))
		return false;
	return va >= start && len <= w->length &&
	       va - start <= w->length - len;
}

/* tbib_mw_get() - as tbib_mem_get() for the rkey of a window; QP lock held */
u8 tbib_mw_get(struct tbib_vqp *q, u32 rkey, u64 va, u32 len, u32 access,
	       struct tbib_mem *m)
{
	u8 status = TBIB_REM_ACCESS_ERR;
	struct tbib_window *w;

	rcu_read_lock();
	w = window_lock(q, rkey);
	if (!w)
		goto out;
	if (window_grants(w, q, va, len, access)) {
		refcount_inc(&w->ref);
		refcount_inc(&w->mr->ref);
		m->mw = w;
		m->binding = w->binding;
		m->mr = w->mr;
		m->rkey = w->mr->key;
		m->va = w->access & IB_ZERO_BASED ? w->va + va : va;
		m->len = len;
		status = TBIB_OK;
	}
	spin_unlock(&w->lock);
out:
	rcu_read_unlock();
	return status;
}

void tbib_mw_put(struct tbib_window *w)
{
	window_put(w);
}

/*
 * tbib_mw_enter() - may the message go on? QP lock held, until tbib_mw_leave()
 * What is done between them waits for nothing and is not preempted.
 */
bool tbib_mw_enter(struct tbib_window *w, u64 binding)
{
	preempt_disable();	/* it is waited for by spinning */
	refcount_inc(&w->users);
	/* window_unbind() clears @binding and looks at @users then */
	smp_mb__after_atomic();
	if (likely(smp_load_acquire(&w->binding) == binding))
		return true;
	refcount_dec(&w->users);
	preempt_enable();
	return false;
}

void tbib_mw_leave(struct tbib_window *w)
{
	/* what was copied stands before it is given back */
	smp_mb__before_atomic();
	refcount_dec(&w->users);
	preempt_enable();
}
