/* What ohempool computes: tables in four forms, JSON, changes between nights, a pool as it was. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/check.h"
#include "tests/poolkit.h"
#include "tools/pool_cmd.h"
#include "tools/pool_json.h"
#include "tools/pool_night.h"
#include "tools/pool_say.h"

/* ---- tables ---------------------------------------------------------------------------------- */

static struct ot_table sample_table(void)
{
    struct ot_table t = { 0 };

    ot_table_columns(&t, "key n loss");
    ot_table_text(&t, "a,\"b\"");
    ot_table_int(&t, 12);
    ot_table_num(&t, 0.5);
    ot_table_text(&t, "gr\xc3\xbc\x1b");
    ot_table_int(&t, 7);
    ot_table_num(&t, (double)NAN);
    return t;
}

static void renders(enum ot_table_form form, const char *want)
{
    struct ot_table t = sample_table();
    struct ot_str s = { 0 };

    ot_table_render(&t, form, &s);
    assert_string_equal(s.buf, want);
    ot_str_release(&s);
    ot_table_release(&t);
}

static void a_table_for_people_is_aligned_by_characters_and_shows_no_controls(void **st)
{
    (void)st;
    renders(OT_TABLE_PLAIN, "key     n   loss\n"
                            "a,\"b\"  12  0.500\n"
                            "gr\xc3\xbc?    7      -\n");
}

static void csv_quotes_what_rfc_4180_wants_quoted(void **st)
{
    (void)st;
    renders(OT_TABLE_CSV, "key,n,loss\r\n\"a,\"\"b\"\"\",12,0.5\r\ngr\xc3\xbc\x1b,7,\r\n");
}

static void json_has_a_null_where_there_is_no_value(void **st)
{
    (void)st;
    renders(OT_TABLE_JSON, "[{\"key\":\"a,\\\"b\\\"\",\"n\":12,\"loss\":0.5},\n"
                           "{\"key\":\"gr\xc3\xbc\\u001b\",\"n\":7,\"loss\":null}]\n");
}

static void a_table_that_memory_runs_out_for_says_so(void **st)
{
    struct ot_table t = { 0 };
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    ot_table_columns(&t, "a");
    ot_mem_fail_at(1);
    ot_table_text(&t, "x");
    ot_mem_fail_at(0);
    ot_table_text(&t, "y");
    assert_int_equal(ot_table_ok(&t, &err), OT_ENOMEM);
    ot_table_release(&t);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_is_read_with_its_escapes_and_numbers(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_json_doc d;
    const struct ot_json *a;

    (void)st;
    assert_int_equal(
        ot_json_parse("f", "{\"a\": [1, -2.5e1, true], \"t\": \"\\u00fc\\\"\\ud83d\\ude00\"}", &d,
                      &err),
        0);
    a = ot_json_first(ot_json_get(d.root, "a"));
    assert_near(ot_json_num(a), 1, 0);
    assert_near(ot_json_num(a->next), -25, 0);
    assert_true(isnan(ot_json_num(a->next->next)));
    assert_string_equal(ot_json_text(ot_json_get(d.root, "t")), "\xc3\xbc\"\xf0\x9f\x98\x80");
    assert_null(ot_json_get(a, "x"));
    ot_json_release(&d);
}

static void broken_json_is_an_error_with_its_place(void **st)
{
    static const char *const bad[] = {
        "",    "{",     "[1,]",  "{\"a\"}", "{a:1}",    "\"x",      "[1] 2", "\"\\q\"", "\"\\u12\"",
        "nul", "[1 2]", "1e999", "-",       "{\"a\":}", "\"a\nb\"", "+1",    "\"\\",    "[[[",
    };

    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_json_doc d;

        assert_int_equal(ot_json_parse("f.json", bad[i], &d, &err), OT_EDATA);
        assert_true(err.loc.line >= 1);
    }
}

static void json_that_is_nested_too_deeply_is_refused(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_json_doc d;
    char deep[4001];

    (void)st;
    memset(deep, '[', 4000);
    deep[4000] = 0;
    assert_int_equal(ot_json_parse("f", deep, &d, &err), OT_EDATA);
    assert_non_null(strstr(err.text, "64 levels"));
}

/* ---- changes --------------------------------------------------------------------------------- */

