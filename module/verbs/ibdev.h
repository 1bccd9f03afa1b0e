/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Structures and prototypes that the files of the verbs layer share.
 *
 * Lifetime: what the data path finds by number (QP, MR, address) is found
 * under RCU and freed after a grace period. A QP is used only with its lock
 * held and @dying false, so whatever destroy_qp waits for needs no reference.
 *
 * Locks, outer to inner: vqp.modify > trunk tx lock (fabric) > vqp.lock
 * > srq.lock > cq.lock. Our spinlocks save the interrupt state, because kernel
 * users may post with interrupts off
 * (Documentation/infiniband/core_locking.rst).
 */
#ifndef TBIB_VERBS_IBDEV_H
#define TBIB_VERBS_IBDEV_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/iosys-map.h>
#include <rdma/ib_umem.h>
#include <rdma/ib_verbs.h>
#include <uapi/rdma/rdma_user_rxe.h>
#include "proto/qp.h"
#include "verbs/limits.h"
#include "verbs/queue.h"
#include "verbs/verbs.h"

#define TBIB_UVERBS_ABI		2	/* rdma_user_rxe.h, librxe 39 and later */
#define TBIB_MCAST_BUCKETS	256
#define TBIB_MCAST_QPN		0xffffff
#define TBIB_MR_RESCHED		1024	/* pages between scheduling points */
#define TBIB_MAX_NHI		8
#define TBIB_SQ_WINDOW		256	/* WQEs of a user that are copied ahead */
#define TBIB_FLUSH_BATCH	64	/* of a user's WQEs, in one go */
#define TBIB_GID_TABLE		256
#define TBIB_MTU		4096
#define TBIB_SWEEP_NS		(10 * NSEC_PER_MSEC)
#define TBIB_LANE_IDLE_NS	(2 * NSEC_PER_MSEC)
#define TBIB_LANE_SMALL		4096	/* larger messages go bulk */

/* Every access bit that can be granted; optional bits are ignored (hints). */
#define TBIB_ACCESS_SUPPORTED \
	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | \
	 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC | IB_ACCESS_MW_BIND | \
	 IB_ACCESS_FLUSH_GLOBAL | IB_ACCESS_OPTIONAL)

/* struct tbib_ibdev.flags */
enum {
	TBIB_IBDEV_LEAVING,	/* we are unregistering it, do not revive */
	TBIB_IBDEV_DEAD,	/* unregistered, by us or by rdma_rxe's exit */
};

/* Counters that verbs keep per QP, next to tbib_qp_stats of the core */
#define TBIB_VERBS_COUNTERS(X) \
	X(rdma_recvs) X(send_err) X(retry_exceeded_err) \
	X(retry_rnr_exceeded_err) X(req_cqe_error) X(resp_cqe_error) \
	X(foreign_peer) X(bad_qkey)

struct tbib_verbs_stats {
#define X(n) u64 n;
	TBIB_VERBS_COUNTERS(X)
#undef X
};

/**
 * struct tbib_mcast - which QPs are attached to which groups
 * @lock: guards everything here but @seed; readers of @bucket use RCU
 * @n: attachments
 */
struct tbib_mcast {
	struct mutex lock;
	u32 seed;
	u32 n;
	struct hlist_head bucket[TBIB_MCAST_BUCKETS];
};

/**
 * struct tbib_ibdev - the shell: an ib_device around the node
 * @qps: QPN -> struct tbib_vqp; looked up under RCU
 * @ahs: AH number -> struct tbib_addr; looked up under RCU
 * @mrs: key >> 8 -> struct tbib_mr; looked up under RCU
 * @mws: key >> 8 -> struct tbib_window; looked up under RCU
 * @next_qpn, @next_mr, @next_mw: where the next cyclic allocation starts
 * @serial: of the QP created last; unlike a QPN it is not used again
 * @port_state: last one that was dispatched as an event
 * @qps_sem: held for reading while a QP goes from @qps to @gone, for writing
 *	while both are summed
 * @gone: counters of QPs that were destroyed; guarded by @gone_lock
 */
