// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: what mem.c and mr.c do to memory, compared with a model that goes byte
 * by byte. Part of tbib.ko when it is built with TBIB_KUNIT=y, as for the debug
 * kernel, whose KASAN sees what the comparison cannot.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include "verbs/ibdev.h"

#define SEED		0x7462696273656564ull
#define ROUNDS		200
#define REGIONS		4
#define REGION_PAGES	6
#define IOVA		0x7f0000000000ull

/*
 * struct scene - a device, a PD and a QP that only have what mem.c looks at
 * @page: memory of region i begins at page[i][0] + page_off
 * @model: what each page must hold
 */
struct scene {
	struct rnd_state rnd;
	struct tbib_ibdev *dev;
	struct ib_pd pd, other_pd;
	struct tbib_vqp *q;
	struct tbib_mr *mr[REGIONS];
	u8 *page[REGIONS][REGION_PAGES];
	u8 *model[REGIONS][REGION_PAGES];
	u8 *buf, *expected;
};

static u32 below(struct scene *s, u32 n)
{
	return prandom_u32_state(&s->rnd) % n;
}

static u8 *at(u8 **pages, const struct tbib_mr *mr, u64 off)
{
	off += mr->page_off;
	return pages[off >> PAGE_SHIFT] + offset_in_page(off);
}

/* Pages come one by one, so that neighbours in a region are none in memory. */
static void make_pages(struct kunit *test, u32 i)
{
	struct scene *s = test->priv;
	u32 p;

	for (p = 0; p < REGION_PAGES; p++) {
		/* a power of two is aligned to its size */
		s->page[i][p] = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
		s->model[i][p] = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, s->page[i][p]);
		KUNIT_ASSERT_NOT_NULL(test, s->model[i][p]);
		prandom_bytes_state(&s->rnd, s->page[i][p], PAGE_SIZE);
		memcpy(s->model[i][p], s->page[i][p], PAGE_SIZE);
	}
}

/* As tbib_reg_user_mr() leaves it, but for the umem. */
static void make_region(struct kunit *test, u32 i)
{
	struct scene *s = test->priv;
	struct tbib_mr *mr;

	make_pages(test, i);
	mr = tbib_mr_alloc(&s->pd, TBIB_MR_USER,
			   IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE |
			   IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC);
	KUNIT_ASSERT_NOT_NULL(test, mr);
	mr->page = kvmalloc_array(REGION_PAGES, sizeof(*mr->page), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mr->page);
	memcpy(mr->page, s->page[i], sizeof(s->page[i]));
	mr->n_pages = REGION_PAGES;
	mr->page_off = below(s, PAGE_SIZE);
	/* the last one does not begin where its page does */
	mr->iova = IOVA * (i + 1) + (i + 1 < REGIONS ? mr->page_off : 8);
	mr->length = REGION_PAGES * PAGE_SIZE - mr->page_off -
		     below(s, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, tbib_mr_publish(mr), 0);
	s->mr[i] = mr;
}

static int scene_init(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, s);
	test->priv = s;
	prandom_seed_state(&s->rnd, SEED);
	s->dev = kunit_kzalloc(test, sizeof(*s->dev), GFP_KERNEL);
	s->q = kunit_kzalloc(test, sizeof(*s->q), GFP_KERNEL);
	s->buf = kunit_kzalloc(test, REGION_PAGES * PAGE_SIZE, GFP_KERNEL);
	s->expected = kunit_kzalloc(test, REGION_PAGES * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s->dev);
	KUNIT_ASSERT_NOT_NULL(test, s->q);
	KUNIT_ASSERT_NOT_NULL(test, s->buf);
	KUNIT_ASSERT_NOT_NULL(test, s->expected);
	xa_init_flags(&s->dev->mrs, XA_FLAGS_ALLOC1);
	s->pd.device = &s->dev->ib;
	s->other_pd.device = &s->dev->ib;
	s->q->dev = s->dev;
	s->q->pd = &s->pd;
	for (i = 0; i < REGIONS; i++)
		make_region(test, i);
	return 0;
}

