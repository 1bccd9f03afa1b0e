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

/* 6.18: new names */
#ifndef TBIB_HAVE_SYSTEM_PERCPU_WQ
#define system_percpu_wq system_wq
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

/* 7.3: ib_umem_get() became ib_umem_get_va() */
#ifndef TBIB_HAVE_IB_UMEM_GET_VA
#define ib_umem_get_va(dev, addr, size, access) \
	ib_umem_get(dev, addr, size, access)
#endif

/* 7.3: another name, and the count became unsigned */
#ifdef TBIB_HAVE_RESIZE_USER_CQ
typedef unsigned int tbib_cqe_count_t;
#else
typedef int tbib_cqe_count_t;
#define resize_user_cq resize_cq
#endif

/* what ib_free_cq() calls before and after its own work, where it does */
#ifdef TBIB_HAVE_PRE_DESTROY_CQ
#define TBIB_FREE_CQ_OPS(pre, post)					\
	.pre_destroy_cq = (pre), .post_destroy_cq = (post),
#else
#define TBIB_FREE_CQ_OPS(pre, post)
#endif

/* 6.17: reg_user_mr() got DMA handles, which we do not support */
#ifdef TBIB_HAVE_REG_MR_DMAH
#define TBIB_DMAH_PARAM struct ib_dmah *dmah,
#define TBIB_DMAH_GIVEN (dmah)
#define TBIB_NO_DMAH NULL,
#else
#define TBIB_DMAH_PARAM
#define TBIB_DMAH_GIVEN false
#define TBIB_NO_DMAH
#endif

/* 6.13: MODULE_IMPORT_NS() takes a string */
#ifdef TBIB_HAVE_IMPORT_NS_STRING
#define TBIB_NS_DMA_BUF "DMA_BUF"
#else
#define TBIB_NS_DMA_BUF DMA_BUF
#endif

/* the newer name of what an importer is told by */
#ifdef TBIB_HAVE_DMABUF_INVALIDATE
#define TBIB_DMABUF_MOVED invalidate_mappings
#else
#define TBIB_DMABUF_MOVED move_notify
#endif

#endif
