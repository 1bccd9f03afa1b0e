// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue pairs: creation, destruction, and what the state machines of
 * proto/qp.h ask of their host.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <rdma/uverbs_ioctl.h>
#include "verbs/ibdev.h"

#define GSI_QPN		1
#define FIRST_QPN	0x10
#define LAST_QPN	0xfffffe
#define ANSWER_MS	10	/* that a last ACK waits for room */

static struct tbib_wqe *vqp_slot(struct tbib_qp *core, u32 index)
{
	struct tbib_vqp *q = core_to_vqp(core);

	return (struct tbib_wqe *)(q->slots + (size_t)index * q->stride);
}

/* ---- callbacks of the core that are not about memory -------------------- */

static void count_completion(struct tbib_vqp *q, const struct tbib_cqe *c)
{
	if (c->status == TBIB_OK) {
		q->stats.rdma_recvs += c->recv;
		return;
	}
	if (c->status == TBIB_RETRY_EXC_ERR)
		q->stats.retry_exceeded_err++;
	else if (c->status == TBIB_RNR_RETRY_EXC_ERR)
		q->stats.retry_rnr_exceeded_err++;
	if (c->status == TBIB_FLUSH_ERR)
		return;
	if (c->recv)
		q->stats.resp_cqe_error++;
	else
		q->stats.req_cqe_error++;
}

static void vqp_complete(struct tbib_qp *core, const struct tbib_cqe *c)
{
	struct tbib_vqp *q = core_to_vqp(core);

	count_completion(q, c);
	if (c->recv) {
		tbib_recv_done(q);
		tbib_cq_add(q->rcq, q, c);
	} else {
		tbib_sq_done(q);
		tbib_cq_add(q->scq, q, c);
	}
}

static u8 vqp_invalidate(struct tbib_qp *core, u32 rkey)
{
	return tbib_mr_invalidate(core_to_vqp(core), rkey, true);
}

static void vqp_event(struct tbib_qp *core, enum tbib_qp_event ev)
{
	struct tbib_vqp *q = core_to_vqp(core);

	if ((ev == TBIB_EV_LAST_WQE && !q->srq) ||
	    (ev == TBIB_EV_SQ_DRAINED && !q->attr.en_sqd_async_notify))
		return;
	set_bit(ev, &q->events);
	schedule_work(&q->event_work);
}

const struct tbib_qp_ops tbib_vqp_ops = {
	.wqe_prepare	= tbib_wqe_prepare,
	.wqe_release	= tbib_wqe_release,
	.gather		= tbib_gather,
	.gather_raw	= tbib_gather_raw,
	.grh		= tbib_ud_grh,
	.scatter	= tbib_scatter,
	.recv_get	= tbib_recv_get,
	.recv_scatter	= tbib_recv_scatter,
	.recv_release	= tbib_recv_release,
	.mem_get	= tbib_mem_get,
	.mem_put	= tbib_mem_put,
	.mem_read	= tbib_mem_read,
	.mem_read_raw	= tbib_mem_read_raw,
	.mem_write	= tbib_mem_write,
	.mem_atomic	= tbib_mem_atomic,
	.invalidate	= vqp_invalidate,
	.complete	= vqp_complete,
	.event		= vqp_event,
};

static const enum ib_event_type vqp_events[] = {
	[TBIB_EV_COMM_EST]	= IB_EVENT_COMM_EST,
	[TBIB_EV_QP_FATAL]	= IB_EVENT_QP_FATAL,
	[TBIB_EV_REQ_ERR]	= IB_EVENT_QP_REQ_ERR,
	[TBIB_EV_ACCESS_ERR]	= IB_EVENT_QP_ACCESS_ERR,
	[TBIB_EV_SQ_DRAINED]	= IB_EVENT_SQ_DRAINED,
	[TBIB_EV_LAST_WQE]	= IB_EVENT_QP_LAST_WQE_REACHED,
};

static void vqp_event_work(struct work_struct *work)
{
	struct tbib_vqp *q = container_of(work, struct tbib_vqp, event_work);
	struct ib_event ev = { .device = q->ib->device, .element.qp = q->ib };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vqp_events); i++) {
		if (!test_and_clear_bit(i, &q->events) ||
		    !q->ib->event_handler)
			continue;
		ev.event = vqp_events[i];
		q->ib->event_handler(&ev, q->ib->qp_context);
	}
}

/* ---- create -------------------------------------------------------------- */