/* Nothing was written beside, and every reference and pin was given back. */
static void scene_exit(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 i, p;

	if (!s)
		return;
	for (i = 0; i < REGIONS && s->mr[i]; i++) {
		for (p = 0; p < REGION_PAGES; p++)
			KUNIT_EXPECT_MEMEQ(test, s->page[i][p], s->model[i][p],
					   PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, refcount_read(&s->mr[i]->ref), 1);
		KUNIT_EXPECT_EQ(test, refcount_read(&s->mr[i]->users), 1);
		tbib_mr_free(s->mr[i]);
	}
	xa_destroy(&s->dev->mrs);
}

/* ---- gather and scatter lists ------------------------------------------- */

/* A list of up to TBIB_MAX_SGE entries, some empty. Return: its bytes. */
static u32 random_list(struct scene *s, struct tbib_sge *sge, u8 *n)
{
	u32 i, total = 0;

	*n = 1 + below(s, TBIB_MAX_SGE);
	for (i = 0; i < *n; i++) {
		struct tbib_mr *mr = s->mr[below(s, REGIONS)];
		u32 off = below(s, mr->length);
		u32 most = min_t(u32, mr->length - off,
				 (REGION_PAGES * PAGE_SIZE - total) / 2);

		sge[i].addr = mr->iova + off;
		sge[i].lkey = mr->key;
		sge[i].len = below(s, 8) ? below(s, most + 1) : 0;
		total += sge[i].len;
	}
	return total;
}

static u32 region_of(const struct scene *s, u32 key)
{
	u32 i;

	for (i = 0; i + 1 < REGIONS && s->mr[i]->key != key; i++)
		;
	return i;
}

/* Byte @off of the list, in @pages (the regions' or the model's). */
static u8 *list_at(struct scene *s, u8 *pages[][REGION_PAGES],
		   const struct tbib_sge *sge, u32 off)
{
	u32 i;

	while (off >= sge->len) {
		off -= sge->len;
		sge++;
	}
	i = region_of(s, sge->lkey);
	return at(pages[i], s->mr[i], sge->addr - s->mr[i]->iova + off);
}

static void gathers_lists(struct kunit *test)
{
	struct tbib_wqe *w = kunit_kzalloc(test, tbib_wqe_size(TBIB_MAX_SGE, 0),
					   GFP_KERNEL);
	struct scene *s = test->priv;
	u32 round, total, off, len, i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	for (round = 0; round < ROUNDS; round++) {
		struct tbib_sge *sge = tbib_wqe_sge(w);

		total = random_list(s, sge, &w->n_sge);
		KUNIT_ASSERT_EQ(test, TBIB_OK,
				tbib_sges_get(s->q, &s->pd, sge, w->n_sge, 0,
					      true));
		off = below(s, total + 1);
		len = below(s, total - off + 1);
		for (i = 0; i < len; i++)
			s->expected[i] = *list_at(s, s->model, sge, off + i);
		KUNIT_EXPECT_EQ(test, TBIB_OK,
				tbib_gather(&s->q->core, w, off, len, s->buf));
		KUNIT_EXPECT_MEMEQ(test, s->buf, s->expected, len);
		/* one byte more than there is */
		KUNIT_EXPECT_NE(test, TBIB_OK,
				tbib_gather(&s->q->core, w, off,
					    total - off + 1, s->buf));
		tbib_sges_put(sge, w->n_sge);
	}
}

/* The payload of a packet: some bytes of @s->buf, in up to four pieces. */
static void random_payload(struct scene *s, struct tbib_payload *p, u32 most)
{
	u32 cut;

	memset(p, 0, sizeof(*p));
	prandom_bytes_state(&s->rnd, s->buf, most);
	while (p->n < ARRAY_SIZE(p->piece) && p->len < most) {
		cut = 1 + below(s, most - p->len);
		p->piece[p->n].data = s->buf + p->len;
		p->piece[p->n++].len = cut;
		p->len += cut;
	}
}