struct tbib_ibdev {
	struct ib_device ib;
	struct tbib_node *node;
	unsigned long flags;
	struct xarray qps;
	struct xarray ahs;
	struct xarray mrs;
	struct xarray mws;
	struct tbib_mcast mcast;
	struct tbib_counts counts;
	atomic64_t serial;
	u32 next_qpn;
	u32 next_ah;
	u32 next_mr;
	u32 next_mw;
	u8 port_state;
	bool removing;		/* programs are about to be cut off */
	struct rw_semaphore qps_sem;
	spinlock_t gone_lock;	/* guards @gone and @gone_core; inside vqp.lock */
	struct tbib_verbs_stats gone;
	struct tbib_qp_stats gone_core;
	spinlock_t scratch_lock; /* guards @scratch; inside vqp.lock */
	struct tbib_train scratch; /* packets without a route end here */
	atomic64_t no_qp;	/* packets for a QPN that is not there */
	atomic64_t bad_packet;	/* malformed headers or foreign P_Key */
	atomic64_t link_downed;	/* times that the port ceased to be active */
};

struct tbib_ucontext {
	struct ib_ucontext ib;
};

struct tbib_pd {
	struct ib_pd ib;
};

/**
 * struct tbib_addr - where an address handle leads; refcounted, freed by RCU
 * It outlives its ib_ah while WQEs refer to it.
 */
struct tbib_addr {
	refcount_t ref;
	struct rcu_head rcu;
	struct ib_pd *pd;	/* only compared */
	u32 num;		/* 0: the kernel's */
	u8 dmac[ETH_ALEN];
	bool v4;
	u8 hop_limit;
	u8 tclass;
	u32 flow_label;
	union ib_gid sgid;
	union ib_gid dgid;
	struct rdma_ah_attr attr;	/* for query_ah; holds no reference */
};

struct tbib_ah {
	struct ib_ah ib;
	struct tbib_addr *addr;
};

/**
 * struct tbib_cq - completion queue
 * @resize: one resize_cq at a time, which uverbs does not see to; outside of
 *	@lock
 * @lock: guards everything below but the works
 * @q: user CQ: ring of struct ib_uverbs_wc; kernel CQ: of struct ib_wc
 * @armed: IB_CQ_NEXT_COMP or IB_CQ_SOLICITED while a notify is wanted
 * @notify: calls comp_handler in softirq, when no lock of ours is held
 * @error: dispatches CQ_ERR
 */
struct tbib_cq {
	struct ib_cq ib;
	struct mutex resize;
	spinlock_t lock;
	struct tbib_queue q;
	bool user;
	bool overflow;
	u8 armed;
	struct work_struct notify;
	struct work_struct error;
};

/**
 * struct tbib_rq - receive queue of a QP or SRQ; slots are rxe_recv_wqe
 * Kernel users produce into the same ring that librxe would.
 */
struct tbib_rq {
	struct tbib_queue q;
	u32 max_wr;
	u32 max_sge;
};

/**
 * struct tbib_srq - shared receive queue
 * @resize: one resize at a time; outside of @post_lock
 * @lock: guards @rq's consumer side and @limit
 * @post_lock: guards @rq's producer side (kernel users)
 */
struct tbib_srq {
	struct ib_srq ib;
	struct mutex resize;
	spinlock_t lock;
	spinlock_t post_lock;
	struct tbib_rq rq;
	bool user;
	u32 limit;
	struct work_struct limit_event;
};

enum tbib_mr_kind {
	TBIB_MR_DMA,
	TBIB_MR_USER,
	TBIB_MR_FAST,
	TBIB_MR_DMABUF,
};

/**
 * struct tbib_mr_map - DMA addresses of an MR's pages for one NHI
 */
struct tbib_mr_map {
	struct device *dev;
	struct tbib_mr_map *next;	/* while its NHI goes */
	u32 n;
	dma_addr_t addr[];
};

