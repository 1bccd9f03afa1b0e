// SPDX-License-Identifier: GPL-2.0-only
/*
 * This host as a node of the fabric: identity, NHIs, the parent of tbib0, port
 * state; and bringing the fabric layer up and down.
 */
#include <linux/dma-mapping.h>
#include <linux/dmi.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include "priv.h"

#define BLANK_AFTER	(10 * HZ)	/* a replugged cable is back in about 7 s */

struct tbib_node *tbib_the_node;

/* ---- identity ---------------------------------------------------------------- */

/*
 * A MAC that stays over reboots, from what the firmware says of this machine.
 * It is a stopgap until tbibd sets the GUID: serial numbers of cheap machines
 * are known to repeat, which the login of two such machines notices.
 */
static u64 derive_guid(void)
{
	static const siphash_key_t key = {{ 0x746269622d677569ULL,
					    0x642d6d6163000001ULL }};
	static const int field[] = {
		DMI_PRODUCT_UUID, DMI_PRODUCT_SERIAL, DMI_BOARD_SERIAL,
		DMI_CHASSIS_SERIAL, DMI_SYS_VENDOR, DMI_PRODUCT_NAME,
	};
	bool known = false;
	u8 mac[ETH_ALEN];
	u64 h = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		const char *s = dmi_get_system_info(field[i]);

		known |= s && i < 4 && *s;
		h = siphash_2u64(h, s ? siphash(s, strlen(s), &key) : i, &key);
	}
	if (!known)
		h = get_random_u64();
	mac[0] = 0x02;
	for (i = 1; i < ETH_ALEN; i++)
		mac[i] = h >> (8 * i);
	return tbib_guid_from_mac(mac);
}

/*
 * A GUID comes with a nonce: who was called so before, and met the same peers,
 * was at other sequences. Under priv->mutex, or before anybody else knows the
 * node.
 */
static int take_guid(struct tbib_priv *priv, u64 guid)
{
	struct tbib_node *node = &priv->node;
	struct tbib_peer *self = tbib_peer_make(priv, guid);

	if (!self)
		return -ENOMEM;
	if (node->self) {
		node->self->self = false;
		WRITE_ONCE(node->self->lid, 0);
	}
	node->guid = guid;
	node->nonce = get_random_u64() | 1;
	WRITE_ONCE(node->epoch, tbib_epoch(node->nonce));
	tbib_mac_from_guid(node->mac, guid);
	self->self = true;
	self->epoch = node->epoch;
	WRITE_ONCE(self->lid, node->lid);
	node->self = self;
	return 0;
}

/* ---- port state ---------------------------------------------------------------- */

const char *tbib_port_state_name(u8 state)
{
	static const char * const name[] = {
		[TBIB_PORT_DOWN] = "DOWN", [TBIB_PORT_INIT] = "INIT",
		[TBIB_PORT_ARMED] = "ARMED", [TBIB_PORT_ACTIVE] = "ACTIVE",
	};

	return state < ARRAY_SIZE(name) && name[state] ? name[state] : "?";
}

/* is another node's LID programmed, over a trunk that may send? */
static bool have_route(struct tbib_priv *priv)
{
	const struct tbib_lft *lft;
	bool have = false;
	u32 i;

	rcu_read_lock();
	lft = rcu_dereference(priv->lft);
	for (i = 1; i <= TBIB_LID_MAX && !have; i++) {
		const struct tbib_trunk *tr = lft->to[i].trunk;

		have = tr && tr->index >= TBIB_TRUNK_FIRST &&
		       tr->tx.lane[TBIB_LANE_EXPRESS].rings;
	}
	rcu_read_unlock();
	return have;
}

/* Under priv->mutex. */
static u8 port_state(struct tbib_priv *priv, u32 *speed)
{
	bool up = false, auth = false;
	struct tbib_flink *fl;

	*speed = 0;
	list_for_each_entry(fl, &priv->links, list) {
		if (!fl->up)
			continue;
		up = true;
		auth |= fl->joined;
		*speed += fl->speed_mbps;
	}
	if (!up)
		return TBIB_PORT_DOWN;
	if (!auth || !priv->node.lid)
		return TBIB_PORT_INIT;
	return have_route(priv) ? TBIB_PORT_ACTIVE : TBIB_PORT_ARMED;
}