static void scatters_to_lists(struct kunit *test)
{
	struct tbib_rwqe *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct scene *s = test->priv;
	struct tbib_payload p;
	u32 round, total, off, i;

	KUNIT_ASSERT_NOT_NULL(test, r);
	for (round = 0; round < ROUNDS; round++) {
		total = random_list(s, r->sge, &r->n_sge);
		KUNIT_ASSERT_EQ(test, TBIB_OK,
				tbib_sges_get(s->q, &s->pd, r->sge, r->n_sge,
					      IB_ACCESS_LOCAL_WRITE, false));
		off = below(s, total + 1);
		random_payload(s, &p, total - off);
		for (i = 0; i < p.len; i++)
			*list_at(s, s->model, r->sge, off + i) = s->buf[i];
		KUNIT_EXPECT_EQ(test, TBIB_OK,
				tbib_recv_scatter(&s->q->core, r, off, &p,
						  round & 1));
		tbib_sges_put(r->sge, r->n_sge);
	}
}

static void refuses_foreign_lists(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_mr *mr = s->mr[0];
	struct tbib_sge sge[2] = {
		{ .addr = s->mr[1]->iova, .len = 8, .lkey = s->mr[1]->key },
		{ .addr = mr->iova, .len = 8, .lkey = mr->key },
	};

	KUNIT_EXPECT_EQ(test, TBIB_LOC_PROT_ERR,
			tbib_sges_get(s->q, &s->other_pd, sge, 2, 0, true));
	mr->access = IB_ACCESS_REMOTE_READ;
	KUNIT_EXPECT_EQ(test, TBIB_LOC_PROT_ERR,
			tbib_sges_get(s->q, &s->pd, sge, 2,
				      IB_ACCESS_LOCAL_WRITE, true));
	sge[1].lkey ^= 1;
	KUNIT_EXPECT_EQ(test, TBIB_LOC_PROT_ERR,
			tbib_sges_get(s->q, &s->pd, sge, 2, 0, true));
	/* IBTA 10.6.3.1: the key of an empty entry is not looked at */
	sge[1].len = 0;
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_sges_get(s->q, &s->pd, sge, 2, 0, true));
	tbib_sges_put(sge, 2);
}

/* a receive may reach past its region, what arrives may not */
static void receives_past_the_end(struct kunit *test)
{
	struct tbib_rwqe *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct scene *s = test->priv;
	struct tbib_mr *mr = s->mr[0];
	struct tbib_payload p = {
		.piece = { { .data = s->buf, .len = 8 } }, .n = 1, .len = 8,
	};
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->n_sge = 1;
	r->sge[0].addr = mr->iova + mr->length - 12;
	r->sge[0].len = 4096;
	r->sge[0].lkey = mr->key;
	KUNIT_EXPECT_EQ(test, TBIB_LOC_PROT_ERR,
			tbib_sges_get(s->q, &s->pd, r->sge, 1, 0, true));
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_sges_get(s->q, &s->pd, r->sge, 1,
				      IB_ACCESS_LOCAL_WRITE, false));
	for (i = 0; i < p.len; i++)
		*list_at(s, s->model, r->sge, 4 + i) = s->buf[i];
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_recv_scatter(&s->q->core, r, 4, &p, true));
	KUNIT_EXPECT_EQ(test, TBIB_LOC_PROT_ERR,
			tbib_recv_scatter(&s->q->core, r, 5, &p, true));
	tbib_sges_put(r->sge, 1);
}

/* ---- remote memory ------------------------------------------------------ */

