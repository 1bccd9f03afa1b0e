// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions in a dma-buf: memory of another driver that the CPU can map (dma-heap,
 * udmabuf, most GPUs' system memory). The payload is copied, never sent from
 * where it is: the exporter's pages are not ours to pin. What the CPU cannot
 * map as ordinary memory is refused with EOPNOTSUPP, which programs take for
 * "use a staging buffer".
 */
#include <linux/dma-buf.h>
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

/* dmabuf_open() - its address for the CPU. Return: 0 or negative errno. */
static int dmabuf_open(struct dma_buf *buf, struct iosys_map *map)
{
	int err;

	err = dma_buf_begin_cpu_access(buf, DMA_BIDIRECTIONAL);
	if (err)
		return err;
	err = dma_buf_vmap_unlocked(buf, map);
	if (err) {
		/* EINVAL stands for "this exporter has no vmap" too */
		err = err == -ENOMEM || err == -EINTR ? err : -EOPNOTSUPP;
		goto err_end;
	}
	if (map->is_iomem) {
		err = -EOPNOTSUPP;
		goto err_unmap;
	}
	return 0;

err_unmap:
	dma_buf_vunmap_unlocked(buf, map);
err_end:
	dma_buf_end_cpu_access(buf, DMA_BIDIRECTIONAL);
	return err;
}

static void dmabuf_close(struct dma_buf *buf, struct iosys_map *map)
{
	dma_buf_vunmap_unlocked(buf, map);
	dma_buf_end_cpu_access(buf, DMA_BIDIRECTIONAL);
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

static struct ib_mr *reg(struct ib_pd *pd, struct dma_buf *buf, u64 offset,
			 u64 length, u64 iova, int access)
{
	u64 pages = DIV_ROUND_UP_ULL(offset_in_page(offset) + length,
				     PAGE_SIZE);
	struct tbib_mr *mr;
	int err;

	if (pages > U32_MAX)
		return ERR_PTR(-EINVAL);
	mr = tbib_mr_alloc(pd, TBIB_MR_DMABUF, access);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	err = dmabuf_open(buf, &mr->vmap);
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
	dmabuf_close(buf, &mr->vmap);
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
	mr = err ? ERR_PTR(err) : reg(pd, buf, offset, length, iova, access);
	if (IS_ERR(mr))
		dma_buf_put(buf);
	return mr;
}

/* tbib_mr_dmabuf_release() - nobody uses the pages any more; may sleep */
void tbib_mr_dmabuf_release(struct tbib_mr *mr)
{
	dmabuf_close(mr->dmabuf, &mr->vmap);
	dma_buf_put(mr->dmabuf);
}

MODULE_IMPORT_NS(TBIB_NS_DMA_BUF);
