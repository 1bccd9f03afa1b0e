/* SPDX-License-Identifier: GPL-2.0-only */
/* The verbs layer towards main.c: the ib_device tbib0. */
#ifndef TBIB_VERBS_H
#define TBIB_VERBS_H

#include "fabric/fabric.h"

/** tbib_verbs_init() - module notifier for rdma_rxe, workqueue. May sleep. */
int tbib_verbs_init(void);
void tbib_verbs_exit(void);
/**
 * tbib_verbs_register() - a new ib_device shell around @node, whose netdev is
 * registered. Not under RTNL. Sets @node->verbs.
 */
int tbib_verbs_register(struct tbib_node *node);
/** tbib_verbs_unregister() - mirror; waits until users are gone or cut off */
void tbib_verbs_unregister(struct tbib_node *node);
/** tbib_verbs_busy() - somebody has QPs, memory or addresses */
bool tbib_verbs_busy(struct tbib_node *node);
/** tbib_verbs_ib_name() - name of the ib_device, or empty. May sleep. */
void tbib_verbs_ib_name(struct tbib_node *node, char *buf, size_t len);
/** tbib_verbs_port_changed() - dispatch PORT_ACTIVE / PORT_ERR */
void tbib_verbs_port_changed(struct tbib_node *node);
/** tbib_verbs_rx() - see tbib_upper_ops.rx_transport */
void tbib_verbs_rx(struct tbib_node *node, const struct tbib_pkt *p,
		   struct tbib_peer *from, u16 slid);
/** tbib_verbs_nhi_add(), _gone() - map / unmap user MRs for DMA by @dev */
void tbib_verbs_nhi_add(struct tbib_node *node, struct device *dev);
void tbib_verbs_nhi_gone(struct tbib_node *node, struct device *dev);
extern const struct tbib_mr_ops tbib_verbs_mr_ops;

#endif
