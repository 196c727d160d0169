/* test_bf16.c - rounding to bf16 and back. */
#include <math.h>

#include "layers/bf16_math.h"
#include "tests/check.h"

static float of_bits(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static void rounds_to_the_nearest_and_ties_to_even(void **state)
{
    static const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {
        { 0x00000000, 0x0000 }, { 0x80000000, 0x8000 }, /* zeros keep their sign */
        { 0x3f800000, 0x3f80 }, { 0xbf800000, 0xbf80 }, /* 1 and -1 */
        { 0x3f807fff, 0x3f80 }, { 0x3f808001, 0x3f81 }, /* beside the middle */
        { 0x3f808000, 0x3f80 }, { 0x3f818000, 0x3f82 }, /* the middle: to the even one */
        { 0xbf818000, 0xbf82 }, { 0x3fff8000, 0x4000 }, /* into the next power of two */
        { 0x00000001, 0x0000 }, { 0x00008001, 0x0001 }, /* denormal numbers */
        { 0x7f7f7fff, 0x7f7f }, { 0x7f7f8000, 0x7f80 }, /* the largest, and beyond */
        { 0x7f800000, 0x7f80 }, { 0xff800000, 0xff80 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(ot_bf16_from(of_bits(cases[i].from)), cases[i].to);
}

static void nan_stays_nan(void **state)
{
    static const uint32_t nans[] = { 0x7fc00000, 0xffc00000, 0x7f800001, 0xff80ffff, 0x7fffffff };

    (void)state;
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++)
        assert_true(isnan(ot_bf16_to(ot_bf16_from(of_bits(nans[i])))));
}

static void every_bf16_comes_back(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < 0x10000; b++)
        if (!isnan(ot_bf16_to((uint16_t)b)))
            assert_int_equal(ot_bf16_from(ot_bf16_to((uint16_t)b)), b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(every_bf16_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
