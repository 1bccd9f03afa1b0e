// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving bytes: gather and scatter lists, remote memory, atomics.
 *
 * Programs poll the last byte of a message that is written into their memory
 * (ib_write_lat and every ring buffer over RDMA WRITE). memcpy may store it
 * early, so the end of a message is stored last, behind a write barrier.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include "verbs/ibdev.h"

#define TAIL_BYTES 64

/* the end of a message: ascending, its last byte behind everything */
static void copy_tail(u8 *dst, const u8 *src, u32 len)
{
	u32 i;

	smp_wmb();
	for (i = 0; i + 1 < len; i++)
		WRITE_ONCE(dst[i], src[i]);
	smp_wmb();
	WRITE_ONCE(dst[len - 1], src[len - 1]);
}

static void copy_in(u8 *dst, const u8 *src, u32 len, bool last)
{
	u32 tail = last ? min_t(u32, len, TAIL_BYTES) : 0;

	memcpy(dst, src, len - tail);
	if (tail)
		copy_tail(dst + len - tail, src + len - tail, tail);
}

/* address of byte @off of @mr and how many follow in the same page */
static u8 *mr_at(const struct tbib_mr *mr, u64 va, u32 *run)
{
	u32 size = 1u << mr->shift;
	u64 off;

	if (mr->kind == TBIB_MR_DMA) {
		*run = U32_MAX;
		return (u8 *)(uintptr_t)va;
	}
	off = va - mr->iova + mr->page_off;
	*run = size - (off & (size - 1));
	return (u8 *)mr->page[off >> mr->shift] + (off & (size - 1));
}

/* Return: false when the region went away while the message was in progress */
static bool mr_read(struct tbib_mr *mr, u32 key, u64 va, u32 len, u8 *dst)
{
	u32 run;
	u8 *p;

	if (!tbib_mr_pin(mr, key, va, len))
		return false;
	while (len) {
		p = mr_at(mr, va, &run);
		run = min(run, len);
		memcpy(dst, p, run);
		dst += run;
		va += run;
		len -= run;
	}
	tbib_mr_unpin(mr);
	return true;
}

static bool mr_write(struct tbib_mr *mr, u32 key, u64 va, u32 len,
		     const u8 *src, bool last)
{
	u32 run;
	u8 *p;

	if (!tbib_mr_pin(mr, key, va, len))
		return false;
	while (len) {
		p = mr_at(mr, va, &run);
		run = min(run, len);
		copy_in(p, src, run, last && run == len);
		src += run;
		va += run;
		len -= run;
	}
	tbib_mr_unpin(mr);
	return true;
}

/* ---- raw frames ------------------------------------------------------- */

/* the frame before ends where this one begins, in the same page: one frame */
static bool raw_merge(struct tbib_train *t, struct tbib_mr *mr, u8 *p, u32 len)
{
	struct tbib_raw *r = t->n_raw ? &t->raw[t->n_raw - 1] : NULL;

	if (!r || r->kind != TBIB_RAW_MR || r->ref != mr ||
	    (u8 *)r->data + r->len != p || !offset_in_page(p) ||
	    r->len + len > TBIB_FRAME_SIZE)
		return false;
	r->len += len;
	t->raw_bytes += len;
	return true;
}

/* frames that point at the region's own pages; all or nothing */
static bool raw_direct(struct tbib_train *t, struct tbib_mr *mr, u32 key,
		       u64 va, u32 len)
{
	struct tbib_raw raw = { .kind = TBIB_RAW_MR, .ref = mr };
	bool taken = false;
	u32 run;

	if (mr->kind != TBIB_MR_USER || len > TBIB_FRAME_SIZE ||
	    tbib_train_raw_room(t) < 2 || !tbib_mr_pin(mr, key, va, len))
		return false;
	while (len) {
		u8 *p = mr_at(mr, va, &run);

		run = min(run, len);
		if (!raw_merge(t, mr, p, run)) {
			/* the first one takes over the pin */
			if (taken)
				refcount_inc(&mr->users);
			taken = true;
			raw.data = p;
			raw.len = run;
			raw.index = (va - mr->iova + mr->page_off) >>
				    PAGE_SHIFT;
			tbib_train_add_raw(t, &raw);
		}
		va += run;
		len -= run;
	}
	if (!taken)
		tbib_mr_unpin(mr);
	return true;
}

/* a page for payload that has to be copied, or NULL */
static struct page *raw_page(struct tbib_vqp *q, const struct tbib_train *t)
{
	return tbib_train_raw_room(t) ? tbib_bounce_page(q->dev->node) : NULL;
}

