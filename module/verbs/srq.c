// SPDX-License-Identifier: GPL-2.0-only
/* Shared receive queues. */
#include <rdma/uverbs_ioctl.h>
#include "verbs/ibdev.h"

#define TBIB_SRQ_RESCHED	1024	/* entries between scheduling points */

static void srq_limit_work(struct work_struct *work)
{
	struct tbib_srq *srq = container_of(work, struct tbib_srq,
					    limit_event);
	struct ib_event ev = {
		.device = srq->ib.device,
		.element.srq = &srq->ib,
		.event = IB_EVENT_SRQ_LIMIT_REACHED,
	};

	if (srq->ib.event_handler)
		srq->ib.event_handler(&ev, srq->ib.srq_context);
}

int tbib_create_srq(struct ib_srq *ib, struct ib_srq_init_attr *init,
		    struct ib_udata *udata)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct tbib_srq *srq = to_tbib_srq(ib);
	struct rxe_create_srq_resp resp = {};
	struct ib_srq_attr *attr = &init->attr;
	int err;

	if (init->srq_type != IB_SRQT_BASIC)
		return -EOPNOTSUPP;
	if (!attr->max_wr || attr->max_wr > TBIB_MAX_SRQ_WR ||
	    attr->max_sge > TBIB_MAX_SGE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(resp))
		return -EINVAL;
	err = tbib_count_take(&dev->counts, TBIB_OBJ_SRQ, udata);
	if (err)
		return err;
	mutex_init(&srq->resize);
	spin_lock_init(&srq->lock);
	spin_lock_init(&srq->post_lock);
	INIT_WORK(&srq->limit_event, srq_limit_work);
	srq->user = udata;
	/* not armed: programs leave anything in srq_limit, ibv_create_srq(3) */
	srq->limit = 0;
	attr->max_sge = max(attr->max_sge, 1u);
	err = tbib_rq_create(&srq->rq, attr->max_wr, attr->max_sge, udata,
			     &resp.mi);
	if (err)
		goto err_count;
	if (!udata)
		return 0;
	srq->rq.max_wr = srq->rq.q.mask;
	attr->max_wr = srq->rq.max_wr;
	err = ib_copy_to_udata(udata, &resp, sizeof(resp));
	if (err)
		goto err_free;
	return 0;

err_free:
	tbib_queue_free(&srq->rq.q);
err_count:
	tbib_count_give(&dev->counts, TBIB_OBJ_SRQ);
	return err;
}

/*
 * What waits in the old ring, copied to the beginning of another one without a
 * lock: slots are not written while librxe has the SRQ locked, and consuming
 * them, which goes on, changes none. Return: how many.
 */
static u32 srq_copy(struct tbib_queue *to, const struct tbib_queue *from)
{
	u32 n = min(tbib_queue_count(from), to->mask);
	u32 i;

	for (i = 0; i < n; i++) {
		memcpy(tbib_queue_slot(to, i),
		       tbib_queue_slot(from, from->index + i),
		       tbib_queue_elem(to));
		if (!(i % TBIB_SRQ_RESCHED))
			cond_resched();
	}
	return n;
}

/*
 * @to takes the place of the ring of which it has the @n entries from index
 * @first on; srq->lock held. Those consumed since are consumed in @to as well.
 */
static void srq_switch(struct tbib_srq *srq, struct tbib_rq *to, u32 first,
		       u32 n)
{
	const struct tbib_queue *q = &srq->rq.q;

	/* more than @n only where the process goes on posting, to its loss */
	to->q.index = min((q->index - first) & q->mask, n);
	tbib_queue_set_consumer(&to->q, to->q.index);
	tbib_queue_set_producer(&to->q, n);
	srq->rq = *to;
}

/* Under srq->resize. @limit: the new one, or NULL, which leaves it. */
static int srq_replace(struct tbib_srq *srq, struct tbib_rq *to,
		       const u32 *limit)
{
	struct tbib_queue old = srq->rq.q;
	unsigned long flags;
	u32 n;

	/* the index is ours, whoever reads it */
	old.index = READ_ONCE(srq->rq.q.index);
	if (tbib_queue_count(&old) > to->max_wr)
		return -EINVAL;
	n = srq_copy(&to->q, &old);
	spin_lock_irqsave(&srq->lock, flags);
	/* one that stays may have been set, or have been reached, meanwhile */
	if (!limit && srq->limit > to->max_wr) {
		spin_unlock_irqrestore(&srq->lock, flags);
		return -EINVAL;
	}
	srq_switch(srq, to, old.index, n);
	if (limit)
		srq->limit = *limit;
	spin_unlock_irqrestore(&srq->lock, flags);
	tbib_queue_free(&old);
	return 0;
}

