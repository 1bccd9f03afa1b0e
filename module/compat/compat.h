/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes every supported kernel (6.12 and later) look like the newest one. It is
 * included in front of every file (Kbuild). TBIB_HAVE_* come from probe.sh and
 * are tested in this folder only.
 */
#ifndef TBIB_COMPAT_H
#define TBIB_COMPAT_H

#include "tbib_config.h"
#include <linux/hrtimer.h>
#include <linux/timer.h>

/* 6.17 renamed from_timer() */
#ifndef timer_container_of
#define timer_container_of(var, timer, field) from_timer(var, timer, field)
#endif

/* 6.13: initialisation and callback in one call */
#ifndef TBIB_HAVE_HRTIMER_SETUP
static inline void
hrtimer_setup(struct hrtimer *timer,
	      enum hrtimer_restart (*function)(struct hrtimer *),
	      clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#endif
