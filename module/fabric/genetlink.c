// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generic netlink family "tbib" (docs/netlink/tbib.yaml): how tbibd sees links
 * and programs node, authorisations and routes.
 */
#include <linux/module.h>
#include <net/genetlink.h>
#include "genl.h"
#include "uapi/tbib_genl.h"

#define DUMP_LINKS	64	/* in one dump */

static struct tbib_priv *the_priv(void)
{
	return to_priv(tbib_the_node);
}

/* ---- node ----------------------------------------------------------------- */

static int do_node_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	struct tbib_priv *priv = the_priv();
	int ret = -EMSGSIZE;
	void *hdr;

	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put_reply(msg, info, &tbib_genl_family, 0,
				TBIB_CMD_NODE_GET);
	if (!hdr)
		goto err;
	/* netdev does not go while it is being named */
	mutex_lock(&priv->parent_mutex);
	ret = tbib_genl_put_node(msg, priv);
	mutex_unlock(&priv->parent_mutex);
	if (ret)
		goto err;
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
err:
	nlmsg_free(msg);
	return ret;
}

/* an EUI-64 made of a unicast MAC */
static bool guid_ok(u64 guid)
{
	return guid && (guid >> 24 & 0xffff) == 0xfffe &&
	       !(guid >> 56 & 1);
}

static const struct nla_policy node_policy[TBIB_NODE_A_MAX + 1] = {
	[TBIB_NODE_A_GUID]	= { .type = NLA_U64 },
	[TBIB_NODE_A_LID]	= NLA_POLICY_MAX(NLA_U16, TBIB_LID_MAX),
	[TBIB_NODE_A_DESC]	= { .type = NLA_NUL_STRING,
				    .len = sizeof_field(struct tbib_priv, desc) - 1 },
};

static int set_guid(struct tbib_priv *priv, struct genl_info *info, u64 guid)
{
	int ret;

	if (!guid_ok(guid)) {
		GENL_SET_ERR_MSG(info, "GUID is not the EUI-64 of a unicast MAC");
		return -EINVAL;
	}
	ret = tbib_node_set_guid(priv, guid);
	if (ret == -EBUSY)
		GENL_SET_ERR_MSG(info, "tbib0 is in use");
	else if (ret == -EEXIST)
		GENL_SET_ERR_MSG(info, "a neighbour has this GUID");
	return ret;
}

static int do_node_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[TBIB_NODE_A_MAX + 1];
	struct tbib_priv *priv = the_priv();
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, TBIB_A_NODE))
		return -EINVAL;
	ret = nla_parse_nested(tb, TBIB_NODE_A_MAX, info->attrs[TBIB_A_NODE],
			       node_policy, info->extack);
	if (ret)
		return ret;
	if (tb[TBIB_NODE_A_GUID]) {
		ret = set_guid(priv, info, nla_get_u64(tb[TBIB_NODE_A_GUID]));
		if (ret)
			return ret;
	}
	if (tb[TBIB_NODE_A_DESC])
		nla_strscpy(priv->desc, tb[TBIB_NODE_A_DESC],
			    sizeof(priv->desc));
	if (tb[TBIB_NODE_A_LID]) {
		ret = tbib_node_set_lid(priv, nla_get_u16(tb[TBIB_NODE_A_LID]));
		if (ret)
			return ret;
	}
	mutex_lock(&priv->parent_mutex);
	tbib_genl_node_event(priv);
	mutex_unlock(&priv->parent_mutex);
	return 0;
}

/* ---- links ------------------------------------------------------------------ */

struct link_list {
	u32 n;
	struct tbib_link_info info[DUMP_LINKS];
};

static void list_link(const struct tbib_link_info *info, void *arg)
{
	struct link_list *l = arg;

	if (l->n < DUMP_LINKS)
		l->info[l->n++] = *info;
}

static int dump_link(struct sk_buff *msg, struct netlink_callback *cb,
		     const struct tbib_link_info *i)
{
	struct tbib_priv *priv = the_priv();
	struct tbib_flink *fl;
	bool auth = false;
	u64 drops = 0;
	void *hdr;

	hdr = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tbib_genl_family, NLM_F_MULTI, TBIB_CMD_LINK_GET);
	if (!hdr)
		return -EMSGSIZE;
	mutex_lock(&priv->mutex);
	fl = tbib_flink_find(priv, i->id);
	if (fl) {
		auth = fl->auth;
		drops = fl->mgmt_drops;
	}
	mutex_unlock(&priv->mutex);
	if (tbib_genl_put_link(msg, i, auth, drops)) {
		genlmsg_cancel(msg, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return 0;
}

static int link_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct link_list *l = kvzalloc(sizeof(*l), GFP_KERNEL);
	long at = cb->args[0];

	if (!l)
		return -ENOMEM;
	tbib_link_for_each(list_link, l);
	while (at < l->n && !dump_link(msg, cb, &l->info[at]))
		at++;
	cb->args[0] = at;
	kvfree(l);
	return msg->len;
}

