/*
 * bf16_math.h - between fp32 and bf16, its upper half, for every device.
 *
 * Conversion rounds to nearest, ties to even; what is too large becomes infinite, and a NaN stays
 * one (its upper bits are kept, quiet).
 */
#ifndef OT_LAYERS_BF16_MATH_H
#define OT_LAYERS_BF16_MATH_H

#include <stdint.h>
#include <string.h>

#include "base/hd.h"

OT_HD uint16_t ot_bf16_from(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

OT_HD float ot_bf16_to(uint16_t v)
{
    const uint32_t bits = (uint32_t)v << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
