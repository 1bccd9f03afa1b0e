/* SPDX-License-Identifier: GPL-2.0-only */
/* The network device tbib0: Ethernet frames over the fabric. */
#ifndef TBIB_NETDEV_H
#define TBIB_NETDEV_H

#include "fabric/fabric.h"

/**
 * tbib_netdev_create() - allocate and register tbib0 with parent @parent
 * Sets @node->netdev. Process context, may sleep, takes RTNL.
 */
int tbib_netdev_create(struct tbib_node *node, struct device *parent);
/** tbib_netdev_destroy() - mirror; NAPIs that hang on it are gone before */
void tbib_netdev_destroy(struct tbib_node *node);
/** tbib_netdev_port_changed() - carrier and speed follow @node */
void tbib_netdev_port_changed(struct tbib_node *node);
/** tbib_netdev_rx() - see tbib_upper_ops.rx_ethernet */
void tbib_netdev_rx(struct tbib_node *node, const struct tbib_pkt *p,
		    struct tbib_peer *from, struct napi_struct *napi);

#endif
