// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client of our own device, for one thing only: to learn before ib_uverbs
 * that the device goes (rmmod rdma_rxe, unload, loss of the NHI). ib_uverbs
 * then destroys the queue pairs of programs that go on polling mapped CQs and
 * would never look at the kernel again: those are flushed first, so that a
 * program that only polls ends too (design D2 b).
 *
 * Clients are removed in the reverse order of their registration, and ib_uverbs
 * (whose symbols we use) is always there before us.
 */
#include "verbs/ibdev.h"

static int client_add(struct ib_device *ib)
{
	return ib->ops.owner == THIS_MODULE ? 0 : -EOPNOTSUPP;
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
