// SPDX-License-Identifier: GPL-2.0-only
/* What the device and its one port say of themselves. */
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <rdma/ib_mad.h>
#include "verbs/ibdev.h"

/* active_speed and active_width for a rate, as NCCL and others multiply them */
static const struct {
	u32 mbps;
	u16 speed;
	u8 width;
} port_rates[] = {
	{ 2500, IB_SPEED_SDR, IB_WIDTH_1X },
	{ 5000, IB_SPEED_DDR, IB_WIDTH_1X },
	{ 10000, IB_SPEED_QDR, IB_WIDTH_1X },
	{ 20000, IB_SPEED_DDR, IB_WIDTH_4X },
	{ 40000, IB_SPEED_QDR, IB_WIDTH_4X },
	{ 56000, IB_SPEED_FDR, IB_WIDTH_4X },
	{ 80000, IB_SPEED_QDR, IB_WIDTH_8X },
	{ 100000, IB_SPEED_EDR, IB_WIDTH_4X },
	{ 120000, IB_SPEED_QDR, IB_WIDTH_12X },
	{ 200000, IB_SPEED_HDR, IB_WIDTH_4X },
	{ 400000, IB_SPEED_NDR, IB_WIDTH_4X },
};

/* "1.2.3" as librxe unpacks it again */
static u64 fw_ver(void)
{
	unsigned int a = 0, b = 0, c = 0;

	sscanf(THIS_MODULE->version ?: "", "%u.%u.%u", &a, &b, &c);
	return (u64)a << 32 | (b & 0xffff) << 16 | (c & 0xffff);
}

/* revision of the router's host interface, which is our hardware */
static u8 hw_rev(struct device *nhi)
{
	return dev_is_pci(nhi) ? to_pci_dev(nhi)->revision : 0;
}

int tbib_query_device(struct ib_device *ib, struct ib_device_attr *attr,
		      struct ib_udata *udata)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib);

	if (udata && (udata->inlen || udata->outlen))
		return -EINVAL;
	memset(attr, 0, sizeof(*attr));
	attr->fw_ver = fw_ver();
	attr->sys_image_guid = cpu_to_be64(dev->node->guid);
	attr->max_mr_size = TBIB_MAX_MR_SIZE;
	attr->page_size_cap = ~(u64)(PAGE_SIZE - 1);
	attr->vendor_id = 0xffffff;	/* IBTA: no OUI */
	attr->hw_ver = hw_rev(ib->dev.parent);
	attr->device_cap_flags = IB_DEVICE_SYS_IMAGE_GUID |
		IB_DEVICE_RC_RNR_NAK_GEN | IB_DEVICE_PORT_ACTIVE_EVENT |
		IB_DEVICE_CURR_QP_STATE_MOD | IB_DEVICE_SRQ_RESIZE |
		IB_DEVICE_MEM_MGT_EXTENSIONS | IB_DEVICE_ATOMIC_WRITE |
		IB_DEVICE_FLUSH_GLOBAL |
		IB_DEVICE_MEM_WINDOW | IB_DEVICE_MEM_WINDOW_TYPE_2B;
	tbib_limits_tell(attr);
	attr->atomic_cap = IB_ATOMIC_GLOB;	/* cmpxchg on the page */
	attr->max_pkeys = 1;
	attr->local_ca_ack_delay = 15;
	return 0;
}

/* ---- sysfs, as ibstat and ibv_devinfo read it ------------------------------ */

static struct tbib_ibdev *sysfs_dev(struct device *dev)
{
	return rdma_device_to_drv_device(dev, struct tbib_ibdev, ib);
}

static ssize_t hw_rev_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%x\n", hw_rev(sysfs_dev(dev)->ib.dev.parent));
}

static ssize_t hca_type_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "tbib\n");
}

/* vendor and device of the host interface: what other boards do not have */
static ssize_t board_id_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct device *nhi = sysfs_dev(dev)->ib.dev.parent;
	const struct pci_dev *pci;

	if (!dev_is_pci(nhi))
		return sysfs_emit(buf, "%s\n", dev_name(nhi));
	pci = to_pci_dev(nhi);
	return sysfs_emit(buf, "%04x:%04x\n", pci->vendor, pci->device);
}

static DEVICE_ATTR_RO(hw_rev);
static DEVICE_ATTR_RO(hca_type);
static DEVICE_ATTR_RO(board_id);

static struct attribute *device_attrs[] = {
	&dev_attr_hw_rev.attr,
	&dev_attr_hca_type.attr,
	&dev_attr_board_id.attr,
	NULL
};

const struct attribute_group tbib_device_group = { .attrs = device_attrs };

/* -------------------------------------------------------------------------- */

int tbib_modify_device(struct ib_device *ib, int mask,
		       struct ib_device_modify *mod)
{
	if (mask & ~IB_DEVICE_MODIFY_NODE_DESC)
		return -EOPNOTSUPP;
	if (mask & IB_DEVICE_MODIFY_NODE_DESC)
		memcpy(ib->node_desc, mod->node_desc, sizeof(ib->node_desc));
	return 0;
}

