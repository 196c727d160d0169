/* hash.c - see hash.h. */
#include "base/hash.h"

#include <stdint.h>

unsigned long long ot_hash64_more(unsigned long long hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = hash;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

unsigned long long ot_hash64(const void *bytes, size_t n)
{
    return ot_hash64_more(0xcbf29ce484222325u, bytes, n);
}
