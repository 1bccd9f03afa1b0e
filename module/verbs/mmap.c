// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of queues, shared with the process by mmap of the uverbs file.
 *
 * librxe unmaps a queue after it has destroyed the object, and rmmod of the
 * module is possible while mappings exist (disassociate_ucontext). So a VMA
 * holds nothing but page references and the core's own vm_ops; pages are freed
 * by whoever drops the last reference.
 */
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <rdma/uverbs_ioctl.h>
#include "verbs/ibdev.h"

/*
 * struct tbib_qbuf - pages of one queue
 * Referenced by the queue and by its mmap entry.
 */
struct tbib_qbuf {
	struct kref ref;
	u32 n_pages;
	void *va;
	struct page *page[] __counted_by(n_pages);
};

struct tbib_mmap_entry {
	struct rdma_user_mmap_entry entry;
	struct tbib_qbuf *mem;
};

static void qbuf_release(struct kref *ref)
{
	struct tbib_qbuf *mem = container_of(ref, struct tbib_qbuf, ref);
	u32 i;

	if (mem->va)
		vunmap(mem->va);
	for (i = 0; i < mem->n_pages && mem->page[i]; i++)
		__free_page(mem->page[i]);
	kvfree(mem);
}

/* memory that a process makes us hold is charged to its memory cgroup */
static struct tbib_qbuf *qbuf_alloc(size_t bytes)
{
	u32 n = DIV_ROUND_UP(bytes, PAGE_SIZE);
	struct tbib_qbuf *mem;
	u32 i;

	mem = kvzalloc(struct_size(mem, page, n), GFP_KERNEL_ACCOUNT);
	if (!mem)
		return NULL;
	kref_init(&mem->ref);
	mem->n_pages = n;
	for (i = 0; i < n; i++) {
		mem->page[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!mem->page[i])
			goto err_put;
	}
	mem->va = vmap(mem->page, n, VM_MAP, PAGE_KERNEL);
	if (!mem->va)
		goto err_put;
	return mem;

err_put:
	kref_put(&mem->ref, qbuf_release);
	return NULL;
}

static int queue_publish(struct tbib_queue *q, struct ib_udata *udata,
			 struct mminfo *mi)
{
	struct ib_ucontext *ctx =
		container_of(udata, struct uverbs_attr_bundle,
			     driver_udata)->context;
	size_t bytes = (size_t)q->mem->n_pages * PAGE_SIZE;
	struct tbib_mmap_entry *e;
	int err;

	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	kref_get(&q->mem->ref);
	e->mem = q->mem;
	err = rdma_user_mmap_entry_insert(ctx, &e->entry, bytes);
	if (err) {
		kref_put(&q->mem->ref, qbuf_release);
		kfree(e);
		return err;
	}
	q->entry = &e->entry;
	mi->offset = rdma_user_mmap_get_offset(&e->entry);
	mi->size = bytes;
	mi->pad = 0;
	return 0;
}

/*
 * tbib_queue_alloc() - memory for a ring of at least @slots usable elements
 * @elem: bytes of an element; rounded up to a power of two
 * @udata: NULL for a kernel queue, else the queue is published for mmap and
 *	@mi tells where
 * Return: 0 or negative errno. May sleep.
 */
int tbib_queue_alloc(struct tbib_queue *q, u32 slots, u32 elem,
		     struct ib_udata *udata, struct mminfo *mi)
{
	u32 n = roundup_pow_of_two(slots + 1);
	int err;

	elem = roundup_pow_of_two(elem);
	q->mem = qbuf_alloc(sizeof(struct rxe_queue_buf) + (size_t)n * elem);
	if (!q->mem)
		return -ENOMEM;
	q->buf = q->mem->va;
	q->entry = NULL;
	q->index = 0;
	q->mask = n - 1;
	q->shift = ilog2(elem);
	q->buf->log2_elem_size = q->shift;
	q->buf->index_mask = q->mask;
	if (!udata)
		return 0;
	err = queue_publish(q, udata, mi);
	if (err)
		tbib_queue_free(q);
	return err;
}

/*
 * tbib_queue_free() - mirror of tbib_queue_alloc(); mappings stay valid
 */
void tbib_queue_free(struct tbib_queue *q)
{
	if (!q->mem)
		return;
	if (q->entry)
		rdma_user_mmap_entry_remove(q->entry);
	kref_put(&q->mem->ref, qbuf_release);
	memset(q, 0, sizeof(*q));
}

void tbib_mmap_free(struct rdma_user_mmap_entry *entry)
{
	struct tbib_mmap_entry *e =
		container_of(entry, struct tbib_mmap_entry, entry);

	kref_put(&e->mem->ref, qbuf_release);
	kfree(e);
}

int tbib_mmap(struct ib_ucontext *ctx, struct vm_area_struct *vma)
{
	struct rdma_user_mmap_entry *entry;
	struct tbib_mmap_entry *e;
	int err;

	entry = rdma_user_mmap_entry_get(ctx, vma);
	if (!entry)
		return -EINVAL;
	e = container_of(entry, struct tbib_mmap_entry, entry);
	/* every page gets a reference from the VMA; the entry may go now */
	err = vm_map_pages_zero(vma, e->mem->page, e->mem->n_pages);
	rdma_user_mmap_entry_put(entry);
	return err;
}
