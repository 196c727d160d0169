/* test_base.c - base/: errors, memory, strings, map, queue, random numbers, files. */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/rng.h"
#include "base/str.h"
#include "tests/check.h"

/* ---- err ------------------------------------------------------------------------------------- */

static void an_error_collects_context_and_keeps_the_innermost_place(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char file[] = "net.prototxt", line[256];
    int rc = ot_fail_at(&err, ((struct ot_loc){ file, 12, 9 }), OT_ECONFIG,
                        "pad: must be >= 0, got %d", -1);

    (void)state;
    assert_int_equal(rc, OT_ECONFIG);
    assert_int_equal(ot_err_wrap(&err, "layer '%s'", "conv1"), OT_ECONFIG);
    (void)ot_err_at(&err, (struct ot_loc){ "other", 1, 1 });
    file[0] = 'X'; /* the error has its own copy */
    assert_string_equal(ot_err_str(&err, line, sizeof line),
                        "net.prototxt:12:9: layer 'conv1': pad: must be >= 0, got -1");
    assert_string_equal(ot_err_str(&err, line, 8), "net.pro");
    assert_non_null(strstr(err.src, "test_base.c"));
    assert_true(err.src_line > 0);
}

static void a_place_may_be_a_file_alone_or_nowhere(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char line[256];

    (void)state;
    (void)ot_fail(&err, OT_EDATA, "bad");
    assert_string_equal(ot_err_str(&err, line, sizeof line), "bad");
    (void)ot_err_at(&err, (struct ot_loc){ "--set a=b", 0, 0 });
    assert_string_equal(ot_err_str(&err, line, sizeof line), "--set a=b: bad");
    (void)ot_fail(&err, OT_EDATA, "fresh");
    assert_string_equal(ot_err_str(&err, line, sizeof line), "fresh");
}

static void wrapping_without_end_keeps_the_text_within_its_buffer(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char longer[400];

    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)ot_fail(&err, OT_EDATA, "%s%s%s", longer, longer, longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    for (int i = 0; i < 20; i++)
        (void)ot_err_wrap(&err, "%d %s", i, longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "19 xx", 5);
}

static void system_errors_choose_their_code(void **state)
{
    static const struct {
        int errnum;
        enum ot_code code;
    } map[] = { { 2, OT_ENOINPUT }, { 13, OT_EPERM }, { 12, OT_ENOMEM }, { 28, OT_EIO } };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct ot_err err = OT_ERR_INIT;

        assert_int_equal(ot_fail_sys(&err, OT_OK, map[i].errnum, "open 'x'"), map[i].code);
        assert_error(&err, map[i].code, "open 'x': ");
        assert_int_equal(ot_fail_sys(&err, OT_EDEV, map[i].errnum, "x"), OT_EDEV);
    }
    assert_string_equal(ot_code_name(OT_ESHAPE), "ESHAPE");
    assert_string_equal(ot_code_name(OT_OK), "OK");
    assert_int_equal(ot_exit_code(OT_OK), 0);
    assert_int_equal(ot_exit_code(OT_ECONFIG), 78);
    assert_int_equal(ot_exit_code(OT_EBUSY), 75);
}

/* ---- mem ------------------------------------------------------------------------------------- */

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    uint64_t held = ot_mem_bytes(), count = ot_mem_count();
    unsigned char *p = ot_alloc(100, 3, &err), *none = ot_alloc(0, 8, &err);

    (void)state;
    assert_true(p && none);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    assert_int_equal(ot_mem_count() - count, 2);
    assert_true(ot_mem_bytes() - held >= 300);
    ot_free(p);
    ot_free(none);
    ot_free(NULL);
    assert_int_equal(ot_mem_bytes(), held);
}

static void impossible_sizes_and_chosen_failures_are_errors(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    void *array = NULL, *p;
    size_t cap = 0;

    (void)state;
    assert_null(ot_alloc(SIZE_MAX / 2, 4, &err));
    assert_error(&err, OT_ENOMEM, "4 bytes");
    assert_null(ot_alloc(SIZE_MAX, 1, &err));
    assert_int_equal(ot_grow(&array, &cap, SIZE_MAX / 2 + 9, 8, &err), OT_ENOMEM);
    assert_null(array);
    assert_int_equal(cap, 0);
    ot_mem_fail_at(2);
    p = ot_alloc(1, 1, &err);
    assert_non_null(p);
    assert_null(ot_strdup("x", &err));
    ot_free(p);
    p = ot_alloc(1, 1, &err); /* one failure only */
    assert_non_null(p);
    ot_free(p);
    ot_mem_fail_over(1000);
    assert_null(ot_alloc(1025, 1, &err));
    p = ot_alloc(900, 1, &err);
    assert_non_null(p);
    ot_free(p);
    ot_mem_fail_over(0);
}