static int check_init(const struct ib_qp_init_attr *init,
		      const struct ib_udata *udata)
{
	const struct ib_qp_cap *cap = &init->cap;

	if (init->create_flags)
		return -EOPNOTSUPP;
	switch (init->qp_type) {
	case IB_QPT_RC:
	case IB_QPT_UC:
	case IB_QPT_UD:
		break;
	case IB_QPT_GSI:
		if (udata)
			return -EPERM;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!init->send_cq || !init->recv_cq)
		return -EINVAL;
	if (cap->max_send_wr > TBIB_MAX_QP_WR ||
	    cap->max_recv_wr > TBIB_MAX_QP_WR ||
	    cap->max_send_sge > TBIB_MAX_SGE ||
	    cap->max_recv_sge > TBIB_MAX_SGE ||
	    cap->max_inline_data > TBIB_MAX_INLINE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(struct rxe_create_qp_resp))
		return -EINVAL;
	return 0;
}

static enum tbib_service vqp_service(enum ib_qp_type type)
{
	switch (type) {
	case IB_QPT_RC:
		return TBIB_RC;
	case IB_QPT_UC:
		return TBIB_UC;
	default:
		return TBIB_UD;
	}
}

/*
 * A kernel QP has a private WQE for everything that can be posted; for a user
 * QP they are a window over the shared ring.
 */
static int create_sq(struct tbib_vqp *q, struct ib_qp_cap *cap,
		     struct ib_udata *udata, struct mminfo *mi)
{
	u32 room;
	int err;

	q->max_wr = max(cap->max_send_wr, 1u);
	q->max_sge = max(cap->max_send_sge, 1u);
	room = max_t(u32, q->max_sge * sizeof(struct rxe_sge),
		     cap->max_inline_data);
	q->max_inline = min_t(u32, room, TBIB_MAX_INLINE);
	q->n_slots = roundup_pow_of_two(q->max_wr);
	if (udata)
		q->n_slots = min_t(u32, q->n_slots, TBIB_SQ_WINDOW);
	q->stride = ALIGN(tbib_wqe_size(q->max_sge, q->max_inline), 8);
	q->slots = kvcalloc(q->n_slots, q->stride, GFP_KERNEL_ACCOUNT);
	if (!q->slots)
		return -ENOMEM;
	cap->max_send_wr = q->max_wr;
	cap->max_send_sge = q->max_sge;
	cap->max_inline_data = q->max_inline;
	if (!udata)
		return 0;
	err = tbib_queue_alloc(&q->sq, q->max_wr,
			       sizeof(struct rxe_send_wqe) + room, udata, mi);
	/* librxe posts until the ring is full: say what fits */
	if (!err)
		cap->max_send_wr = q->sq.mask;
	return err;
}

static int create_rq(struct tbib_vqp *q, struct ib_qp_cap *cap,
		     struct ib_udata *udata, struct mminfo *mi)
{
	int err;

	if (q->srq) {
		cap->max_recv_wr = 0;
		cap->max_recv_sge = 0;
		return 0;
	}
	cap->max_recv_wr = max(cap->max_recv_wr, 1u);
	cap->max_recv_sge = max(cap->max_recv_sge, 1u);
	err = tbib_rq_create(&q->rq, cap->max_recv_wr, cap->max_recv_sge,
			     udata, mi);
	if (!err && udata)
		cap->max_recv_wr = q->rq.q.mask;
	return err;
}

static struct tbib_vqp *vqp_alloc(struct ib_qp *ib,
				  const struct ib_qp_init_attr *init)
{
	struct tbib_vqp *q = kzalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);

	if (!q)
		return NULL;
	mutex_init(&q->modify);
	INIT_LIST_HEAD(&q->mcast);
	spin_lock_init(&q->lock);
	INIT_WORK(&q->event_work, vqp_event_work);
	tbib_vqp_timer_init(q);
	tbib_vqp_sweep_init(q);
	tbib_source_init(&q->src, &tbib_vqp_source_ops, TBIB_LANE_EXPRESS);
	q->dev = to_tbib_dev(ib->device);
	q->ib = ib;
	q->pd = ib->pd;
	q->serial = atomic64_inc_return(&q->dev->serial);
	q->type = init->qp_type;
	q->scq = to_tbib_cq(init->send_cq);
	q->rcq = to_tbib_cq(init->recv_cq);
	q->srq = init->srq ? to_tbib_srq(init->srq) : NULL;
	return q;
}

/* numbers are cyclic from a random start: a late packet finds no new QP */
static int reserve_qpn(struct tbib_vqp *q, u32 *qpn)
{
	struct tbib_ibdev *dev = q->dev;
	int err;

	if (q->type == IB_QPT_GSI) {
		*qpn = GSI_QPN;
		return xa_insert(&dev->qps, GSI_QPN, NULL, GFP_KERNEL);
	}
	err = xa_alloc_cyclic(&dev->qps, qpn, NULL,
			      XA_LIMIT(FIRST_QPN, LAST_QPN), &dev->next_qpn,
			      GFP_KERNEL);
	return err < 0 ? err : 0;
}

