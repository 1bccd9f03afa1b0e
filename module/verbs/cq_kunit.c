// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: what a completion queue that is full tells, and how often. Its owner
 * moves the consumer index without a system call.
 */
#include <kunit/test.h>
#include "verbs/ibdev.h"

/*
 * struct scene - a CQ and a QP that only have what tbib_cq_add() looks at
 * @told: how often the owner would have heard of an error
 */
struct scene {
	struct tbib_cq cq;
	struct tbib_vqp *q;
	unsigned int told;
};

static void tell(struct work_struct *work)
{
	struct tbib_cq *cq = container_of(work, struct tbib_cq, error);

	container_of(cq, struct scene, cq)->told++;
}

static int scene_init(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->q = kunit_kzalloc(test, sizeof(*s->q), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s->q);
	spin_lock_init(&s->cq.lock);
	INIT_WORK(&s->cq.error, tell);
	KUNIT_ASSERT_EQ(test, 0, tbib_queue_alloc(&s->cq.q, 1,
						  sizeof(struct ib_wc), NULL,
						  NULL));
	test->priv = s;
	return 0;
}

static void scene_exit(struct kunit *test)
{
	struct scene *s = test->priv;

	if (!s)
		return;
	cancel_work_sync(&s->cq.error);
	tbib_queue_free(&s->cq.q);
}

static void complete_one(struct scene *s, u8 status)
{
	struct tbib_cqe cqe = { .status = status };

	tbib_cq_add(&s->cq, s->q, &cqe);
	flush_work(&s->cq.error);
}

static void make_room(struct scene *s)
{
	tbib_queue_set_consumer(&s->cq.q, s->cq.q.index);
}

/* A QP in ERR is flushed for as long as its owner pretends to post. */
static void what_is_flushed_is_told_once(struct kunit *test)
{
	struct scene *s = test->priv;
	int i;

	complete_one(s, TBIB_OK);
	KUNIT_EXPECT_EQ(test, 0, s->told);
	for (i = 0; i < 100; i++) {
		complete_one(s, TBIB_FLUSH_ERR);
		make_room(s);
		complete_one(s, TBIB_FLUSH_ERR);
	}
	KUNIT_EXPECT_EQ(test, 1, s->told);
}

static void a_loss_after_success_is_told_again(struct kunit *test)
{
	struct scene *s = test->priv;

	complete_one(s, TBIB_OK);
	complete_one(s, TBIB_OK);
	KUNIT_EXPECT_EQ(test, 1, s->told);
	complete_one(s, TBIB_OK);
	KUNIT_EXPECT_EQ(test, 1, s->told);
	make_room(s);
	complete_one(s, TBIB_OK);
	complete_one(s, TBIB_OK);
	KUNIT_EXPECT_EQ(test, 2, s->told);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(what_is_flushed_is_told_once),
	KUNIT_CASE(a_loss_after_success_is_told_again),
	{}
};

static struct kunit_suite suite = {
	.name = "tbib_cq",
	.init = scene_init,
	.exit = scene_exit,
	.test_cases = cases,
};

kunit_test_suite(suite);
