// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which NHIs there are. A domain of the Thunderbolt bus is a child of its NHI;
 * tb_bus_type is not exported, but our service driver's bus is just that.
 */
#include <linux/device.h>
#include <linux/slab.h>
#include "internal.h"

/**
 * struct nhi_entry - an NHI that the fabric knows, or is about to
 * @nhi: what the fabric sees
 * @tb: its domain
 * @told: nhi_add() was called; nhi_mutex
 * @work: domains are announced under tb->lock: the fabric is told from here
 */
struct nhi_entry {
	struct tbib_nhi nhi;
	struct tb *tb;
	struct work_struct work;
	bool told;
};

static LIST_HEAD(nhis);
static DEFINE_MUTEX(nhi_mutex);	/* told, and order of nhi_add and nhi_del */
static DEFINE_SPINLOCK(nhis_lock);	/* the list */
static bool leaving;

static bool is_domain(struct device *dev)
{
	int n;

	return sscanf(dev_name(dev), "domain%d", &n) == 1 && dev->parent &&
	       !tb_is_service(dev) && !tb_is_xdomain(dev);
}

static void nhi_work(struct work_struct *work)
{
	struct nhi_entry *e = container_of(work, struct nhi_entry, work);

	mutex_lock(&nhi_mutex);
	tbib_fops->nhi_add(&e->nhi);
	WRITE_ONCE(e->told, true);
	mutex_unlock(&nhi_mutex);
}

static struct nhi_entry *find(int domain)
{
	struct tbib_nhi *nhi;

	list_for_each_entry(nhi, &nhis, list)
		if (nhi->domain == domain)
			return container_of(nhi, struct nhi_entry, nhi);
	return NULL;
}

static void domain_add(struct device *dev)
{
	struct tb *tb = container_of(dev, struct tb, dev);
	struct nhi_entry *e;

	e = kzalloc(sizeof(*e), GFP_KERNEL);
	if (!e)
		return;
	e->tb = tb;
	e->nhi.dev = tb_nhi_device(tb->nhi);
	e->nhi.domain = tb->index;
	INIT_WORK(&e->work, nhi_work);

	spin_lock(&nhis_lock);
	if (leaving || find(tb->index)) {
		spin_unlock(&nhis_lock);
		kfree(e);
		return;
	}
	list_add_tail(&e->nhi.list, &nhis);
	spin_unlock(&nhis_lock);
	queue_work(tbib_wq, &e->work);
}

static void forget(struct nhi_entry *e)
{
	/* its links are gone: a domain is removed after all on it */
	cancel_work_sync(&e->work);
	mutex_lock(&nhi_mutex);
	if (e->told)
		tbib_fops->nhi_del(&e->nhi);
	mutex_unlock(&nhi_mutex);
	kfree(e);
}

/* tb->lock is not held; what hangs under the NHI must be gone on return. */
static void domain_del(struct device *dev)
{
	struct tb *tb = container_of(dev, struct tb, dev);
	struct nhi_entry *e;

	spin_lock(&nhis_lock);
	e = find(tb->index);
	if (e)
		list_del(&e->nhi.list);
	spin_unlock(&nhis_lock);
	if (e)
		forget(e);
}

/* thunderbolt_net came or went on a cable: the ring plan may change (D6). */
static void network_changed(struct device *dev, bool came)
{
	struct tb_service *svc = tb_to_service(dev);

	if (!svc || strcmp(svc->key, "network"))
		return;
	if (came)
		tbib_links_shrink(tb_service_parent(svc)->tb->nhi);
	else
		tbib_links_grow(tb_service_parent(svc));
}

static int bus_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct device *dev = data;

	switch (event) {
	case BUS_NOTIFY_ADD_DEVICE:
		if (is_domain(dev))
			domain_add(dev);
		else if (tb_to_xdomain(dev))
			tbib_service_tell_again();
		break;
	case BUS_NOTIFY_DEL_DEVICE:
		if (is_domain(dev))
			domain_del(dev);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
		network_changed(dev, true);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		network_changed(dev, false);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block bus_notifier = { .notifier_call = bus_event };

static int add_present(struct device *dev, void *data)
{
	if (is_domain(dev))
		domain_add(dev);
	return 0;
}

/**
 * tbib_nhi_find() - an NHI that the fabric knows
 * @domain: N of domainN
 *
 * Return: the NHI or NULL.
 */
struct tbib_nhi *tbib_nhi_find(int domain)
{
	struct nhi_entry *e;

	spin_lock(&nhis_lock);
	e = find(domain);
	spin_unlock(&nhis_lock);
	/* it outlives all links of its domain, so it may leave the lock */
	return e && READ_ONCE(e->told) ? &e->nhi : NULL;
}

/** tbib_nhi_init() - the service driver is registered */
int tbib_nhi_init(void)
{
	const struct bus_type *bus = tbib_service_driver.driver.bus;
	int ret;

	leaving = false;
	ret = bus_register_notifier(bus, &bus_notifier);
	if (ret)
		return ret;
	return bus_for_each_dev(bus, NULL, NULL, add_present);
}

/** tbib_nhi_exit() - links are gone; the bus is still there */
void tbib_nhi_exit(void)
{
	struct tbib_nhi *nhi, *next;
	LIST_HEAD(gone);

	bus_unregister_notifier(tbib_service_driver.driver.bus, &bus_notifier);
	spin_lock(&nhis_lock);
	leaving = true;
	list_splice_init(&nhis, &gone);
	spin_unlock(&nhis_lock);
	list_for_each_entry_safe(nhi, next, &gone, list)
		forget(container_of(nhi, struct nhi_entry, nhi));
}
