/* test_overlay.c - files of label corrections. */
#include <stdlib.h>

#include "base/mem.h"
#include "mining/overlay.h"
#include "tests/check.h"
#include "tests/tinydb.h"

static const char *const classes[3] = { "cat", "dog", "Ankle boot" };

/* Keys k0 .. k9. */
static int64_t find(void *ctx, const char *key)
{
    (void)ctx;
    return key[0] == 'k' && key[1] >= '0' && key[1] <= '9' && !key[2] ? key[1] - '0' : -1;
}

static int read_it(const char *text, struct ot_verdict **v, size_t *n, struct ot_err *err)
{
    return ot_overlay_read(ot_tiny_file("o.jsonl", text), find, NULL, 3, classes, v, n, err);
}

static void lines_become_verdicts_by_identity(void **st)
{
    static const struct ot_verdict want[] = {
        { 0, OT_KIND_IMAGE, OT_VERDICT_MISLABELLED, 0, 0 },
        { 1, OT_KIND_IMAGE, OT_VERDICT_RELABEL, 0, 2 },
        { 7, OT_KIND_IMAGE, OT_VERDICT_RELABEL, 0, 1 },
        { 7, OT_KIND_GT_ROI, OT_VERDICT_IGNORE, 3, 0 },
        { 7, OT_KIND_GT_ROI, OT_VERDICT_HARD, 11, 0 },
    };
    struct ot_err err = OT_ERR_INIT;
    struct ot_verdict *v;
    size_t n;

    (void)st;
    assert_ok(
        read_it("{\"key\":\"k7\",\"label\":1}\n"
                "\r\n"
                "{\"verdict\":\"hard\",\"slot\":11,\"kind\":1,\"key\":\"k7\",\"label\":null}\r\n"
                "{\"key\":\"k7\",\"kind\":\"box\",\"slot\":3,\"verdict\":\"ignore\",\"x\":[{}]}\n"
                "   {\"key\":\"k1\",\"kind\":\"image\",\"label\":\"Ankle boot\",\"who\":\"me\"}\n"
                "{\"key\":\"k0\",\"verdict\":\"mislabelled\"}",
                &v, &n, &err),
        &err);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(v[i].sample, want[i].sample);
        assert_int_equal(v[i].kind, want[i].kind);
        assert_int_equal(v[i].what, want[i].what);
        assert_int_equal(v[i].slot, want[i].slot);
        assert_int_equal(v[i].label, want[i].label);
    }
    ot_free(v);
}

static void of_several_lines_about_one_instance_the_last_counts(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_verdict *v;
    size_t n;

    (void)st;
    assert_ok(read_it("{\"key\":\"k3\",\"label\":1}\n{\"key\":\"k2\",\"label\":1}\n"
                      "{\"key\":\"k3\",\"label\":2}\n{\"key\":\"k3\",\"label\":0}\n",
                      &v, &n, &err),
              &err);
    assert_int_equal(n, 2);
    assert_int_equal(v[0].sample, 2);
    assert_int_equal(v[1].sample, 3);
    assert_int_equal(v[1].label, 0);
    ot_free(v);
}

static void an_empty_file_says_nothing(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_verdict *v;
    size_t n;

    (void)st;
    assert_ok(read_it("", &v, &n, &err), &err);
    assert_int_equal(n, 0);
    ot_free(v);
    assert_int_equal(
        ot_overlay_read(ot_tiny_path("none.jsonl"), find, NULL, 3, classes, &v, &n, &err),
        OT_ENOINPUT);
}

static void a_bad_line_is_named_with_its_value(void **st)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        { "{\"key\":\"k1\",\"label\":3}", "o.jsonl:2: label: must be in [0, 2], got 3" },
        { "{\"key\":\"k1\",\"label\":-1}", "label: must be in [0, 2], got -1" },
        { "{\"key\":\"k1\",\"label\":1.5}", "got 1.5" },
        { "{\"key\":\"k1\",\"label\":99999999999999999999}", "label: must be in" },
        { "{\"key\":\"k1\",\"label\":\"cow\"}", "one of the class names, got 'cow'" },
        { "{\"key\":\"k1\",\"verdict\":\"relabel\"}", "label: a relabel needs one" },
        { "{\"key\":\"k1\",\"verdict\":\"wrong\"}", "ignore or relabel, got wrong" },
        { "{\"key\":\"k1\",\"lable\":1}", "verdict: must be" },
        { "{\"key\":\"zz\",\"label\":1}", "key: must be one of the data set's, got 'zz'" },
        { "{\"key\":5,\"label\":1}", "key: must be a text, got 5" },
        { "{\"label\":1}", "key: must be a text, got null" },
        { "{\"key\":\"k1\",\"kind\":\"roi\",\"label\":1}", "kind: must be" },
        { "{\"key\":\"k1\",\"kind\":2,\"label\":1}", "kind: must be" },
        { "{\"key\":\"k1\",\"kind\":true,\"label\":1}", "kind: must be" },
        { "{\"key\":\"k1\",\"kind\":\"box\",\"label\":1}", "slot: must be the index of the box" },
        { "{\"key\":\"k1\",\"slot\":1,\"label\":1}", "slot: must be 0 for an image, got 1" },
        { "{\"key\":\"k1\",\"label\":1", "wanted a JSON object" },
        { "[1]", "wanted a JSON object, got array" },
        { "key,label", "wanted a JSON object" },
    };

    (void)st;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_verdict *v;
        char text[300];
        size_t n;

        (void)snprintf(text, sizeof text, "{\"key\":\"k0\",\"label\":0}\n%s\n", cases[i].line);
        assert_int_equal(read_it(text, &v, &n, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, cases[i].says);
        assert_error(&err, OT_EDATA, "o.jsonl:2: ");
        assert_null(v);
    }
}

static void no_memory_is_an_error_and_no_leak(void **st)
{
    (void)st;
    for (uint64_t k = 1; k < 20; k++) {
        const char *path = ot_tiny_file("m.jsonl", "{\"key\":\"k3\",\"label\":1}\n");
        struct ot_err err = OT_ERR_INIT;
        struct ot_verdict *v;
        uint64_t before = ot_mem_bytes();
        size_t n;
        int rc;

        ot_mem_fail_at(k);
        rc = ot_overlay_read(path, find, NULL, 3, classes, &v, &n, &err);
        ot_mem_fail_at(0);
        if (rc < 0)
            assert_int_equal(rc, OT_ENOMEM);
        ot_free(v);
        assert_int_equal(ot_mem_bytes(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_verdicts_by_identity),
        cmocka_unit_test(of_several_lines_about_one_instance_the_last_counts),
        cmocka_unit_test(an_empty_file_says_nothing),
        cmocka_unit_test(a_bad_line_is_named_with_its_value),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
    };

    return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}