/* @page has been filled, unless @status says why not. Return: @status. */
static u8 raw_bounce(struct tbib_vqp *q, struct tbib_train *t,
		     struct page *page, u32 len, u8 status)
{
	struct tbib_raw raw = { .kind = TBIB_RAW_BOUNCE, .len = len };

	if (status) {
		tbib_bounce_put(q->dev->node, page);
		return status;
	}
	raw.ref = page;
	raw.data = page_address(page);
	tbib_train_add_raw(t, &raw);
	return TBIB_OK;
}

/* ---- gather and scatter lists ------------------------------------------ */

/*
 * tbib_sges_get() - resolve lkeys; all or nothing
 * @pd: of the queue that the list was posted to (IBTA 10.2.9.1: an SRQ's own)
 * @whole: every byte will be used, so it must lie in its region. A receive may
 *	be longer than its region, as long as what arrives fits: NICs look at
 *	the bytes that they write, as mr_write() does, and programs rely on it.
 * Return: tbib_status.
 */
u8 tbib_sges_get(struct tbib_vqp *q, struct ib_pd *pd, struct tbib_sge *sge,
		 u32 n, u32 access, bool whole)
{
	struct tbib_mr *mr;
	u32 i;

	for (i = 0; i < n; i++) {
		sge[i].mr = NULL;
		if (!sge[i].len)
			continue;	/* IBTA 10.6.3.1: key not looked at */
		mr = tbib_mr_find(q->dev, sge[i].lkey);
		if (!mr)
			goto err;
		sge[i].mr = mr;
		if (mr->pd != pd || (mr->access & access) != access ||
		    (whole && !tbib_mr_range_ok(mr, sge[i].addr, sge[i].len)))
			goto err_this;
	}
	return TBIB_OK;

err_this:
	i++;
err:
	tbib_sges_put(sge, i);
	return TBIB_LOC_PROT_ERR;
}

void tbib_sges_put(struct tbib_sge *sge, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		if (sge[i].mr)
			tbib_mr_put(sge[i].mr);
		sge[i].mr = NULL;
	}
}

/* entry that holds message offset *@off; *@off becomes the offset in it */
static const struct tbib_sge *sge_at(const struct tbib_sge *sge, u32 n,
				     u32 *off)
{
	for (; n && *off >= sge->len; n--, sge++)
		*off -= sge->len;
	return n ? sge : NULL;
}

static u8 sges_read(const struct tbib_sge *sge, u32 n, u32 off, u32 len,
		    u8 *dst)
{
	const struct tbib_sge *end = sge + n;
	u32 run;

	sge = sge_at(sge, n, &off);
	for (; len && sge && sge < end; sge++, off = 0) {
		run = min(len, sge->len - off);
		if (!run)
			continue;
		if (!mr_read(sge->mr, sge->lkey, sge->addr + off, run, dst))
			return TBIB_LOC_PROT_ERR;
		dst += run;
		len -= run;
	}
	return len ? TBIB_LOC_PROT_ERR : TBIB_OK;
}

static u8 sges_write(const struct tbib_sge *sge, u32 n, u32 off,
		     const struct tbib_payload *p, bool last)
{
	const struct tbib_sge *end = sge + n;
	u32 i, run, done;

	sge = sge_at(sge, n, &off);
	for (i = 0; i < p->n; i++) {
		const struct tbib_piece *piece = &p->piece[i];

		for (done = 0; done < piece->len; done += run) {
			while (sge && sge < end && off >= sge->len) {
				sge++;
				off = 0;
			}
			if (!sge || sge >= end)
				return TBIB_LOC_PROT_ERR;
			run = min(piece->len - done, sge->len - off);
			if (!mr_write(sge->mr, sge->lkey, sge->addr + off, run,
				      piece->data + done,
				      last && i + 1 == p->n &&
				      done + run == piece->len))
				return TBIB_LOC_PROT_ERR;
			off += run;
		}
	}
	return TBIB_OK;
}

static u8 prepare_access(const struct tbib_wqe *w)
{
	switch (w->op) {
	case TBIB_WR_READ:
	case TBIB_WR_CMP_SWAP:
	case TBIB_WR_FETCH_ADD:
		return IB_ACCESS_LOCAL_WRITE;
	default:
		return 0;
	}
}

/* wr.c says what stands where */
static u8 bind_mw(struct tbib_vqp *q, const struct tbib_wqe *w)
{
	const struct tbib_mw_bind b = {
		.key = w->rkey,
		.new_key = lower_32_bits(w->swap_add),
		.lkey = w->imm,
		.access = upper_32_bits(w->swap_add),
		.va = w->remote_addr,
		.length = w->compare,
	};

	return tbib_mw_bind(q, &b);
}

