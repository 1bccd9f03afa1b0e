/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Single-producer single-consumer ring in rxe's user ABI (struct
 * rxe_queue_buf): one side is librxe or a kernel user, the other is tbib.
 *
 *	SQ, RQ, SRQ	the user produces, tbib consumes
 *	CQ		tbib produces, the user consumes
 *
 * The page that holds the indices is writable by the process, so nothing read
 * from it is believed: our own index, the mask and the element size are kept
 * here, and every foreign index is masked before use. One slot stays free, so
 * that equal indices mean empty. The side that publishes an index releases
 * what it wrote before; the side that reads it acquires.
 */
#ifndef TBIB_VERBS_QUEUE_H
#define TBIB_VERBS_QUEUE_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <uapi/rdma/rdma_user_rxe.h>

struct tbib_qbuf;

/**
 * struct tbib_queue - one ring
 * @buf: kernel mapping of the shared pages
 * @index: our own index (consumer of SQ/RQ/SRQ, producer of CQ), masked
 * @mask: slots - 1; @shift: log2 of the element size
 * @mem: the pages; @entry: what mmap finds, NULL for kernel queues
 */
struct tbib_queue {
	struct rxe_queue_buf *buf;
	u32 index;
	u32 mask;
	u32 shift;
	struct tbib_qbuf *mem;
	struct rdma_user_mmap_entry *entry;
};

static inline void *tbib_queue_slot(const struct tbib_queue *q, u32 index)
{
	return q->buf->data + ((size_t)(index & q->mask) << q->shift);
}

static inline u32 tbib_queue_elem(const struct tbib_queue *q)
{
	return 1u << q->shift;
}

/* index that the foreign producer has published */
static inline u32 tbib_queue_producer(const struct tbib_queue *q)
{
	return smp_load_acquire(&q->buf->producer_index) & q->mask;
}

/* index that the foreign consumer has published */
static inline u32 tbib_queue_consumer(const struct tbib_queue *q)
{
	return smp_load_acquire(&q->buf->consumer_index) & q->mask;
}

/* entries that wait for us as the consumer */
static inline u32 tbib_queue_count(const struct tbib_queue *q)
{
	return (tbib_queue_producer(q) - q->index) & q->mask;
}

static inline void tbib_queue_set_consumer(struct tbib_queue *q, u32 index)
{
	smp_store_release(&q->buf->consumer_index, index & q->mask);
}

static inline void tbib_queue_set_producer(struct tbib_queue *q, u32 index)
{
	smp_store_release(&q->buf->producer_index, index & q->mask);
}

/* RESET: both indices start again; librxe does nothing here */
static inline void tbib_queue_reset(struct tbib_queue *q)
{
	q->index = 0;
	WRITE_ONCE(q->buf->producer_index, 0);
	WRITE_ONCE(q->buf->consumer_index, 0);
}

#endif
