// SPDX-License-Identifier: GPL-2.0-only
/* Turns: see turn.h. */
#include "turn.h"

bool tbib_turn_poll(struct tbib_turn *t, bool frames, bool woke, u64 now)
{
	if (!frames) {
		if (now < t->due)
			return true;
		if (t->due)
			t->on = false;	/* in vain */
		t->due = 0;
		return false;
	}
	if (t->came_at)
		t->on = false;		/* no answer in between */
	t->came_at = woke ? now : 0;
	t->due = 0;
	if (woke && t->on) {
		t->due = now + 2 * t->think;
		t->late = now + 4 * t->think;
	}
	return t->due;
}

bool tbib_turn_sent(struct tbib_turn *t, u64 now)
{
	bool waited = t->due;
	u64 took = now - t->came_at;

	if (!t->came_at)
		return false;
	t->came_at = 0;
	t->due = 0;
	t->on = took < TBIB_THINK_MAX;
	if (t->on)
		t->think = t->think ? t->think - t->think / 8 + took / 8 : took;
	return waited;
}
