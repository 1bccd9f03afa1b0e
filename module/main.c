// SPDX-License-Identifier: GPL-2.0-only
/*
 * tbib.ko: RDMA and Ethernet over Thunderbolt/USB4 host-to-host links.
 *
 * The layers are told of each other here, and started bottom-up in the sense of
 * who may call whom: the node exists before its verbs, and the rings come last,
 * because they call upwards as soon as they are there.
 */
#include <linux/module.h>
#include "fabric/fabric.h"
#include "netdev/netdev.h"
#include "verbs/verbs.h"

static int attach(struct tbib_node *node, struct device *parent)
{
	int ret;

	ret = tbib_netdev_create(node, parent);
	if (ret)
		return ret;
	ret = tbib_verbs_register(node);
	if (ret)
		tbib_netdev_destroy(node);
	return ret;
}

static void port_changed(struct tbib_node *node)
{
	tbib_netdev_port_changed(node);
	tbib_verbs_port_changed(node);
}

static const struct tbib_upper_ops upper_ops = {
	.attach = attach,
	.busy = tbib_verbs_busy,
	.detach = tbib_verbs_unregister,
	.detach_netdev = tbib_netdev_destroy,
	.ib_name = tbib_verbs_ib_name,
	.nhi_add = tbib_verbs_nhi_add,
	.nhi_gone = tbib_verbs_nhi_gone,
	.port_changed = port_changed,
	.rx_ethernet = tbib_netdev_rx,
	.rx_transport = tbib_verbs_rx,
};

static int __init tbib_module_init(void)
{
	int ret;

	ret = tbib_verbs_init();
	if (ret)
		return ret;
	ret = tbib_fabric_init(&upper_ops);
	if (ret)
		tbib_verbs_exit();
	return ret;
}

static void __exit tbib_module_exit(void)
{
	tbib_fabric_exit();
	tbib_verbs_exit();
}

module_init(tbib_module_init);
module_exit(tbib_module_exit);

MODULE_DESCRIPTION("RDMA and Ethernet over Thunderbolt/USB4 cables");
MODULE_AUTHOR("The tbib authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_SOFTDEP("pre: thunderbolt");
