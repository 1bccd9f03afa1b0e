/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pure C core (module/proto) takes from its host, in userspace.
 * The kernel's twin is module/compat/host/tbib_host.h.
 */
#ifndef TBIB_HOST_H
#define TBIB_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
/* as in the kernel, so that one printf format serves both */
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;

/** tbib_crc32c() - CRC32C (Castagnoli) without pre- and post-inversion */
u32 tbib_crc32c(u32 crc, const void *p, size_t len);

#ifdef __cplusplus
}
#endif

#endif