static void writes_and_reads_remote_memory(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_payload p;
	struct tbib_mem m;
	u32 round, i;

	for (round = 0; round < ROUNDS; round++) {
		u32 r = below(s, REGIONS);
		struct tbib_mr *mr = s->mr[r];
		u32 off = below(s, mr->length);
		u32 len = 1 + below(s, mr->length - off);

		KUNIT_ASSERT_EQ(test, TBIB_OK,
				tbib_mem_get(&s->q->core, mr->key,
					     mr->iova + off, len,
					     IB_ACCESS_REMOTE_WRITE, &m));
		random_payload(s, &p, len);
		for (i = 0; i < p.len; i++)
			*at(s->model[r], mr, off + i) = s->buf[i];
		KUNIT_EXPECT_EQ(test, TBIB_OK,
				tbib_mem_write(&s->q->core, &m, 0, &p, true));

		memset(s->buf, 0, len);
		for (i = 0; i < len; i++)
			s->expected[i] = *at(s->model[r], mr, off + i);
		KUNIT_EXPECT_EQ(test, TBIB_OK,
				tbib_mem_read(&s->q->core, &m, 0, len, s->buf));
		KUNIT_EXPECT_MEMEQ(test, s->buf, s->expected, len);
		tbib_mem_put(&s->q->core, &m);
	}
}

static void bounds_remote_memory(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_mr *mr = s->mr[0];
	u64 last = mr->iova + mr->length;
	const struct {
		u64 va, iova;
		u32 len;
		u8 status;
	} t[] = {
		{ mr->iova, mr->iova, mr->length, TBIB_OK },
		{ last - 1, mr->iova, 1, TBIB_OK },
		{ last, mr->iova, 0, TBIB_OK },
		{ mr->iova - 1, mr->iova, 1, TBIB_REM_ACCESS_ERR },
		{ mr->iova - 1, mr->iova, 2, TBIB_REM_ACCESS_ERR },
		{ mr->iova, mr->iova, mr->length + 1, TBIB_REM_ACCESS_ERR },
		{ last - 1, mr->iova, 2, TBIB_REM_ACCESS_ERR },
		{ last, mr->iova, 1, TBIB_REM_ACCESS_ERR },
		{ U64_MAX, mr->iova, 2, TBIB_REM_ACCESS_ERR },
		{ U64_MAX, mr->iova, U32_MAX, TBIB_REM_ACCESS_ERR },
		/* a region that ends where addresses end */
		{ -mr->length, -mr->length, mr->length, TBIB_OK },
		{ U64_MAX, -mr->length, 1, TBIB_OK },
		{ U64_MAX, -mr->length, 2, TBIB_REM_ACCESS_ERR },
		{ 0, -mr->length, 1, TBIB_REM_ACCESS_ERR },
	};
	struct tbib_mem m;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		mr->iova = t[i].iova;
		KUNIT_EXPECT_EQ_MSG(test, t[i].status,
				    tbib_mem_get(&s->q->core, mr->key, t[i].va,
						 t[i].len,
						 IB_ACCESS_REMOTE_READ, &m),
				    "case %u", i);
		tbib_mem_put(&s->q->core, &m);
	}
	mr->access = IB_ACCESS_LOCAL_WRITE;
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_get(&s->q->core, mr->key, mr->iova, 1,
				     IB_ACCESS_REMOTE_READ, &m));
	s->q->pd = &s->other_pd;
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_get(&s->q->core, mr->key, mr->iova, 1, 0, &m));
}

static void atomics_reach_aligned_words(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_mr *mr = s->mr[0], *odd = s->mr[REGIONS - 1];
	u64 *word, orig = 0;
	struct tbib_mem m;

	mr->page_off = 24;
	mr->iova = IOVA;
	word = (u64 *)at(s->model[0], mr, 64);
	*word = 40;
	*(u64 *)at(s->page[0], mr, 64) = 40;
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, mr->key, mr->iova + 64, 8,
				     IB_ACCESS_REMOTE_ATOMIC, &m));
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_atomic(&s->q->core, &m, TBIB_ATOMIC_ADD, 2, 0,
					&orig));
	KUNIT_EXPECT_EQ(test, orig, 40);
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_atomic(&s->q->core, &m, TBIB_ATOMIC_CAS, 7, 41,
					&orig));
	KUNIT_EXPECT_EQ(test, orig, 42);
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_atomic(&s->q->core, &m, TBIB_ATOMIC_CAS,
					U64_MAX, 42, &orig));
	KUNIT_EXPECT_EQ(test, orig, 42);
	*word = U64_MAX;
	m.va += 4;
	KUNIT_EXPECT_EQ(test, TBIB_REM_INV_REQ_ERR,
			tbib_mem_atomic(&s->q->core, &m, TBIB_ATOMIC_ADD, 1, 0,
					&orig));
	tbib_mem_put(&s->q->core, &m);

	/* an aligned address whose memory is not */
	odd->page_off = 12;
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, odd->key, odd->iova, 8,
				     IB_ACCESS_REMOTE_ATOMIC, &m));
	KUNIT_EXPECT_EQ(test, TBIB_REM_INV_REQ_ERR,
			tbib_mem_atomic(&s->q->core, &m, TBIB_ATOMIC_ADD, 1, 0,
					&orig));
	tbib_mem_put(&s->q->core, &m);
}

