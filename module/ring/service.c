// SPDX-License-Identifier: GPL-2.0-only
/*
 * tbib as a Thunderbolt service: a property directory that tells peers that we
 * speak it, and a driver for the service that a peer publishes likewise.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include "internal.h"

#define SERVICE_KEY	"tbib"
#define SERVICE_ID	1
#define SERVICE_VERSION	TBIB_LOGIN_VERSION
#define NEWS_KEY	"tbibnews"
#define NEWS_AFTER	(2 * HZ)
#define NEWS_TIMES	2

/* a08cf1d6-5a3e-4a30-8f1c-1d2f4f0e62c7 */
static const uuid_t tbib_dir_uuid =
	UUID_INIT(0xa08cf1d6, 0x5a3e, 0x4a30,
		  0x8f, 0x1c, 0x1d, 0x2f, 0x4f, 0x0e, 0x62, 0xc7);

const struct tbib_fabric_ops *tbib_fops;
struct workqueue_struct *tbib_wq;

static struct tb_property_dir *dir;
static u64 local_guid, local_nonce;

/** tbib_local_guid() - node GUID for the next login */
u64 tbib_local_guid(void)
{
	return READ_ONCE(local_guid);
}

/** tbib_local_nonce() - boot nonce */
u64 tbib_local_nonce(void)
{
	return READ_ONCE(local_nonce);
}

TB_SERVICE_PROBE(probe, svc)
{
	struct tbib_link *link;

	link = tbib_link_new(svc);
	if (IS_ERR(link))
		return PTR_ERR(link);
	tb_service_set_drvdata(svc, link);
	tbib_link_start(link);
	return 0;
}

static void remove(struct tb_service *svc)
{
	tbib_link_remove(tb_service_get_drvdata(svc));
}

/* The peer keeps running: it must hear that we stop. remove() comes later. */
static void shutdown(struct tb_service *svc)
{
	tbib_link_suspend(tb_service_get_drvdata(svc));
}

static int suspend(struct device *dev)
{
	tbib_link_suspend(tb_service_get_drvdata(tb_to_service(dev)));
	return 0;
}

static int resume(struct device *dev)
{
	tbib_link_resume(tb_service_get_drvdata(tb_to_service(dev)));
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(pm_ops, suspend, resume);

static const struct tb_service_id ids[] = {
	{ TB_SERVICE(SERVICE_KEY, SERVICE_ID) },
	{ },
};
MODULE_DEVICE_TABLE(tbsvc, ids);

struct tb_service_driver tbib_service_driver = {
	.driver = {
		.owner = THIS_MODULE,
		.name = "tbib",
		.pm = pm_sleep_ptr(&pm_ops),
	},
	.probe = probe,
	.remove = remove,
	.shutdown = shutdown,
	.id_table = ids,
};

static int publish(void)
{
	int ret;

	dir = tb_property_create_dir(&tbib_dir_uuid);
	if (!dir)
		return -ENOMEM;
	ret = tb_property_add_immediate(dir, "prtcid", SERVICE_ID);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcvers",
						SERVICE_VERSION);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcrevs", 1);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcstns", 0);
	if (!ret)
		ret = tb_register_property_dir(SERVICE_KEY, dir);
	if (ret) {
		tb_property_free_dir(dir);
		dir = NULL;
	}
	return ret;
}

static void withdraw(void)
{
	tb_unregister_property_dir(SERVICE_KEY, dir);
	tb_property_free_dir(dir);
	dir = NULL;
}

/*
 * When a directory is published the core tells the XDomains that it has. One
 * that it is still discovering, whose other end has read our properties by then,
 * hears nothing, and that end never sees our service: so it happens when two
 * hosts load the module while they find each other. Peers read everything again
 * at each change, so another directory that comes and goes at once is enough.
 * The second time is for an end that was not ready to hear the first.
 */
static void tell_again(struct work_struct *work);
static DECLARE_DELAYED_WORK(news_work, tell_again);
static atomic_t news_left;

static void tell_again(struct work_struct *work)
{
	struct tb_property_dir *news = tb_property_create_dir(&tbib_dir_uuid);

	if (news) {
		if (!tb_register_property_dir(NEWS_KEY, news))
			tb_unregister_property_dir(NEWS_KEY, news);
		tb_property_free_dir(news);
	}
	if (atomic_dec_if_positive(&news_left) > 0)
		queue_delayed_work(tbib_wq, &news_work, 4 * NEWS_AFTER);
}

/** tbib_service_tell_again() - an XDomain has come, which may not know us */
void tbib_service_tell_again(void)
{
	atomic_set(&news_left, NEWS_TIMES);
	mod_delayed_work(tbib_wq, &news_work, NEWS_AFTER);
}

int tbib_ring_init(const struct tbib_fabric_ops *fops, u64 guid, u64 nonce)
{
	int ret;

	tbib_fops = fops;
	local_guid = guid;
	local_nonce = nonce;
	tbib_wq = alloc_workqueue("tbib", WQ_UNBOUND, 0);
	if (!tbib_wq)
		return -ENOMEM;
	ret = tbib_login_init();
	if (ret)
		goto err_wq;
	ret = tb_register_service_driver(&tbib_service_driver);
	if (ret)
		goto err_login;
	ret = tbib_nhi_init();
	if (ret)
		goto err_driver;
	/* last: from here on peers find us */
	ret = publish();
	if (ret)
		goto err_nhi;
	return 0;

err_nhi:
	tb_unregister_service_driver(&tbib_service_driver);
	tbib_nhi_exit();
	cancel_delayed_work_sync(&news_work);
	goto err_login;
err_driver:
	tb_unregister_service_driver(&tbib_service_driver);
err_login:
	tbib_login_exit();
err_wq:
	destroy_workqueue(tbib_wq);
	return ret;
}

void tbib_ring_exit(void)
{
	withdraw();
	tb_unregister_service_driver(&tbib_service_driver);
	tbib_nhi_exit();
	cancel_delayed_work_sync(&news_work);
	tbib_login_exit();
	/* also waits for paths that were left behind (struct tbib_paths) */
	destroy_workqueue(tbib_wq);
}

void tbib_ring_set_node(u64 guid, u64 nonce)
{
	/* whoever has read one of them, or neither, logs in again */
	WRITE_ONCE(local_guid, guid);
	WRITE_ONCE(local_nonce, nonce);
	tbib_links_restart();
}
