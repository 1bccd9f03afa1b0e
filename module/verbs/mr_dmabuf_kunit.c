// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: which dma-bufs become regions, and that whatever is asked of an exporter
 * is given back, by exporters that stock kernels have no hardware-free one of.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/iosys-map.h>
#include <linux/slab.h>
#include "verbs/ibdev.h"

#define BYTES (2 * PAGE_SIZE)

/* struct fake - an exporter: what it answers, and what it has been asked for */
struct fake {
	int attach, pin, begin;	/* errno to fail with, or 0 */
	bool iomem;
	u8 *memory;
	int attached, pinned, begun, mapped, dma_mapped;
};

struct scene {
	struct tbib_ibdev *dev;
	struct ib_pd pd;
	struct fake fake;
};

static int fake_attach(struct dma_buf *buf, struct dma_buf_attachment *a)
{
	struct fake *f = buf->priv;

	f->attached += !f->attach;
	return f->attach;
}

static void fake_detach(struct dma_buf *buf, struct dma_buf_attachment *a)
{
	((struct fake *)buf->priv)->attached--;
}

static int fake_pin(struct dma_buf_attachment *a)
{
	struct fake *f = a->dmabuf->priv;

	f->pinned += !f->pin;
	return f->pin;
}

static void fake_unpin(struct dma_buf_attachment *a)
{
	((struct fake *)a->dmabuf->priv)->pinned--;
}

static struct sg_table *fake_map(struct dma_buf_attachment *a,
				 enum dma_data_direction dir)
{
	((struct fake *)a->dmabuf->priv)->dma_mapped++;
	return ERR_PTR(-EIO);
}

static void fake_unmap(struct dma_buf_attachment *a, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
}

static int fake_begin(struct dma_buf *buf, enum dma_data_direction dir)
{
	struct fake *f = buf->priv;

	f->begun += !f->begin;
	return f->begin;
}

static int fake_end(struct dma_buf *buf, enum dma_data_direction dir)
{
	((struct fake *)buf->priv)->begun--;
	return 0;
}

/* does not fail: the core would warn of it */
static int fake_vmap(struct dma_buf *buf, struct iosys_map *map)
{
	struct fake *f = buf->priv;

	f->mapped++;
	if (f->iomem)
		iosys_map_set_vaddr_iomem(map, (void __iomem *)f->memory);
	else
		iosys_map_set_vaddr(map, f->memory);
	return 0;
}

static void fake_vunmap(struct dma_buf *buf, struct iosys_map *map)
{
	((struct fake *)buf->priv)->mapped--;
}

/* comes after the test, when @priv is gone */
static void fake_release(struct dma_buf *buf)
{
}

#define FAKE_OPS \
	.attach = fake_attach, .detach = fake_detach, \
	.map_dma_buf = fake_map, .unmap_dma_buf = fake_unmap, \
	.begin_cpu_access = fake_begin, .end_cpu_access = fake_end, \
	.release = fake_release

static const struct dma_buf_ops moving = {
	FAKE_OPS, .pin = fake_pin, .unpin = fake_unpin,
	.vmap = fake_vmap, .vunmap = fake_vunmap,
};

static const struct dma_buf_ops fixed = {
	FAKE_OPS, .vmap = fake_vmap, .vunmap = fake_vunmap,
};

static const struct dma_buf_ops without_vmap = { FAKE_OPS };

static int scene_init(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct device *parent = kunit_device_register(test, "tbib-dmabuf");

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, parent);
	test->priv = s;
	s->dev = kunit_kzalloc(test, sizeof(*s->dev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s->dev);
	s->fake.memory = kunit_kzalloc(test, BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s->fake.memory);
	xa_init_flags(&s->dev->mrs, XA_FLAGS_ALLOC1);
	s->dev->ib.dev.parent = parent;
	s->pd.device = &s->dev->ib;
	return 0;
}

