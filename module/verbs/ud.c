// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 40 bytes in front of every UD datagram (RoCE v2, annex A17): an IPv6
 * header, or for IPv4 addresses 20 unused bytes and an IPv4 header, which is
 * how the receiver's CM learns both GIDs.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <rdma/ib_cache.h>
#include "verbs/ibdev.h"

#define ROCE_V2_NEXT_HDR IPPROTO_UDP

static void grh_ipv4(const struct tbib_addr *addr, u32 len, u8 *dst)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = addr->tclass,
		.tot_len = cpu_to_be16(sizeof(ip) + len),
		.frag_off = cpu_to_be16(IP_DF),
		.ttl = addr->hop_limit,
		.protocol = ROCE_V2_NEXT_HDR,
	};

	memcpy(&ip.saddr, addr->sgid.raw + 12, 4);
	memcpy(&ip.daddr, addr->dgid.raw + 12, 4);
	/* ib_core tells IPv4 from IPv6 by this checksum */
	ip.check = ip_fast_csum(&ip, ip.ihl);
	memset(dst, 0, 20);
	memcpy(dst + 20, &ip, sizeof(ip));
}

static void grh_ipv6(const struct tbib_addr *addr, u32 len, u8 *dst)
{
	u32 first = 6u << 28 | (u32)addr->tclass << 20 |
		    (addr->flow_label & IB_GRH_FLOWLABEL_MASK);

	tbib_put32(dst, first);
	tbib_put16(dst + 4, (u16)len);
	dst[6] = ROCE_V2_NEXT_HDR;
	dst[7] = addr->hop_limit;
	memcpy(dst + 8, addr->sgid.raw, 16);
	memcpy(dst + 24, addr->dgid.raw, 16);
}

/* tbib_ud_grh() - see tbib_qp_ops.grh */
void tbib_ud_grh(struct tbib_qp *core, const struct tbib_wqe *w, u32 len,
		 u8 *dst)
{
	const struct tbib_addr *addr = w->av.ah;

	/* what the datagram would measure on a RoCE v2 wire */
	len += sizeof(struct udphdr) + TBIB_BTH_LEN + TBIB_DETH_LEN + 4;
	if (addr->v4)
		grh_ipv4(addr, len, dst);
	else
		grh_ipv6(addr, len, dst);
}

/*
 * tbib_ud_dgid() - destination of a datagram, as grh_ipv4() or grh_ipv6() of a
 * peer wrote it. Return: false when there is none.
 */
bool tbib_ud_dgid(const struct tbib_bth *b, union ib_gid *dgid)
{
	const u8 *grh = b->grh;

	if (!grh)
		return false;
	if (grh[0] >> 4 == 6) {
		memcpy(dgid->raw, grh + 24, sizeof(dgid->raw));
		return true;
	}
	if (grh[20] >> 4 != 4)
		return false;
	ipv6_addr_set_v4mapped(get_unaligned((const __be32 *)(grh + 36)),
			       (struct in6_addr *)dgid->raw);
	return true;
}

/*
 * tbib_ud_vlan() - VLAN of the network device whose GID a datagram is for
 * Trunks carry no tags, but the core takes a completion without a VLAN for one
 * of an untagged GID, and then the CM does not find ours. A GID of tbib0 itself
 * is untagged, whoever else has it (link-local). Under rcu_read_lock.
 * Return: the VLAN's number or TBIB_NO_VLAN.
 */
u16 tbib_ud_vlan(struct tbib_ibdev *dev, const struct tbib_bth *b)
{
	struct net_device *own = READ_ONCE(dev->node->netdev);
	const enum ib_gid_type v2 = IB_GID_TYPE_ROCE_UDP_ENCAP;
	const struct ib_gid_attr *attr;
	const struct net_device *ndev;
	u16 vlan = TBIB_NO_VLAN;
	union ib_gid dgid;

	if (!own || !tbib_ud_dgid(b, &dgid))
		return TBIB_NO_VLAN;
	attr = rdma_find_gid_by_port(&dev->ib, &dgid, v2, 1, own);
	if (IS_ERR(attr))
		attr = rdma_find_gid_by_port(&dev->ib, &dgid, v2, 1, NULL);
	if (IS_ERR(attr))
		return TBIB_NO_VLAN;
	ndev = rcu_dereference(attr->ndev);
	if (ndev && is_vlan_dev(ndev))
		vlan = vlan_dev_vlan_id(ndev);
	rdma_put_gid_attr(attr);
	return vlan;
}
