/* SPDX-License-Identifier: GPL-2.0-only */
/* <linux/thunderbolt.h> as of 7.3; for the ring layer only. */
#ifndef TBIB_COMPAT_TB_H
#define TBIB_COMPAT_TB_H

#include <linux/thunderbolt.h>

/* Before 7.2 every ring takes a vector, and TX completions interrupt. */
#ifndef RING_FLAG_NO_INTERRUPT
#define RING_FLAG_NO_INTERRUPT 0
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
