// SPDX-License-Identifier: GPL-2.0-only
/* Transport packets from the fabric: proof of the header, then the QP. */
#include <rdma/ib_mad.h>
#include "verbs/ibdev.h"

#define SERVICE_MASK	0xe0
#define PKEY_BASE	0x7fff

/*
 * A packet is accepted only from the node that the QP is connected to; a
 * datagram needs the Q_Key (IBTA 9.6.1.5, design D11).
 */
static bool source_ok(struct tbib_vqp *q, const struct tbib_bth *b,
		      const struct tbib_peer *from)
{
	if (q->core.service == TBIB_UD) {
		if (b->qkey == (q->type == IB_QPT_GSI ? IB_QP1_QKEY :
							q->attr.qkey))
			return true;
		q->stats.bad_qkey++;
		return false;
	}
	if (from->guid == q->peer_guid)
		return true;
	q->stats.foreign_peer++;
	return false;
}

/* tbib_vqp_rx() - a packet for @q; under rcu_read_lock */
void tbib_vqp_rx(struct tbib_vqp *q, const struct tbib_bth *b,
		 const struct tbib_pkt *p, const struct tbib_peer *from,
		 u16 slid)
{
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	if (q->dying || q->core.state < TBIB_QPS_RTR ||
	    q->core.state == TBIB_QPS_ERR ||
	    (b->opcode & SERVICE_MASK) != q->core.service ||
	    !source_ok(q, b, from))
		goto out;
	/* large READ responses go bulk, as large messages do */
	if ((b->info->flags & TBIB_OI_READ) &&
	    (b->info->flags & TBIB_OI_REQUEST) && tbib_vqp_idle(q))
		q->src.lane = b->dma_len > TBIB_LANE_SMALL ?
			TBIB_LANE_BULK : TBIB_LANE_EXPRESS;
	q->rx_vlan = q->type == IB_QPT_GSI ? tbib_ud_vlan(q->dev, b) :
					     TBIB_NO_VLAN;
	/* the fabric kicks at the end of its poll */
	if (tbib_qp_rx(&q->core, b, p, slid, ktime_get_ns()))
		tbib_vqp_after(q);
out:
	spin_unlock_irqrestore(&q->lock, flags);
}

/* tbib_verbs_rx() - see tbib_upper_ops.rx_transport */
void tbib_verbs_rx(struct tbib_node *node, const struct tbib_pkt *p,
		   struct tbib_peer *from, u16 slid)
{
	struct tbib_ibdev *dev;
	struct tbib_vqp *q;
	struct tbib_bth b;

	dev = READ_ONCE(node->verbs);
	if (!dev || !from || !READ_ONCE(node->admin_up))
		return;
	if (tbib_bth_decode(p->inl, p->inl_len, p->flags & TBIB_PF_GRH, &b) ||
	    (b.pkey & PKEY_BASE) != PKEY_BASE) {
		atomic64_inc(&dev->bad_packet);
		return;
	}
	if (b.dqpn == TBIB_MCAST_QPN) {
		tbib_mcast_rx(dev, &b, p, from, slid);
		return;
	}
	q = xa_load(&dev->qps, b.dqpn);
	if (q)
		tbib_vqp_rx(q, &b, p, from, slid);
	else
		atomic64_inc(&dev->no_qp);
}
