/* test_voc_eval.c - average precision against the Python reference, and its rules one by one. */
#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "tests/check.h"
#include "trainer/voc_eval.h"

static const char *const names[] = { "background", "car", "dog", "person" };

enum { CLASSES = 4, ROOM = 512 };

struct set {
    struct ot_voc_det det[ROOM];
    struct ot_voc_gt gt[ROOM];
    size_t n_det, n_gt;
};

static char *read_golden(const char *name)
{
    struct ot_err err = OT_ERR_INIT;
    char path[256];
    const char *full;
    size_t n;
    char *text;

    (void)snprintf(path, sizeof path, "golden/frcnn/voc_eval/%s", name);
    if (!(full = ot_shared(path)))
        return NULL;
    text = ot_read_file(full, 1 << 20, &n, &err);
    if (!text)
        assert_ok(err.code, &err);
    return text;
}

static double tag(const char *at, const char *name)
{
    char open[32];
    const char *found;

    (void)snprintf(open, sizeof open, "<%s>", name);
    found = strstr(at, open);
    assert_non_null(found);
    return strtod(found + strlen(open), NULL);
}

static int class_of(const char *name, size_t n)
{
    for (int c = 1; c < CLASSES; c++)
        if (strlen(names[c]) == n && !strncmp(names[c], name, n))
            return c;
    fail_msg("class \"%.*s\" is not one of the golden set's", (int)n, name);
    return 0;
}

static void read_annotation(struct set *s, int64_t image)
{
    char name[64];
    char *text;

    (void)snprintf(name, sizeof name, "Annotations/%06d.xml", (int)image);
    text = read_golden(name);
    assert_non_null(text);
    for (const char *at = strstr(text, "<object>"); at; at = strstr(at + 1, "<object>")) {
        struct ot_voc_gt *g = &s->gt[s->n_gt++];
        const char *cls = strstr(at, "<name>") + 6;

        assert_true(s->n_gt <= ROOM);
        *g = (struct ot_voc_gt){ .image = image,
                                 .cls = class_of(cls, strcspn(cls, "<")),
                                 .difficult = tag(at, "difficult") > 0.0,
                                 .box = { (float)tag(at, "xmin"), (float)tag(at, "ymin"),
                                          (float)tag(at, "xmax"), (float)tag(at, "ymax") } };
    }
    ot_free(text);
}

static void read_detections(struct set *s, int cls)
{
    char name[64];
    char *text, *at;

    (void)snprintf(name, sizeof name, "det_%s.txt", names[cls]);
    text = read_golden(name);
    assert_non_null(text);
    for (at = text; *at;) {
        struct ot_voc_det *d = &s->det[s->n_det++];

        assert_true(s->n_det <= ROOM);
        d->image = strtol(at, &at, 10);
        d->cls = cls;
        d->score = strtof(at, &at);
        for (int k = 0; k < 4; k++)
            d->box[k] = strtof(at, &at);
        at += strspn(at, " \n");
    }
    ot_free(text);
}

static void compare_line(const struct set *s, const char *name, double overlap, double ap07,
                         double ap, size_t n_det)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_voc_class cls[CLASSES];
    struct ot_voc_result all;

    assert_ok(ot_voc_eval(s->det, s->n_det, s->gt, s->n_gt, CLASSES, overlap, cls, &all, &err),
              &err);
    if (!strcmp(name, "mAP")) {
        assert_near(all.map07, ap07, 1e-9);
        assert_near(all.map, ap, 1e-9);
        return;
    }
    const struct ot_voc_class *c = &cls[class_of(name, strlen(name))];

    assert_near(c->ap07, ap07, 1e-9);
    assert_near(c->ap, ap, 1e-9);
    assert_int_equal(c->dets, n_det);
}

