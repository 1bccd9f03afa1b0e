// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ib_device: a shell around the node, which owns netdev, trunks and
 * identity and outlives it.
 *
 * tbib speaks rxe's uverbs ABI under RDMA_DRIVER_RXE, so `rmmod rdma_rxe`
 * (ib_unregister_driver) takes our device with it. When that module says GOING,
 * the sweep is over and a new shell is registered: the same name, GUIDs and
 * GIDs. A delayed work is the fallback.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/utsname.h>
#include "verbs/ibdev.h"

#define TBIB_IBDEV_NAME	"tbib0"
#define REVIVE_FIRST	(HZ / 4)
#define REVIVE_MAX	(30 * HZ)

static DEFINE_MUTEX(shell_lock);	/* guards the four below */
static struct tbib_ibdev *shell;	/* holds a reference on its device */
static struct tbib_node *shell_node;	/* NULL: no device is wanted */
static unsigned long revive_delay;

static void revive_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(revive, revive_work);

/*
 * The device is unregistered, by us or by rdma_rxe's exit; the core frees the
 * shell after a grace period. Called with locks of the core: only forget it.
 * Its name is free a moment after this.
 */
static void tbib_dealloc_driver(struct ib_device *ib)
{
	struct tbib_ibdev *dev = to_tbib_dev(ib);

	cmpxchg(&dev->node->verbs, (void *)dev, NULL);
	synchronize_rcu();
	tbib_counts_end(&dev->counts);
	xa_destroy(&dev->qps);
	xa_destroy(&dev->ahs);
	xa_destroy(&dev->mrs);
	xa_destroy(&dev->mws);
	kfree(dev->scratch.hdr);
	set_bit(TBIB_IBDEV_DEAD, &dev->flags);
	if (!test_bit(TBIB_IBDEV_LEAVING, &dev->flags))
		schedule_delayed_work(&revive, REVIVE_FIRST);
}

static const struct ib_device_ops tbib_dev_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_RXE,
	.uverbs_abi_ver = TBIB_UVERBS_ABI,

	.alloc_hw_port_stats = tbib_alloc_hw_port_stats,
	.alloc_mr = tbib_alloc_mr,
	.alloc_mw = tbib_alloc_mw,
	.alloc_pd = tbib_alloc_pd,
	.alloc_ucontext = tbib_alloc_ucontext,
	.attach_mcast = tbib_attach_mcast,
	.create_ah = tbib_create_ah,
	.create_cq = tbib_create_cq,
	.create_qp = tbib_create_qp,
	.create_srq = tbib_create_srq,
	.create_user_ah = tbib_create_ah,
	.dealloc_driver = tbib_dealloc_driver,
	.dealloc_mw = tbib_dealloc_mw,
	.dealloc_pd = tbib_dealloc_pd,
	.dealloc_ucontext = tbib_dealloc_ucontext,
	.dereg_mr = tbib_dereg_mr,
	.destroy_ah = tbib_destroy_ah,
	.destroy_cq = tbib_destroy_cq,
	.destroy_qp = tbib_destroy_qp,
	.destroy_srq = tbib_destroy_srq,
	.detach_mcast = tbib_detach_mcast,
	.device_group = &tbib_device_group,
	.disassociate_ucontext = tbib_disassociate_ucontext,
	.get_dev_fw_str = tbib_get_fw_str,
	.get_dma_mr = tbib_get_dma_mr,
	.get_hw_stats = tbib_get_hw_stats,
	.get_link_layer = tbib_link_layer,
	.get_netdev = tbib_get_netdev,
	.get_port_immutable = tbib_port_immutable,
	.map_mr_sg = tbib_map_mr_sg,
	.mmap = tbib_mmap,
	.mmap_free = tbib_mmap_free,
	.modify_device = tbib_modify_device,
	.modify_port = tbib_modify_port,
	.modify_qp = tbib_modify_qp,
	.modify_srq = tbib_modify_srq,
	.poll_cq = tbib_poll_cq,
	.post_recv = tbib_post_recv,
	.post_send = tbib_post_send,
	.post_srq_recv = tbib_post_srq_recv,
	.process_mad = tbib_process_mad,
	.query_ah = tbib_query_ah,
	.query_device = tbib_query_device,
	.query_gid = tbib_query_gid,
	.query_pkey = tbib_query_pkey,
	.query_port = tbib_query_port,
	.query_qp = tbib_query_qp,
	.query_srq = tbib_query_srq,
	.reg_user_mr = tbib_reg_user_mr,
	.reg_user_mr_dmabuf = tbib_reg_user_mr_dmabuf,
	.req_notify_cq = tbib_req_notify_cq,
	.rereg_user_mr = tbib_rereg_user_mr,
	.resize_user_cq = tbib_resize_cq,
	TBIB_FREE_CQ_OPS(tbib_cq_silence, tbib_cq_release)

	INIT_RDMA_OBJ_SIZE(ib_ah, tbib_ah, ib),
	INIT_RDMA_OBJ_SIZE(ib_cq, tbib_cq, ib),
	INIT_RDMA_OBJ_SIZE(ib_mw, tbib_mw, ib),
	INIT_RDMA_OBJ_SIZE(ib_pd, tbib_pd, ib),
	INIT_RDMA_OBJ_SIZE(ib_qp, tbib_qp_shell, ib),
	INIT_RDMA_OBJ_SIZE(ib_srq, tbib_srq, ib),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, tbib_ucontext, ib),
};

