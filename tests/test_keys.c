/* test_keys.c - records are found by the key that was printed. */
#include "data/keys.h"
#include "tests/check.h"

static void add(struct ot_keys *k, const void *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_keys_add(k, (struct ot_bytes){ bytes, n }, &err), &err);
}

static void seal(struct ot_keys *k)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_keys_seal(k, "keys", &err), &err);
}

static void finds_all_it_prints(const struct ot_keys *k)
{
    char text[100];

    for (size_t i = 0; i < k->n; i++)
        assert_int_equal(ot_keys_find(k, ot_keys_print(k, i, text, sizeof text)), i);
}

static void finds_none_of(const struct ot_keys *k, const char *const *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ot_keys_find(k, key[i]), -1);
}

static void keys_of_one_width_are_found(void **st)
{
    static const char *const none[] = { "",         "0000003",  "000000300", "00000001",
                                        "99999999", "0000000x", " 0000000" };

    (void)st;
    for (int n = 1; n < 40; n++) {
        struct ot_keys k = { 0 };

        for (int i = 0; i < n; i++) {
            char key[16];

            (void)snprintf(key, sizeof key, "%08d", 3 * i);
            add(&k, key, 8);
        }
        seal(&k);
        assert_true(k.sorted && k.width == 8);
        finds_all_it_prints(&k);
        finds_none_of(&k, none, sizeof none / sizeof none[0]);
        ot_keys_release(&k);
    }
}

static void keys_of_any_bytes_are_found_by_their_escapes(void **st)
{
    static const char *const none[] = { "a\\x0",   "a\\xg0",      "a\\", "a\\n",
                                        "\\x+5aa", "a\\x00\\x00", "b" };
    struct ot_keys k = { 0 };

    (void)st;
    add(&k, "\0\0\0\5", 4);
    add(&k, "a", 1);
    add(&k, "a\0", 2);
    add(&k, "aA", 2);
    add(&k, "a\\x41", 5);
    add(&k, "b\\", 2);
    add(&k, "b\\\xff \n", 5);
    add(&k, "\xff", 1);
    seal(&k);
    assert_true(k.sorted && k.width == 0);
    finds_all_it_prints(&k);
    assert_int_equal(ot_keys_find(&k, "\\x00\\x00\\x00\\x05"), 0);
    assert_int_equal(ot_keys_find(&k, "a\\x41"), 3); /* 'A' need not be escaped but may be */
    finds_none_of(&k, none, sizeof none / sizeof none[0]);
    ot_keys_release(&k);
}

static void files_of_a_list_are_found_whatever_their_order(void **st)
{
    static const char *const file[] = { "z/9.png", "a/1.png", "m.png", "a/1.png", "a b\\c.png" };
    static const char *const none[] = { "", "a/2.png", "z/9.pn", "z/9.png " };
    struct ot_keys k = { 0 };
    char text[64];

    (void)st;
    for (size_t i = 0; i < 5; i++)
        add(&k, file[i], strlen(file[i]));
    seal(&k);
    assert_false(k.sorted);
    for (size_t i = 0; i < 5; i++) /* of two with one name the first */
        assert_int_equal(ot_keys_find(&k, ot_keys_print(&k, i, text, sizeof text)), i == 3 ? 1 : i);
    finds_none_of(&k, none, 4);
    ot_keys_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_one_width_are_found),
        cmocka_unit_test(keys_of_any_bytes_are_found_by_their_escapes),
        cmocka_unit_test(files_of_a_list_are_found_whatever_their_order),
    };

    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