/* tbib_wqe_prepare() - see tbib_qp_ops.wqe_prepare */
u8 tbib_wqe_prepare(struct tbib_qp *core, struct tbib_wqe *w)
{
	struct tbib_vqp *q = core_to_vqp(core);

	switch (w->op) {
	case TBIB_WR_REG_MR:
		/* access flags ride in the field that REG_MR does not use */
		return tbib_mr_reg(q, w->host, w->rkey, w->imm);
	case TBIB_WR_LOCAL_INV:
		return tbib_mr_invalidate(q, w->imm, false);
	case TBIB_WR_BIND_MW:
		return bind_mw(q, w);
	}
	/* wr.c found it malformed */
	if (w->host)
		return (u8)(uintptr_t)w->host;
	if (core->service == TBIB_UD && !w->av.ah)
		return TBIB_LOC_QP_OP_ERR;
	if (w->flags & TBIB_WF_INLINE)
		return TBIB_OK;
	return tbib_sges_get(q, q->pd, tbib_wqe_sge(w), w->n_sge,
			     prepare_access(w), true);
}

/* tbib_wqe_release() - see tbib_qp_ops.wqe_release */
void tbib_wqe_release(struct tbib_qp *core, struct tbib_wqe *w)
{
	if (w->op == TBIB_WR_REG_MR && w->host)
		tbib_mr_put(w->host);
	else if (!(w->flags & TBIB_WF_INLINE))
		tbib_sges_put(tbib_wqe_sge(w), w->n_sge);
	if (w->av.ah)
		tbib_addr_put(w->av.ah);
	w->av.ah = NULL;
	w->host = NULL;
	w->n_sge = 0;
}

u8 tbib_gather(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
	       u32 len, u8 *dst)
{
	if (!(w->flags & TBIB_WF_INLINE))
		return sges_read(tbib_wqe_sge(w), w->n_sge, off, len, dst);
	memcpy(dst, tbib_wqe_inl(w) + off, len);
	return TBIB_OK;
}

u8 tbib_gather_raw(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
		   u32 len, struct tbib_train *t)
{
	struct tbib_vqp *q = core_to_vqp(core);
	const struct tbib_sge *sge;
	struct page *page;
	u32 in_sge = off;
	u8 status;

	if (!(w->flags & TBIB_WF_INLINE)) {
		sge = sge_at(tbib_wqe_sge(w), w->n_sge, &in_sge);
		if (sge && len <= sge->len - in_sge &&
		    raw_direct(t, sge->mr, sge->lkey, sge->addr + in_sge,
			       len))
			return TBIB_OK;
	}
	page = raw_page(q, t);
	if (!page)
		return TBIB_NO_PAGE;
	status = tbib_gather(core, w, off, len, page_address(page));
	return raw_bounce(q, t, page, len, status);
}

u8 tbib_scatter(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
		const struct tbib_payload *p, bool last)
{
	return sges_write(tbib_wqe_sge(w), w->n_sge, off, p, last);
}

u8 tbib_recv_scatter(struct tbib_qp *core, const struct tbib_rwqe *r,
		     u32 off, const struct tbib_payload *p, bool last)
{
	return sges_write(r->sge, r->n_sge, off, p, last);
}

/* ---- remote memory ----------------------------------------------------- */

/* tbib_mem_get() - see tbib_qp_ops.mem_get */
u8 tbib_mem_get(struct tbib_qp *core, u32 rkey, u64 va, u32 len, u32 access,
		struct tbib_mem *m)
{
	struct tbib_vqp *q = core_to_vqp(core);
	struct tbib_mr *mr;

	memset(m, 0, sizeof(*m));
	/* the core has checked the QP's own access flags */
	if (tbib_key_is_window(rkey))
		return tbib_mw_get(q, rkey, va, len, access, m);
	mr = tbib_mr_find(q->dev, rkey);
	if (!mr)
		return TBIB_REM_ACCESS_ERR;
	if (mr->pd != q->pd || (mr->access & access) != access ||
	    !tbib_mr_range_ok(mr, va, len)) {
		tbib_mr_put(mr);
		return TBIB_REM_ACCESS_ERR;
	}
	m->mr = mr;
	m->va = va;
	m->len = len;
	m->rkey = rkey;
	m->access = access;
	return TBIB_OK;
}