static void shell_init(struct tbib_ibdev *dev, struct tbib_node *node)
{
	struct ib_device *ib = &dev->ib;

	dev->node = node;
	dev->port_state = TBIB_PORT_DOWN;
	xa_init_flags(&dev->qps, XA_FLAGS_ALLOC1);
	xa_init_flags(&dev->ahs, XA_FLAGS_ALLOC1);
	xa_init_flags(&dev->mrs, XA_FLAGS_ALLOC1);
	xa_init_flags(&dev->mws, XA_FLAGS_ALLOC1);
	dev->next_qpn = get_random_u32_below(1 << 23) + 0x10;
	dev->next_mr = get_random_u32_below(TBIB_MR_INDEX_MAX) + 1;
	dev->next_mw = get_random_u32_below(TBIB_MR_INDEX_MAX) +
		       TBIB_MR_INDEX_MAX + 1;
	tbib_mcast_init(&dev->mcast);
	init_rwsem(&dev->qps_sem);
	spin_lock_init(&dev->gone_lock);
	spin_lock_init(&dev->scratch_lock);
	ib->dev.parent = node->parent;
	ib->node_type = RDMA_NODE_IB_CA;
	ib->node_guid = cpu_to_be64(node->guid);
	ib->phys_port_cnt = 1;
	ib->num_comp_vectors = num_possible_cpus();
	ib->uverbs_cmd_mask |= BIT_ULL(IB_USER_VERBS_CMD_POST_SEND) |
			       BIT_ULL(IB_USER_VERBS_CMD_REQ_NOTIFY_CQ);
	snprintf(ib->node_desc, sizeof(ib->node_desc), "%.50s tbib0",
		 init_utsname()->nodename);
	ib_set_device_ops(ib, &tbib_dev_ops);
	/* keeps rdma-core's udev rule from renaming it after its PCI parent */
	ib_mark_name_assigned_by_user(ib);
}

/* shell_lock held, not under RTNL: registration takes it for the GIDs */
static int shell_create(struct tbib_node *node)
{
	struct tbib_ibdev *dev = ib_alloc_device(tbib_ibdev, ib);
	int err;

	if (!dev)
		return -ENOMEM;
	shell_init(dev, node);
	dev->scratch.hdr = kmalloc(TBIB_FRAME_SIZE, GFP_KERNEL);
	if (!dev->scratch.hdr) {
		err = -ENOMEM;
		goto err_dealloc;
	}
	/* so that unregistering is safe against the sweep of rdma_rxe */
	get_device(&dev->ib.dev);
	smp_store_release(&node->verbs, dev);
	err = ib_register_device(&dev->ib, TBIB_IBDEV_NAME, NULL);
	if (err)
		goto err_put;
	shell = dev;
	return 0;

err_put:
	put_device(&dev->ib.dev);
err_dealloc:
	set_bit(TBIB_IBDEV_LEAVING, &dev->flags);
	ib_dealloc_device(&dev->ib);
	return err;
}