/**
 * struct tbib_mr - memory region
 * @ref: keeps the structure: owner, WQEs, messages in progress
 * @users: keeps the pages: copies going on and raw frames; dereg waits for it
 * @idle: completed when @users drops to zero
 * @windows: memory windows bound to it
 * @valid: keys work (FRWR: between REG_MR and invalidation)
 * @lock: FRWR: guards changes of @key and @valid, by any QP of the PD
 * @page: kernel address of each page of 1 << @shift bytes
 * @page_off: bytes before the region in its first page
 * @spare: FRWR: a second table, which map_mr_sg fills; the next REG_MR takes it
 * @mapped: FRWR: it has been filled, with @n_mapped of @max_pages
 * @map: per NHI slot; RCU for readers, guarded by the table's mutex
 */
struct tbib_mr {
	struct ib_mr ib;
	struct rcu_head rcu;
	refcount_t ref;
	refcount_t users;
	struct completion idle;
	struct tbib_ibdev *dev;
	struct ib_pd *pd;
	u8 kind;		/* enum tbib_mr_kind */
	u8 shift;
	bool valid;
	spinlock_t lock;
	u32 key;
	u32 access;
	u64 iova;
	u64 length;
	u32 page_off;
	u32 n_pages;
	u32 n_mapped;
	u32 max_pages;
	atomic_t windows;
	void **page;
	void **spare;
	bool mapped;
	struct ib_umem *umem;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;	/* to @dmabuf */
	struct iosys_map vmap;	/* of @dmabuf */
	struct list_head on_nhis;
	struct tbib_mr_map __rcu *map[TBIB_MAX_NHI];
};

struct tbib_window;		/* mw.c */

struct tbib_mw {
	struct ib_mw ib;
	struct tbib_window *window;
};

/** struct tbib_mw_bind - a BIND_MW work request */
struct tbib_mw_bind {
	u32 key;		/* of the window, and its low byte from now on */
	u32 new_key;
	u32 lkey;
	u32 access;
	u64 va;
	u64 length;
};

/**
 * struct tbib_vqp - a queue pair of the verbs layer
 * @core: the state machines; guarded by @lock
 * @src: how the fabric asks for packets
 * @modify: one modify_qp at a time, which uverbs does not see to; outside of
 *	@lock
 * @lock: guards everything below, @core, and the order of completions
 * @dying: destroy_qp has begun: nobody may use the QP any more
 * @sq: user QP: the shared send ring; its index is @sq_base + the core's
 * @sq_last: the core's consumer index that the ring was told last
 * @slots: private WQEs, @stride bytes each
 * @rq_taken: the receive WQE in use comes from @rq (not yet consumed)
 * @mcast: groups it is attached to; guarded by tbib_mcast.lock
 * @peer: node that an RC or UC QP is connected to, referenced
 * @armed_at: when @timer fires, ns; 0 = not armed
 * @sweep_at: user QP in ERR: look for receives again, ns; 0 = no
 * @sweep_work: flushes a batch of a user's requests and receives
 * @rx_vlan: GSI: of the datagram that is being received, or TBIB_NO_VLAN
 * @tx_at: last time the QP filled a train, for the choice of lane
 * @events: bits of enum tbib_qp_event that @event_work dispatches
 */
struct tbib_vqp {
	struct tbib_qp core;
	struct tbib_source src;
	struct rcu_head rcu;
	struct mutex modify;
	spinlock_t lock;
	bool dying;
	bool user;
	bool flushed;		/* ERR was seen and receives flushed */
	u8 type;		/* enum ib_qp_type */
	u64 serial;
	struct tbib_ibdev *dev;
	struct ib_qp *ib;
	struct ib_pd *pd;
	struct tbib_cq *scq;
	struct tbib_cq *rcq;
	struct tbib_srq *srq;

	struct tbib_queue sq;
	u32 sq_base;
	u32 sq_last;
	u8 *slots;
	u32 stride;
	u32 n_slots;
	u32 max_sge;
	u32 max_inline;
	u32 max_wr;

	struct tbib_rq rq;
	bool rq_taken;
	u16 rx_vlan;

	struct list_head mcast;

	struct tbib_peer *peer;
	u64 peer_guid;

	struct ib_qp_attr attr;
	struct hrtimer timer;
	u64 armed_at;
	u64 sweep_at;
	u64 tx_at;
	unsigned long events;
	struct work_struct event_work;
	struct work_struct sweep_work;
	struct tbib_verbs_stats stats;
};

