// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many ring pairs a cable gets, HopIDs, and the paths between the rings of
 * the two hosts.
 */
#include <linux/slab.h>
#include "internal.h"

#define POLL_UNPLUGGED	msecs_to_jiffies(20)

/* ---- the plan (design D6) -------------------------------------------- */

struct networks {
	const struct tb_nhi *nhi;
	unsigned int n;
};

static int count_network(struct device *dev, void *arg)
{
	struct tb_service *svc = tb_to_service(dev);
	struct networks *nets = arg;

	/* the peer publishes it, and thunderbolt_net is loaded here */
	if (svc && !strcmp(svc->key, "network") && dev->driver &&
	    tb_service_parent(svc)->tb->nhi == nets->nhi)
		nets->n++;
	return 0;
}

/* Not by an XDomain's children: a service is probed before it is one. */
static unsigned int networks(const struct tb_nhi *nhi)
{
	struct networks nets = { .nhi = nhi };

	bus_for_each_dev(tbib_service_driver.driver.bus, NULL, &nets,
			 count_network);
	return nets.n;
}

static unsigned int free_pairs(struct tb_nhi *nhi)
{
	unsigned int tx = 0, rx = 0;
	u32 i;

	spin_lock_irq(&nhi->lock);
	for (i = 1; i < nhi->hop_count; i++) {
		tx += !nhi->tx_rings[i];
		rx += !nhi->rx_rings[i];
	}
	spin_unlock_irq(&nhi->lock);
	return min(tx, rx);
}

/* Ring 0 is the control channel's. */
static unsigned int data_pairs(struct tb_nhi *nhi)
{
	return nhi->hop_count - 1;
}

/**
 * tbib_plan_rings() - ring pairs that a link may have
 * @link: the cable
 *
 * Two, express and bulk, when the NHI's pairs allow for it: its cables share
 * them, and each with thunderbolt_net on it keeps one for that, which takes it
 * only when its interface is brought up. One at least. What is free now is
 * looked at elsewhere. May sleep.
 */
unsigned int tbib_plan_rings(struct tbib_link *link)
{
	unsigned int pairs = data_pairs(link->tb_nhi);
	unsigned int nets = networks(link->tb_nhi);
	unsigned int cables = max(tbib_links_on(link->tb_nhi), 1u);

	pairs -= min(nets, pairs);
	return clamp(pairs / cables, 1u, (unsigned int)TBIB_PLAN_RINGS);
}

/**
 * tbib_free_rings() - ring pairs that could be allocated now
 * @link: the cable
 * @want: at most
 */
unsigned int tbib_free_rings(struct tbib_link *link, unsigned int want)
{
	return min(want, free_pairs(link->tb_nhi));
}

/* ---- life of a block of paths ---------------------------------------- */

static void paths_free(struct kref *ref)
{
	struct tbib_paths *paths = container_of(ref, struct tbib_paths, ref);
	unsigned int i;

	for (i = 0; i < paths->n; i++) {
		struct tbib_path *p = &paths->path[i];

		if (p->rx_hopid >= 0)
			tb_xdomain_release_in_hopid(paths->xd, p->rx_hopid);
		tb_xdomain_release_out_hopid(paths->xd, p->tx_hopid);
	}
	tb_xdomain_put(paths->xd);
	put_device(paths->domain);
	kfree(paths);
}

static void switch_off(struct tbib_paths *paths)
{
	unsigned int i;

	for (i = 0; i < paths->n_on; i++) {
		struct tbib_path *p = &paths->path[i];
		int ret;

		if (!p->on)
			continue;
		/* the very arguments of the enable, or it finds nothing */
		ret = tb_xdomain_disable_paths(paths->xd, p->tx_hopid,
					       p->tx_ring, p->rx_hopid,
					       p->rx_ring);
		if (ret)
			dev_warn(&paths->xd->dev,
				 "tbib: paths not disabled: %d\n", ret);
		p->on = false;
	}
}

static void switch_on(struct tbib_paths *paths)
{
	unsigned int i;

	for (i = 0; i < paths->n_on && !READ_ONCE(paths->dying); i++) {
		struct tbib_path *p = &paths->path[i];

		paths->error = tb_xdomain_enable_paths(paths->xd, p->tx_hopid,
						       p->tx_ring, p->rx_hopid,
						       p->rx_ring);
		if (paths->error)
			return;
		p->on = true;
	}
}

