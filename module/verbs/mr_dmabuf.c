// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions in a dma-buf: memory of another driver that the CPU can map (dma-heap,
 * udmabuf, most GPUs' system memory). The payload is copied, never sent from
 * where it is: the exporter's pages are not ours to give to an NHI. What the CPU
 * cannot map as ordinary memory, or what cannot be kept where it is, is refused
 * with EOPNOTSUPP, which programs take for "use a staging buffer".
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/iosys-map.h>
#include <linux/slab.h>
#include "verbs/ibdev.h"

#define WRITES (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | \
		IB_ACCESS_REMOTE_ATOMIC)

static int dmabuf_check(const struct dma_buf *buf, u64 offset, u64 length,
			int access)
{
	u64 end;

	if (!length || check_add_overflow(offset, length, &end) ||
	    end > buf->size)
		return -EINVAL;
	/* as mmap: who may write only does not see what is there either */
	if (!(buf->file->f_mode & FMODE_READ) ||
	    ((access & WRITES) && !(buf->file->f_mode & FMODE_WRITE)))
		return -EACCES;
	return 0;
}

/* what is pinned does not move, but importers of what can have to say this */
static void dmabuf_moved(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops dmabuf_importer = {
	.TBIB_DMABUF_MOVED = dmabuf_moved,
};

/*
 * dmabuf_attach() - keep the memory where it is
 * A mapping for the CPU alone does not do that with every exporter: amdgpu's, up
 * to 6.16, moves the buffer and frees its pages. Exporters that move buffers
 * have a pin; those of older graphics drivers pin what is attached. It is never
 * mapped for the device: unmapping would write bounce buffers back over what
 * has been copied in meanwhile.
 */
static int dmabuf_attach(struct tbib_mr *mr, struct dma_buf *buf)
{
	struct device *dev = mr->dev->ib.dev.parent;
	int err;

	if (!dma_buf_is_dynamic(buf)) {
		mr->attach = dma_buf_attach(buf, dev);
		return PTR_ERR_OR_ZERO(mr->attach);
	}
	mr->attach = dma_buf_dynamic_attach(buf, dev, &dmabuf_importer, mr);
	if (IS_ERR(mr->attach))
		return PTR_ERR(mr->attach);
	dma_resv_lock(buf->resv, NULL);
	err = dma_buf_pin(mr->attach);
	dma_resv_unlock(buf->resv);
	if (err)
		dma_buf_detach(buf, mr->attach);
	return err;
}

static void dmabuf_detach(struct tbib_mr *mr, struct dma_buf *buf)
{
	if (dma_buf_is_dynamic(buf)) {
		dma_resv_lock(buf->resv, NULL);
		dma_buf_unpin(mr->attach);
		dma_resv_unlock(buf->resv);
	}
	dma_buf_detach(buf, mr->attach);
}

/* whatever an exporter's reason is, EINVAL for "has no vmap" among them */
static int dmabuf_error(int err)
{
	return err == -ENOMEM || err == -EINTR || err == -ERESTARTSYS ?
	       err : -EOPNOTSUPP;
}

/*
 * dmabuf_open() - its address for the CPU, in @mr->vmap
 * Waits for moves that have begun. Return: 0 or negative errno.
 */
static int dmabuf_open(struct tbib_mr *mr, struct dma_buf *buf)
{
	int err;

	err = dmabuf_attach(mr, buf);
	if (err)
		return dmabuf_error(err);
	err = dma_buf_begin_cpu_access(buf, DMA_BIDIRECTIONAL);
	if (err)
		goto err_detach;
	err = dma_buf_vmap_unlocked(buf, &mr->vmap);
	if (err)
		goto err_end;
	if (mr->vmap.is_iomem) {
		err = -EOPNOTSUPP;
		goto err_unmap;
	}
	return 0;

err_unmap:
	dma_buf_vunmap_unlocked(buf, &mr->vmap);
err_end:
	dma_buf_end_cpu_access(buf, DMA_BIDIRECTIONAL);
err_detach:
	dmabuf_detach(mr, buf);
	return dmabuf_error(err);
}

static void dmabuf_close(struct tbib_mr *mr, struct dma_buf *buf)
{
	dma_buf_vunmap_unlocked(buf, &mr->vmap);
	dma_buf_end_cpu_access(buf, DMA_BIDIRECTIONAL);
	dmabuf_detach(mr, buf);
}

static int dmabuf_fill_pages(struct tbib_mr *mr, void *base)
{
	u32 i;

	mr->page = kvmalloc_array(mr->n_pages, sizeof(*mr->page),
				  GFP_KERNEL_ACCOUNT);
	if (!mr->page)
		return -ENOMEM;
	for (i = 0; i < mr->n_pages; i++)
		mr->page[i] = base + ((size_t)i << PAGE_SHIFT);
	return 0;
}

/*
 * tbib_mr_dmabuf_reg() - a region in @buf, whose reference it takes over if it
 * succeeds; the range and the rights have been checked. May sleep.
 */
struct ib_mr *tbib_mr_dmabuf_reg(struct ib_pd *pd, struct dma_buf *buf,
				 u64 offset, u64 length, u64 iova, int access)
{
	u64 pages = DIV_ROUND_UP_ULL(offset_in_page(offset) + length,
				     PAGE_SIZE);
	struct tbib_mr *mr;
	int err;

	if (length > TBIB_MAX_MR_SIZE)
		return ERR_PTR(-EINVAL);
	mr = tbib_mr_alloc(pd, TBIB_MR_DMABUF, access);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	err = dmabuf_open(mr, buf);
	if (err)
		goto err_free;
	mr->dmabuf = buf;
	mr->iova = iova;
	mr->length = length;
	mr->page_off = offset_in_page(offset);
	mr->n_pages = pages;
	err = dmabuf_fill_pages(mr, mr->vmap.vaddr + (offset & PAGE_MASK));
	if (err)
		goto err_close;
	err = tbib_mr_publish(mr);
	if (err)
		goto err_close;
	mr->ib.length = length;
	mr->ib.iova = iova;
	return &mr->ib;

err_close:
	dmabuf_close(mr, buf);
err_free:
	tbib_mr_free(mr);
	return ERR_PTR(err);
}

struct ib_mr *tbib_reg_user_mr_dmabuf(struct ib_pd *pd, u64 offset, u64 length,
				      u64 iova, int fd, int access,
				      TBIB_DMAH_PARAM
				      struct uverbs_attr_bundle *attrs)
{
	struct dma_buf *buf;
	struct ib_mr *mr;
	int err;

	if (TBIB_DMAH_GIVEN || access & ~TBIB_ACCESS_SUPPORTED)
		return ERR_PTR(-EOPNOTSUPP);
	buf = dma_buf_get(fd);
	if (IS_ERR(buf))
		return ERR_CAST(buf);
	err = dmabuf_check(buf, offset, length, access);
	mr = err ? ERR_PTR(err) :
	     tbib_mr_dmabuf_reg(pd, buf, offset, length, iova, access);
	if (IS_ERR(mr))
		dma_buf_put(buf);
	return mr;
}

/* tbib_mr_dmabuf_release() - nobody uses the pages any more; may sleep */
void tbib_mr_dmabuf_release(struct tbib_mr *mr)
{
	dmabuf_close(mr, mr->dmabuf);
	dma_buf_put(mr->dmabuf);
}

MODULE_IMPORT_NS(TBIB_NS_DMA_BUF);
