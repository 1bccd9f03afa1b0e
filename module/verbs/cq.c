// SPDX-License-Identifier: GPL-2.0-only
/* Completion queues. */
#include <rdma/uverbs_ioctl.h>
#include "verbs/ibdev.h"

#define TBIB_CQ_RESCHED		1024	/* entries between scheduling points */

/* what librxe expects behind ibv_wc.wc_flags: the user's numbers */
#define USER_WC_GRH		(1u << 0)
#define USER_WC_WITH_IMM	(1u << 1)
#define USER_WC_WITH_INV	(1u << 3)
/*
 * ... and in place of a service level, which RoCE has not: the kind of header in
 * the GRH's place, as RoCE NICs tell it. UCX drops a datagram from an IPv4 GID
 * that does not say so.
 */
#define USER_WC_SL_IPV6		1
#define USER_WC_SL_IPV4		2

static const u8 wc_opcode[TBIB_WR_OPS] = {
	[TBIB_WR_SEND]		= IB_WC_SEND,
	[TBIB_WR_SEND_IMM]	= IB_WC_SEND,
	[TBIB_WR_SEND_INV]	= IB_WC_SEND,
	[TBIB_WR_WRITE]		= IB_WC_RDMA_WRITE,
	[TBIB_WR_WRITE_IMM]	= IB_WC_RDMA_WRITE,
	[TBIB_WR_READ]		= IB_WC_RDMA_READ,
	[TBIB_WR_CMP_SWAP]	= IB_WC_COMP_SWAP,
	[TBIB_WR_FETCH_ADD]	= IB_WC_FETCH_ADD,
	[TBIB_WR_LOCAL_INV]	= IB_WC_LOCAL_INV,
	[TBIB_WR_REG_MR]	= IB_WC_REG_MR,
	[TBIB_WR_BIND_MW]	= IB_UVERBS_WC_BIND_MW,
	[TBIB_WR_ATOMIC_WRITE]	= IB_WC_ATOMIC_WRITE,
	[TBIB_WR_FLUSH]		= IB_WC_FLUSH,
};

static u32 cqe_opcode(const struct tbib_cqe *c)
{
	if (c->recv)
		return c->write_imm ? IB_WC_RECV_RDMA_WITH_IMM : IB_WC_RECV;
	return wc_opcode[c->op];
}

/*
 * For kernel users, in softirq without any lock of ours: their handler may poll
 * and post.
 */
static void cq_notify_work(struct work_struct *work)
{
	struct tbib_cq *cq = container_of(work, struct tbib_cq, notify);

	if (cq->ib.comp_handler)
		cq->ib.comp_handler(&cq->ib, cq->ib.cq_context);
}

/* That of uverbs only queues an event and wakes: at once, under the QP's lock */
static void cq_notify(struct tbib_cq *cq)
{
	struct tbib_node *node = to_tbib_dev(cq->ib.device)->node;

	WRITE_ONCE(node->wakes, node->wakes + 1);
	if (!cq->user)
		queue_work(system_bh_wq, &cq->notify);
	else if (cq->ib.comp_handler)
		cq->ib.comp_handler(&cq->ib, cq->ib.cq_context);
}

/* a completion was lost, which its owner may wait for: IBTA 10.10.2.3 */
static void cq_error_work(struct work_struct *work)
{
	struct tbib_cq *cq = container_of(work, struct tbib_cq, error);
	struct tbib_ibdev *dev = to_tbib_dev(cq->ib.device);
	struct ib_event ev = {
		.device = cq->ib.device,
		.element.cq = &cq->ib,
		.event = IB_EVENT_CQ_ERR,
	};
	unsigned long index;
	struct tbib_vqp *q;

	rcu_read_lock();
	xa_for_each(&dev->qps, index, q)
		if (q->scq == cq || q->rcq == cq)
			tbib_vqp_fail(q);
	rcu_read_unlock();
	if (cq->ib.event_handler)
		cq->ib.event_handler(&ev, cq->ib.cq_context);
}

static u32 cqe_size(bool user)
{
	return user ? sizeof(struct ib_uverbs_wc) : sizeof(struct ib_wc);
}

int tbib_create_cq(struct ib_cq *ib, const struct ib_cq_init_attr *attr,
		   struct uverbs_attr_bundle *attrs)
{
	struct ib_udata *udata = attrs ? &attrs->driver_udata : NULL;
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct tbib_cq *cq = to_tbib_cq(ib);
	struct rxe_create_cq_resp resp = {};
	int err;