/* ---- raw frames --------------------------------------------------------- */

static void raw_frames_are_the_bytes(struct kunit *test)
{
	struct tbib_train *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct scene *s = test->priv;
	u32 round, i, len, done;
	struct tbib_mem m;

	KUNIT_ASSERT_NOT_NULL(test, t);
	for (round = 0; round < ROUNDS; round++) {
		u32 r = below(s, REGIONS);
		struct tbib_mr *mr = s->mr[r];
		u32 off = below(s, mr->length);

		len = 1 + below(s, min_t(u64, mr->length - off,
					 TBIB_FRAME_SIZE));
		KUNIT_ASSERT_EQ(test, TBIB_OK,
				tbib_mem_get(&s->q->core, mr->key,
					     mr->iova + off, len,
					     IB_ACCESS_REMOTE_READ, &m));
		tbib_train_init(t, 1, 2, 3, 0);
		KUNIT_EXPECT_EQ(test, TBIB_OK,
				tbib_mem_read_raw(&s->q->core, &m, 0, len, t));
		for (i = 0, done = 0; i < t->n_raw; i++) {
			struct tbib_raw *raw = &t->raw[i];

			KUNIT_ASSERT_EQ(test, raw->kind, TBIB_RAW_MR);
			KUNIT_EXPECT_PTR_EQ(test, raw->data,
					    at(s->page[r], mr, off + done));
			KUNIT_EXPECT_LE(test, offset_in_page(raw->data) +
					raw->len, PAGE_SIZE);
			KUNIT_EXPECT_EQ(test, raw->index, (off + done +
					mr->page_off) >> PAGE_SHIFT);
			done += raw->len;
			tbib_verbs_mr_ops.put(raw->ref);
		}
		KUNIT_EXPECT_EQ(test, done, len);
		tbib_mem_put(&s->q->core, &m);
	}
}

/* ---- fast registrations ------------------------------------------------- */