void tbib_mem_put(struct tbib_qp *core, struct tbib_mem *m)
{
	if (m->mr)
		tbib_mr_put(m->mr);
	if (m->mw)
		tbib_mw_put(m->mw);
	m->mr = NULL;
	m->mw = NULL;
}

/*
 * mem_granted() - what rereg_mr may have taken since the message began
 * A window's own rights do not change, nor do those of its region before it is
 * unbound.
 */
static bool mem_granted(const struct tbib_vqp *q, const struct tbib_mem *m)
{
	const struct tbib_mr *mr = m->mr;

	return m->mw || (READ_ONCE(mr->pd) == q->pd &&
			 (READ_ONCE(mr->access) & m->access) == m->access);
}

/* between these two no window is taken away; QP lock held */
static bool mem_enter(const struct tbib_vqp *q, const struct tbib_mem *m)
{
	return mem_granted(q, m) &&
	       (!m->mw || tbib_mw_enter(m->mw, m->binding));
}

static void mem_leave(const struct tbib_mem *m)
{
	if (m->mw)
		tbib_mw_leave(m->mw);
}

u8 tbib_mem_read(struct tbib_qp *core, const struct tbib_mem *m, u32 off,
		 u32 len, u8 *dst)
{
	bool ok;

	if (!mem_enter(core_to_vqp(core), m))
		return TBIB_REM_ACCESS_ERR;
	ok = mr_read(m->mr, m->rkey, m->va + off, len, dst);
	mem_leave(m);
	return ok ? TBIB_OK : TBIB_REM_ACCESS_ERR;
}

u8 tbib_mem_read_raw(struct tbib_qp *core, const struct tbib_mem *m,
		     u32 off, u32 len, struct tbib_train *t)
{
	struct tbib_vqp *q = core_to_vqp(core);
	struct page *page;
	u8 status;

	/* a frame that waits or is repeated would outlive the window */
	if (!m->mw && mem_granted(q, m) &&
	    raw_direct(t, m->mr, m->rkey, m->va + off, len))
		return TBIB_OK;
	page = raw_page(q, t);
	if (!page)
		return TBIB_NO_PAGE;
	status = tbib_mem_read(core, m, off, len, page_address(page));
	return raw_bounce(q, t, page, len, status);
}

u8 tbib_mem_write(struct tbib_qp *core, const struct tbib_mem *m, u32 off,
		  const struct tbib_payload *p, bool last)
{
	u64 va = m->va + off;
	bool ok = true;
	u32 i;

	if (!mem_enter(core_to_vqp(core), m))
		return TBIB_REM_ACCESS_ERR;
	for (i = 0; i < p->n && ok; i++) {
		ok = mr_write(m->mr, m->rkey, va, p->piece[i].len,
			      p->piece[i].data, last && i + 1 == p->n);
		va += p->piece[i].len;
	}
	mem_leave(m);
	return ok ? TBIB_OK : TBIB_REM_ACCESS_ERR;
}

static u8 mr_atomic(const struct tbib_mem *m, enum tbib_atomic what,
		    u64 swap_add, u64 compare, u64 *orig)
{
	struct tbib_mr *mr = m->mr;
	u8 status = TBIB_OK;
	u32 run;
	u64 *p;

	if (!tbib_mr_pin(mr, m->rkey, m->va, 8))
		return TBIB_REM_ACCESS_ERR;
	p = (u64 *)mr_at(mr, m->va, &run);
	/* iova and memory may be aligned differently */
	if (!IS_ALIGNED((uintptr_t)p, 8))
		status = TBIB_REM_INV_REQ_ERR;
	else if (what == TBIB_ATOMIC_STORE)
		smp_store_release(p, swap_add);
	else if (what == TBIB_ATOMIC_CAS)
		*orig = cmpxchg(p, compare, swap_add);
	else
		*orig = atomic64_fetch_add(swap_add, (atomic64_t *)p);
	tbib_mr_unpin(mr);
	return status;
}

/*
 * tbib_mem_atomic() - see tbib_qp_ops.mem_atomic
 * cmpxchg on the page itself: atomic towards the process's own instructions
 * too (IB_ATOMIC_GLOB).
 */
u8 tbib_mem_atomic(struct tbib_qp *core, const struct tbib_mem *m,
		   enum tbib_atomic what, u64 swap_add, u64 compare, u64 *orig)
{
	u8 status;

	if (m->va & 7)
		return TBIB_REM_INV_REQ_ERR;	/* IBTA 9.4.5.1 */
	if (!mem_enter(core_to_vqp(core), m))
		return TBIB_REM_ACCESS_ERR;
	status = mr_atomic(m, what, swap_add, compare, orig);
	mem_leave(m);
	return status;
}