static void agrees_with_the_python_reference(void **state)
{
    static struct set s;
    char *images = read_golden("imageset.txt"), *expected, *at;
    int lines = 0;

    (void)state;
    if (!images)
        skip_because("no golden/frcnn/voc_eval");
    for (at = images; *at; at += strspn(at, "\n"))
        read_annotation(&s, strtol(at, &at, 10));
    for (int c = 1; c < CLASSES; c++)
        read_detections(&s, c);
    expected = read_golden("expected.txt");
    assert_non_null(expected);
    for (char *line = strtok(expected, "\n"); line; line = strtok(NULL, "\n")) {
        char name[32];
        double overlap, ap07, ap;
        int n_det = 0;

        if (line[0] == '#')
            continue;
        assert_true(sscanf(line, "%31s %lf %lf %lf %d", name, &overlap, &ap07, &ap, &n_det) >= 4);
        compare_line(&s, name, overlap, ap07, ap, (size_t)n_det);
        lines++;
    }
    assert_int_equal(lines, 12);
    ot_free(images);
    ot_free(expected);
}

static struct ot_voc_class one_class(const struct ot_voc_det *det, size_t n_det,
                                     const struct ot_voc_gt *gt, size_t n_gt)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_voc_class cls[2];
    struct ot_voc_result all;

    assert_ok(ot_voc_eval(det, n_det, gt, n_gt, 2, 0.5, cls, &all, &err), &err);
    return cls[1];
}

static void an_overlap_of_exactly_the_threshold_is_no_hit(void **state)
{
    const struct ot_voc_gt gt = { .image = 1, .cls = 1, .box = { 0, 0, 9, 9 } };
    struct ot_voc_det det = { 1, 1, 0.9f, { 0, 0, 9, 4 } }; /* 50 of 100 pixels */

    (void)state;
    assert_int_equal(one_class(&det, 1, &gt, 1).hits, 0);
    det.box[3] = 5;
    assert_int_equal(one_class(&det, 1, &gt, 1).hits, 1);
}

static void a_second_claim_is_a_false_positive(void **state)
{
    const struct ot_voc_gt gt = { .image = 1, .cls = 1, .box = { 0, 0, 9, 9 } };
    const struct ot_voc_det det[] = { { 1, 1, 0.8f, { 0, 0, 9, 9 } },
                                      { 1, 1, 0.9f, { 0, 0, 9, 8 } } };
    struct ot_voc_class c = one_class(det, 2, &gt, 1);

    (void)state;
    assert_int_equal(c.hits, 1);
    assert_int_equal(c.false_pos, 1);
    assert_near(c.ap, 1.0, 1e-12);
    assert_near(c.precision, 0.5, 1e-12);
}

static void a_difficult_object_is_neither_hit_nor_miss(void **state)
{
    const struct ot_voc_gt gt[] = { { 1, 1, true, { 0, 0, 9, 9 } },
                                    { 2, 1, false, { 0, 0, 9, 9 } } };
    const struct ot_voc_det det[] = { { 1, 1, 0.9f, { 0, 0, 9, 9 } },
                                      { 2, 1, 0.8f, { 0, 0, 9, 9 } } };
    struct ot_voc_class c = one_class(det, 2, gt, 2);

    (void)state;
    assert_int_equal(c.gts, 1);
    assert_int_equal(c.hits, 1);
    assert_int_equal(c.false_pos, 0);
    assert_near(c.ap, 1.0, 1e-12);
    assert_near(c.ap07, 1.0, 1e-12);
}

static void equal_scores_are_ordered_by_image_whatever_the_input_order(void **state)
{
    const struct ot_voc_gt gt = { .image = 1, .cls = 1, .box = { 0, 0, 9, 9 } };
    const struct ot_voc_det a[] = { { 1, 1, 0.5f, { 0, 0, 9, 9 } },
                                    { 2, 1, 0.5f, { 0, 0, 9, 9 } } };
    const struct ot_voc_det b[] = { a[1], a[0] };

    (void)state;
    assert_near(one_class(a, 2, &gt, 1).ap, 1.0, 1e-12);
    assert_near(one_class(b, 2, &gt, 1).ap, 1.0, 1e-12);
}