static const struct nla_policy link_policy[TBIB_LINK_A_MAX + 1] = {
	[TBIB_LINK_A_ID]	 = { .type = NLA_U32 },
	[TBIB_LINK_A_AUTHORISED] = NLA_POLICY_MAX(NLA_U8, 1),
};

static int link_auth(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[TBIB_LINK_A_MAX + 1];
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, TBIB_A_LINK))
		return -EINVAL;
	ret = nla_parse_nested(tb, TBIB_LINK_A_MAX, info->attrs[TBIB_A_LINK],
			       link_policy, info->extack);
	if (ret)
		return ret;
	if (!tb[TBIB_LINK_A_ID] || !tb[TBIB_LINK_A_AUTHORISED]) {
		GENL_SET_ERR_MSG(info, "link id and authorised are needed");
		return -EINVAL;
	}
	ret = tbib_flink_auth(the_priv(), nla_get_u32(tb[TBIB_LINK_A_ID]),
			      nla_get_u8(tb[TBIB_LINK_A_AUTHORISED]));
	if (ret == -ENODEV)
		GENL_SET_ERR_MSG(info, "no such link");
	else if (ret == -ENOLINK)
		GENL_SET_ERR_MSG(info, "the link is not up");
	return ret;
}

/* ---- routes ------------------------------------------------------------------- */

