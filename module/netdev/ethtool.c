// SPDX-License-Identifier: GPL-2.0-only
/* ethtool of tbib0: who it is, how fast, what it has counted. */
#include <linux/ethtool.h>
#include "priv.h"
#include "ring/ring.h"

#define ND_COUNTERS(X) \
	X(tx_copied) X(tx_zerocopy) X(tx_gathered) X(tx_multicast) \
	X(tx_flooded) X(tx_no_route) X(rx_malformed)

static const char counter_names[][ETH_GSTRING_LEN] = {
#define X(n) #n,
	ND_COUNTERS(X)
#undef X
#define X(n) "fabric_" #n,
	TBIB_FABRIC_COUNTERS(X)
#undef X
};

static void get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "tbib", sizeof(info->driver));
	strscpy(info->version, TBIB_VERSION, sizeof(info->version));
	if (dev->dev.parent)
		strscpy(info->bus_info, dev_name(dev->dev.parent),
			sizeof(info->bus_info));
}

static int get_link_ksettings(struct net_device *dev,
			      struct ethtool_link_ksettings *ks)
{
	struct tbib_netdev *nd = netdev_priv(dev);
	u32 speed = READ_ONCE(nd->node->speed_mbps);

	ethtool_link_ksettings_zero_link_mode(ks, supported);
	ethtool_link_ksettings_zero_link_mode(ks, advertising);
	ks->base.speed = speed ? speed : SPEED_UNKNOWN;
	ks->base.duplex = speed ? DUPLEX_FULL : DUPLEX_UNKNOWN;
	ks->base.port = PORT_OTHER;
	ks->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

static void get_ringparam(struct net_device *dev, struct ethtool_ringparam *r,
			  struct kernel_ethtool_ringparam *kr,
			  struct netlink_ext_ack *extack)
{
	r->rx_max_pending = TBIB_RX_RING;
	r->tx_max_pending = TBIB_TX_RING;
	r->rx_pending = TBIB_RX_RING;
	r->tx_pending = TBIB_TX_DEPTH;
}

static int get_coalesce(struct net_device *dev, struct ethtool_coalesce *c,
			struct kernel_ethtool_coalesce *kc,
			struct netlink_ext_ack *extack)
{
	/* sending needs no interrupts */
	c->rx_coalesce_usecs = tbib_ring_interval() / NSEC_PER_USEC;
	return 0;
}

/*
 * Before 7.2 nothing can change the gap. Since then it could, but only for a
 * stopped ring; and NAPI has the better means, which keep the first frame of a
 * burst prompt (design D7).
 */
static int set_coalesce(struct net_device *dev, struct ethtool_coalesce *c,
			struct kernel_ethtool_coalesce *kc,
			struct netlink_ext_ack *extack)
{
	NL_SET_ERR_MSG_MOD(extack,
			   "the gap between interrupts is fixed, set napi_defer_hard_irqs and gro_flush_timeout instead");
	return -EOPNOTSUPP;
}

static int get_sset_count(struct net_device *dev, int sset)
{
	return sset == ETH_SS_STATS ? ARRAY_SIZE(counter_names) : -EOPNOTSUPP;
}

static void get_strings(struct net_device *dev, u32 sset, u8 *data)
{
	if (sset == ETH_SS_STATS)
		memcpy(data, counter_names, sizeof(counter_names));
}

static void get_ethtool_stats(struct net_device *dev,
			      struct ethtool_stats *stats, u64 *data)
{
	struct tbib_netdev *nd = netdev_priv(dev);
	struct tbib_fabric_stats s;

#define X(n) *data++ = nd->stats.n;
	ND_COUNTERS(X)
#undef X
	tbib_fabric_get_stats(nd->node, &s);
#define X(n) *data++ = s.n;
	TBIB_FABRIC_COUNTERS(X)
#undef X
}

const struct ethtool_ops tbib_ethtool_ops = {
	.supported_coalesce_params = ETHTOOL_COALESCE_RX_USECS,
	.get_coalesce = get_coalesce,
	.get_drvinfo = get_drvinfo,
	.get_ethtool_stats = get_ethtool_stats,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = get_link_ksettings,
	.get_ringparam = get_ringparam,
	.get_sset_count = get_sset_count,
	.get_strings = get_strings,
	.set_coalesce = set_coalesce,
};