static void growing_keeps_content_and_zeroes_the_rest(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    int *a = NULL;
    size_t cap = 0;

    (void)state;
    for (size_t n = 1; n < 1000; n++) {
        assert_ok(ot_grow(&a, &cap, n, sizeof *a, &err), &err);
        assert_true(cap >= n);
        for (size_t i = n - 1; i < cap; i++)
            assert_int_equal(a[i], 0);
        a[n - 1] = (int)n;
    }
    for (int i = 0; i < 999; i++)
        assert_int_equal(a[i], i + 1);
    ot_free(a);
}

/* ---- str ------------------------------------------------------------------------------------- */

static void strings_grow_and_are_handed_over(void **state)
{
    struct ot_str s = { 0 };
    struct ot_err err = OT_ERR_INIT;
    char *p;

    (void)state;
    p = ot_str_take(&s);
    assert_string_equal(p, "");
    ot_free(p);
    for (int i = 0; i < 100; i++)
        ot_str_printf(&s, "%d,", i % 10);
    ot_str_add(&s, "ab", 1);
    ot_str_puts(&s, "!");
    assert_int_equal(s.len, 202);
    assert_int_equal(strlen(s.buf), 202);
    assert_string_equal(s.buf + 200, "a!");
    assert_ok(ot_str_ok(&s, &err), &err);
    ot_str_clear(&s);
    assert_string_equal(s.buf, "");
    ot_str_release(&s);
    assert_null(s.buf);
}

static void a_failed_append_is_latched(void **state)
{
    struct ot_str s = { 0 };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_mem_fail_at(1);
    ot_str_puts(&s, "lost");
    ot_str_puts(&s, "also lost, though there is memory again");
    assert_int_equal(s.len, 0);
    assert_int_equal(ot_str_ok(&s, &err), OT_ENOMEM);
    assert_null(ot_str_take(&s));
}

static void json_text_is_escaped_and_numbers_read_back(void **state)
{
    static const float values[] = { 0.1f, 1e-30f, 3.4028235e38f, -0.0f, 16777217.0f };
    struct ot_str s = { 0 };

    (void)state;
    ot_str_json(&s, "a\"b\\c\n\x01\xc3\xa9");
    assert_string_equal(s.buf, "a\\\"b\\\\c\\u000a\\u0001\xc3\xa9");
    for (int i = 0; i < 5; i++) {
        ot_str_clear(&s);
        ot_str_json_num(&s, (double)values[i]);
        assert_near(strtof(s.buf, NULL), values[i], 0);
    }
    ot_str_clear(&s);
    ot_str_json_num(&s, (double)NAN);
    ot_str_json_num(&s, (double)-INFINITY);
    assert_string_equal(s.buf, "nullnull");
    ot_str_release(&s);
}