static void fast_registration_comes_and_goes(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_mr *mr;
	struct scatterlist sg[3];
	struct tbib_mem m, old;
	u32 i, key;

	mr = to_tbib_mr(tbib_alloc_mr(&s->pd, IB_MR_TYPE_MEM_REG, 3));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mr);
	key = mr->key;
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_get(&s->q->core, key, 0, 0, 0, &m));

	/* from the middle of a page to the middle of another */
	sg_init_table(sg, ARRAY_SIZE(sg));
	for (i = 0; i < ARRAY_SIZE(sg); i++) {
		u32 off = i ? 0 : 1000;
		u32 end = i < 2 ? PAGE_SIZE : 300;

		sg_set_buf(&sg[i], s->page[0][i] + off, end - off);
		/* virtual DMA */
		sg_dma_address(&sg[i]) = (uintptr_t)s->page[0][i] + off;
		sg_dma_len(&sg[i]) = end - off;
	}
	mr->ib.page_size = PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, 3, tbib_map_mr_sg(&mr->ib, sg, 3, NULL));
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mr_reg(s->q, mr, key ^ 5, IB_ACCESS_REMOTE_READ));
	KUNIT_EXPECT_EQ(test, TBIB_LOC_QP_OP_ERR,
			tbib_mr_reg(s->q, mr, key, IB_ACCESS_REMOTE_READ));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_get(&s->q->core, key, mr->iova, 1, 0, &m));
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, key ^ 5, mr->iova,
				     mr->length, IB_ACCESS_REMOTE_READ, &m));
	KUNIT_EXPECT_EQ(test, mr->length, 2 * PAGE_SIZE - 1000 + 300);
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_read(&s->q->core, &m, 0, m.len, s->buf));
	for (i = 0; i < m.len; i++)
		s->expected[i] = s->page[0][(i + 1000) / PAGE_SIZE]
					   [offset_in_page(i + 1000)];
	KUNIT_EXPECT_MEMEQ(test, s->buf, s->expected, m.len);

	/* a message in progress keeps the structure, and reaches nothing */
	old = m;
	KUNIT_EXPECT_EQ(test, TBIB_OK, tbib_mr_invalidate(s->q, key ^ 5, true));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mr_invalidate(s->q, key ^ 5, true));
	KUNIT_EXPECT_EQ(test, TBIB_OK, tbib_mr_invalidate(s->q, key ^ 5, false));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_read(&s->q->core, &old, 0, 1, s->buf));
	/* nor under the next key */
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mr_reg(s->q, mr, key ^ 9, IB_ACCESS_REMOTE_READ));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_read(&s->q->core, &old, 0, 1, s->buf));
	KUNIT_EXPECT_EQ(test, refcount_read(&mr->ref), 2);
	KUNIT_EXPECT_EQ(test, 0, tbib_dereg_mr(&mr->ib, NULL));
	tbib_mem_put(&s->q->core, &old);
}

/* Pages of region @r from @off on, as map_mr_sg gets them. */
static void map_pages(struct kunit *test, struct tbib_mr *mr, u32 r, u32 off)
{
	struct scene *s = test->priv;
	struct scatterlist sg[2];
	u32 i;

	sg_init_table(sg, ARRAY_SIZE(sg));
	for (i = 0; i < ARRAY_SIZE(sg); i++) {
		sg_dma_address(&sg[i]) = (uintptr_t)s->page[r][i] +
					 (i ? 0 : off);
		sg_dma_len(&sg[i]) = PAGE_SIZE - (i ? 0 : off);
	}
	mr->ib.page_size = PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, 2, tbib_map_mr_sg(&mr->ib, sg, 2, NULL));
}

/* iser maps anew before it posts what invalidates; a peer may come between */
static void fast_registration_keeps_its_pages(struct kunit *test)
{
	struct scene *s = test->priv;
	struct tbib_mem m;
	struct tbib_mr *mr;
	u32 key;

	mr = to_tbib_mr(tbib_alloc_mr(&s->pd, IB_MR_TYPE_MEM_REG, 2));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mr);
	key = mr->key;
	map_pages(test, mr, 0, 0);
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mr_reg(s->q, mr, key, IB_ACCESS_REMOTE_READ));
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, key, mr->iova, mr->length,
				     IB_ACCESS_REMOTE_READ, &m));
	map_pages(test, mr, 1, 512);
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_read(&s->q->core, &m, 0, m.len, s->buf));
	KUNIT_EXPECT_EQ(test, m.len, 2 * PAGE_SIZE);
	KUNIT_EXPECT_MEMEQ(test, s->buf, s->page[0][0], PAGE_SIZE);
	KUNIT_EXPECT_MEMEQ(test, s->buf + PAGE_SIZE, s->page[0][1], PAGE_SIZE);
	tbib_mem_put(&s->q->core, &m);

	KUNIT_EXPECT_EQ(test, TBIB_OK, tbib_mr_invalidate(s->q, key, false));
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mr_reg(s->q, mr, key, IB_ACCESS_REMOTE_READ));
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, key, mr->iova, mr->length,
				     IB_ACCESS_REMOTE_READ, &m));
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_read(&s->q->core, &m, 0, m.len, s->buf));
	KUNIT_EXPECT_EQ(test, m.len, 2 * PAGE_SIZE - 512);
	KUNIT_EXPECT_MEMEQ(test, s->buf, s->page[1][0] + 512, PAGE_SIZE - 512);
	tbib_mem_put(&s->q->core, &m);
	KUNIT_EXPECT_EQ(test, 0, tbib_dereg_mr(&mr->ib, NULL));
}

