/*
 * test_corpus.c - the readers of files against any bytes, without a fuzzer: the committed corpus
 * through the functions of tests/fuzz/, and sizes that nobody has, with the memory they may take.
 */
#include <dirent.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/image.h"
#include "proto/caffe.pb-c.h"
#include "proto/text.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/fuzz/fuzz.h"

#define NET (&caffe__net_parameter__descriptor)

/* ---- the corpus ------------------------------------------------------------------------------ */

static void replay(const char *name, int (*fuzz)(const uint8_t *, size_t))
{
    int nothing = fuzz((const uint8_t *)"", 0); /* what is made once is made */
    uint64_t held = ot_mem_bytes();
    struct ot_err err = OT_ERR_INIT;
    char folder[100], path[500];
    const struct dirent *e;
    int files = 0;
    DIR *dir;

    (void)snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    assert_int_equal(nothing, 0);
    dir = opendir(folder);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        size_t n;
        char *bytes;

        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bytes = ot_read_file(path, 1 << 20, &n, &err);
        assert_ok(bytes ? 0 : err.code, &err);
        for (size_t cut = 0; cut < n && cut < 200; cut++) /* and what is left of it when cut */
            (void)fuzz((const uint8_t *)bytes, cut);
        assert_int_equal(fuzz((const uint8_t *)bytes, n), 0);
        ot_free(bytes);
        files++;
    }
    (void)closedir(dir);
    assert_true(files >= 8);
    assert_int_equal(ot_mem_bytes(), held);
}

static void every_text_of_the_corpus_is_read_or_refused(void **state)
{
    (void)state;
    replay("text", ot_fuzz_text);
}

static void every_record_of_the_corpus_is_read_or_refused(void **state)
{
    (void)state;
    replay("datum", ot_fuzz_datum);
}

static void every_binary_file_of_the_corpus_is_read_or_refused(void **state)
{
    (void)state;
    replay("wire", ot_fuzz_wire);
}

static void every_net_of_the_corpus_has_shapes_or_is_refused(void **state)
{
    (void)state;
    replay("net", ot_fuzz_net);
}

/* ---- sizes that nobody has ------------------------------------------------------------------- */

static void repeat(struct ot_str *s, const char *bytes, size_t n, int times)
{
    for (int i = 0; i < times; i++)
        ot_str_add(s, bytes, n);
}

static void a_text_of_too_many_messages_is_refused(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str s = { 0 };
    uint64_t held;

    (void)state;
    repeat(&s, "state{}", 7, 1);
    repeat(&s, "layer{}", 7, OT_TEXT_MESSAGES);
    held = ot_mem_bytes();
    assert_null(ot_text_parse(NET, "f", s.buf, s.len, &err));
    assert_error(&err, OT_EPARSE, "text has more than 131072 messages, got \"layer\"");
    assert_int_equal(ot_mem_bytes(), held);
    ot_str_release(&s);
}

static void a_text_of_many_values_takes_memory_in_proportion(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str s = { 0 };
    struct ot_doc *doc;
    uint64_t held;

    (void)state;
    repeat(&s, "input_dim:1 ", 12, 100000);
    held = ot_mem_bytes();
    doc = ot_text_parse(NET, "f", s.buf, s.len, &err);
    assert_ok(doc ? 0 : err.code, &err);
    assert_true(ot_mem_bytes() - held < 20 * s.len);
    ot_doc_free(doc);
    ot_str_release(&s);
}

static void brackets_without_end_do_not_deepen_the_stack(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str s = { 0 };

    (void)state;
    repeat(&s, "layer{param<", 12, 100000);
    assert_null(ot_text_parse(NET, "f", s.buf, s.len, &err));
    assert_error(&err, OT_EPARSE, "has no field named \"layer\"");
    s.len = 0;
    repeat(&s, "input_dim:[", 11, 1);
    repeat(&s, "[", 1, 1000000);
    assert_null(ot_text_parse(NET, "f", s.buf, s.len, &err));
    assert_error(&err, OT_EPARSE, "got [");
    ot_str_release(&s);
}

