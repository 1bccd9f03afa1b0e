// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters for `rdma statistic` and sysfs: those of the QPs, summed when asked
 * for, and those of the fabric. What has the name of one of rxe's counts the
 * same:
 *
 *	rdma_sends		SENDs that are done, signalled or not, well or
 *				not, but for flushed ones
 *	rdma_recvs		receives that completed well, WRITEs with
 *				immediate data among them
 *	send_err		packets that had nowhere to go
 *	out_of_seq_request	gaps that were noticed, each with all behind it
 *	rcvd_seq_err		NAKs because of a gap; those that end the
 *				connection are in rcvd_naks
 *
 * req_cqe_error and resp_cqe_error are mlx5's: requests and receives that
 * completed in error, but for flushed ones.
 */
#include "verbs/ibdev.h"

/* X(name in rdma statistic, field of tbib_qp_stats) */
#define CORE_COUNTERS(X) \
	X(sent_pkts, send_pkts) X(rcvd_pkts, recv_pkts) \
	X(duplicate_request, duplicate) X(out_of_seq_request, out_of_seq) \
	X(send_rnr_err, rnr_naks_sent) X(rcvd_rnr_err, rnr_naks_recv) \
	X(sent_naks, naks_sent) X(rcvd_naks, naks_recv) \
	X(sent_seq_err, seq_naks_sent) X(rcvd_seq_err, seq_naks_recv) \
	X(completer_retry_err, retries) X(local_ack_timeout_err, timeouts) \
	X(ack_deferred, acks_deferred) X(tail_probes, tail_probes) \
	X(rdma_sends, sends)

#define X(n, f) { .name = #n },
#define Y(n) { .name = #n },
static const struct rdma_stat_desc counter_descs[] = {
	CORE_COUNTERS(X)
	TBIB_VERBS_COUNTERS(Y)
	{ .name = "no_qp" },
	{ .name = "bad_packet" },
	{ .name = "link_downed" },
	TBIB_FABRIC_COUNTERS(Y)
};
#undef X
#undef Y

static void core_add(struct tbib_qp_stats *sum, const struct tbib_qp_stats *s)
{
#define X(n, f) sum->f += READ_ONCE(s->f);
	CORE_COUNTERS(X)
#undef X
}

static void verbs_add(struct tbib_verbs_stats *sum,
		      const struct tbib_verbs_stats *s)
{
#define X(n) sum->n += READ_ONCE(s->n);
	TBIB_VERBS_COUNTERS(X)
#undef X
}

/*
 * tbib_vqp_account() - keep the counters of a QP that goes, and begin anew
 * Once as it leaves the table, so that no sum is less than an earlier one, and
 * once at its end, for what came meanwhile.
 */
void tbib_vqp_account(struct tbib_vqp *q)
{
	struct tbib_ibdev *dev = q->dev;
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	spin_lock(&dev->gone_lock);
	core_add(&dev->gone_core, &q->core.stats);
	verbs_add(&dev->gone, &q->stats);
	spin_unlock(&dev->gone_lock);
	memset(&q->core.stats, 0, sizeof(q->core.stats));
	memset(&q->stats, 0, sizeof(q->stats));
	spin_unlock_irqrestore(&q->lock, flags);
}

struct rdma_hw_stats *tbib_alloc_hw_port_stats(struct ib_device *ib, u32 port)
{
	return rdma_alloc_hw_stats_struct(counter_descs,
					  ARRAY_SIZE(counter_descs),
					  RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

int tbib_get_hw_stats(struct ib_device *ib, struct rdma_hw_stats *stats,
		      u32 port, int index)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib);
	struct tbib_fabric_stats fab = {};
	struct tbib_verbs_stats sum;
	struct tbib_qp_stats core;
	struct tbib_vqp *q;
	unsigned long qpn;
	int i = 0;

	if (!port)
		return -EINVAL;
	down_write(&dev->qps_sem);
	spin_lock_irq(&dev->gone_lock);
	sum = dev->gone;
	core = dev->gone_core;
	spin_unlock_irq(&dev->gone_lock);
	rcu_read_lock();
	xa_for_each(&dev->qps, qpn, q) {
		core_add(&core, &q->core.stats);
		verbs_add(&sum, &q->stats);
	}
	rcu_read_unlock();
	up_write(&dev->qps_sem);
	tbib_fabric_get_stats(dev->node, &fab);

#define X(n, f) stats->value[i++] = core.f;
	CORE_COUNTERS(X)
#undef X
#define X(n) stats->value[i++] = sum.n;
	TBIB_VERBS_COUNTERS(X)
#undef X
	stats->value[i++] = atomic64_read(&dev->no_qp);
	stats->value[i++] = atomic64_read(&dev->bad_packet);
	stats->value[i++] = atomic64_read(&dev->link_downed);
#define X(n) stats->value[i++] = fab.n;
	TBIB_FABRIC_COUNTERS(X)
#undef X
	return ARRAY_SIZE(counter_descs);
}