static void edit_distance_and_hash_have_their_known_values(void **state)
{
    static const struct {
        const char *a, *b;
        int d;
    } known[] = { { "", "", 0 },         { "abc", "", 3 },  { "kitten", "sitting", 3 },
                  { "same", "same", 0 }, { "ab", "ba", 2 }, { "flaw", "lawn", 2 } };

    char longer[100];

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(ot_edit_distance(known[i].a, known[i].b), known[i].d);
        assert_int_equal(ot_edit_distance(known[i].b, known[i].a), known[i].d);
    }
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_true(ot_edit_distance(longer, "x") > 3);
    /* FNV-1a test vectors of the algorithm's authors */
    assert_true(ot_hash64("", 0) == 0xcbf29ce484222325u);
    assert_true(ot_hash64("a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(ot_hash64("foobar", 6) == 0x85944171f73967e8u);
}

/* ---- map ------------------------------------------------------------------------------------- */

enum { KEYS = 200 };

static void check_map(const struct ot_map *m, const uint64_t *model, const bool *there,
                      const uint64_t *key)
{
    size_t n = 0;

    for (size_t k = 0; k < KEYS; k++) {
        uint64_t v = 0;

        assert_int_equal(ot_map_get(m, key[k], &v), there[k]);
        if (there[k])
            assert_true(v == model[k]);
        n += there[k];
    }
    assert_int_equal(m->len, n);
}

static void a_map_agrees_with_a_simple_model_under_random_edits(void **state)
{
    uint64_t model[KEYS] = { 0 }, key[KEYS];
    bool there[KEYS] = { false };
    struct ot_map m = { 0 };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_false(ot_map_remove(&m, 0));
    for (uint64_t k = 0; k < KEYS; k++) /* dense, sparse, and the two ends */
        key[k] = k < 100 ? k : k == 100 ? UINT64_MAX : k * UINT64_C(0x100000000001);
    for (uint64_t i = 0; i < 20000; i++) {
        struct ot_rng4 r = ot_philox(1, OT_RNG_TEST, 0, i);
        size_t k = r.v[0] % KEYS;
        /* phases that fill and phases that empty */
        bool remove = r.v[1] % 10 < (i / 2000 % 2 ? 7u : 3u);

        if (remove) {
            assert_int_equal(ot_map_remove(&m, key[k]), there[k]);
            there[k] = false;
        } else {
            assert_ok(ot_map_set(&m, key[k], i, &err), &err);
            model[k] = i;
            there[k] = true;
        }
        if (i % 50 == 0)
            check_map(&m, model, there, key);
    }
    check_map(&m, model, there, key);
    ot_map_clear(&m);
    assert_int_equal(m.len, 0);
    assert_false(ot_map_get(&m, key[0], NULL));
    ot_map_release(&m);
}

static void a_map_without_memory_keeps_what_it_had(void **state)
{
    struct ot_map m = { 0 };
    struct ot_err err = OT_ERR_INIT;
    uint64_t v = 0, n = 0;

    (void)state;
    assert_ok(ot_map_set(&m, n++, 7, &err), &err);
    ot_mem_fail_at(1);
    while (ot_map_set(&m, n, 7, &err) == 0)
        n++;
    ot_mem_fail_at(0);
    assert_int_equal(err.code, OT_ENOMEM);
    assert_int_equal(m.len, n);
    for (uint64_t k = 0; k < n; k++)
        assert_true(ot_map_get(&m, k, &v) && v == 7);
    ot_map_release(&m);
}

/* ---- queue ----------------------------------------------------------------------------------- */

enum { ITEMS = 20000 };

static int marks[ITEMS];

static void *push_all(void *q)
{
    for (int i = 0; i < ITEMS; i++)
        if (ot_queue_push(q, &marks[i]) != 0)
            return q;
    ot_queue_close(q);
    return NULL;
}

static void a_queue_hands_over_everything_in_order_between_two_threads(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_queue *q = ot_queue_new(3, &err);
    pthread_t t;
    void *item, *failed;
    int n = 0;

    (void)state;
    assert_non_null(q);
    assert_int_equal(pthread_create(&t, NULL, push_all, q), 0);
    while (ot_queue_pop(q, &item) == 0) {
        assert_ptr_equal(item, &marks[n]);
        assert_true(ot_queue_len(q) <= 3);
        n++;
    }
    assert_int_equal(pthread_join(t, &failed), 0);
    assert_null(failed);
    assert_int_equal(n, ITEMS);
    ot_queue_free(q);
}

static void *pop_one(void *q)
{
    void *item;

    return ot_queue_pop(q, &item) == OT_ECLOSED ? q : NULL;
}

static void *push_two(void *q)
{
    return ot_queue_push(q, marks) == 0 && ot_queue_push(q, marks) == OT_ECLOSED ? q : NULL;
}

static void closing_wakes_who_waits(void **state)
{
    void *(*const waiter[])(void *) = { pop_one, push_two };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_queue *q = ot_queue_new(1, &err);
        pthread_t t[2];
        void *woken = NULL;

        assert_int_equal(pthread_create(&t[0], NULL, waiter[i], q), 0);
        if (i == 0)
            assert_int_equal(pthread_create(&t[1], NULL, waiter[i], q), 0);
        (void)usleep(20000); /* let them begin to wait; right also when they have not */
        while (i && !ot_queue_len(q))
            (void)usleep(1000);
        ot_queue_close(q);
        for (int k = 0; k < 2 - i; k++) {
            assert_int_equal(pthread_join(t[k], &woken), 0);
            assert_ptr_equal(woken, q);
        }
        ot_queue_free(q);
    }
}