/* Programs only: no part of the kernel resizes an SRQ. */
static int srq_resize(struct tbib_srq *srq, u32 max_wr, const u32 *limit,
		      struct ib_udata *udata)
{
	struct rxe_modify_srq_cmd cmd;
	struct mminfo mi = {};
	struct tbib_rq rq;
	int err;

	if (!udata)
		return -EOPNOTSUPP;
	if (!max_wr || max_wr > TBIB_MAX_SRQ_WR ||
	    (limit && *limit > max_wr) || udata->inlen < sizeof(cmd))
		return -EINVAL;
	err = ib_copy_from_udata(&cmd, udata, sizeof(cmd));
	if (err)
		return err;
	err = tbib_rq_create(&rq, max_wr, srq->rq.max_sge, udata, &mi);
	if (err)
		return err;
	err = -EFAULT;
	if (copy_to_user(u64_to_user_ptr(cmd.mmap_info_addr), &mi, sizeof(mi)))
		goto err_free;
	/* as on creation: librxe fills the ring */
	rq.max_wr = rq.q.mask;
	mutex_lock(&srq->resize);
	err = srq_replace(srq, &rq, limit);
	mutex_unlock(&srq->resize);
	if (err)
		goto err_free;
	return 0;

err_free:
	tbib_queue_free(&rq.q);
	return err;
}

int tbib_modify_srq(struct ib_srq *ib, struct ib_srq_attr *attr,
		    enum ib_srq_attr_mask mask, struct ib_udata *udata)
{
	struct tbib_srq *srq = to_tbib_srq(ib);
	const u32 *limit = mask & IB_SRQ_LIMIT ? &attr->srq_limit : NULL;
	unsigned long flags;
	int err = 0;

	if (mask & ~(IB_SRQ_MAX_WR | IB_SRQ_LIMIT))
		return -EINVAL;
	if (mask & IB_SRQ_MAX_WR)
		return srq_resize(srq, attr->max_wr, limit, udata);
	if (!limit)
		return 0;
	spin_lock_irqsave(&srq->lock, flags);
	if (*limit > srq->rq.max_wr)
		err = -EINVAL;
	else
		srq->limit = *limit;
	spin_unlock_irqrestore(&srq->lock, flags);
	return err;
}

int tbib_query_srq(struct ib_srq *ib, struct ib_srq_attr *attr)
{
	struct tbib_srq *srq = to_tbib_srq(ib);

	attr->max_wr = srq->rq.max_wr;
	attr->max_sge = srq->rq.max_sge;
	attr->srq_limit = srq->limit;
	return 0;
}

int tbib_destroy_srq(struct ib_srq *ib, struct ib_udata *udata)
{
	struct tbib_srq *srq = to_tbib_srq(ib);

	cancel_work_sync(&srq->limit_event);
	tbib_queue_free(&srq->rq.q);
	tbib_count_give(&to_tbib_dev(ib->device)->counts, TBIB_OBJ_SRQ);
	return 0;
}

int tbib_post_srq_recv(struct ib_srq *ib, const struct ib_recv_wr *wr,
		       const struct ib_recv_wr **bad)
{
	struct tbib_srq *srq = to_tbib_srq(ib);
	unsigned long flags;
	int err = 0;

	if (srq->user)
		return -EINVAL;
	spin_lock_irqsave(&srq->post_lock, flags);
	for (; wr; wr = wr->next) {
		err = tbib_rq_post(&srq->rq, wr);
		if (err) {
			*bad = wr;
			break;
		}
	}
	spin_unlock_irqrestore(&srq->post_lock, flags);
	return err;
}

/*
 * tbib_srq_take() - consume the oldest receive; a QP lock is held
 * Slots of an SRQ are free again when taken: QPs complete out of order.
 * Return: false = empty.
 */
bool tbib_srq_take(struct tbib_srq *srq, struct tbib_rwqe *r)
{
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&srq->lock, flags);
	got = tbib_rq_peek(&srq->rq, r);
	if (got) {
		r->srq = srq;
		tbib_rq_advance(&srq->rq);
		/* IBTA 10.2.9.3: fires once, then wants to be armed again */
		if (srq->limit && tbib_queue_count(&srq->rq.q) < srq->limit) {
			srq->limit = 0;
			schedule_work(&srq->limit_event);
		}
	}
	spin_unlock_irqrestore(&srq->lock, flags);
	return got;
}
