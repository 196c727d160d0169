// cuda_fake_math.hh - numbers as the libraries' fakes see them: fp32, or bfloat16 in memory; TF32
// rounds what is multiplied to 10 bits of fraction.
#ifndef OT_TESTS_CUDA_FAKE_MATH_HH
#define OT_TESTS_CUDA_FAKE_MATH_HH

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace fake
{

enum class number { F32, BF16 };

static inline size_t size_of(number t)
{
    return t == number::F32 ? 4 : 2;
}

static inline float get(const void *p, number t, size_t i)
{
    uint32_t bits = 0;
    uint16_t half;
    float v;

    if (t == number::F32)
        return static_cast<const float *>(p)[i];
    memcpy(&half, static_cast<const uint16_t *>(p) + i, sizeof half);
    bits = static_cast<uint32_t>(half) << 16;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// To bfloat16 it is rounded to nearest, ties to even.
static inline void set(void *p, number t, size_t i, float v)
{
    uint32_t bits;
    uint16_t half;

    if (t == number::F32) {
        static_cast<float *>(p)[i] = v;
        return;
    }
    memcpy(&bits, &v, sizeof bits);
    half = static_cast<uint16_t>(v == v ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16
                                        : bits >> 16 | 0x40);
    memcpy(static_cast<uint16_t *>(p) + i, &half, sizeof half);
}

// To the 10 bits of fraction of TF32, ties away from zero.
static inline float as_tf32(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7f800000) != 0x7f800000)
        bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&v, &bits, sizeof v);
    return v;
}

} // namespace fake

#endif