static void a_closed_queue_drains_and_then_says_so(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_queue *q = ot_queue_new(2, &err);
    void *item;

    (void)state;
    assert_int_equal(ot_queue_try_pop(q, &item), OT_EBUSY);
    assert_int_equal(ot_queue_push(q, &marks[1]), 0);
    assert_int_equal(ot_queue_push(q, &marks[2]), 0);
    ot_queue_close(q);
    assert_int_equal(ot_queue_push(q, &marks[3]), OT_ECLOSED);
    assert_int_equal(ot_queue_len(q), 2);
    assert_int_equal(ot_queue_pop(q, &item), 0);
    assert_ptr_equal(item, &marks[1]);
    assert_int_equal(ot_queue_try_pop(q, &item), 0);
    assert_ptr_equal(item, &marks[2]);
    assert_int_equal(ot_queue_try_pop(q, &item), OT_ECLOSED);
    assert_int_equal(ot_queue_pop(q, &item), OT_ECLOSED);
    ot_queue_free(q);
    ot_queue_free(NULL);
}

/* ---- rng ------------------------------------------------------------------------------------- */

static void philox_gives_the_known_answers(void **state)
{
    /* Known-answer vectors of Random123 (kat_vectors, philox4x32 10): counter, key, result. Purpose
     * 0 leaves key and counter as they are. */
    static const struct {
        uint32_t c[4], k[2], r[4];
    } kat[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        uint64_t key = kat[i].k[0] | (uint64_t)kat[i].k[1] << 32;
        uint64_t low = kat[i].c[0] | (uint64_t)kat[i].c[1] << 32;
        uint64_t high = kat[i].c[2] | (uint64_t)kat[i].c[3] << 32;
        struct ot_rng4 r = ot_philox(key, 0, high, low);

        assert_memory_equal(r.v, kat[i].r, sizeof r.v);
        /* a purpose is an xor of the key's and the counter's last words */
        r = ot_philox(key ^ (uint64_t)(uint32_t)(5 * 0x9E3779B9u) << 32, 5,
                      high ^ (uint64_t)5 << 56, low);
        assert_memory_equal(r.v, kat[i].r, sizeof r.v);
    }
}

static void purposes_and_counters_give_different_numbers(void **state)
{
    uint32_t base = ot_rng_u32(1, OT_RNG_TEST, 2, 3);

    (void)state;
    assert_int_equal(base, ot_rng_u32(1, OT_RNG_TEST, 2, 3));
    assert_true(base != ot_rng_u32(2, OT_RNG_TEST, 2, 3));
    assert_true(base != ot_rng_u32(1, OT_RNG_FILL, 2, 3));
    assert_true(base != ot_rng_u32(1, OT_RNG_TEST, 3, 3));
    assert_true(base != ot_rng_u32(1, OT_RNG_TEST, 2, 4));
}

static void draws_have_their_range_and_moments(void **state)
{
    enum { N = 100000 };

    double sum = 0, nsum = 0, nsq = 0;
    int count[7] = { 0 };

    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        float u = ot_rng_unit(7, OT_RNG_TEST, 0, i);
        double z = ot_rng_normal(7, OT_RNG_TEST, 1, i);
        uint32_t k = ot_rng_below(7, OT_RNG_TEST, 2, i, 7);

        assert_true(u >= 0 && u < 1 && k < 7 && isfinite(z));
        sum += (double)u;
        nsum += z;
        nsq += z * z;
        count[k]++;
    }
    /* five standard errors */
    assert_near(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    assert_near(nsum / N, 0, 5 * sqrt(1.0 / N));
    assert_near(nsq / N, 1, 5 * sqrt(2.0 / N));
    for (int k = 0; k < 7; k++)
        assert_near(count[k], N / 7.0, 5 * sqrt(N * 6.0 / 49));
}

static void permute_is_a_bijection(void **state)
{
    static const uint64_t large[] = { 1000, 1023, 1024, 1025, 4096, 4097, 60000, 65537 };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (uint64_t k = 1; k < 300 + 8; k++) {
        uint64_t n = k < 300 ? k : large[k - 300], moved = 0;
        unsigned char *seen = ot_alloc(n, 1, &err);

        assert_non_null(seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t p = ot_permute(42, k, n, i);

            assert_true(p < n && !seen[p]);
            seen[p] = 1;
            moved += p != i;
        }
        assert_true(n < 20 || moved > n / 2);
        ot_free(seen);
    }
    assert_true(ot_permute(1, 0, UINT64_C(1) << 40, 5) < UINT64_C(1) << 40);
}