/**
 * struct tbib_qp_shell - what the core allocates for us; the rest is freed by
 * RCU
 * @q: NULL once destroy_qp is through
 */
struct tbib_qp_shell {
	struct ib_qp ib;
	struct tbib_vqp *q;
};

static inline struct tbib_ibdev *to_tbib_dev(struct ib_device *ib)
{
	return container_of(ib, struct tbib_ibdev, ib);
}

static inline struct tbib_cq *to_tbib_cq(struct ib_cq *ib)
{
	return container_of(ib, struct tbib_cq, ib);
}

static inline struct tbib_srq *to_tbib_srq(struct ib_srq *ib)
{
	return container_of(ib, struct tbib_srq, ib);
}

static inline struct tbib_ah *to_tbib_ah(struct ib_ah *ib)
{
	return container_of(ib, struct tbib_ah, ib);
}

static inline struct tbib_mr *to_tbib_mr(struct ib_mr *ib)
{
	return container_of(ib, struct tbib_mr, ib);
}

static inline struct tbib_mw *to_tbib_mw(struct ib_mw *ib)
{
	return container_of(ib, struct tbib_mw, ib);
}

static inline bool tbib_key_is_window(u32 key)
{
	return key >> 8 > TBIB_MR_INDEX_MAX;
}

static inline struct tbib_qp_shell *to_tbib_qp_shell(struct ib_qp *ib)
{
	return container_of(ib, struct tbib_qp_shell, ib);
}

static inline struct tbib_vqp *to_tbib_vqp(struct ib_qp *ib)
{
	return to_tbib_qp_shell(ib)->q;
}

static inline struct tbib_vqp *core_to_vqp(struct tbib_qp *core)
{
	return container_of(core, struct tbib_vqp, core);
}

/* port.c */
int tbib_query_device(struct ib_device *ib, struct ib_device_attr *attr,
		      struct ib_udata *udata);
int tbib_modify_device(struct ib_device *ib, int mask,
		       struct ib_device_modify *mod);
void tbib_get_fw_str(struct ib_device *ib, char *str);
u8 tbib_verbs_port_state(const struct tbib_node *node);
int tbib_query_port(struct ib_device *ib, u32 port, struct ib_port_attr *attr);
int tbib_modify_port(struct ib_device *ib, u32 port, int mask,
		     struct ib_port_modify *mod);
int tbib_query_pkey(struct ib_device *ib, u32 port, u16 index, u16 *pkey);
int tbib_query_gid(struct ib_device *ib, u32 port, int index,
		   union ib_gid *gid);
int tbib_port_immutable(struct ib_device *ib, u32 port,
			struct ib_port_immutable *imm);
extern const struct attribute_group tbib_device_group;
enum rdma_link_layer tbib_link_layer(struct ib_device *ib, u32 port);
struct net_device *tbib_get_netdev(struct ib_device *ib, u32 port);

/* client.c */
int tbib_client_register(void);
/**
 * tbib_verbs_tell_again() - what the port did while the core heard no events of
 * the device is told once it does. Any context.
 */
void tbib_verbs_tell_again(void);
void tbib_client_unregister(void);

/* ucontext.c */
int tbib_alloc_ucontext(struct ib_ucontext *ib, struct ib_udata *udata);
void tbib_dealloc_ucontext(struct ib_ucontext *ib);
void tbib_disassociate_ucontext(struct ib_ucontext *ib);
int tbib_alloc_pd(struct ib_pd *pd, struct ib_udata *udata);
int tbib_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata);

/* mmap.c */
int tbib_queue_alloc(struct tbib_queue *q, u32 slots, u32 elem,
		     struct ib_udata *udata, struct mminfo *mi);
void tbib_queue_free(struct tbib_queue *q);
int tbib_mmap(struct ib_ucontext *ctx, struct vm_area_struct *vma);
void tbib_mmap_free(struct rdma_user_mmap_entry *entry);

/* ah.c */
int tbib_create_ah(struct ib_ah *ib, struct rdma_ah_init_attr *init,
		   struct ib_udata *udata);
