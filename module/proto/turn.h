/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do messages take turns? A host that unmasks an interrupt reads a register
 * across PCIe. When frames have woken a program that has been answering, the
 * read waits until the answer is on its way, where it delays nobody.
 *
 * One that waits in vain, or frames without an answer in between, ends that.
 */
#ifndef TBIB_PROTO_TURN_H
#define TBIB_PROTO_TURN_H

#include "tbib_host.h"

#define TBIB_THINK_MAX	1000000ull	/* ns; who takes longer takes no turns */

/**
 * struct tbib_turn - of one trunk
 * @came_at: frames came that woke somebody, not answered yet; ns, 0 = none
 * @think: from there to the answer, smoothed, ns
 * @due: interrupts are masked until the answer, or until then; ns, 0 = not
 * @late: it is early enough to look then, when a timer fires before it anyway
 * @on: the last ones were answered
 */
struct tbib_turn {
	u64 came_at;
	u64 think;
	u64 due;
	u64 late;
	bool on;
};

/**
 * tbib_turn_poll() - the rings were polled at @now
 * @frames: there were some
 * @woke: and a completion among them woke somebody
 *
 * Return: true when interrupts shall stay masked.
 */
bool tbib_turn_poll(struct tbib_turn *t, bool frames, bool woke, u64 now);

/**
 * tbib_turn_sent() - a process has sent at @now
 * Return: true when interrupts waited for that: unmask them.
 */
bool tbib_turn_sent(struct tbib_turn *t, u64 now);

#endif