static void permute_differs_by_seed_and_epoch(void **state)
{
    int same_seed = 0, same_epoch = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        same_seed += ot_permute(1, 0, 1000, i) == ot_permute(2, 0, 1000, i);
        same_epoch += ot_permute(1, 0, 1000, i) == ot_permute(1, 1, 1000, i);
    }
    assert_true(same_seed < 20 && same_epoch < 20);
}

/* ---- fs -------------------------------------------------------------------------------------- */

static void files_are_written_whole_and_read_back(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256], tmp[300], *back;
    size_t n = 99;

    (void)state;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "whole");
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    assert_ok(ot_write_file_atomic(path, "one", 3, &err), &err);
    assert_ok(ot_write_file_atomic(path, "t\0o", 3, &err), &err);
    assert_false(ot_exists(tmp));
    back = ot_read_file(path, 3, &n, &err);
    assert_non_null(back);
    assert_int_equal(n, 3);
    assert_memory_equal(back, "t\0o", 4);
    ot_free(back);
    assert_null(ot_read_file(path, 2, &n, &err));
    assert_error(&err, OT_EDATA, "more than the limit of 2");
    assert_ok(ot_write_file_atomic(path, "", 0, &err), &err);
    back = ot_read_file(path, 0, &n, &err);
    assert_non_null(back);
    assert_int_equal(n, 0);
    ot_free(back);
}

static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256], tmp[300];
    size_t n;

    (void)state;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "folder");
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    assert_ok(ot_mkdir_p(path, &err), &err); /* a folder is in the way of rename() */
    assert_int_equal(ot_write_file_atomic(path, "x", 1, &err), OT_ECREATE);
    assert_error(&err, OT_ECREATE, path);
    assert_false(ot_exists(tmp));
    assert_int_equal(ot_write_file_atomic("/nowhere/x", "x", 1, &err), OT_ECREATE);
    assert_null(ot_read_file("/nowhere/x", 9, &n, &err));
    assert_error(&err, OT_ENOINPUT, "/nowhere/x");
    assert_null(ot_read_file(path, 9, &n, &err));
    assert_error(&err, OT_ENOINPUT, "is a directory");
}

static void folders_are_made_with_their_parents(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256], file[256];

    (void)state;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "a/b/c");
    assert_ok(ot_mkdir_p(path, &err), &err);
    assert_ok(ot_mkdir_p(path, &err), &err);
    assert_true(ot_exists(path));
    (void)ot_path_join(file, sizeof file, path, "f");
    assert_ok(ot_write_file_atomic(file, "", 0, &err), &err);
    assert_int_equal(ot_mkdir_p(file, &err), OT_ECREATE);
    assert_error(&err, OT_ECREATE, "not a directory");
    assert_true(ot_free_bytes(path) > 0);
    assert_true(ot_free_bytes("/nowhere") < 0);
}

static void paths_join_and_split(void **state)
{
    char buf[64];

    (void)state;
    assert_string_equal(ot_path_join(buf, sizeof buf, "a", "b"), "a/b");
    assert_string_equal(ot_path_join(buf, sizeof buf, "a", "/b"), "/b");
    assert_string_equal(ot_path_join(buf, sizeof buf, "", "b"), "b");
    assert_string_equal(ot_path_dir(buf, sizeof buf, "a/b/c"), "a/b");
    assert_string_equal(ot_path_dir(buf, sizeof buf, "c"), ".");
    assert_string_equal(ot_path_dir(buf, sizeof buf, "/c"), "/");
}

static void a_lock_has_one_holder_who_is_named(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256], me[32];
    int fd, again;

    (void)state;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "lock");
    (void)snprintf(me, sizeof me, "pid %ld on ", (long)getpid());
    fd = ot_lock_file(path, &err);
    assert_true(fd >= 0);
    assert_int_equal(ot_lock_file(path, &err), OT_EBUSY);
    assert_error(&err, OT_EBUSY, me);
    ot_unlock_file(fd);
    again = ot_lock_file(path, &err);
    assert_true(again >= 0);
    ot_unlock_file(again);
    ot_unlock_file(-1);
    assert_int_equal(ot_lock_file("/nowhere/lock", &err), OT_ECREATE);
}

