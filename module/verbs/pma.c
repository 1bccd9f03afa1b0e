// SPDX-License-Identifier: GPL-2.0-only
/*
 * Performance management agent (IBTA 16.1): the port counters behind
 * /sys/class/infiniband/tbib0/ports/1/counters, which monitoring tools read.
 */
#include <rdma/ib_mad.h>
#include <rdma/ib_pma.h>
#include "verbs/ibdev.h"

static void pma_class_info(struct ib_pma_mad *out)
{
	struct ib_class_port_info *info = (void *)out->data;

	info->base_version = 1;
	info->class_version = 1;
	info->capability_mask = IB_PMA_CLASS_CAP_EXT_WIDTH;
}

/* these stop at their highest value instead of wrapping */
static u32 clip32(u64 v)
{
	return min_t(u64, v, U32_MAX);
}

static void pma_counters(struct tbib_ibdev *dev, struct ib_pma_mad *out)
{
	struct ib_pma_portcounters *c = (void *)out->data;
	struct tbib_fabric_stats s = {};

	tbib_fabric_get_stats(dev->node, &s);
	c->port_select = 1;
	c->link_downed_counter =
		min_t(u64, atomic64_read(&dev->link_downed), U8_MAX);
	c->symbol_error_counter =
		cpu_to_be16(min_t(u64, s.crc_errors, U16_MAX));
	c->port_rcv_errors = cpu_to_be16(min_t(u64, s.malformed, U16_MAX));
	c->port_xmit_discards = cpu_to_be16(min_t(u64, s.no_route, U16_MAX));
	c->port_xmit_data = cpu_to_be32(clip32(s.tx_bytes / 4));
	c->port_rcv_data = cpu_to_be32(clip32(s.rx_bytes / 4));
	c->port_xmit_packets = cpu_to_be32(clip32(s.tx_packets));
	c->port_rcv_packets = cpu_to_be32(clip32(s.rx_packets));
	c->port_xmit_wait = cpu_to_be32(clip32(s.no_credit));
}

/* data are counted in units of four bytes */
static void pma_counters_ext(struct tbib_ibdev *dev, struct ib_pma_mad *out)
{
	struct ib_pma_portcounters_ext *c = (void *)out->data;
	struct tbib_fabric_stats s = {};

	tbib_fabric_get_stats(dev->node, &s);
	c->port_select = 1;
	c->port_xmit_data = cpu_to_be64(s.tx_bytes / 4);
	c->port_rcv_data = cpu_to_be64(s.rx_bytes / 4);
	c->port_xmit_packets = cpu_to_be64(s.tx_packets);
	c->port_rcv_packets = cpu_to_be64(s.rx_packets);
	c->port_unicast_xmit_packets = c->port_xmit_packets;
	c->port_unicast_rcv_packets = c->port_rcv_packets;
}

/*
 * Everything else goes on to the agents (CM) untouched.
 * Return: IB_MAD_RESULT_* bits.
 */
int tbib_process_mad(struct ib_device *ib, int flags, u32 port,
		     const struct ib_wc *wc, const struct ib_grh *grh,
		     const struct ib_mad *in, struct ib_mad *out,
		     size_t *out_size, u16 *out_pkey_index)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib);
	struct ib_pma_mad *pma = (struct ib_pma_mad *)out;

	if (in->mad_hdr.mgmt_class != IB_MGMT_CLASS_PERF_MGMT ||
	    in->mad_hdr.method != IB_MGMT_METHOD_GET)
		return IB_MAD_RESULT_SUCCESS;
	memset(out, 0, sizeof(*out));
	out->mad_hdr = in->mad_hdr;
	out->mad_hdr.method = IB_MGMT_METHOD_GET_RESP;
	switch (in->mad_hdr.attr_id) {
	case IB_PMA_CLASS_PORT_INFO:
		pma_class_info(pma);
		break;
	case IB_PMA_PORT_COUNTERS:
		pma_counters(dev, pma);
		break;
	case IB_PMA_PORT_COUNTERS_EXT:
		pma_counters_ext(dev, pma);
		break;
	default:
		out->mad_hdr.status =
			cpu_to_be16(IB_MGMT_MAD_STATUS_UNSUPPORTED_METHOD_ATTRIB);
		break;
	}
	return IB_MAD_RESULT_SUCCESS | IB_MAD_RESULT_REPLY;
}