static void say_not_registered(int err)
{
	pr_err("tbib: cannot register RDMA device: %d\n", err);
}

static void shell_revive(void)
{
	int err;

	mutex_lock(&shell_lock);
	if (!shell_node)
		goto out;
	if (shell && test_bit(TBIB_IBDEV_DEAD, &shell->flags)) {
		put_device(&shell->ib.dev);
		shell = NULL;
	}
	if (shell) {
		tbib_verbs_port_changed(shell_node);
		goto out;
	}
	err = shell_create(shell_node);
	if (!err) {
		revive_delay = REVIVE_FIRST;
		tbib_verbs_port_changed(shell_node);
		pr_info("tbib: RDMA device registered again\n");
	} else {
		/* the core may not have let go of the old one's name yet */
		if (err != -ENFILE || revive_delay > REVIVE_FIRST)
			say_not_registered(err);
		revive_delay = min_t(unsigned long, 2 * revive_delay,
				     REVIVE_MAX);
		schedule_delayed_work(&revive, revive_delay);
	}
out:
	mutex_unlock(&shell_lock);
}

static void revive_work(struct work_struct *work)
{
	shell_revive();
}

void tbib_verbs_tell_again(void)
{
	schedule_delayed_work(&revive, 0);
}

/* delete_module() runs rdma_rxe's exit first and then says GOING */
static int module_event(struct notifier_block *nb, unsigned long event,
			void *data)
{
	const struct module *mod = data;

	if (event == MODULE_STATE_GOING && !strcmp(mod->name, "rdma_rxe"))
		shell_revive();
	return NOTIFY_DONE;
}

static struct notifier_block module_nb = { .notifier_call = module_event };

int tbib_verbs_register(struct tbib_node *node)
{
	int err;

	node->mr_ops = &tbib_verbs_mr_ops;
	mutex_lock(&shell_lock);
	revive_delay = REVIVE_FIRST;
	err = shell_create(node);
	if (!err)
		shell_node = node;
	mutex_unlock(&shell_lock);
	if (err)
		say_not_registered(err);
	return err;
}

void tbib_verbs_unregister(struct tbib_node *node)
{
	mutex_lock(&shell_lock);
	shell_node = NULL;
	if (shell) {
		set_bit(TBIB_IBDEV_LEAVING, &shell->flags);
		ib_unregister_device(&shell->ib);
		put_device(&shell->ib.dev);
		shell = NULL;
	}
	mutex_unlock(&shell_lock);
	cancel_delayed_work(&revive);
}

bool tbib_verbs_busy(struct tbib_node *node)
{
	struct tbib_ibdev *dev;
	unsigned long index;
	struct tbib_vqp *q;
	struct tbib_mr *mr;
	bool busy = false;

	rcu_read_lock();
	dev = READ_ONCE(node->verbs);
	if (dev) {
		/* the core's own GSI QP and DMA MR do not count */
		xa_for_each(&dev->qps, index, q)
			busy |= q->type != IB_QPT_GSI;
		xa_for_each(&dev->mrs, index, mr)
			busy |= mr->kind != TBIB_MR_DMA;
		busy |= !xa_empty(&dev->mws);
	}
	rcu_read_unlock();
	return busy;
}

void tbib_verbs_ib_name(struct tbib_node *node, char *buf, size_t len)
{
	mutex_lock(&shell_lock);
	buf[0] = '\0';
	if (shell && !test_bit(TBIB_IBDEV_DEAD, &shell->flags))
		strscpy(buf, dev_name(&shell->ib.dev), len);
	mutex_unlock(&shell_lock);
}

int tbib_verbs_init(void)
{
	int ret = tbib_sweep_init();

	if (ret)
		return ret;
	ret = register_module_notifier(&module_nb);
	if (ret)
		goto err_sweep;
	ret = tbib_client_register();
	if (ret)
		goto err_notifier;
	return 0;

err_notifier:
	unregister_module_notifier(&module_nb);
err_sweep:
	tbib_sweep_exit();
	return ret;
}

/* after tbib_verbs_unregister() */
void tbib_verbs_exit(void)
{
	tbib_client_unregister();
	unregister_module_notifier(&module_nb);
	cancel_delayed_work_sync(&revive);
	tbib_sweep_exit();
}
