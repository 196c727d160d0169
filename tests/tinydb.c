#include "tests/tinydb.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/db.h"
#include "proto/caffe.pb-c.h"
#include "tests/check.h"

const char *ot_tiny_path(const char *name)
{
    static char path[32][256];
    static int next;
    char *p = path[next++ % 32];

    (void)snprintf(p, sizeof path[0], "%s/%s", ot_tmpdir(), name);
    return p;
}

const char *ot_tiny_file(const char *name, const char *text)
{
    struct ot_err err = OT_ERR_INIT;
    const char *path = ot_tiny_path(name);

    assert_ok(ot_write_file_atomic(path, text, strlen(text), &err), &err);
    return path;
}

static void put(struct ot_db_writer *w, int i, const ProtobufCMessage *m)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *buf = ot_alloc(n, 1, &err);
    char key[16];

    assert_non_null(buf);
    (void)snprintf(key, sizeof key, "%08d", i);
    assert_ok(ot_db_put(w, (struct ot_bytes){ key, 8 },
                        (struct ot_bytes){ buf, protobuf_c_message_pack(m, buf) }, &err),
              &err);
    ot_free(buf);
}

static struct ot_db_writer *create(const char *path)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db_writer *w = ot_db_create(path, false, &err);

    assert_ok(w ? 0 : err.code, &err);
    return w;
}

static Caffe__Datum datum(int channels, int side, int label, unsigned char *pixel)
{
    Caffe__Datum d = CAFFE__DATUM__INIT;

    d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = 1;
    d.channels = channels;
    d.height = d.width = side;
    d.label = label;
    d.data = (ProtobufCBinaryData){ (size_t)(channels * side * side), pixel };
    return d;
}

static void noise(unsigned char *pixel, int n, int record)
{
    for (int k = 0; k < n; k++)
        pixel[k] = (unsigned char)ot_rng_below(7, OT_RNG_TEST, (uint64_t)record, (uint64_t)k, 60);
}

const char *ot_tiny_mixed(const char *name, int n, int side, int other, int classes)
{
    struct ot_err err = OT_ERR_INIT;
    const char *path = ot_tiny_path(name);
    struct ot_db_writer *w = create(path);
    int most = side > other ? side : other;
    unsigned char *pixel = ot_alloc((size_t)(most * most), 1, &err);

    assert_non_null(pixel);
    for (int i = 0; i < n; i++) {
        int s = i % 2 ? other : side, label = i % classes, bar = label * s / classes;
        Caffe__Datum d = datum(1, s, i % 16 == 15 ? (label + 1) % classes : label, pixel);

        noise(pixel, s * s, i);
        memset(pixel + bar * s, 220, (size_t)s);
        put(w, i, &d.base);
    }
    ot_free(pixel);
    assert_ok(ot_db_finish(w, true, &err), &err);
    return path;
}

const char *ot_tiny_digits(const char *name, int n, int side, int classes)
{
    return ot_tiny_mixed(name, n, side, side, classes);
}

static void add_box(unsigned char *pixel, int side, int record, int k, int classes,
                    Caffe__NormalizedBBox *b)
{
    uint64_t at = (uint64_t)k * 8;
    int w = side / 4 + (int)ot_rng_below(8, OT_RNG_TEST, (uint64_t)record, at, (uint32_t)side / 4);
    int x = (int)ot_rng_below(8, OT_RNG_TEST, (uint64_t)record, at + 1, (uint32_t)(side - w));
    int y = (int)ot_rng_below(8, OT_RNG_TEST, (uint64_t)record, at + 2, (uint32_t)(side - w));
    int label = 1 + (record + k) % (classes - 1);

    for (int c = 0; c < 3; c++)
        for (int r = y; r < y + w; r++)
            memset(pixel + (c * side + r) * side + x, c == label % 3 ? 250 : 120, (size_t)w);
    *b = (Caffe__NormalizedBBox)CAFFE__NORMALIZED_BBOX__INIT;
    b->has_xmin = b->has_ymin = b->has_xmax = b->has_ymax = b->has_label = 1;
    b->label = label;
    b->xmin = (float)x / (float)side;
    b->ymin = (float)y / (float)side;
    b->xmax = (float)(x + w) / (float)side;
    b->ymax = (float)(y + w) / (float)side;
}

static void put_scene(struct ot_db_writer *w, int record, int side, int classes,
                      unsigned char *pixel)
{
    Caffe__AnnotatedDatum a = CAFFE__ANNOTATED_DATUM__INIT;
    Caffe__Datum d = datum(3, side, 0, pixel);
    Caffe__NormalizedBBox box[3];
    Caffe__Annotation ann[3], *ann_at[3][1];
    Caffe__AnnotationGroup group[3], *group_at[3];
    int n = 1 + record % 3;

    noise(pixel, 3 * side * side, record);
    for (int k = 0; k < n; k++) {
        add_box(pixel, side, record, k, classes, &box[k]);
        ann[k] = (Caffe__Annotation)CAFFE__ANNOTATION__INIT;
        ann[k].has_instance_id = 1;
        ann[k].instance_id = k;
        ann[k].bbox = &box[k];
        ann_at[k][0] = &ann[k];
        group[k] = (Caffe__AnnotationGroup)CAFFE__ANNOTATION_GROUP__INIT;
        group[k].has_group_label = 1;
        group[k].group_label = box[k].label;
        group[k].n_annotation = 1;
        group[k].annotation = ann_at[k];
        group_at[k] = &group[k];
    }
    a.datum = &d;
    a.has_type = 1;
    a.n_annotation_group = (size_t)n;
    a.annotation_group = group_at;
    put(w, record, &a.base);
}

const char *ot_tiny_scenes(const char *name, int n, int side, int classes)
{
    struct ot_err err = OT_ERR_INIT;
    const char *path = ot_tiny_path(name);
    struct ot_db_writer *w = create(path);
    unsigned char *pixel = ot_alloc((size_t)(3 * side * side), 1, &err);

    assert_non_null(pixel);
    for (int i = 0; i < n; i++)
        put_scene(w, i, side, classes, pixel);
    ot_free(pixel);
    assert_ok(ot_db_finish(w, true, &err), &err);
    return path;
}