static void changes_have_the_names_that_people_give_them(void **st)
{
    enum { WAIT, COOL, LEARNED, QUAR, EXCL, GONE, CONTROL };

    (void)st;
    assert_int_equal(ot_night_change(WAIT, COOL), OT_CHANGE_NONE);
    assert_int_equal(ot_night_change(WAIT, LEARNED), OT_CHANGE_LEARNED);
    assert_int_equal(ot_night_change(GONE, LEARNED), OT_CHANGE_LEARNED);
    assert_int_equal(ot_night_change(LEARNED, WAIT), OT_CHANGE_REGRESSED);
    assert_int_equal(ot_night_change(LEARNED, CONTROL), OT_CHANGE_REGRESSED);
    assert_int_equal(ot_night_change(GONE, WAIT), OT_CHANGE_HARD);
    assert_int_equal(ot_night_change(LEARNED, QUAR), OT_CHANGE_QUARANTINED);
    assert_int_equal(ot_night_change(QUAR, LEARNED), OT_CHANGE_RELEASED);
    assert_int_equal(ot_night_change(QUAR, GONE), OT_CHANGE_GONE);
    assert_int_equal(ot_night_change(QUAR, EXCL), OT_CHANGE_EXCLUDED);
    assert_int_equal(ot_night_change(GONE, GONE), OT_CHANGE_NONE);
}

struct seen {
    int pairs, only_a, only_b;
    char order[64];
};

static int note(void *ctx, const struct ot_night_row *a, const struct ot_night_row *b,
                struct ot_err *err)
{
    struct seen *s = ctx;

    (void)err;
    assert_true(!a || !b || a->slot == b->slot);
    *(a && b ? &s->pairs : a ? &s->only_a : &s->only_b) += 1;
    strcat(s->order, (a ? a : b)->key);
    return 0;
}

