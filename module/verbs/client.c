// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client of our own device, for one thing only: to learn before ib_uverbs
 * that the device goes (rmmod rdma_rxe, unload, loss of the NHI). ib_uverbs
 * then destroys the queue pairs of programs that go on polling mapped CQs and
 * would never look at the kernel again: those are flushed first, so that a
 * program that only polls ends too (design D2 b).
 *
 * Clients are removed in the reverse order of their registration, so ib_uverbs
 * has to be there before us.
 */
#include <rdma/ib_marshall.h>
#include "verbs/ibdev.h"

/* From 7.3 on nothing else that we use is in ib_uverbs: this loads it first */
static void (*const before_us)(struct ib_device *device,
			       struct ib_uverbs_ah_attr *dst,
			       struct rdma_ah_attr *src) __used =
	ib_copy_ah_attr_to_user;

/* Again for a device that has been moved to another network namespace. */
static int client_add(struct ib_device *ib)
{
	if (ib->ops.owner != THIS_MODULE)
		return -EOPNOTSUPP;
	WRITE_ONCE(to_tbib_dev(ib)->removing, false);
	tbib_verbs_tell_again();
	return 0;
}

static void client_remove(struct ib_device *ib, void *data)
{
	WRITE_ONCE(to_tbib_dev(ib)->removing, true);
}

static struct ib_client client = {
	.name = "tbib",
	.add = client_add,
	.remove = client_remove,
};

int tbib_client_register(void)
{
	return ib_register_client(&client);
}

void tbib_client_unregister(void)
{
	ib_unregister_client(&client);
}