/* ---- rights that go while a message is in progress ----------------------- */

static void expect_refused(struct kunit *test, const struct tbib_mem *m)
{
	struct tbib_train *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct scene *s = test->priv;
	struct tbib_payload p = {
		.piece = { { .data = s->buf, .len = 8 } }, .n = 1, .len = 8,
	};
	struct tbib_qp *qp = &s->q->core;
	u64 orig;

	KUNIT_ASSERT_NOT_NULL(test, t);
	tbib_train_init(t, 1, 2, 3, 0);
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_read(qp, m, 0, 8, s->buf));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_write(qp, m, 0, &p, true));
	KUNIT_EXPECT_EQ(test, TBIB_REM_ACCESS_ERR,
			tbib_mem_atomic(qp, m, TBIB_ATOMIC_ADD, 1, 0, &orig));
	KUNIT_EXPECT_EQ(test, t->n_raw, 0);
}

static void rereg_takes_rights_at_once(struct kunit *test)
{
	const u32 all = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ |
			IB_ACCESS_REMOTE_ATOMIC;
	struct scene *s = test->priv;
	struct tbib_mr *mr = s->mr[REGIONS - 1];
	struct ib_umem umem = { .writable = 1 };
	const u32 before = mr->access;
	struct tbib_mem m;

	mr->umem = &umem;
	KUNIT_ASSERT_EQ(test, TBIB_OK,
			tbib_mem_get(&s->q->core, mr->key, mr->iova, 8, all,
				     &m));
	KUNIT_EXPECT_NULL(test, tbib_rereg_user_mr(&mr->ib, IB_MR_REREG_ACCESS,
						   0, 0, 0,
						   IB_ACCESS_LOCAL_WRITE,
						   &s->pd, NULL));
	expect_refused(test, &m);
	KUNIT_EXPECT_NULL(test, tbib_rereg_user_mr(&mr->ib, IB_MR_REREG_ACCESS |
						   IB_MR_REREG_PD, 0, 0, 0,
						   before, &s->other_pd, NULL));
	expect_refused(test, &m);
	KUNIT_EXPECT_NULL(test, tbib_rereg_user_mr(&mr->ib, IB_MR_REREG_PD,
						   0, 0, 0, 0, &s->pd, NULL));
	KUNIT_EXPECT_EQ(test, TBIB_OK,
			tbib_mem_read(&s->q->core, &m, 0, 8, s->buf));
	/* whoever binds a window meanwhile keeps the rights as they are */
	atomic_inc(&mr->windows);
	KUNIT_EXPECT_EQ(test, -EBUSY, PTR_ERR(
			tbib_rereg_user_mr(&mr->ib, IB_MR_REREG_ACCESS, 0, 0, 0,
					   0, &s->pd, NULL)));
	KUNIT_EXPECT_EQ(test, mr->access, before);
	atomic_dec(&mr->windows);
	tbib_mem_put(&s->q->core, &m);
	mr->umem = NULL;
}

static struct kunit_case cases[] = {
	KUNIT_CASE(gathers_lists),
	KUNIT_CASE(scatters_to_lists),
	KUNIT_CASE(refuses_foreign_lists),
	KUNIT_CASE(receives_past_the_end),
	KUNIT_CASE(writes_and_reads_remote_memory),
	KUNIT_CASE(bounds_remote_memory),
	KUNIT_CASE(atomics_reach_aligned_words),
	KUNIT_CASE(raw_frames_are_the_bytes),
	KUNIT_CASE(fast_registration_comes_and_goes),
	KUNIT_CASE(fast_registration_keeps_its_pages),
	KUNIT_CASE(rereg_takes_rights_at_once),
	{}
};

static struct kunit_suite suite = {
	.name = "tbib_mem",
	.init = scene_init,
	.exit = scene_exit,
	.test_cases = cases,
};

kunit_test_suite(suite);
