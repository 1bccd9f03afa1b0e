/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: /sys/kernel/tracing/events/tbib. One line of a trace says what
 * happened on which link and ring; counters say how often (ethtool -S).
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tbib

#if !defined(TBIB_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TBIB_TRACE_H

#include <linux/tracepoint.h>
#include "proto/login.h"

TRACE_EVENT(tbib_link,
	TP_PROTO(u32 link, u8 event, u8 from, u8 to, u32 actions),
	TP_ARGS(link, event, from, to, actions),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, event)
		__field(u8, from)
		__field(u8, to)
		__field(u32, actions)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->event = event;
		__entry->from = from;
		__entry->to = to;
		__entry->actions = actions;
	),
	TP_printk("link=%u event=%s from=%s to=%s actions=%#x", __entry->link,
		  __print_symbolic(__entry->event,
				   { TBIB_LE_PEER, "peer" },
				   { TBIB_LE_GONE, "gone" },
				   { TBIB_LE_RESPONSE, "response" },
				   { TBIB_LE_NO_ANSWER, "no-answer" },
				   { TBIB_LE_REQUEST, "request" },
				   { TBIB_LE_LOGOUT, "logout" },
				   { TBIB_LE_PATHS_OK, "paths-ok" },
				   { TBIB_LE_PATHS_FAIL, "paths-fail" },
				   { TBIB_LE_SILENT, "silent" },
				   { TBIB_LE_TIMER, "timer" }),
		  __print_symbolic(__entry->from,
				   { TBIB_LINK_DOWN, "down" },
				   { TBIB_LINK_LOGIN, "login" },
				   { TBIB_LINK_PATHS, "paths" },
				   { TBIB_LINK_UP, "up" },
				   { TBIB_LINK_REFUSED, "refused" }),
		  __print_symbolic(__entry->to,
				   { TBIB_LINK_DOWN, "down" },
				   { TBIB_LINK_LOGIN, "login" },
				   { TBIB_LINK_PATHS, "paths" },
				   { TBIB_LINK_UP, "up" },
				   { TBIB_LINK_REFUSED, "refused" }),
		  __entry->actions)
);

TRACE_EVENT(tbib_tx,
	TP_PROTO(u32 link, u8 ring, u32 frames, u32 posted),
	TP_ARGS(link, ring, frames, posted),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, ring)
		__field(u32, frames)
		__field(u32, posted)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->ring = ring;
		__entry->frames = frames;
		__entry->posted = posted;
	),
	TP_printk("link=%u ring=%u frames=%u posted=%u", __entry->link,
		  __entry->ring, __entry->frames, __entry->posted)
);

TRACE_EVENT(tbib_rx,
	TP_PROTO(u32 link, u8 ring, u32 frames),
	TP_ARGS(link, ring, frames),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, ring)
		__field(u32, frames)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->ring = ring;
		__entry->frames = frames;
	),
	TP_printk("link=%u ring=%u frames=%u", __entry->link, __entry->ring,
		  __entry->frames)
);

TRACE_EVENT(tbib_lost_irq,
	TP_PROTO(u32 link, u8 ring),
	TP_ARGS(link, ring),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, ring)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->ring = ring;
	),
	TP_printk("link=%u ring=%u", __entry->link, __entry->ring)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