static void weights_of_empty_blobs_have_a_limit(void **state)
{
    static const char blob[] = "\x3a\x06\x3a\x04\x0a\x02\x00\x01"; /* layer.blobs {shape {0, 1}} */
    struct ot_str layer = { 0 }, net = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    uint64_t held;

    (void)state;
    repeat(&layer, blob, sizeof blob - 1, OT_WIRE_BLOBS);
    assert_int_equal(layer.len, 8192);
    for (int i = 0; i <= OT_WIRE_ALL_BLOBS / OT_WIRE_BLOBS; i++) {
        ot_str_add(&net, "\xa2\x06\x80\x40", 4);
        ot_str_add(&net, layer.buf, layer.len);
    }
    held = ot_mem_bytes();
    assert_int_equal(ot_wire_parse_net(net.buf, net.len, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "a net must have at most 262144 blobs, got more");
    assert_int_equal(ot_mem_bytes(), held);
    assert_ok(ot_wire_parse_net(net.buf, net.len - layer.len - 4, &w, &err), &err);
    assert_true(ot_mem_bytes() - held < 256 << 20);
    ot_weights_free(&w);
    ot_str_release(&layer);
    ot_str_release(&net);
}

static void a_state_of_empty_blobs_takes_no_more_than_its_budget(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str s = { 0 };
    uint64_t held;

    (void)state;
    repeat(&s, "\x1a\x00", 2, 1 << 17); /* SolverState.history {} */
    held = ot_mem_bytes();
    assert_null(ot_wire_parse_message(&caffe__solver_state__descriptor, s.buf, s.len, &err));
    assert_error(&err, OT_EDATA, "takes too much memory for its 262144 bytes");
    assert_int_equal(ot_mem_bytes(), held);
    s.len = 1000;
    ot_wire_free_message(
        ot_wire_parse_message(&caffe__solver_state__descriptor, s.buf, s.len, &err));
    assert_int_equal(ot_mem_bytes(), held);
    ot_str_release(&s);
}

/* A picture of 9x7 whose header says 30000x30000. */
static void a_small_file_cannot_claim_a_large_picture(void **state)
{
    for (int jpeg = 0; jpeg < 2; jpeg++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_image im = { 0 };
        unsigned char *bytes;
        uint64_t held;
        size_t n, at;

        (void)state;
        assert_ok(ot_image_alloc(&im, 9, 7, 1, &err), &err);
        assert_ok(jpeg ? ot_image_encode_jpeg(&im, 50, &bytes, &n, &err)
                       : ot_image_encode_png(&im, &bytes, &n, &err),
                  &err);
        if (jpeg) {
            for (at = 2; bytes[at + 1] != 0xC0; at += 2 + 256u * bytes[at + 2] + bytes[at + 3])
                assert_true(at + 4 < n);
            memcpy(bytes + at + 5, "\x40\x00\x40\x00", 4); /* 16384 x 16384 */
        } else {
            memcpy(bytes + 16, "\x00\x00\x40\x00\x00\x00\x40\x00", 8);
            memcpy(bytes + 29, "\x8c\xa3\x4f\x58", 4); /* the CRC of that header */
        }
        held = ot_mem_bytes();
        assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ bytes, n }, 0, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "16384x16384 pixels cannot be in a file of");
        assert_int_equal(ot_mem_bytes(), held);
        ot_free(bytes);
        ot_image_release(&im);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_of_the_corpus_is_read_or_refused),
        cmocka_unit_test(every_record_of_the_corpus_is_read_or_refused),
        cmocka_unit_test(every_binary_file_of_the_corpus_is_read_or_refused),
        cmocka_unit_test(every_net_of_the_corpus_has_shapes_or_is_refused),
        cmocka_unit_test(a_text_of_too_many_messages_is_refused),
        cmocka_unit_test(a_text_of_many_values_takes_memory_in_proportion),
        cmocka_unit_test(brackets_without_end_do_not_deepen_the_stack),
        cmocka_unit_test(weights_of_empty_blobs_have_a_limit),
        cmocka_unit_test(a_state_of_empty_blobs_takes_no_more_than_its_budget),
        cmocka_unit_test(a_small_file_cannot_claim_a_large_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
