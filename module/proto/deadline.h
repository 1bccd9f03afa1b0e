/* SPDX-License-Identifier: GPL-2.0-only */
/* Deadlines: points in time in ns of the host's clock, 0 = none. */
#ifndef TBIB_PROTO_DEADLINE_H
#define TBIB_PROTO_DEADLINE_H

#include "tbib_host.h"

/** tbib_earlier() - the deadline that comes first, or 0 when there is none */
static inline u64 tbib_earlier(u64 a, u64 b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

#endif