int tbib_query_ah(struct ib_ah *ib, struct rdma_ah_attr *attr);
int tbib_destroy_ah(struct ib_ah *ib, u32 flags);
struct tbib_addr *tbib_addr_get(struct tbib_ibdev *dev, u32 num,
				struct ib_pd *pd);
struct tbib_addr *tbib_addr_ref(struct ib_ah *ib);
void tbib_addr_put(struct tbib_addr *addr);

/* ud.c */
void tbib_ud_grh(struct tbib_qp *core, const struct tbib_wqe *w, u32 len,
		 u8 *dst);

bool tbib_ud_dgid(const struct tbib_bth *b, union ib_gid *dgid);
#define TBIB_NO_VLAN 0xffff
u16 tbib_ud_vlan(struct tbib_ibdev *dev, const struct tbib_bth *b);

/* rx.c */
void tbib_vqp_rx(struct tbib_vqp *q, const struct tbib_bth *b,
		 const struct tbib_pkt *p, const struct tbib_peer *from,
		 u16 slid);

/* mcast.c */
void tbib_mcast_init(struct tbib_mcast *mc);
int tbib_attach_mcast(struct ib_qp *ib, union ib_gid *mgid, u16 mlid);
int tbib_detach_mcast(struct ib_qp *ib, union ib_gid *mgid, u16 mlid);
void tbib_mcast_leave(struct tbib_vqp *q);
void tbib_mcast_rx(struct tbib_ibdev *dev, const struct tbib_bth *b,
		   const struct tbib_pkt *p, struct tbib_peer *from, u16 slid);

/* cq.c */
int tbib_create_cq(struct ib_cq *ib, const struct ib_cq_init_attr *attr,
		   struct uverbs_attr_bundle *attrs);
/**
 * tbib_cq_silence() - before ib_free_cq() stops its own work, so that no
 * handler of ours queues that again. Process context. Return: 0.
 */
int tbib_cq_silence(struct ib_cq *ib);
/** tbib_cq_release() - and after it: memory, count. Process context. */
void tbib_cq_release(struct ib_cq *ib);
int tbib_destroy_cq(struct ib_cq *ib, struct ib_udata *udata);
int tbib_resize_cq(struct ib_cq *ib, tbib_cqe_count_t cqe,
		   struct ib_udata *udata);
int tbib_poll_cq(struct ib_cq *ib, int n, struct ib_wc *wc);
int tbib_req_notify_cq(struct ib_cq *ib, enum ib_cq_notify_flags flags);
void tbib_cq_add(struct tbib_cq *cq, struct tbib_vqp *q,
		 const struct tbib_cqe *c);

/* rq.c */
int tbib_rq_create(struct tbib_rq *rq, u32 max_wr, u32 max_sge,
		   struct ib_udata *udata, struct mminfo *mi);
int tbib_rq_post(struct tbib_rq *rq, const struct ib_recv_wr *wr);
bool tbib_rq_peek(struct tbib_rq *rq, struct tbib_rwqe *out);
void tbib_rq_advance(struct tbib_rq *rq);
int tbib_post_recv(struct ib_qp *ib, const struct ib_recv_wr *wr,
		   const struct ib_recv_wr **bad);
u8 tbib_recv_get(struct tbib_qp *core, struct tbib_rwqe *r);
void tbib_recv_release(struct tbib_qp *core, struct tbib_rwqe *r);
void tbib_recv_done(struct tbib_vqp *q);
void tbib_recv_flush(struct tbib_vqp *q);

/* srq.c */
int tbib_create_srq(struct ib_srq *ib, struct ib_srq_init_attr *init,
		    struct ib_udata *udata);
int tbib_modify_srq(struct ib_srq *ib, struct ib_srq_attr *attr,
		    enum ib_srq_attr_mask mask, struct ib_udata *udata);
int tbib_query_srq(struct ib_srq *ib, struct ib_srq_attr *attr);
int tbib_destroy_srq(struct ib_srq *ib, struct ib_udata *udata);
int tbib_post_srq_recv(struct ib_srq *ib, const struct ib_recv_wr *wr,
		       const struct ib_recv_wr **bad);