static void recall_three_tenths_does_not_reach_the_fourth_point(void **state)
{
    struct ot_voc_gt gt[10];
    struct ot_voc_det det[3];

    (void)state;
    for (int i = 0; i < 10; i++)
        gt[i] = (struct ot_voc_gt){ i, 1, false, { 0, 0, 9, 9 } };
    for (int i = 0; i < 3; i++)
        det[i] = (struct ot_voc_det){ i, 1, 0.5f, { 0, 0, 9, 9 } };
    assert_near(one_class(det, 3, gt, 10).ap07, 3.0 / 11.0, 1e-12); /* 3 * 0.1 > 0.3 */
    assert_near(one_class(det, 3, gt, 10).ap, 0.3, 1e-12);
}

static void classes_without_objects_do_not_count_in_the_mean(void **state)
{
    const struct ot_voc_gt gt = { .image = 1, .cls = 2, .box = { 0, 0, 9, 9 } };
    const struct ot_voc_det det[] = { { 1, 2, 0.5f, { 0, 0, 9, 9 } },
                                      { 1, 1, 0.5f, { 0, 0, 9, 9 } } };
    struct ot_err err = OT_ERR_INIT;
    struct ot_voc_class cls[3];
    struct ot_voc_result all;

    (void)state;
    assert_ok(ot_voc_eval(det, 2, &gt, 1, 3, 0.5, cls, &all, &err), &err);
    assert_int_equal(all.counted, 1);
    assert_near(all.map, 1.0, 1e-12);
    assert_int_equal(cls[1].false_pos, 1);
    assert_ok(ot_voc_eval(NULL, 0, NULL, 0, 3, 0.5, cls, &all, &err), &err);
    assert_int_equal(all.counted, 0);
    assert_near(all.map, 0.0, 0.0);
}

static void impossible_classes_and_scores_are_refused(void **state)
{
    struct ot_voc_det det = { 1, 3, 0.5f, { 0, 0, 9, 9 } };
    struct ot_voc_gt gt = { .image = 1, .cls = 0 };
    struct ot_voc_class cls[3];
    struct ot_voc_result all;
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    (void)ot_voc_eval(&det, 1, NULL, 0, 3, 0.5, cls, &all, &err);
    assert_error(&err, OT_EDATA, "detection 0: class must be in [1, 3), got 3");
    (void)ot_voc_eval(NULL, 0, &gt, 1, 3, 0.5, cls, &all, &err);
    assert_error(&err, OT_EDATA, "ground truth 0: class must be in [1, 3), got 0");
    det = (struct ot_voc_det){ .image = 1, .cls = 1, .score = NAN };
    (void)ot_voc_eval(&det, 1, NULL, 0, 3, 0.5, cls, &all, &err);
    assert_error(&err, OT_EDATA, "score must be a number, got nan");
}

static void a_failed_allocation_is_reported(void **state)
{
    struct ot_voc_class cls[2];
    struct ot_voc_result all;

    (void)state;
    for (uint64_t k = 1; k <= 4; k++) {
        struct ot_err err = OT_ERR_INIT;

        ot_mem_fail_at(k);
        assert_int_equal(ot_voc_eval(NULL, 0, NULL, 0, 2, 0.5, cls, &all, &err), OT_ENOMEM);
        ot_mem_fail_at(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_python_reference),
        cmocka_unit_test(an_overlap_of_exactly_the_threshold_is_no_hit),
        cmocka_unit_test(a_second_claim_is_a_false_positive),
        cmocka_unit_test(a_difficult_object_is_neither_hit_nor_miss),
        cmocka_unit_test(equal_scores_are_ordered_by_image_whatever_the_input_order),
        cmocka_unit_test(recall_three_tenths_does_not_reach_the_fourth_point),
        cmocka_unit_test(classes_without_objects_do_not_count_in_the_mean),
        cmocka_unit_test(impossible_classes_and_scores_are_refused),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
