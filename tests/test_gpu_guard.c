/* test_gpu_guard.c - that guard bands see what they are for, on the CPU. */
#include <string.h>

#include "tests/check.h"
#include "tests/gpu_guard.h"

static struct ot_dev *open_guarded(void)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open("cpu", 1, &err);

    assert_ok(dev ? 0 : err.code, &err);
    ot_guard(dev);
    return dev;
}

static char *take(struct ot_dev *dev, size_t bytes)
{
    struct ot_err err = OT_ERR_INIT;
    char *p = dev->ops->alloc(dev, bytes, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static void what_is_written_beside_an_array_is_told_once(void **state)
{
    struct ot_dev *dev = open_guarded();
    char *a = take(dev, 101), *b = take(dev, 0), *c = take(dev, 64), what[200];

    (void)state;
    for (int i = 0; i < 101; i++)
        assert_int_equal(a[i], 0);
    assert_int_equal((uintptr_t)a % 64, 0);
    memset(a, 1, 101);
    memset(c, 1, 64);
    assert_false(ot_guard_broken(dev, what, sizeof what));
    a[101]++;
    assert_true(ot_guard_broken(dev, what, sizeof what));
    assert_string_equal(what, "an array of 101 bytes: byte 0 behind it was written");
    a[101]--;
    assert_false(ot_guard_broken(dev, what, sizeof what));
    c[-3]++;
    dev->ops->free(dev, c); /* seen then at the latest */
    assert_true(ot_guard_broken(dev, what, sizeof what));
    assert_string_equal(what, "an array of 64 bytes: byte 3 before it was written");
    assert_false(ot_guard_broken(dev, what, sizeof what));
    dev->ops->free(dev, NULL);
    dev->ops->free(dev, a);
    dev->ops->free(dev, b);
    assert_false(ot_guard_broken(dev, what, sizeof what));
    ot_dev_close(dev);
}

static void a_device_without_bands_has_none_broken(void **state)
{
    struct ot_dev *one = open_guarded(), *two = open_guarded();
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *plain = ot_dev_open("cpu", 1, &err);
    char *a = take(one, 8), *b = take(two, 8), what[200];

    (void)state;
    a[8]++;
    assert_false(ot_guard_broken(plain, what, sizeof what));
    assert_false(ot_guard_broken(two, what, sizeof what));
    assert_true(ot_guard_broken(one, what, sizeof what));
    one->ops->free(one, a);
    two->ops->free(two, b);
    ot_dev_close(plain);
    ot_dev_close(one);
    ot_dev_close(two);
    ot_dev_close(open_guarded()); /* and there is room again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_beside_an_array_is_told_once),
        cmocka_unit_test(a_device_without_bands_has_none_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