static void a_lock_dies_with_its_holder(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256];
    int fd, status = 1;
    pid_t child;

    (void)state;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "lock2");
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(ot_lock_file(path, &err) >= 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fd = ot_lock_file(path, &err);
    assert_true(fd >= 0);
    ot_unlock_file(fd);
}

static void time_moves_on_and_has_its_form(void **state)
{
    double a = ot_now_s(), b = ot_now_s();
    char buf[32];

    (void)state;
    assert_true(a >= 0 && b >= a);
    assert_int_equal(strlen(ot_time_utc(buf)), 20);
    assert_true(buf[4] == '-' && buf[10] == 'T' && buf[19] == 'Z');
}

static void a_file_hashes_like_its_bytes(void **st)
{
    static char bytes[200000]; /* more than one piece */
    char path[256];
    uint64_t hash = 0;
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 3);
    (void)snprintf(path, sizeof path, "%s/hashed", ot_tmpdir());
    assert_ok(ot_write_file_atomic(path, bytes, sizeof bytes, &err), &err);
    assert_ok(ot_hash_file(path, &hash, &err), &err);
    assert_true(hash == ot_hash64(bytes, sizeof bytes));
    assert_int_equal(ot_hash_file("/nowhere/at/all", &hash, &err), OT_ENOINPUT);
}

/* ---- log ------------------------------------------------------------------------------------- */

static void the_log_file_has_what_stderr_is_spared(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[300], *text;
    size_t n;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/quiet.log", ot_tmpdir());
    assert_ok(ot_log_open(path, &err), &err);
    ot_log_set_level(OT_LOG_ERROR);
    ot_log(OT_LOG_INFO, "test", "for the file");
    ot_log(OT_LOG_DEBUG, "test", "for nobody");
    ot_log_set_level(OT_LOG_INFO);
    ot_log_close();
    text = ot_read_file(path, 10000, &n, &err);
    assert_ok(text ? 0 : err.code, &err);
    assert_non_null(strstr(text, "for the file"));
    assert_null(strstr(text, "for nobody"));
    ot_free(text);
}

/* ---- env ------------------------------------------------------------------------------------- */

static void cores_are_those_that_the_process_may_use(void **state)
{
    cpu_set_t all, one;
    size_t first = 0;

    (void)state;
    assert_return_code(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(ot_env_cores(), CPU_COUNT(&all));
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_return_code(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ot_env_cores(), 1);
    assert_return_code(sched_setaffinity(0, sizeof all, &all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_file_has_what_stderr_is_spared),
        cmocka_unit_test(cores_are_those_that_the_process_may_use),
        cmocka_unit_test(an_error_collects_context_and_keeps_the_innermost_place),
        cmocka_unit_test(a_place_may_be_a_file_alone_or_nowhere),
        cmocka_unit_test(wrapping_without_end_keeps_the_text_within_its_buffer),
        cmocka_unit_test(system_errors_choose_their_code),
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(impossible_sizes_and_chosen_failures_are_errors),
        cmocka_unit_test(growing_keeps_content_and_zeroes_the_rest),
        cmocka_unit_test(strings_grow_and_are_handed_over),
        cmocka_unit_test(a_failed_append_is_latched),
        cmocka_unit_test(json_text_is_escaped_and_numbers_read_back),
        cmocka_unit_test(edit_distance_and_hash_have_their_known_values),
        cmocka_unit_test(a_map_agrees_with_a_simple_model_under_random_edits),
        cmocka_unit_test(a_map_without_memory_keeps_what_it_had),
        cmocka_unit_test(a_queue_hands_over_everything_in_order_between_two_threads),
        cmocka_unit_test(closing_wakes_who_waits),
        cmocka_unit_test(a_closed_queue_drains_and_then_says_so),
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(purposes_and_counters_give_different_numbers),
        cmocka_unit_test(draws_have_their_range_and_moments),
        cmocka_unit_test(permute_is_a_bijection),
        cmocka_unit_test(permute_differs_by_seed_and_epoch),
        cmocka_unit_test(files_are_written_whole_and_read_back),
        cmocka_unit_test(a_failed_write_leaves_the_old_file_and_no_other),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_join_and_split),
        cmocka_unit_test(a_lock_has_one_holder_who_is_named),
        cmocka_unit_test(a_lock_dies_with_its_holder),
        cmocka_unit_test(time_moves_on_and_has_its_form),
        cmocka_unit_test(a_file_hashes_like_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