void tbib_get_fw_str(struct ib_device *ib, char *str)
{
	strscpy(str, THIS_MODULE->version ?: "", IB_FW_VERSION_NAME_MAX);
}

/*
 * tbib_verbs_port_state() - what RDMA programs see of the port
 * The fabric's state (design D8), but DOWN while the network device is set down:
 * as with other RoCE ports that takes the host's own traffic out of service.
 * Its trunks stay, since others' packets pass through them.
 */
u8 tbib_verbs_port_state(const struct tbib_node *node)
{
	return READ_ONCE(node->admin_up) ? READ_ONCE(node->port_state) :
					   TBIB_PORT_DOWN;
}

int tbib_query_port(struct ib_device *ib, u32 port, struct ib_port_attr *attr)
{
	struct tbib_node *node = to_tbib_dev(ib)->node;
	u8 state = tbib_verbs_port_state(node);
	u32 mbps = READ_ONCE(node->speed_mbps);
	unsigned int i;

	/* the core has zeroed @attr */
	attr->state = (enum ib_port_state)state;
	if (state >= TBIB_PORT_INIT)
		attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	else if (READ_ONCE(node->admin_up))
		attr->phys_state = IB_PORT_PHYS_STATE_POLLING;
	else
		attr->phys_state = IB_PORT_PHYS_STATE_DISABLED;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_4096;
	attr->gid_tbl_len = TBIB_GID_TABLE;
	attr->ip_gids = true;
	attr->port_cap_flags = IB_PORT_CM_SUP;
	attr->max_msg_sz = TBIB_MAX_MSG;
	attr->pkey_tbl_len = 1;
	attr->max_vl_num = 1;
	attr->active_speed = port_rates[0].speed;
	attr->active_width = port_rates[0].width;
	for (i = 1; i < ARRAY_SIZE(port_rates); i++) {
		if (mbps < port_rates[i].mbps)
			break;
		attr->active_speed = port_rates[i].speed;
		attr->active_width = port_rates[i].width;
	}
	return 0;
}

int tbib_modify_port(struct ib_device *ib, u32 port, int mask,
		     struct ib_port_modify *mod)
{
	/* the CM sets IB_PORT_CM_SUP, which is always reported */
	if (mask & ~(IB_PORT_SHUTDOWN | IB_PORT_INIT_TYPE |
		     IB_PORT_RESET_QKEY_CNTR))
		return -EOPNOTSUPP;
	return 0;
}

int tbib_query_pkey(struct ib_device *ib, u32 port, u16 index, u16 *pkey)
{
	if (index)
		return -EINVAL;
	*pkey = IB_DEFAULT_PKEY_FULL;
	return 0;
}

/* RoCE GIDs live in the core's cache, filled from tbib0's IP addresses */
int tbib_query_gid(struct ib_device *ib, u32 port, int index,
		   union ib_gid *gid)
{
	memset(gid, 0, sizeof(*gid));
	return 0;
}

int tbib_port_immutable(struct ib_device *ib, u32 port,
			struct ib_port_immutable *imm)
{
	imm->core_cap_flags = RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP;
	imm->pkey_tbl_len = 1;
	imm->gid_tbl_len = TBIB_GID_TABLE;
	imm->max_mad_size = IB_MGMT_MAD_SIZE;
	return 0;
}

enum rdma_link_layer tbib_link_layer(struct ib_device *ib, u32 port)
{
	return IB_LINK_LAYER_ETHERNET;
}

/*
 * This op, and never ib_device_set_netdev(): the latter would put us into the
 * hash in which rdma_rxe's netdev notifier looks and does container_of.
 */
struct net_device *tbib_get_netdev(struct ib_device *ib, u32 port)
{
	struct net_device *ndev = READ_ONCE(to_tbib_dev(ib)->node->netdev);

	if (ndev)
		dev_hold(ndev);
	return ndev;
}

static void port_tell(struct tbib_ibdev *dev, u8 state)
{
	struct ib_event ev = {
		.device = &dev->ib,
		.element.port_num = 1,
		.event = IB_EVENT_PORT_ACTIVE,
	};
	bool was_active = dev->port_state == TBIB_PORT_ACTIVE;

	dev->port_state = state;
	if (was_active == (state == TBIB_PORT_ACTIVE))
		return;
	if (was_active) {
		ev.event = IB_EVENT_PORT_ERR;
		atomic64_inc(&dev->link_downed);
	}
	ib_dispatch_event(&ev);
}

/*
 * What the core knows of the port is refreshed by these events only. A device
 * that is being registered is told when that is done.
 */
void tbib_verbs_port_changed(struct tbib_node *node)
{
	/* guards port_state: what is told last is what holds */
	static DEFINE_MUTEX(lock);
	struct tbib_ibdev *dev;

	mutex_lock(&lock);
	rcu_read_lock();
	dev = READ_ONCE(node->verbs);
	if (dev && !ib_device_try_get(&dev->ib))
		dev = NULL;
	rcu_read_unlock();
	if (dev) {
		port_tell(dev, tbib_verbs_port_state(node));
		ib_device_put(&dev->ib);
	}
	mutex_unlock(&lock);
}