/* Waits for tb->lock: see struct tbib_paths. */
static void paths_work(struct work_struct *work)
{
	struct tbib_paths *paths = container_of(work, struct tbib_paths, work);

	if (!READ_ONCE(paths->dying)) {
		switch_on(paths);
		complete_all(&paths->opened);
	}
	if (READ_ONCE(paths->dying)) {
		switch_off(paths);
		complete_all(&paths->closed);
	}
	kref_put(&paths->ref, paths_free);
}

static void start_work(struct tbib_paths *paths)
{
	kref_get(&paths->ref);
	if (!queue_work(tbib_wq, &paths->work))
		kref_put(&paths->ref, paths_free);
}

/*
 * Whoever holds tb->lock and waits for us has marked the XDomain unplugged
 * before; then the work is left alone.
 */
static bool wait_or_unplugged(struct tbib_paths *paths, struct completion *c)
{
	while (!wait_for_completion_timeout(c, POLL_UNPLUGGED))
		if (READ_ONCE(paths->xd->is_unplugged))
			return try_wait_for_completion(c);
	return true;
}

/* Input HopIDs are the peer's choice; ours must be free, or it is a stale one. */
static int take_in_hopids(struct tbib_paths *paths, const u16 *peer_hopid)
{
	unsigned int i;

	for (i = 0; i < paths->n_on; i++) {
		int hopid = tb_xdomain_alloc_in_hopid(paths->xd, peer_hopid[i]);

		if (hopid < 0)
			return hopid;
		paths->path[i].rx_hopid = hopid;
		if (hopid != peer_hopid[i])
			return -EBUSY;
	}
	return 0;
}

/**
 * tbib_paths_new() - a block with output HopIDs
 * @link: the cable
 * @n: ring pairs
 *
 * A HopID may be stuck in a tunnel that came too late for its XDomain, so each
 * bring-up begins behind the HopIDs of the one before.
 * Return: the block or an ERR_PTR; tbib_paths_close() gives it back.
 */
struct tbib_paths *tbib_paths_new(struct tbib_link *link, unsigned int n)
{
	struct tbib_paths *paths;
	unsigned int i;

	paths = kzalloc(sizeof(*paths), GFP_KERNEL);
	if (!paths)
		return ERR_PTR(-ENOMEM);
	kref_init(&paths->ref);
	INIT_WORK(&paths->work, paths_work);
	init_completion(&paths->opened);
	init_completion(&paths->closed);
	paths->xd = tb_xdomain_get(link->xd);
	paths->domain = get_device(&link->xd->tb->dev);

	for (i = 0; i < n; i++) {
		struct tbib_path *p = &paths->path[i];
		int hopid;

		hopid = tb_xdomain_alloc_out_hopid(paths->xd, link->hopid_hint);
		if (hopid < 0) {
			link->hopid_hint = -1;
			hopid = tb_xdomain_alloc_out_hopid(paths->xd, -1);
		}
		if (hopid < 0)
			break;
		link->hopid_hint = hopid + 1;
		p->tx_hopid = hopid;
		p->rx_hopid = -1;
		paths->n++;
	}
	if (!paths->n) {
		kref_put(&paths->ref, paths_free);
		return ERR_PTR(-ENOSPC);
	}
	return paths;
}

/**
 * tbib_paths_open() - enable paths; rings run already
 * @paths: from tbib_paths_new()
 * @n: the first so many pairs
 * @peer_hopid: on which the peer sends
 *
 * Return: 0 or negative errno; the caller closes the block then. May sleep.
 */
int tbib_paths_open(struct tbib_paths *paths, unsigned int n,
		    const u16 *peer_hopid)
{
	int ret;

	paths->n_on = n;
	ret = take_in_hopids(paths, peer_hopid);
	if (ret)
		return ret;
	start_work(paths);
	if (!wait_or_unplugged(paths, &paths->opened))
		return -ENODEV;
	return paths->error;
}

/**
 * tbib_paths_close() - disable what is enabled and give up the block
 * @paths: from tbib_paths_new()
 *
 * Paths are off when it returns, unless the cable is out. May sleep.
 */
void tbib_paths_close(struct tbib_paths *paths)
{
	WRITE_ONCE(paths->dying, true);
	start_work(paths);
	wait_or_unplugged(paths, &paths->closed);
	kref_put(&paths->ref, paths_free);
}
