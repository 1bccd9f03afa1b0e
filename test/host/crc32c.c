// SPDX-License-Identifier: Apache-2.0
/* CRC32C by eight tables, eight bytes a step; no CPU feature needed. */
#include "tbib_host.h"

#define POLY 0x82f63b78u /* 0x1edc6f41, reflected */

static u32 table[8][256];

__attribute__((constructor)) static void make_tables(void)
{
    for (u32 i = 0; i < 256; i++) {
        u32 crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
        table[0][i] = crc;
    }
    for (u32 i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

static u32 le32(const u8 *p)
{
    return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

u32 tbib_crc32c(u32 crc, const void *data, size_t len)
{
    const u8 *p = data;

    for (; len >= 8; len -= 8, p += 8) {
        u32 lo = crc ^ le32(p);
        u32 hi = le32(p + 4);

        crc = table[7][lo & 0xff] ^ table[6][lo >> 8 & 0xff] ^ table[5][lo >> 16 & 0xff] ^
              table[4][lo >> 24] ^ table[3][hi & 0xff] ^ table[2][hi >> 8 & 0xff] ^
              table[1][hi >> 16 & 0xff] ^ table[0][hi >> 24];
    }
    while (len--)
        crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
    return crc;
}