static void state_work(struct work_struct *work)
{
	struct tbib_priv *priv = container_of(work, struct tbib_priv,
					      state_work);
	struct tbib_node *node = &priv->node;
	bool changed, admin;
	u32 speed;
	u8 state;

	admin = READ_ONCE(node->admin_up);
	mutex_lock(&priv->mutex);
	state = port_state(priv, &speed);
	changed = state != node->port_state || speed != node->speed_mbps ||
		  admin != priv->told_admin;
	priv->told_admin = admin;
	if (state != node->port_state)
		pr_info("tbib: port %s\n", tbib_port_state_name(state));
	WRITE_ONCE(node->port_state, state);
	WRITE_ONCE(node->speed_mbps, speed);
	mutex_unlock(&priv->mutex);
	if (!changed)
		return;
	/* the devices do not come or go meanwhile */
	mutex_lock(&priv->parent_mutex);
	if (node->parent)
		priv->upper->port_changed(node);
	tbib_genl_node_event(priv);
	mutex_unlock(&priv->parent_mutex);
}

void tbib_node_set_admin(struct tbib_node *node, bool up)
{
	WRITE_ONCE(node->admin_up, up);
	schedule_work(&to_priv(node)->state_work);
}

/* ---- tick ------------------------------------------------------------------------ */

/* Return: true when somebody still waits for the tick */
static bool trunk_tick(struct tbib_trunk *tr)
{
	tbib_fwd_age(tr, ktime_get_ns());
	tbib_trunk_check(tr);
	if (!tr->down_since || tr->blanked)
		return false;
	if (time_before(jiffies, tr->down_since + BLANK_AFTER))
		return true;
	tbib_trunk_withdraw(tr);
	return false;
}

static void tick_work(struct work_struct *work)
{
	struct tbib_priv *priv = container_of(to_delayed_work(work),
					      struct tbib_priv, tick);
	bool more;
	u32 i;

	mutex_lock(&priv->mutex);
	tbib_flink_tick(priv);
	more = !list_empty(&priv->links);
	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++)
		more |= trunk_tick(priv->trunk[i]);
	if (more)
		schedule_delayed_work(&priv->tick, TBIB_TICK);
	mutex_unlock(&priv->mutex);
}

static void kick_work(struct work_struct *work)
{
	struct tbib_priv *priv = container_of(work, struct tbib_priv,
					      kick_work);

	tbib_fabric_kick(&priv->node);
}

/* ---- NHIs and the parent of tbib0 --------------------------------------------------- */

static int nhi_map(struct tbib_priv *priv, struct device *dev, u8 i)
{
	int ret;

	priv->poison[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!priv->poison[i])
		return -ENOMEM;
	priv->poison_dma[i] = dma_map_page(dev, priv->poison[i], 0, PAGE_SIZE,
					   DMA_TO_DEVICE);
	ret = -ENOMEM;
	if (dma_mapping_error(dev, priv->poison_dma[i]))
		goto err_page;
	ret = tbib_bounce_map(dev, i);
	if (ret)
		goto err_poison;
	return 0;

err_poison:
	dma_unmap_page(dev, priv->poison_dma[i], PAGE_SIZE, DMA_TO_DEVICE);
err_page:
	__free_page(priv->poison[i]);
	priv->poison[i] = NULL;
	return ret;
}

static void nhi_unmap(struct tbib_priv *priv, struct device *dev, u8 i)
{
	u32 k;

	mutex_lock(&priv->mutex);
	for (k = TBIB_TRUNK_FIRST; k < priv->n_trunk; k++)
		tbib_trunk_unmap(priv->trunk[k], dev, i);
	mutex_unlock(&priv->mutex);
	tbib_bounce_unmap(dev, i);
	dma_unmap_page(dev, priv->poison_dma[i], PAGE_SIZE, DMA_TO_DEVICE);
	__free_page(priv->poison[i]);
	priv->poison[i] = NULL;
}

/* Under parent_mutex. */
static int attach(struct tbib_priv *priv, struct device *dev)
{
	struct tbib_node *node = &priv->node;
	u32 i;
	int ret;

	node->parent = dev;
	ret = priv->upper->attach(node, dev);
	if (ret) {
		node->parent = NULL;
		pr_err("tbib: no devices under %s: %d\n", dev_name(dev), ret);
		return ret;
	}
	mutex_lock(&priv->mutex);
	priv->napi_dev = node->netdev;
	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++)
		tbib_trunk_napi_add(priv->trunk[i]);
	mutex_unlock(&priv->mutex);
	priv->upper->port_changed(node);
	tbib_genl_node_event(priv);
	return 0;
}

