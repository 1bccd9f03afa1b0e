// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: sources that have something to send, and then fill nothing, do not
 * stop those who wait behind them. On the loopback trunk of the node itself,
 * which nobody else uses when the module has just been inserted.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include "priv.h"
#include "proto/qp.h"

#define SOURCES		100	/* more than one train, or one look, asks */
#define PATIENCE_MS	5000

/*
 * struct idler - a source that never fills anything
 * @turns: how often it is still to be asked; until then it says "more"
 */
struct idler {
	struct tbib_source src;
	int turns;
};

static bool idler_dest(struct tbib_source *src, struct tbib_dest *d)
{
	struct idler *idler = container_of(src, struct idler, src);

	d->peer = tbib_the_node->self;
	return READ_ONCE(idler->turns) > 0;
}

static u8 idler_fill(struct tbib_source *src, struct tbib_train *t,
		     const struct tbib_dest *d)
{
	struct idler *idler = container_of(src, struct idler, src);
	int left = idler->turns - 1;

	WRITE_ONCE(idler->turns, left);
	return left ? TBIB_FILL_MORE : TBIB_FILL_IDLE;
}

static void idler_drop(struct tbib_source *src)
{
	WRITE_ONCE(container_of(src, struct idler, src)->turns, 0);
}

static const struct tbib_source_ops idler_ops = {
	.dest = idler_dest,
	.fill = idler_fill,
	.drop = idler_drop,
};

static int turns_left(const struct idler *idler, int n)
{
	int left = 0;

	while (n--)
		left += READ_ONCE(idler[n].turns);
	return left;
}

/* @n sources of @turns each, kicked once. Return: turns that they never got. */
static int never_asked(struct kunit *test, int n, int turns)
{
	struct idler *idler = kunit_kcalloc(test, n, sizeof(*idler), GFP_KERNEL);
	int i, waited;

	KUNIT_ASSERT_NOT_NULL(test, idler);
	rcu_read_lock();
	for (i = 0; i < n; i++) {
		idler[i].turns = turns;
		tbib_source_init(&idler[i].src, &idler_ops, TBIB_LANE_EXPRESS);
		tbib_source_ready(tbib_the_node, &idler[i].src,
				  tbib_the_node->self);
	}
	rcu_read_unlock();
	tbib_fabric_kick(tbib_the_node);
	for (waited = 0; turns_left(idler, n) && waited < PATIENCE_MS; waited++)
		fsleep(USEC_PER_MSEC);
	for (i = 0; i < n; i++)
		tbib_source_kill(tbib_the_node, &idler[i].src);
	return turns_left(idler, n);
}

/* As QPs do whose requests all fail here: each had its turn and is done. */
static void those_behind_have_their_turn(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, never_asked(test, SOURCES, 1));
}

/* As one does that lacks a page to copy to: nobody tells it of a free one. */
static void who_lacked_something_is_asked_again(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, never_asked(test, 1, SOURCES));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(those_behind_have_their_turn),
	KUNIT_CASE(who_lacked_something_is_asked_again),
	{}
};

static struct kunit_suite suite = {
	.name = "tbib_source",
	.test_cases = cases,
};

kunit_test_suite(suite);