static int put_route(struct sk_buff *msg, const struct tbib_route *r)
{
	struct nlattr *nest = nla_nest_start(msg, TBIB_A_ROUTE);
	u8 i;

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u64_64bit(msg, TBIB_ROUTE_A_GUID, r->guid,
			      TBIB_ROUTE_A_PAD) ||
	    nla_put_u16(msg, TBIB_ROUTE_A_LID, r->lid) ||
	    nla_put_u32(msg, TBIB_ROUTE_A_EPOCH, r->epoch) ||
	    nla_put_u64_64bit(msg, TBIB_ROUTE_A_VIA, r->via,
			      TBIB_ROUTE_A_PAD))
		return -EMSGSIZE;
	for (i = 0; i < r->n_mcast; i++)
		if (nla_put_u64_64bit(msg, TBIB_ROUTE_A_MCAST, r->mcast[i],
				      TBIB_ROUTE_A_PAD))
			return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int dump_route(struct sk_buff *msg, struct netlink_callback *cb,
		      const struct tbib_route_table *t, u32 at)
{
	void *hdr;

	hdr = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tbib_genl_family, NLM_F_MULTI, TBIB_CMD_ROUTE_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (nla_put_u32(msg, TBIB_A_GENERATION, t->generation) ||
	    put_route(msg, &t->r[at])) {
		genlmsg_cancel(msg, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return 0;
}

static int route_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct tbib_priv *priv = the_priv();
	const struct tbib_route_table *t;
	long at = cb->args[0];

	mutex_lock(&priv->mutex);
	t = priv->routes;
	if (t) {
		cb->seq = t->generation;
		while (at < t->n && !dump_route(msg, cb, t, at))
			at++;
	}
	mutex_unlock(&priv->mutex);
	cb->args[0] = at;
	return msg->len;
}

static const struct nla_policy route_policy[TBIB_ROUTE_A_MAX + 1] = {
	[TBIB_ROUTE_A_GUID]	= { .type = NLA_U64 },
	[TBIB_ROUTE_A_LID]	= NLA_POLICY_RANGE(NLA_U16, 1, TBIB_LID_MAX),
	[TBIB_ROUTE_A_EPOCH]	= { .type = NLA_U32 },
	[TBIB_ROUTE_A_VIA]	= { .type = NLA_U64 },
	[TBIB_ROUTE_A_MCAST]	= { .type = NLA_U64 },
};

static int parse_mcast(struct genl_info *info, const struct nlattr *nest,
		       struct tbib_route *r)
{
	const struct nlattr *a;
	int rem;

	nla_for_each_nested(a, nest, rem) {
		if (nla_type(a) != TBIB_ROUTE_A_MCAST)
			continue;
		if (r->n_mcast == TBIB_ROUTE_MCAST) {
			NL_SET_ERR_MSG_ATTR(info->extack, a,
					    "too many multicast branches");
			return -E2BIG;
		}
		r->mcast[r->n_mcast++] = nla_get_u64(a);
	}
	return 0;
}

static int parse_route(struct genl_info *info, const struct nlattr *nest,
		       struct tbib_route *r)
{
	struct nlattr *tb[TBIB_ROUTE_A_MAX + 1];
	int ret;

	ret = nla_parse_nested(tb, TBIB_ROUTE_A_MAX, nest, route_policy,
			       info->extack);
	if (ret)
		return ret;
	if (!tb[TBIB_ROUTE_A_GUID] || !tb[TBIB_ROUTE_A_LID] ||
	    !tb[TBIB_ROUTE_A_EPOCH] || !tb[TBIB_ROUTE_A_VIA]) {
		NL_SET_ERR_MSG_ATTR(info->extack, nest,
				    "a route needs guid, lid, epoch and via");
		return -EINVAL;
	}
	r->guid = nla_get_u64(tb[TBIB_ROUTE_A_GUID]);
	r->lid = nla_get_u16(tb[TBIB_ROUTE_A_LID]);
	r->epoch = nla_get_u32(tb[TBIB_ROUTE_A_EPOCH]);
	r->via = nla_get_u64(tb[TBIB_ROUTE_A_VIA]);
	r->n_mcast = 0;
	if (!guid_ok(r->guid) || !guid_ok(r->via)) {
		NL_SET_ERR_MSG_ATTR(info->extack, nest, "bad GUID");
		return -EINVAL;
	}
	return parse_mcast(info, nest, r);
}

/* every LID and every node at most once */
static int check_routes(struct genl_info *info,
			const struct tbib_route_table *t)
{
	DECLARE_BITMAP(seen, TBIB_LID_MAX + 1) = { 0 };
	u32 i, k;

	for (i = 0; i < t->n; i++) {
		bool twice = __test_and_set_bit(t->r[i].lid, seen);

		for (k = 0; k < i; k++)
			twice |= t->r[k].guid == t->r[i].guid;
		if (twice) {
			GENL_SET_ERR_MSG(info, "a LID or node is named twice");
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_routes(struct genl_info *info, struct tbib_route_table *t)
{
	const struct nlattr *a;
	int rem, ret;

	nlmsg_for_each_attr(a, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(a) != TBIB_A_ROUTE)
			continue;
		if (t->n == TBIB_LID_MAX) {
			GENL_SET_ERR_MSG(info, "too many routes");
			return -E2BIG;
		}
		ret = parse_route(info, a, &t->r[t->n]);
		if (ret)
			return ret;
		t->n++;
	}
	return check_routes(info, t);
}

static int route_set(struct sk_buff *skb, struct genl_info *info)
{
	struct tbib_priv *priv = the_priv();
	struct tbib_route_table *t;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, TBIB_A_GENERATION))
		return -EINVAL;
	t = kvzalloc(struct_size(t, r, TBIB_LID_MAX), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	t->generation = nla_get_u32(info->attrs[TBIB_A_GENERATION]);
	ret = parse_routes(info, t);
	if (ret)
		goto err;
	mutex_lock(&priv->mutex);
	ret = tbib_lft_set(priv, t);
	mutex_unlock(&priv->mutex);
	if (ret)
		goto err;
	schedule_work(&priv->state_work);
	return 0;
err:
	kvfree(t);
	return ret;
}

/* ---- management datagrams ---------------------------------------------------------- */

static int manager_set(struct sk_buff *skb, struct genl_info *info)
{
	struct tbib_priv *priv = the_priv();
	int ret = 0;

	mutex_lock(&priv->mutex);
	if (priv->manager && priv->manager != info->snd_portid) {
		GENL_SET_ERR_MSG(info, "another socket is the manager");
		ret = -EBUSY;
	} else {
		WRITE_ONCE(priv->manager, info->snd_portid);
	}
	mutex_unlock(&priv->mutex);
	return ret;
}

/* a manager that has gone gives way to the next one */
static int netlink_event(struct notifier_block *nb, unsigned long event,
			 void *data)
{
	const struct netlink_notify *n = data;
	struct tbib_priv *priv = the_priv();

	if (event == NETLINK_URELEASE && n->protocol == NETLINK_GENERIC &&
	    net_eq(n->net, &init_net) &&
	    READ_ONCE(priv->manager) == n->portid)
		WRITE_ONCE(priv->manager, 0);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call = netlink_event,
};

static int mgmt_send(struct sk_buff *skb, struct genl_info *info)
{
	struct tbib_priv *priv = the_priv();
	struct tbib_flink *fl;
	struct nlattr *data;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, TBIB_A_LINK_ID) ||
	    GENL_REQ_ATTR_CHECK(info, TBIB_A_DATA))
		return -EINVAL;
	data = info->attrs[TBIB_A_DATA];
	mutex_lock(&priv->mutex);
	fl = tbib_flink_find(priv, nla_get_u32(info->attrs[TBIB_A_LINK_ID]));
	if (!fl) {
		GENL_SET_ERR_MSG(info, "no such link");
		ret = -ENODEV;
	} else if (!fl->up) {
		GENL_SET_ERR_MSG(info, "the link is not up");
		ret = -ENOLINK;
	} else {
		ret = tbib_mgmt_send(fl, nla_data(data), nla_len(data));
	}
	mutex_unlock(&priv->mutex);
	return ret;
}