static void rows_of_two_nights_are_paired_by_key_kind_and_slot(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_night a = { 0 }, b = { 0 };
    struct seen s = { 0 };

    (void)st;
    assert_int_equal(ot_night_add(&a, "a", 0, 0, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_add(&a, "c", 1, 0, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_add(&a, "c", 1, 2, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_add(&b, "b", 0, 0, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_add(&b, "c", 1, 1, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_add(&b, "c", 1, 2, 1, 0, 1, &err), 0);
    assert_int_equal(ot_night_diff(&a, &b, note, &s, &err), 0);
    assert_int_equal(s.pairs, 1);
    assert_int_equal(s.only_a, 2);
    assert_int_equal(s.only_b, 2);
    assert_string_equal(s.order, "abccc");
    ot_night_release(&a);
    ot_night_release(&b);
}

/* ---- as it was ------------------------------------------------------------------------------- */

static int state_at(const struct ot_pdb *d, int64_t iter, const char *key)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_night n = { 0 };
    int state = -1;

    assert_int_equal(ot_night_load_at(d, 1, iter, &n, &err), 0);
    for (size_t i = 0; i < n.n; i++)
        if (strcmp(n.rows[i].key, key) == 0)
            state = n.rows[i].state;
    ot_night_release(&n);
    return state;
}

static void the_pool_as_it_was_follows_the_last_event_before(void **st)
{
    const char *path = pk_path("as-it-was");
    struct ot_pool_conf c = pk_conf(path);
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_err err = OT_ERR_INIT;
    struct ot_row r = pk_row(1, 5, 3);
    struct ot_pdb d;

    (void)st;
    s->row(s->ctx, 2, &r);
    s->event(s->ctx, 2, &r, OT_EV_ADMIT, 3, "loss 3.00 > q90 1.00");
    s->event(s->ctx, 5, &r, OT_EV_LEARNED, 0.1f, "low");
    s->event(s->ctx, 7, &r, OT_EV_FORGOT, 2, "high");
    s->event(s->ctx, 9, &r, OT_EV_QUARANTINE, 4, "contradicted");
    s->event(s->ctx, 11, &r, OT_EV_RELEASE, 0.2f, "loss 0.20 < release 0.5; now learned");
    s->event(s->ctx, 13, &r, OT_EV_EXCLUDE, 0.2f, "a person says ignore");
    pk_close(p);
    assert_int_equal(ot_pdb_open(path, &d, &err), 0);
    assert_int_equal(state_at(&d, 1, "00000005"), -1);
    assert_int_equal(state_at(&d, 2, "00000005"), OT_WAITING);
    assert_int_equal(state_at(&d, 5, "00000005"), OT_LEARNED);
    assert_int_equal(state_at(&d, 8, "00000005"), OT_WAITING);
    assert_int_equal(state_at(&d, 9, "00000005"), OT_QUARANTINED);
    assert_int_equal(state_at(&d, 12, "00000005"), OT_LEARNED);
    assert_int_equal(state_at(&d, 99, "00000005"), OT_EXCLUDED);
    ot_pdb_close(&d);
}

/* ---- the file that readers open -------------------------------------------------------------- */

static void a_reader_cannot_write(void **st)
{
    const char *path = pk_path("read-only");
    struct ot_pool_conf c = pk_conf(path);
    struct ot_err err = OT_ERR_INIT;
    struct ot_pdb d;

    (void)st;
    pk_close(pk_open(&c));
    assert_int_equal(ot_pdb_open(path, &d, &err), 0);
    assert_int_not_equal(sqlite3_exec(d.db, "DELETE FROM run", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ot_pdb_int(&d, 0, "SELECT count(*) FROM run"), 1);
    ot_pdb_close(&d);
}

static void a_row_of_a_batch_stays_when_it_was_not_seen_in_it(void **st)
{
    const char *path = pk_path("told");
    struct ot_pool_conf c = pk_conf(path);
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_row r = pk_row(1, 5, 3);
    const uint64_t id[] = { 1 };
    const float before[] = { 3 }, after[] = { NAN };
    struct ot_err err = OT_ERR_INIT;
    char name[] = "verify", *argv[] = { name, NULL, NULL };
    char copy[512];

    (void)st;
    (void)snprintf(copy, sizeof copy, "%s", path);
    argv[1] = copy;
    pk_put(p, 1, 5, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1);
    s->reinjected(s->ctx, 2, id, before, after, 1);
    s->gone(s->ctx, 2, &r);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM reinj_item JOIN inst USING(inst_id)"), 1, 0);
    assert_near(pk_ask(path, "SELECT state FROM inst"), 5, 0);
    assert_int_equal(ot_pcmd_verify(2, argv, &err), 0);
}

static void a_verdict_is_written_once_and_taken_back(void **st)
{
    const char *path = pk_path("verdicts");
    struct ot_say_row row = {
        .key = "k'1", .verdict = "relabel", .who = "ann", .kind = 1, .slot = 3, .label = 2
    };
    struct ot_err err = OT_ERR_INIT;
    struct ot_say say;
    char file[600];

    (void)st;
    (void)snprintf(file, sizeof file, "%s.verdicts", path);
    (void)remove(file);
    assert_int_equal(ot_say_open(&say, path, NULL, &err), 0);
    assert_int_equal(ot_say_put(&say, &row, &err), 0);
    row.label = 4;
    assert_int_equal(ot_say_put(&say, &row, &err), 0);
    assert_int_equal(ot_say_close(&say, 0, &err), 0);
    assert_near(pk_ask(file, "SELECT sum(new_label) FROM verdict WHERE lmdb_key='k''1'"), 4, 0);
    assert_int_equal(ot_say_open(&say, path, NULL, &err), 0);
    assert_int_equal(ot_say_drop(&say, "k'1", 1, 3, 0, &err), 1);
    assert_int_equal(ot_say_close(&say, -1, &err), -1); /* something failed: nothing is written */
    assert_near(pk_ask(file, "SELECT count(*) FROM verdict"), 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_for_people_is_aligned_by_characters_and_shows_no_controls),
        cmocka_unit_test(csv_quotes_what_rfc_4180_wants_quoted),
        cmocka_unit_test(json_has_a_null_where_there_is_no_value),
        cmocka_unit_test(a_table_that_memory_runs_out_for_says_so),
        cmocka_unit_test(json_is_read_with_its_escapes_and_numbers),
        cmocka_unit_test(broken_json_is_an_error_with_its_place),
        cmocka_unit_test(json_that_is_nested_too_deeply_is_refused),
        cmocka_unit_test(changes_have_the_names_that_people_give_them),
        cmocka_unit_test(rows_of_two_nights_are_paired_by_key_kind_and_slot),
        cmocka_unit_test(the_pool_as_it_was_follows_the_last_event_before),
        cmocka_unit_test(a_reader_cannot_write),
        cmocka_unit_test(a_row_of_a_batch_stays_when_it_was_not_seen_in_it),
        cmocka_unit_test(a_verdict_is_written_once_and_taken_back),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