bool tbib_srq_take(struct tbib_srq *srq, struct tbib_rwqe *r);

/* mr.c */
struct ib_mr *tbib_get_dma_mr(struct ib_pd *pd, int access);
struct ib_mr *tbib_reg_user_mr(struct ib_pd *pd, u64 start, u64 length,
			       u64 iova, int access, TBIB_DMAH_PARAM
			       struct ib_udata *udata);
struct ib_mr *tbib_rereg_user_mr(struct ib_mr *ib, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata);
int tbib_dereg_mr(struct ib_mr *ib, struct ib_udata *udata);
struct tbib_mr *tbib_mr_alloc(struct ib_pd *pd, enum tbib_mr_kind kind,
			      u32 access);
int tbib_mr_publish(struct tbib_mr *mr);
void tbib_mr_free(struct tbib_mr *mr);
struct ib_mr *tbib_alloc_mr(struct ib_pd *pd, enum ib_mr_type type,
			    u32 max_num_sg);
int tbib_map_mr_sg(struct ib_mr *ib, struct scatterlist *sg, int nents,
		   unsigned int *sg_offset);
struct tbib_mr *tbib_mr_find(struct tbib_ibdev *dev, u32 key);
void tbib_mr_put(struct tbib_mr *mr);
bool tbib_mr_pin(struct tbib_mr *mr, u32 key, u64 va, u32 len);

/** tbib_mr_range_ok() - do @len bytes at @va lie within the region? */
static inline bool tbib_mr_range_ok(const struct tbib_mr *mr, u64 va, u64 len)
{
	u64 last;

	if (!len)
		return true;
	if (check_add_overflow(va, len - 1, &last))
		return false;
	if (mr->kind != TBIB_MR_DMA)
		return va >= mr->iova && len <= mr->length &&
		       va - mr->iova <= mr->length - len;
	return virt_addr_valid((void *)(uintptr_t)va) &&
	       virt_addr_valid((void *)(uintptr_t)last);
}

/** tbib_mr_unuse() - give back one of @users; any context */
static inline void tbib_mr_unuse(struct tbib_mr *mr)
{
	if (refcount_dec_and_test(&mr->users))
		complete(&mr->idle);
}

/** tbib_mr_unpin() - the bytes that tbib_mr_pin() held have been moved */
static inline void tbib_mr_unpin(struct tbib_mr *mr)
{
	bool fast = mr->kind == TBIB_MR_FAST;

	tbib_mr_unuse(mr);
	if (fast)
		preempt_enable();
}

u8 tbib_mr_reg(struct tbib_vqp *q, struct tbib_mr *mr, u32 key, u32 access);
u8 tbib_mr_invalidate(struct tbib_vqp *q, u32 key, bool remote);

/* mw.c */
int tbib_alloc_mw(struct ib_mw *ib, struct ib_udata *udata);
int tbib_dealloc_mw(struct ib_mw *ib);
u8 tbib_mw_bind(struct tbib_vqp *q, const struct tbib_mw_bind *b);
u8 tbib_mw_invalidate(struct tbib_vqp *q, u32 key, bool remote);
u8 tbib_mw_get(struct tbib_vqp *q, u32 rkey, u64 va, u32 len, u32 access,
	       struct tbib_mem *m);
void tbib_mw_put(struct tbib_window *w);
bool tbib_mw_enter(struct tbib_window *w, u64 binding);
void tbib_mw_leave(struct tbib_window *w);

/* mr_dmabuf.c */
struct ib_mr *tbib_reg_user_mr_dmabuf(struct ib_pd *pd, u64 offset, u64 length,
				      u64 iova, int fd, int access,
				      TBIB_DMAH_PARAM
				      struct uverbs_attr_bundle *attrs);
struct ib_mr *tbib_mr_dmabuf_reg(struct ib_pd *pd, struct dma_buf *buf,
				 u64 offset, u64 length, u64 iova, int access);
void tbib_mr_dmabuf_release(struct tbib_mr *mr);

/* mr_map.c */
void tbib_mr_map_all(struct tbib_mr *mr);
void tbib_mr_unmap_all(struct tbib_mr *mr);

