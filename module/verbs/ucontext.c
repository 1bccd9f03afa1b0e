// SPDX-License-Identifier: GPL-2.0-only
/* User contexts and protection domains: what the core keeps, and a count. */
#include "verbs/ibdev.h"

int tbib_alloc_ucontext(struct ib_ucontext *ib, struct ib_udata *udata)
{
	return 0;
}

void tbib_dealloc_ucontext(struct ib_ucontext *ib)
{
}

/*
 * The core zaps mappings that it tracks; queue pages are plain memory and may
 * stay with the process. Having this op is what lets the device go while user
 * contexts are open (design D2 b).
 */
void tbib_disassociate_ucontext(struct ib_ucontext *ib)
{
}

int tbib_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return tbib_count_take(&to_tbib_dev(pd->device)->counts, TBIB_OBJ_PD,
			       udata);
}

int tbib_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	tbib_count_give(&to_tbib_dev(pd->device)->counts, TBIB_OBJ_PD);
	return 0;
}
