/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the pure C core (module/proto) takes from its host, in the kernel.
 * The userspace twin is test/host/tbib_host.h.
 */
#ifndef TBIB_HOST_H
#define TBIB_HOST_H

#include <linux/types.h>
#include <linux/string.h>
#include <linux/crc32c.h>

/**
 * tbib_crc32c() - CRC32C (Castagnoli) without pre- and post-inversion
 * @crc: result of the bytes before, or the seed
 */
static inline u32 tbib_crc32c(u32 crc, const void *p, size_t len)
{
	return crc32c(crc, p, len);
}

#endif