	if (attr->flags)
		return -EOPNOTSUPP;
	if (!attr->cqe || attr->cqe > TBIB_MAX_CQE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(resp))
		return -EINVAL;
	err = tbib_count_take(&dev->counts, TBIB_OBJ_CQ, udata);
	if (err)
		return err;
	spin_lock_init(&cq->lock);
	mutex_init(&cq->resize);
	INIT_WORK(&cq->notify, cq_notify_work);
	INIT_WORK(&cq->error, cq_error_work);
	cq->user = udata;
	err = tbib_queue_alloc(&cq->q, attr->cqe, max(cqe_size(cq->user), 64u),
			       udata, &resp.mi);
	if (err)
		goto err_count;
	ib->cqe = cq->q.mask;
	if (!udata)
		return 0;
	err = ib_copy_to_udata(udata, &resp, sizeof(resp));
	if (err)
		goto err_free;
	return 0;

err_free:
	tbib_queue_free(&cq->q);
err_count:
	tbib_count_give(&dev->counts, TBIB_OBJ_CQ);
	return err;
}

/* Every QP is gone (core's usecnt): nothing can queue these again. */
int tbib_cq_silence(struct ib_cq *ib)
{
	struct tbib_cq *cq = to_tbib_cq(ib);

	cancel_work_sync(&cq->notify);
	cancel_work_sync(&cq->error);
	return 0;
}

void tbib_cq_release(struct ib_cq *ib)
{
	tbib_queue_free(&to_tbib_cq(ib)->q);
	tbib_count_give(&to_tbib_dev(ib->device)->counts, TBIB_OBJ_CQ);
}

int tbib_destroy_cq(struct ib_cq *ib, struct ib_udata *udata)
{
	tbib_cq_silence(ib);
	tbib_cq_release(ib);
	return 0;
}

/*
 * Completions go to @to from now on, behind room for those that wait; cq->lock
 * held. O(1): what waits may be half a million entries.
 * Return: how many wait, or -EINVAL when they do not fit.
 */
static int cq_switch(struct tbib_cq *cq, struct tbib_queue *to)
{
	u32 n = (cq->q.index - tbib_queue_consumer(&cq->q)) & cq->q.mask;

	if (n > to->mask)
		return -EINVAL;
	to->index = n;
	tbib_queue_set_producer(to, n);
	cq->q = *to;
	cq->ib.cqe = to->mask;
	return n;
}

/*
 * The room is filled without a lock. Nobody else looks at either half
 * meanwhile: the owner polls neither ring until resize_cq returns (librxe locks
 * the CQ for that long), and the first @n slots of the new one are not free
 * before the owner has polled them. One that polls all the same may find slots
 * of zeros; the memory is its own.
 */
static void cq_copy(struct tbib_queue *to, const struct tbib_queue *from, u32 n)
{
	u32 cons = from->index - n;
	u32 i;

	for (i = 0; i < n; i++) {
		memcpy(tbib_queue_slot(to, i), tbib_queue_slot(from, cons + i),
		       tbib_queue_elem(to));
		if (!(i % TBIB_CQ_RESCHED))
			cond_resched();
	}
}

/* Programs only: no part of the kernel resizes a CQ. */
int tbib_resize_cq(struct ib_cq *ib, tbib_cqe_count_t cqe,
		   struct ib_udata *udata)
{
	struct tbib_cq *cq = to_tbib_cq(ib);
	struct rxe_resize_cq_resp resp = {};
	struct tbib_queue q, old;
	unsigned long flags;
	int err, n;

	if (!udata)
		return -EOPNOTSUPP;
	if (cqe < 1 || cqe > TBIB_MAX_CQE || udata->outlen < sizeof(resp))
		return -EINVAL;
	err = tbib_queue_alloc(&q, cqe, max(cqe_size(true), 64u), udata,
			       &resp.mi);
	if (err)
		return err;
	/* first tell, then switch: a fault must leave the CQ alone */
	err = ib_copy_to_udata(udata, &resp, sizeof(resp));
	if (err)
		goto err_free;
	mutex_lock(&cq->resize);
	spin_lock_irqsave(&cq->lock, flags);
	old = cq->q;
	n = cq_switch(cq, &q);
	spin_unlock_irqrestore(&cq->lock, flags);
	if (n > 0)
		cq_copy(&q, &old, n);
	mutex_unlock(&cq->resize);
	if (n < 0) {
		err = n;
		goto err_free;
	}
	tbib_queue_free(&old);
	return 0;

err_free:
	tbib_queue_free(&q);
	return err;
}

static void fill_user_wc(struct ib_uverbs_wc *wc, const struct tbib_vqp *q,
			 const struct tbib_cqe *c)
{
	memset(wc, 0, sizeof(*wc));
	wc->wr_id = c->wr_id;
	wc->status = c->status;
	wc->opcode = cqe_opcode(c);
	wc->byte_len = c->byte_len;
	wc->qp_num = q->core.qpn;
	wc->src_qp = c->src_qp;
	wc->port_num = 1;
	if (c->grh_valid)
		wc->wc_flags |= USER_WC_GRH;
	if (c->ip_version)
		wc->sl = c->ip_version == 4 ? USER_WC_SL_IPV4 : USER_WC_SL_IPV6;
	if (c->inv_valid) {
		wc->wc_flags |= USER_WC_WITH_INV;
		wc->ex.invalidate_rkey = c->imm;
	} else if (c->imm_valid) {
		wc->wc_flags |= USER_WC_WITH_IMM;
		wc->ex.imm_data = cpu_to_be32(c->imm);
	}
}