/* Under parent_mutex. */
static void detach(struct tbib_priv *priv)
{
	struct tbib_node *node = &priv->node;
	u32 i;

	/* users cannot go while trains that nobody will ack hold their memory */
	mutex_lock(&priv->mutex);
	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++)
		tbib_trunk_withdraw(priv->trunk[i]);
	mutex_unlock(&priv->mutex);
	priv->upper->detach(node);
	mutex_lock(&priv->mutex);
	/* a link that comes up now makes no NAPI on a device that goes */
	priv->napi_dev = NULL;
	for (i = TBIB_TRUNK_FIRST; i < priv->n_trunk; i++)
		tbib_trunk_napi_del(priv->trunk[i]);
	mutex_unlock(&priv->mutex);
	priv->upper->detach_netdev(node);
	node->parent = NULL;
}

/* tbib_node_nhi_index() - place of @nhi in DMA tables, or -ENODEV */
int tbib_node_nhi_index(struct tbib_priv *priv, struct tbib_nhi *nhi)
{
	int i;

	for (i = 0; i < TBIB_NHIS; i++)
		if (READ_ONCE(priv->nhi[i]) == nhi)
			return i;
	return -ENODEV;
}

void tbib_node_nhi_add(struct tbib_nhi *nhi)
{
	struct tbib_priv *priv = to_priv(tbib_the_node);
	int i;

	mutex_lock(&priv->parent_mutex);
	i = tbib_node_nhi_index(priv, NULL);
	if (i < 0) {
		pr_err("tbib: %s: more than %d host interfaces\n",
		       dev_name(nhi->dev), TBIB_NHIS);
		goto out;
	}
	if (nhi_map(priv, nhi->dev, i)) {
		pr_err("tbib: %s: cannot map memory\n", dev_name(nhi->dev));
		goto out;
	}
	priv->upper->nhi_add(&priv->node, nhi->dev);
	WRITE_ONCE(priv->nhi[i], nhi);
	if (!priv->node.parent)
		attach(priv, nhi->dev);
out:
	mutex_unlock(&priv->parent_mutex);
}

void tbib_node_nhi_del(struct tbib_nhi *nhi)
{
	struct tbib_priv *priv = to_priv(tbib_the_node);
	bool parent;
	int i;

	mutex_lock(&priv->parent_mutex);
	i = tbib_node_nhi_index(priv, nhi);
	if (i < 0)
		goto out;
	parent = priv->node.parent == nhi->dev;
	if (parent)
		detach(priv);
	WRITE_ONCE(priv->nhi[i], NULL);
	priv->upper->nhi_gone(&priv->node, nhi->dev);
	nhi_unmap(priv, nhi->dev, i);
	for (i = 0; parent && i < TBIB_NHIS; i++)
		if (priv->nhi[i] && !attach(priv, priv->nhi[i]->dev))
			parent = false;
out:
	mutex_unlock(&priv->parent_mutex);
}

/* ---- what the daemon sets -------------------------------------------------------------- */

/* Under parent_mutex. */
static bool node_busy(struct tbib_priv *priv)
{
	struct tbib_node *node = &priv->node;

	if (node->netdev && READ_ONCE(node->netdev->flags) & IFF_UP)
		return true;
	return priv->upper->busy && node->parent && priv->upper->busy(node);
}

/*
 * tbib_node_set_guid() - a new identity: the devices are made anew
 * Return: 0, -EBUSY when they are in use, -EEXIST when a peer has that GUID,
 * or another negative errno. Process context.
 */
int tbib_node_set_guid(struct tbib_priv *priv, u64 guid)
{
	struct device *dev;
	int ret = 0;

	mutex_lock(&priv->parent_mutex);
	if (guid == priv->node.guid)
		goto out;
	ret = -EEXIST;
	mutex_lock(&priv->mutex);
	if (tbib_trunk_find(priv, guid)) {
		mutex_unlock(&priv->mutex);
		goto out;
	}
	mutex_unlock(&priv->mutex);
	ret = -EBUSY;
	if (node_busy(priv))
		goto out;
	dev = priv->node.parent;
	if (dev)
		detach(priv);
	mutex_lock(&priv->mutex);
	ret = take_guid(priv, guid);
	if (!ret) {
		tbib_ring_set_node(guid, priv->node.nonce);
		ret = tbib_lft_rebuild(priv);
	}
	mutex_unlock(&priv->mutex);
	if (dev)
		attach(priv, dev);
out:
	mutex_unlock(&priv->parent_mutex);
	return ret;
}

/* tbib_node_set_lid() - our LID; 0 = none. Takes priv->mutex. */
int tbib_node_set_lid(struct tbib_priv *priv, u16 lid)
{
	int ret = 0;

	mutex_lock(&priv->mutex);
	if (priv->node.lid != lid) {
		WRITE_ONCE(priv->node.lid, lid);
		ret = tbib_lft_rebuild(priv);
	}
	mutex_unlock(&priv->mutex);
	schedule_work(&priv->state_work);
	return ret;
}

