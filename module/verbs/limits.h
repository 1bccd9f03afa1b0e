/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the device says it has room for, and how the number of its objects is
 * kept below that. Memory is another matter: it is charged to the memory cgroup
 * of whoever makes us hold it, and the core charges objects to rdma cgroups.
 */
#ifndef TBIB_VERBS_LIMITS_H
#define TBIB_VERBS_LIMITS_H

#include <linux/atomic.h>
#include <rdma/ib_verbs.h>

/* Rings have 2^n slots, one of which stays free: a limit is what fills one */
#define TBIB_MAX_QP_WR		32767
#define TBIB_MAX_SRQ_WR		32767
#define TBIB_MAX_CQE		524287	/* rxm asks for 262144 */

#define TBIB_MAX_PD		65536
#define TBIB_MAX_QP		65536
#define TBIB_MAX_SRQ		65536
#define TBIB_MAX_CQ		65536
#define TBIB_MAX_MR		(1 << 22)
#define TBIB_MAX_MW		(1 << 22)
#define TBIB_MR_INDEX_MAX	0x7fffff	/* of a key; above: windows */
#define TBIB_MAX_AH		0xffffff	/* memory cgroups bound what one user has */
#define TBIB_MAX_MCAST		4096	/* attachments */
#define TBIB_MAX_MCAST_QP	64	/* of them in one group */
#define TBIB_MAX_FRWR_PAGES	512
/* bytes: a table of its pages' addresses has to fit into kvmalloc()'s INT_MAX */
#define TBIB_MAX_MR_SIZE	(1ull << 39)

/** enum tbib_object - what is counted */
enum tbib_object {
	TBIB_OBJ_PD,
	TBIB_OBJ_CQ,
	TBIB_OBJ_SRQ,
	TBIB_OBJ_QP,
	TBIB_OBJ_AH,		/* of programs; see ah.c */
	TBIB_OBJ_MR,
	TBIB_OBJ_MW,
	TBIB_OBJECTS,
};

/** struct tbib_counts - how many there are of each */
struct tbib_counts {
	atomic_t n[TBIB_OBJECTS];
};

/**
 * tbib_count_take() - for a new object
 * @user: a program's. What is advertised is theirs; the kernel's own users have
 * one sixteenth on top, so that no program can take theirs.
 *
 * Return: 0, or -ENOMEM at the limit.
 */
int tbib_count_take(struct tbib_counts *c, enum tbib_object what, bool user);

/** tbib_count_give() - mirror: the object is gone, or could not be made */
void tbib_count_give(struct tbib_counts *c, enum tbib_object what);

/** tbib_counts_end() - every object is gone: is that what was counted? */
void tbib_counts_end(const struct tbib_counts *c);

/** tbib_limits_tell() - the limits among the attributes of a device */
void tbib_limits_tell(struct ib_device_attr *attr);

#endif
