/* SPDX-License-Identifier: GPL-2.0-only */
/* <linux/thunderbolt.h> as of 7.3; for the ring layer only. */
#ifndef TBIB_COMPAT_TB_H
#define TBIB_COMPAT_TB_H

#include <linux/thunderbolt.h>

/* Before 7.2 every ring takes a vector, and TX completions interrupt. */
#ifndef RING_FLAG_NO_INTERRUPT
#define RING_FLAG_NO_INTERRUPT 0
#endif

/*
 * The least time between two interrupts of a ring, in ns. From 7.2 on there is
 * none unless tb_ring_throttling() asks for one; before, the core writes this
 * for every vector when it starts the NHI.
 */
#ifdef TBIB_HAVE_TB_RING_THROTTLING
#define TB_RING_INTERVAL_NSEC	0
#else
#define TB_RING_INTERVAL_NSEC	128000
#endif

/* TB_SERVICE_PROBE() - define the probe function of a service driver */
#ifdef TBIB_HAVE_TB_PROBE_WITH_ID
#define TB_SERVICE_PROBE(name, svc) \
	static int name(struct tb_service *svc, const struct tb_service_id *id)
#else
#define TB_SERVICE_PROBE(name, svc) static int name(struct tb_service *svc)
#endif

/** tb_nhi_device() - the device of @nhi that does DMA */
static inline struct device *tb_nhi_device(struct tb_nhi *nhi)
{
#ifdef TBIB_HAVE_TB_NHI_PDEV
	return &nhi->pdev->dev;
#else
	return nhi->dev;
#endif
}

#endif
