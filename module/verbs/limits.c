// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits advertised are limits enforced. One count for each kind of object,
 * taken when one is made and given back when it goes; neither happens on the
 * data path.
 */
#include <linux/bug.h>
#include "proto/qp.h"
#include "verbs/limits.h"

static const int max_objects[TBIB_OBJECTS] = {
	[TBIB_OBJ_PD]	= TBIB_MAX_PD,
	[TBIB_OBJ_CQ]	= TBIB_MAX_CQ,
	[TBIB_OBJ_SRQ]	= TBIB_MAX_SRQ,
	[TBIB_OBJ_QP]	= TBIB_MAX_QP,
	[TBIB_OBJ_AH]	= TBIB_MAX_AH,
	[TBIB_OBJ_MR]	= TBIB_MAX_MR,
	[TBIB_OBJ_MW]	= TBIB_MAX_MW,
};

int tbib_count_take(struct tbib_counts *c, enum tbib_object what, bool user)
{
	int max = max_objects[what];
	int n = atomic_read(&c->n[what]);

	if (!user)
		max += max / 16;
	do {
		if (n >= max)
			return -ENOMEM;
	} while (!atomic_try_cmpxchg(&c->n[what], &n, n + 1));
	return 0;
}

void tbib_count_give(struct tbib_counts *c, enum tbib_object what)
{
	atomic_dec(&c->n[what]);
}

/* A count that is lost would refuse objects in the end: better told at once */
void tbib_counts_end(const struct tbib_counts *c)
{
	int what, n;

	for (what = 0; what < TBIB_OBJECTS; what++) {
		n = atomic_read(&c->n[what]);
		WARN(n, "tbib: %d objects of kind %d still counted\n", n, what);
	}
}

void tbib_limits_tell(struct ib_device_attr *attr)
{
	attr->max_pd = max_objects[TBIB_OBJ_PD];
	attr->max_cq = max_objects[TBIB_OBJ_CQ];
	attr->max_srq = max_objects[TBIB_OBJ_SRQ];
	attr->max_qp = max_objects[TBIB_OBJ_QP];
	attr->max_ah = max_objects[TBIB_OBJ_AH];
	attr->max_mr = max_objects[TBIB_OBJ_MR];
	attr->max_mw = max_objects[TBIB_OBJ_MW];
	attr->max_qp_wr = TBIB_MAX_QP_WR;
	attr->max_srq_wr = TBIB_MAX_SRQ_WR;
	attr->max_cqe = TBIB_MAX_CQE;
	attr->max_send_sge = TBIB_MAX_SGE;
	attr->max_recv_sge = TBIB_MAX_SGE;
	attr->max_sge_rd = TBIB_MAX_SGE;
	attr->max_srq_sge = TBIB_MAX_SGE;
	attr->max_fast_reg_page_list_len = TBIB_MAX_FRWR_PAGES;
	attr->max_mcast_grp = TBIB_MAX_MCAST;
	attr->max_mcast_qp_attach = TBIB_MAX_MCAST_QP;
	attr->max_total_mcast_qp_attach = TBIB_MAX_MCAST;
	attr->max_qp_rd_atom = TBIB_MAX_RD_ATOMIC;
	attr->max_qp_init_rd_atom = TBIB_MAX_RD_ATOMIC;
	attr->max_res_rd_atom = TBIB_MAX_RD_ATOMIC * TBIB_MAX_QP;
}
