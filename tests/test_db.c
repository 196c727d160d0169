/* test_db.c - LMDB reader and writer. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/db.h"
#include "tests/check.h"

static char *in_tmp(char *buf, const char *name)
{
    (void)snprintf(buf, 256, "%s/%s", ot_tmpdir(), name);
    return buf;
}

static void write_db(const char *path, int n, size_t size)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db_writer *w = ot_db_create(path, false, &err);
    unsigned char *value = malloc(size);
    char key[32];

    assert_ok(w ? 0 : err.code, &err);
    assert_non_null(value);
    for (int i = 0; i < n; i++) {
        memset(value, i & 255, size);
        (void)snprintf(key, sizeof key, "%08d", i);
        assert_ok(ot_db_put(w, (struct ot_bytes){ key, 8 }, (struct ot_bytes){ value, size }, &err),
                  &err);
    }
    assert_ok(ot_db_finish(w, true, &err), &err);
    free(value);
}

static void records_come_back_by_cursor_and_by_key(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_bytes k, v;
    struct ot_db_cursor *c;
    struct ot_db *db, *again;
    char path[256], key[32];
    int n = 0;

    (void)state;
    write_db(in_tmp(path, "plain"), 2500, 40);
    db = ot_db_open(path, &err);
    assert_ok(db ? 0 : err.code, &err);
    assert_int_equal(ot_db_count(db), 2500);
    again = ot_db_open(path, &err);
    assert_ptr_equal(again, db);
    ot_db_close(again);
    c = ot_db_cursor_new(db, &err);
    assert_non_null(c);
    for (int rc = ot_db_first(c, &k, &v, &err); rc == 1; rc = ot_db_next(c, &k, &v, &err), n++) {
        (void)snprintf(key, sizeof key, "%08d", n);
        assert_int_equal(k.n, 8);
        assert_memory_equal(k.data, key, 8);
        assert_int_equal(v.n, 40);
        assert_int_equal(((const unsigned char *)v.data)[39], n & 255);
    }
    assert_int_equal(n, 2500);
    assert_int_equal(ot_db_renew(c, &err), 0);
    assert_int_equal(ot_db_get(c, (struct ot_bytes){ "00000700", 8 }, &v, &err), 1);
    assert_int_equal(((const unsigned char *)v.data)[0], 700 & 255);
    assert_int_equal(ot_db_get(c, (struct ot_bytes){ "0000070", 7 }, &v, &err), 0);
    assert_int_equal(ot_db_get(c, (struct ot_bytes){ "", 0 }, &v, &err), 0);
    ot_db_cursor_free(c);
    ot_db_close(db);
    assert_false(ot_db_is_open(path));
}

static void a_full_map_grows(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db *db;
    char path[256];

    (void)state;
    write_db(in_tmp(path, "big"), 2100, 20000); /* 42 MB, the first map has 16 */
    db = ot_db_open(path, &err);
    assert_ok(db ? 0 : err.code, &err);
    assert_int_equal(ot_db_count(db), 2100);
    ot_db_close(db);
}

static void a_writer_never_overwrites_unless_it_appends(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db_writer *w;
    struct ot_db *db;
    char path[256];

    (void)state;
    write_db(in_tmp(path, "append"), 3, 10);
    assert_null(ot_db_create(path, false, &err));
    assert_error(&err, OT_ECREATE, "exists already");
    db = ot_db_open(path, &err);
    assert_null(ot_db_create(path, true, &err));
    assert_error(&err, OT_EBUSY, "is reading it");
    ot_db_close(db);
    w = ot_db_create(path, true, &err);
    assert_ok(w ? 0 : err.code, &err);
    assert_ok(ot_db_put(w, (struct ot_bytes){ "x", 1 }, (struct ot_bytes){ "", 0 }, &err), &err);
    assert_int_equal(ot_db_put(w, (struct ot_bytes){ "", 0 }, (struct ot_bytes){ "v", 1 }, &err),
                     OT_EDATA);
    assert_ok(ot_db_finish(w, true, &err), &err);
    db = ot_db_open(path, &err);
    assert_int_equal(ot_db_count(db), 4);
    ot_db_close(db);
}

static void an_abandoned_database_is_removed(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256];
    struct ot_db_writer *w = ot_db_create(in_tmp(path, "abandoned"), false, &err);

    (void)state;
    assert_non_null(w);
    assert_ok(ot_db_put(w, (struct ot_bytes){ "k", 1 }, (struct ot_bytes){ "v", 1 }, &err), &err);
    assert_ok(ot_db_finish(w, false, &err), &err);
    assert_false(ot_exists(path));
}

static void wrong_files_are_told_apart(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256], file[300];
    struct ot_db *db;

    (void)state;
    assert_null(ot_db_open(in_tmp(path, "nothing"), &err));
    assert_error(&err, OT_ENOINPUT, "nothing");
    assert_ok(ot_mkdir_p(in_tmp(path, "empty"), &err), &err);
    assert_null(ot_db_open(path, &err));
    assert_error(&err, OT_ENOINPUT, "no data.mdb");
    (void)snprintf(file, sizeof file, "%s/data.mdb", path);
    assert_ok(ot_write_file_atomic(file, "", 0, &err), &err);
    assert_null(ot_db_open(path, &err));
    assert_error(&err, OT_EDATA, "empty file");
    assert_ok(ot_write_file_atomic(file, file, sizeof file, &err), &err);
    assert_null(ot_db_open(path, &err));
    assert_error(&err, OT_EDATA, "not an LMDB");
    write_db(in_tmp(path, "cut"), 100, 3000);
    (void)snprintf(file, sizeof file, "%s/data.mdb", path);
    db = ot_db_open(file, &err); /* the file itself is a path too */
    assert_ok(db ? 0 : err.code, &err);
    assert_int_equal(ot_db_count(db), 100);
    ot_db_close(db);
    assert_int_equal(truncate(file, 100000), 0);
    assert_null(ot_db_open(path, &err));
    assert_error(&err, OT_EDATA, "truncated");
    assert_error(&err, OT_EDATA, "got 100000");
}

static void the_golden_database_of_caffe_opens(void **state)
{
    const char *path = ot_shared("golden/lmdb-tiny/fm1000_lmdb");
    struct ot_err err = OT_ERR_INIT;
    struct ot_db *db;

    (void)state;
    if (!path)
        skip_because("no ../shared/golden");
    db = ot_db_open(path, &err);
    assert_ok(db ? 0 : err.code, &err);
    assert_int_equal(ot_db_count(db), 1000);
    ot_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_by_cursor_and_by_key),
        cmocka_unit_test(a_full_map_grows),
        cmocka_unit_test(a_writer_never_overwrites_unless_it_appends),
        cmocka_unit_test(an_abandoned_database_is_removed),
        cmocka_unit_test(wrong_files_are_told_apart),
        cmocka_unit_test(the_golden_database_of_caffe_opens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