/* ---- up and down -------------------------------------------------------------------------- */

static int alloc_own_trunks(struct tbib_priv *priv)
{
	u8 i;

	for (i = 0; i < TBIB_TRUNK_FIRST; i++) {
		priv->trunk[i] = tbib_trunk_alloc(priv, i);
		if (!priv->trunk[i])
			return -ENOMEM;
		priv->n_trunk = i + 1;
	}
	return 0;
}

static void free_all(struct tbib_priv *priv)
{
	u32 i;

	for (i = 0; i < priv->n_trunk; i++)
		tbib_trunk_free(priv->trunk[i]);
	mutex_lock(&priv->mutex);
	tbib_peer_prune(priv, true);
	mutex_unlock(&priv->mutex);
	tbib_lft_exit(priv);
	tbib_the_node = NULL;
	/* peers and tables that wait for a grace period are plain memory */
	rcu_barrier();
	kfree(priv);
}

static void priv_init(struct tbib_priv *priv, const struct tbib_upper_ops *up)
{
	struct tbib_node *node = &priv->node;

	priv->upper = up;
	mutex_init(&priv->mutex);
	mutex_init(&priv->parent_mutex);
	INIT_LIST_HEAD(&priv->links);
	spin_lock_init(&priv->stats_lock);
	INIT_WORK(&priv->kick_work, kick_work);
	INIT_WORK(&priv->loop_work, tbib_loop_work);
	INIT_WORK(&priv->state_work, state_work);
	INIT_DELAYED_WORK(&priv->tick, tick_work);
	node->port_state = TBIB_PORT_DOWN;
	strscpy(priv->desc, "tbib", sizeof(priv->desc));
}

/* Nobody schedules any more: links and devices are gone. */
static void stop_work(struct tbib_priv *priv)
{
	u32 i;

	cancel_delayed_work_sync(&priv->tick);
	cancel_work_sync(&priv->state_work);
	/* for good: timers queue these, and these start timers */
	disable_work_sync(&priv->loop_work);
	disable_work_sync(&priv->kick_work);
	/* whatever runs for one trunk may look at all of them */
	for (i = 0; i < priv->n_trunk; i++)
		hrtimer_cancel(&priv->trunk[i]->timer);
}

/*
 * tbib_fabric_init() - make the node; no NHI is known yet
 * Return: 0 or negative errno. Process context.
 */
int tbib_fabric_init(const struct tbib_upper_ops *upper)
{
	struct tbib_priv *priv;
	int ret;

	ret = tbib_forward_init();
	if (ret)
		return ret;
	ret = tbib_bounce_init();
	if (ret)
		goto err_forward;
	ret = -ENOMEM;
	priv = kzalloc(sizeof(*priv), GFP_KERNEL);
	if (!priv)
		goto err_bounce;
	priv_init(priv, upper);
	mutex_lock(&priv->mutex);
	ret = alloc_own_trunks(priv);
	if (!ret)
		ret = take_guid(priv, derive_guid());
	if (!ret)
		ret = tbib_lft_rebuild(priv);
	mutex_unlock(&priv->mutex);
	if (ret)
		goto err_node;
	tbib_the_node = &priv->node;
	ret = tbib_genl_init();
	if (ret)
		goto err_node;
	/* upcalls come from here on */
	ret = tbib_ring_init(&tbib_fabric_ring_ops, priv->node.guid,
			     priv->node.nonce);
	if (ret)
		goto err_genl;
	return 0;

err_genl:
	tbib_genl_exit();
	stop_work(priv);
err_node:
	free_all(priv);
err_bounce:
	tbib_bounce_exit();
err_forward:
	tbib_forward_exit();
	return ret;
}

/* tbib_fabric_exit() - mirror of tbib_fabric_init(). Process context. */
void tbib_fabric_exit(void)
{
	struct tbib_priv *priv = to_priv(tbib_the_node);

	/* users take leave of their peers (DREQ) while there is a way to them */
	mutex_lock(&priv->parent_mutex);
	if (priv->node.parent)
		priv->upper->detach(&priv->node);
	mutex_unlock(&priv->parent_mutex);
	/* then links and NHIs go, and with the last NHI the devices */
	tbib_ring_exit();
	tbib_genl_exit();
	stop_work(priv);
	free_all(priv);
	tbib_bounce_exit();
	tbib_forward_exit();
}