static void free_queues(struct tbib_vqp *q)
{
	tbib_queue_free(&q->rq.q);
	tbib_queue_free(&q->sq);
	kvfree(q->slots);
}

int tbib_create_qp(struct ib_qp *ib, struct ib_qp_init_attr *init,
		   struct ib_udata *udata)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib->device);
	struct rxe_create_qp_resp resp = {};
	struct tbib_vqp *q;
	u32 qpn;
	int err;

	err = check_init(init, udata);
	if (err)
		return err;
	err = tbib_count_take(&dev->counts, TBIB_OBJ_QP, udata);
	if (err)
		return err;
	err = -ENOMEM;
	q = vqp_alloc(ib, init);
	if (!q)
		goto err_count;
	q->user = udata;
	err = create_sq(q, &init->cap, udata, &resp.sq_mi);
	if (!err)
		err = create_rq(q, &init->cap, udata, &resp.rq_mi);
	if (err)
		goto err_queues;
	if (udata) {
		err = ib_copy_to_udata(udata, &resp, sizeof(resp));
		if (err)
			goto err_queues;
	}
	err = reserve_qpn(q, &qpn);
	if (err)
		goto err_queues;
	tbib_qp_init(&q->core, &tbib_vqp_ops, qpn, vqp_service(q->type),
		     vqp_slot, q->n_slots);
	q->core.sq_sig_all = init->sq_sig_type == IB_SIGNAL_ALL_WR;
	q->attr.cap = init->cap;
	q->attr.path_mtu = IB_MTU_4096;
	ib->qp_num = qpn;
	to_tbib_qp_shell(ib)->q = q;
	/* publish last; cannot fail, the place is reserved */
	xa_store(&dev->qps, qpn, q, GFP_KERNEL);
	return 0;

err_queues:
	free_queues(q);
	kfree(q);
err_count:
	tbib_count_give(&dev->counts, TBIB_OBJ_QP);
	return err;
}

/* ---- destroy --------------------------------------------------------------- */

/*
 * tbib_vqp_answer() - send the ACK that the QP owes, before it goes
 * A program may destroy its QP as soon as it has the last message. A trunk
 * without room for so long loses the ACK, as any packet may be lost.
 */
void tbib_vqp_answer(struct tbib_vqp *q)
{
	unsigned long end = jiffies + msecs_to_jiffies(ANSWER_MS);
	unsigned long flags;
	bool kick;

	for (;;) {
		spin_lock_irqsave(&q->lock, flags);
		kick = tbib_qp_answer(&q->core) && tbib_vqp_after(q);
		spin_unlock_irqrestore(&q->lock, flags);
		if (!kick)
			return;
		tbib_fabric_kick(q->dev->node);
		if (!READ_ONCE(q->core.resp.ack_pending) ||
		    time_after(jiffies, end))
			return;
		usleep_range(50, 100);
	}
}

int tbib_destroy_qp(struct ib_qp *ib, struct ib_udata *udata)
{
	struct tbib_vqp *q = to_tbib_vqp(ib);
	struct tbib_qp_attr none = {};
	unsigned long flags;

	/* erase, stop, wait, free */
	down_read(&q->dev->qps_sem);
	xa_erase(&q->dev->qps, q->core.qpn);
	tbib_vqp_account(q);
	up_read(&q->dev->qps_sem);
	tbib_mcast_leave(q);
	tbib_vqp_answer(q);
	spin_lock_irqsave(&q->lock, flags);
	if (q->user && READ_ONCE(q->dev->removing)) {
		/* the program may only poll: let it find flushed requests */
		tbib_sq_pull(q);
		tbib_qp_modify(&q->core, TBIB_QPS_ERR, &none);
		spin_unlock_irqrestore(&q->lock, flags);
		tbib_vqp_flush_all(q);
		spin_lock_irqsave(&q->lock, flags);
	}
	tbib_qp_modify(&q->core, TBIB_QPS_RESET, &none);
	q->dying = true;
	spin_unlock_irqrestore(&q->lock, flags);
	tbib_source_kill(q->dev->node, &q->src);
	hrtimer_cancel(&q->timer);
	cancel_work_sync(&q->sweep_work);
	cancel_work_sync(&q->event_work);
	tbib_vqp_account(q);
	if (q->peer)
		tbib_peer_put(q->peer);
	free_queues(q);
	tbib_count_give(&q->dev->counts, TBIB_OBJ_QP);
	/* netlink may still ask for the QP (6.12), see tbib_query_qp() */
	WRITE_ONCE(to_tbib_qp_shell(ib)->q, NULL);
	kfree_rcu(q, rcu);
	return 0;
}