static void fill_kernel_wc(struct ib_wc *wc, const struct tbib_vqp *q,
			   const struct tbib_cqe *c)
{
	memset(wc, 0, sizeof(*wc));
	wc->wr_id = c->wr_id;
	wc->status = (enum ib_wc_status)c->status;
	wc->opcode = (enum ib_wc_opcode)cqe_opcode(c);
	wc->byte_len = c->byte_len;
	wc->qp = q->ib;
	wc->src_qp = c->src_qp;
	wc->port_num = 1;
	if (c->grh_valid)
		wc->wc_flags |= IB_WC_GRH;
	if (c->grh_valid && q->rx_vlan != TBIB_NO_VLAN) {
		wc->wc_flags |= IB_WC_WITH_VLAN;
		wc->vlan_id = q->rx_vlan;
	}
	if (c->inv_valid) {
		wc->wc_flags |= IB_WC_WITH_INVALIDATE;
		wc->ex.invalidate_rkey = c->imm;
	} else if (c->imm_valid) {
		wc->wc_flags |= IB_WC_WITH_IMM;
		wc->ex.imm_data = cpu_to_be32(c->imm);
	}
}

/*
 * tbib_cq_add() - append a completion of @q; its lock is held
 * A full queue loses the completion and raises CQ_ERR (IBTA 11.6.3.1), once
 * until it has room again for one that tells of no error; its QPs stop. Those
 * in ERR are flushed without a system call, so that what is flushed may not
 * bring one event after the other.
 */
void tbib_cq_add(struct tbib_cq *cq, struct tbib_vqp *q,
		 const struct tbib_cqe *c)
{
	bool wakes = c->solicited || c->status != TBIB_OK, notify = false;
	unsigned long flags;
	void *slot;
	u32 next;

	spin_lock_irqsave(&cq->lock, flags);
	next = (cq->q.index + 1) & cq->q.mask;
	if (unlikely(next == tbib_queue_consumer(&cq->q))) {
		if (!cq->overflow)
			schedule_work(&cq->error);
		cq->overflow = true;
		goto out;
	}
	/* there is room once more: the next loss is told again */
	if (unlikely(cq->overflow) && c->status == TBIB_OK)
		cq->overflow = false;
	slot = tbib_queue_slot(&cq->q, cq->q.index);
	if (cq->user)
		fill_user_wc(slot, q, c);
	else
		fill_kernel_wc(slot, q, c);
	cq->q.index = next;
	tbib_queue_set_producer(&cq->q, next);
	if (cq->armed == IB_CQ_NEXT_COMP ||
	    (cq->armed == IB_CQ_SOLICITED && wakes)) {
		cq->armed = 0;
		notify = true;
	}
out:
	spin_unlock_irqrestore(&cq->lock, flags);
	if (notify)
		cq_notify(cq);
}

int tbib_poll_cq(struct ib_cq *ib, int n, struct ib_wc *wc)
{
	struct tbib_cq *cq = to_tbib_cq(ib);
	unsigned long flags;
	u32 cons;
	int i;

	if (cq->user)
		return -EOPNOTSUPP;	/* librxe polls by itself */
	spin_lock_irqsave(&cq->lock, flags);
	cons = cq->q.buf->consumer_index;
	for (i = 0; i < n && cons != cq->q.index; i++) {
		wc[i] = *(struct ib_wc *)tbib_queue_slot(&cq->q, cons);
		cons = (cons + 1) & cq->q.mask;
	}
	tbib_queue_set_consumer(&cq->q, cons);
	spin_unlock_irqrestore(&cq->lock, flags);
	return i;
}

int tbib_req_notify_cq(struct ib_cq *ib, enum ib_cq_notify_flags flags)
{
	u8 want = flags & IB_CQ_SOLICITED_MASK;
	struct tbib_cq *cq = to_tbib_cq(ib);
	unsigned long irq;
	bool missed;

	spin_lock_irqsave(&cq->lock, irq);
	/* "next completion" asks for more than "solicited" and stays */
	if (cq->armed != IB_CQ_NEXT_COMP)
		cq->armed = want;
	missed = (flags & IB_CQ_REPORT_MISSED_EVENTS) &&
		 tbib_queue_consumer(&cq->q) != cq->q.index;
	spin_unlock_irqrestore(&cq->lock, irq);
	return missed;
}