/* mem.c: parts of tbib_qp_ops that touch memory */
u8 tbib_wqe_prepare(struct tbib_qp *core, struct tbib_wqe *w);
void tbib_wqe_release(struct tbib_qp *core, struct tbib_wqe *w);
u8 tbib_gather(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
	       u32 len, u8 *dst);
u8 tbib_gather_raw(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
		   u32 len, struct tbib_train *t);
u8 tbib_scatter(struct tbib_qp *core, const struct tbib_wqe *w, u32 off,
		const struct tbib_payload *p, bool last);
u8 tbib_recv_scatter(struct tbib_qp *core, const struct tbib_rwqe *r,
		     u32 off, const struct tbib_payload *p, bool last);
u8 tbib_sges_get(struct tbib_vqp *q, struct ib_pd *pd, struct tbib_sge *sge,
		 u32 n, u32 access, bool whole);
void tbib_sges_put(struct tbib_sge *sge, u32 n);
u8 tbib_mem_get(struct tbib_qp *core, u32 rkey, u64 va, u32 len, u32 access,
		struct tbib_mem *m);
void tbib_mem_put(struct tbib_qp *core, struct tbib_mem *m);
u8 tbib_mem_read(struct tbib_qp *core, const struct tbib_mem *m, u32 off,
		 u32 len, u8 *dst);
u8 tbib_mem_read_raw(struct tbib_qp *core, const struct tbib_mem *m,
		     u32 off, u32 len, struct tbib_train *t);
u8 tbib_mem_write(struct tbib_qp *core, const struct tbib_mem *m, u32 off,
		  const struct tbib_payload *p, bool last);
u8 tbib_mem_atomic(struct tbib_qp *core, const struct tbib_mem *m,
		   enum tbib_atomic what, u64 swap_add, u64 compare, u64 *orig);

/* qp.c */
int tbib_create_qp(struct ib_qp *ib, struct ib_qp_init_attr *init,
		   struct ib_udata *udata);
int tbib_destroy_qp(struct ib_qp *ib, struct ib_udata *udata);
void tbib_vqp_answer(struct tbib_vqp *q);
extern const struct tbib_qp_ops tbib_vqp_ops;

/* qp_state.c */
int tbib_modify_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
		   struct ib_udata *udata);
int tbib_query_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
		  struct ib_qp_init_attr *init);
void tbib_vqp_fail(struct tbib_vqp *q);

/* wr.c */
int tbib_post_send(struct ib_qp *ib, const struct ib_send_wr *wr,
		   const struct ib_send_wr **bad);
void tbib_sq_pull(struct tbib_vqp *q);
bool tbib_sq_waits(const struct tbib_vqp *q);
void tbib_sq_done(struct tbib_vqp *q);
void tbib_sq_discard(struct tbib_vqp *q);

/* source.c */
extern const struct tbib_source_ops tbib_vqp_source_ops;
bool tbib_vqp_after(struct tbib_vqp *q);
bool tbib_vqp_idle(const struct tbib_vqp *q);

/* timer.c */
void tbib_vqp_timer_init(struct tbib_vqp *q);
void tbib_vqp_timer_arm(struct tbib_vqp *q);

/* sweep.c */
int tbib_sweep_init(void);
void tbib_sweep_exit(void);
void tbib_vqp_sweep_init(struct tbib_vqp *q);
void tbib_vqp_sweep_soon(struct tbib_vqp *q);
bool tbib_vqp_flush_waits(const struct tbib_vqp *q);
void tbib_vqp_flush_all(struct tbib_vqp *q);

/* pma.c */
int tbib_process_mad(struct ib_device *ib, int flags, u32 port,
		     const struct ib_wc *wc, const struct ib_grh *grh,
		     const struct ib_mad *in, struct ib_mad *out,
		     size_t *out_size, u16 *out_pkey_index);

/* counters.c */
struct rdma_hw_stats *tbib_alloc_hw_port_stats(struct ib_device *ib, u32 port);
int tbib_get_hw_stats(struct ib_device *ib, struct rdma_hw_stats *stats,
		      u32 port, int index);
void tbib_vqp_account(struct tbib_vqp *q);

#endif
