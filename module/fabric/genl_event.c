// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module says on its own: events to the multicast group, management
 * datagrams to the manager; and how node and links are written in messages.
 */
#include <net/genetlink.h>
#include "genl.h"
#include "uapi/tbib_genl.h"

/* ---- messages ------------------------------------------------------------- */

/* tbib_genl_put_node() - nest the node. Under parent_mutex. */
int tbib_genl_put_node(struct sk_buff *msg, struct tbib_priv *priv)
{
	struct tbib_node *node = &priv->node;
	struct nlattr *nest = nla_nest_start(msg, TBIB_A_NODE);
	char ib[IFNAMSIZ * 4] = "";

	if (!nest)
		return -EMSGSIZE;
	if (priv->upper->ib_name)
		priv->upper->ib_name(node, ib, sizeof(ib));
	if (nla_put_u64_64bit(msg, TBIB_NODE_A_GUID, node->guid,
			      TBIB_NODE_A_PAD) ||
	    nla_put(msg, TBIB_NODE_A_MAC, ETH_ALEN, node->mac) ||
	    nla_put_u16(msg, TBIB_NODE_A_LID, node->lid) ||
	    nla_put_u32(msg, TBIB_NODE_A_EPOCH, node->epoch) ||
	    nla_put_u8(msg, TBIB_NODE_A_PORT_STATE, node->port_state) ||
	    nla_put_u32(msg, TBIB_NODE_A_SPEED, node->speed_mbps) ||
	    nla_put_u32(msg, TBIB_NODE_A_IFINDEX,
			node->netdev ? node->netdev->ifindex : 0) ||
	    (*ib && nla_put_string(msg, TBIB_NODE_A_IBDEV, ib)) ||
	    nla_put_string(msg, TBIB_NODE_A_VERSION, TBIB_VERSION) ||
	    nla_put_string(msg, TBIB_NODE_A_DESC, priv->desc))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_peer(struct sk_buff *msg, const struct tbib_link_info *i)
{
	u8 mac[ETH_ALEN];

	if (!i->peer_guid)
		return 0;
	tbib_mac_from_guid(mac, i->peer_guid);
	return nla_put_u64_64bit(msg, TBIB_LINK_A_PEER_GUID, i->peer_guid,
				 TBIB_LINK_A_PAD) ||
	       nla_put(msg, TBIB_LINK_A_PEER_MAC, ETH_ALEN, mac) ||
	       nla_put_u32(msg, TBIB_LINK_A_PEER_EPOCH,
			   tbib_epoch(i->peer_nonce)) ? -EMSGSIZE : 0;
}

/* tbib_genl_put_link() - nest a link. Return: 0 or -EMSGSIZE. */
int tbib_genl_put_link(struct sk_buff *msg, const struct tbib_link_info *i,
		       bool auth, u64 drops)
{
	struct nlattr *nest = nla_nest_start(msg, TBIB_A_LINK);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(msg, TBIB_LINK_A_ID, i->id) ||
	    nla_put_u8(msg, TBIB_LINK_A_STATE, i->state) ||
	    nla_put_u8(msg, TBIB_LINK_A_REFUSED, i->refused) ||
	    nla_put_u8(msg, TBIB_LINK_A_AUTHORISED, auth) ||
	    put_peer(msg, i) ||
	    nla_put_string(msg, TBIB_LINK_A_PEER_NAME, i->peer_name) ||
	    nla_put(msg, TBIB_LINK_A_LOCAL_UUID, 16, &i->local_uuid) ||
	    nla_put(msg, TBIB_LINK_A_REMOTE_UUID, 16, &i->remote_uuid) ||
	    nla_put_u64_64bit(msg, TBIB_LINK_A_ROUTE, i->route,
			      TBIB_LINK_A_PAD) ||
	    nla_put_u32(msg, TBIB_LINK_A_DOMAIN, i->domain) ||
	    nla_put_u32(msg, TBIB_LINK_A_SPEED, i->speed_gbps) ||
	    nla_put_u32(msg, TBIB_LINK_A_WIDTH, i->width) ||
	    nla_put_u32(msg, TBIB_LINK_A_RINGS, i->n_ring) ||
	    nla_put_u64_64bit(msg, TBIB_LINK_A_MGMT_DROPS, drops,
			      TBIB_LINK_A_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/* ---- events ------------------------------------------------------------------------------ */

static void send_event(struct sk_buff *msg, void *hdr)
{
	genlmsg_end(msg, hdr);
	genlmsg_multicast(&tbib_genl_family, msg, 0, 0, GFP_KERNEL);
}

/* the family counts as having listeners only while it is registered */
static struct sk_buff *new_event(u8 cmd, void **hdr)
{
	struct sk_buff *msg;

	if (!genl_has_listeners(&tbib_genl_family, &init_net, 0))
		return NULL;
	msg = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!msg)
		return NULL;
	*hdr = genlmsg_put(msg, 0, 0, &tbib_genl_family, 0, cmd);
	return msg;
}

/*
 * tbib_genl_link_event() - multicast the state of a link
 * @priv: the node
 * @info: the link
 * priv->mutex may be held. Process context.
 */
void tbib_genl_link_event(struct tbib_priv *priv,
			  const struct tbib_link_info *info)
{
	struct tbib_flink *fl;
	struct sk_buff *msg;
	bool auth = false;
	void *hdr;

	msg = new_event(TBIB_CMD_LINK_EVENT, &hdr);
	if (!msg)
		return;
	rcu_read_lock();
	list_for_each_entry_rcu(fl, &priv->links, list)
		if (fl->id == info->id)
			auth = READ_ONCE(fl->auth);
	rcu_read_unlock();
	if (tbib_genl_put_link(msg, info, auth, 0)) {
		nlmsg_free(msg);
		return;
	}
	send_event(msg, hdr);
}

/* tbib_genl_link_gone() - multicast that a link does not exist any more */
void tbib_genl_link_gone(struct tbib_priv *priv, u32 id)
{
	struct sk_buff *msg;
	void *hdr;

	msg = new_event(TBIB_CMD_LINK_GONE, &hdr);
	if (!msg)
		return;
	if (nla_put_u32(msg, TBIB_A_LINK_ID, id)) {
		nlmsg_free(msg);
		return;
	}
	send_event(msg, hdr);
}

/* tbib_genl_node_event() - multicast the node. Under parent_mutex. */
void tbib_genl_node_event(struct tbib_priv *priv)
{
	struct sk_buff *msg;
	void *hdr;

	msg = new_event(TBIB_CMD_NODE_EVENT, &hdr);
	if (!msg)
		return;
	if (tbib_genl_put_node(msg, priv)) {
		nlmsg_free(msg);
		return;
	}
	send_event(msg, hdr);
}

/* ---- management datagrams ------------------------------------------------ */

/*
 * tbib_genl_mgmt() - give a received datagram to the manager
 * @priv: the node
 * @id: link that it came from
 * @data: the datagram
 * @len: its length
 * Return: 0 or negative errno: it is lost. Process context.
 */
int tbib_genl_mgmt(struct tbib_priv *priv, u32 id, const void *data, u32 len)
{
	u32 manager = READ_ONCE(priv->manager);
	struct sk_buff *msg;
	void *hdr;

	if (!manager)
		return -ENOTCONN;
	msg = genlmsg_new(nla_total_size(sizeof(u32)) + nla_total_size(len),
			  GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put(msg, 0, 0, &tbib_genl_family, 0, TBIB_CMD_MGMT_RECV);
	if (!hdr || nla_put_u32(msg, TBIB_A_LINK_ID, id) ||
	    nla_put(msg, TBIB_A_DATA, len, data)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_unicast(&init_net, msg, manager);
}
