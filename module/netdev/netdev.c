// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network device tbib0 as an object: one per host, whatever cables there
 * are. Its MAC is the node's GUID, its carrier the port state. Sending is in
 * tx.c, receiving in rx.c.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include "priv.h"

/* one train carries any frame: 16 raw frames and the headers inline */
#define MAX_MTU		65520

static int nd_open(struct net_device *dev)
{
	struct tbib_netdev *nd = netdev_priv(dev);

	tbib_node_set_admin(nd->node, true);
	netif_tx_start_all_queues(dev);
	return 0;
}

/* frames that ride in trains already come back by themselves */
static int nd_stop(struct net_device *dev)
{
	struct tbib_netdev *nd = netdev_priv(dev);
	u32 i;

	tbib_node_set_admin(nd->node, false);
	netif_tx_disable(dev);
	for (i = 0; i < TBIB_ND_QUEUES; i++)
		tbib_nd_queue_purge(&nd->queue[i]);
	return 0;
}

static const struct net_device_ops nd_ops = {
	.ndo_get_stats64 = dev_get_tstats64,
	.ndo_open = nd_open,
	.ndo_select_queue = tbib_nd_select_queue,
	.ndo_start_xmit = tbib_nd_xmit,
	.ndo_stop = nd_stop,
	.ndo_validate_addr = eth_validate_addr,
};

static void nd_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &nd_ops;
	dev->ethtool_ops = &tbib_ethtool_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->max_mtu = MAX_MTU;
	/*
	 * All ends of the fabric are tbib, so the largest frame is the default:
	 * path MTUs of RDMA connections are derived from it too.
	 */
	dev->mtu = MAX_MTU;
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM |
			   NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN |
			   NETIF_F_GSO_UDP_L4;
	dev->features = dev->hw_features | NETIF_F_HIGHDMA;
	dev->vlan_features = dev->features;
}

int tbib_netdev_create(struct tbib_node *node, struct device *parent)
{
	struct tbib_netdev *nd;
	struct net_device *dev;
	u32 i;
	int ret;

	dev = alloc_netdev_mqs(sizeof(*nd), "tbib%d", NET_NAME_PREDICTABLE,
			       nd_setup, TBIB_ND_QUEUES, 1);
	if (!dev)
		return -ENOMEM;
	nd = netdev_priv(dev);
	nd->node = node;
	SET_NETDEV_DEV(dev, parent);
	/* the GUID is the node's for ever: udev shall not choose another MAC */
	eth_hw_addr_set(dev, node->mac);
	dev->addr_assign_type = NET_ADDR_PERM;
	ether_addr_copy(dev->perm_addr, node->mac);
	for (i = 0; i < TBIB_ND_QUEUES; i++)
		tbib_nd_queue_init(&nd->queue[i], dev, i);
	netif_carrier_off(dev);
	ret = register_netdev(dev);
	if (ret) {
		free_netdev(dev);
		return ret;
	}
	WRITE_ONCE(node->netdev, dev);
	tbib_netdev_port_changed(node);
	return 0;
}

void tbib_netdev_destroy(struct tbib_node *node)
{
	struct net_device *dev = node->netdev;
	struct tbib_netdev *nd;
	u32 i;

	if (!dev)
		return;
	nd = netdev_priv(dev);
	unregister_netdev(dev);
	WRITE_ONCE(node->netdev, NULL);
	for (i = 0; i < TBIB_ND_QUEUES; i++) {
		tbib_source_kill(node, &nd->queue[i].src);
		tbib_nd_queue_purge(&nd->queue[i]);
	}
	free_netdev(dev);
}

void tbib_netdev_port_changed(struct tbib_node *node)
{
	struct net_device *dev = node->netdev;

	if (!dev)
		return;
	if (node->port_state == TBIB_PORT_ACTIVE)
		netif_carrier_on(dev);
	else
		netif_carrier_off(dev);
}