static void scene_exit(struct kunit *test)
{
	struct scene *s = test->priv;

	if (s && s->dev)
		xa_destroy(&s->dev->mrs);
}

static struct dma_buf *export(struct kunit *test, const struct dma_buf_ops *ops)
{
	struct scene *s = test->priv;
	struct dma_buf *buf;
	DEFINE_DMA_BUF_EXPORT_INFO(info);

	info.ops = ops;
	info.size = BYTES;
	info.flags = O_RDWR;
	info.priv = &s->fake;
	buf = dma_buf_export(&info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf);
	return buf;
}

static void expect_asked(struct kunit *test, int attached, int pinned,
			 int begun, int mapped)
{
	const struct fake *f = &((struct scene *)test->priv)->fake;

	KUNIT_EXPECT_EQ(test, f->attached, attached);
	KUNIT_EXPECT_EQ(test, f->pinned, pinned);
	KUNIT_EXPECT_EQ(test, f->begun, begun);
	KUNIT_EXPECT_EQ(test, f->mapped, mapped);
	KUNIT_EXPECT_EQ(test, f->dma_mapped, 0);
}

static struct ib_mr *reg(struct kunit *test, struct dma_buf *buf)
{
	struct scene *s = test->priv;

	return tbib_mr_dmabuf_reg(&s->pd, buf, 100, BYTES - 100, 0,
				  IB_ACCESS_LOCAL_WRITE);
}

static void expect_error(struct kunit *test, const struct dma_buf_ops *ops,
			 int err)
{
	struct dma_buf *buf = export(test, ops);

	KUNIT_EXPECT_EQ(test, PTR_ERR(reg(test, buf)), err);
	expect_asked(test, 0, 0, 0, 0);
	dma_buf_put(buf);
}

static void is_kept_where_it_is(struct kunit *test)
{
	const struct dma_buf_ops *ops[] = { &moving, &fixed };
	struct scene *s = test->priv;
	struct dma_buf *buf;
	struct tbib_mr *mr;
	struct ib_mr *ib;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		buf = export(test, ops[i]);
		ib = reg(test, buf);
		KUNIT_ASSERT_FALSE(test, IS_ERR(ib));
		mr = to_tbib_mr(ib);
		expect_asked(test, 1, ops[i] == &moving, 1, 1);
		KUNIT_EXPECT_EQ(test, mr->page_off, 100);
		KUNIT_EXPECT_PTR_EQ(test, mr->page[0], (void *)s->fake.memory);
		KUNIT_EXPECT_PTR_EQ(test, mr->page[1],
				    (void *)s->fake.memory + PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, 0, tbib_dereg_mr(ib, NULL));
		expect_asked(test, 0, 0, 0, 0);
	}
}

static void what_the_cpu_cannot_map_is_refused(struct kunit *test)
{
	struct fake *f = &((struct scene *)test->priv)->fake;

	expect_error(test, &without_vmap, -EOPNOTSUPP);
	f->iomem = true;
	expect_error(test, &moving, -EOPNOTSUPP);
	expect_error(test, &fixed, -EOPNOTSUPP);
}

static void what_an_exporter_refuses_is_given_back(struct kunit *test)
{
	struct fake *f = &((struct scene *)test->priv)->fake;
	int *asked[] = { &f->attach, &f->pin, &f->begin };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		*asked[i] = -EBUSY;
		expect_error(test, &moving, -EOPNOTSUPP);
		*asked[i] = -ENOMEM;
		expect_error(test, &moving, -ENOMEM);
		*asked[i] = 0;
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(is_kept_where_it_is),
	KUNIT_CASE(what_the_cpu_cannot_map_is_refused),
	KUNIT_CASE(what_an_exporter_refuses_is_given_back),
	{}
};

static struct kunit_suite suite = {
	.name = "tbib_dmabuf",
	.init = scene_init,
	.exit = scene_exit,
	.test_cases = cases,
};

kunit_test_suite(suite);