/* ---- statistics ------------------------------------------------------------------------ */

static int put_stat(struct sk_buff *msg, const char *name, u64 value)
{
	struct nlattr *nest = nla_nest_start(msg, TBIB_A_STATS);

	if (!nest || nla_put_string(msg, TBIB_STAT_A_NAME, name) ||
	    nla_put_u64_64bit(msg, TBIB_STAT_A_VALUE, value, TBIB_STAT_A_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_stats(struct sk_buff *msg)
{
	struct tbib_fabric_stats s;

	tbib_fabric_get_stats(tbib_the_node, &s);
#define X(n) if (put_stat(msg, #n, s.n)) return -EMSGSIZE;
	TBIB_FABRIC_COUNTERS(X)
#undef X
	return 0;
}

static int stats_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *hdr;

	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put_reply(msg, info, &tbib_genl_family, 0,
				TBIB_CMD_STATS_GET);
	if (!hdr || put_stats(msg)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

/* ---- family --------------------------------------------------------------------------------- */

static const struct nla_policy tbib_policy[TBIB_A_MAX + 1] = {
	[TBIB_A_NODE]		= NLA_POLICY_NESTED(node_policy),
	[TBIB_A_LINK]		= NLA_POLICY_NESTED(link_policy),
	[TBIB_A_ROUTE]		= NLA_POLICY_NESTED(route_policy),
	[TBIB_A_GENERATION]	= { .type = NLA_U32 },
	[TBIB_A_LINK_ID]	= { .type = NLA_U32 },
	[TBIB_A_DATA]		= NLA_POLICY_RANGE(NLA_BINARY, 1,
						   TBIB_MGMT_MAX),
};

static const struct genl_ops tbib_genl_ops[] = {
	{ .cmd = TBIB_CMD_NODE_GET, .doit = do_node_get },
	{ .cmd = TBIB_CMD_NODE_SET, .doit = do_node_set,
	  .flags = GENL_ADMIN_PERM },
	{ .cmd = TBIB_CMD_LINK_GET, .dumpit = link_dump },
	{ .cmd = TBIB_CMD_LINK_AUTH, .doit = link_auth,
	  .flags = GENL_ADMIN_PERM },
	{ .cmd = TBIB_CMD_ROUTE_GET, .dumpit = route_dump },
	{ .cmd = TBIB_CMD_ROUTE_SET, .doit = route_set,
	  .flags = GENL_ADMIN_PERM },
	{ .cmd = TBIB_CMD_MANAGER, .doit = manager_set,
	  .flags = GENL_ADMIN_PERM },
	{ .cmd = TBIB_CMD_MGMT_SEND, .doit = mgmt_send,
	  .flags = GENL_ADMIN_PERM },
	{ .cmd = TBIB_CMD_STATS_GET, .doit = stats_get },
};

static const struct genl_multicast_group tbib_genl_groups[] = {
	{ .name = TBIB_GENL_MCGRP_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

struct genl_family tbib_genl_family = {
	.name = TBIB_GENL_NAME,
	.version = TBIB_GENL_VERSION,
	.maxattr = TBIB_A_MAX,
	.policy = tbib_policy,
	.module = THIS_MODULE,
	.ops = tbib_genl_ops,
	.n_ops = ARRAY_SIZE(tbib_genl_ops),
	.resv_start_op = __TBIB_CMD_MAX,
	.mcgrps = tbib_genl_groups,
	.n_mcgrps = ARRAY_SIZE(tbib_genl_groups),
	/* the handlers lock for themselves */
	.parallel_ops = true,
};

int tbib_genl_init(void)
{
	int ret;

	ret = netlink_register_notifier(&netlink_notifier);
	if (ret)
		return ret;
	ret = genl_register_family(&tbib_genl_family);
	if (ret)
		netlink_unregister_notifier(&netlink_notifier);
	return ret;
}

void tbib_genl_exit(void)
{
	genl_unregister_family(&tbib_genl_family);
	netlink_unregister_notifier(&netlink_notifier);
}
