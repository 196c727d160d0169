/*
 * seeds.c - writes the binary part of the fuzzing corpus: what correct writers write, one file for
 * each way of writing it, and sizes that nobody has.
 *
 * usage: fuzz-seeds FOLDER (with datum/ and wire/ in it)
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/image.h"
#include "proto/caffe.pb-c.h"

static const char *folder;

static void put(const char *name, const void *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    char path[1000];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    OT_BUG_IF(ot_write_file_atomic(path, bytes, n, &err) < 0);
}

static void put_message(const char *name, const ProtobufCMessage *m)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = ot_alloc(n, 1, &err);

    OT_BUG_IF(!bytes);
    (void)protobuf_c_message_pack(m, bytes);
    put(name, bytes, n);
    ot_free(bytes);
}

/* ---- records --------------------------------------------------------------------------------- */

static void put_annotated(const char *name, Caffe__Datum *d)
{
    Caffe__NormalizedBBox box = CAFFE__NORMALIZED_BBOX__INIT;
    Caffe__Annotation a = CAFFE__ANNOTATION__INIT, *as[] = { &a, &a };
    Caffe__AnnotationGroup g = CAFFE__ANNOTATION_GROUP__INIT, *gs[] = { &g };
    Caffe__AnnotatedDatum ad = CAFFE__ANNOTATED_DATUM__INIT;

    box.has_xmin = box.has_ymin = box.has_xmax = box.has_ymax = box.has_difficult = 1;
    box.xmax = 0.5f;
    box.ymax = 1;
    a.bbox = &box;
    a.has_instance_id = 1;
    g.has_group_label = 1;
    g.group_label = 2;
    g.n_annotation = 2;
    g.annotation = as;
    ad.datum = d;
    ad.has_type = 1;
    ad.n_annotation_group = 1;
    ad.annotation_group = gs;
    put_message(name, &ad.base);
}

static void put_encoded(const char *name, const char *annotated, int channels, bool jpeg)
{
    Caffe__Datum d = CAFFE__DATUM__INIT;
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 };
    unsigned char *bytes;
    size_t n;

    OT_BUG_IF(ot_image_alloc(&im, 9, 7, channels, &err) < 0);
    for (size_t i = 0; i < 9 * 7 * (size_t)channels; i++)
        im.pixel[i] = (unsigned char)(i * 37);
    OT_BUG_IF((jpeg ? ot_image_encode_jpeg(&im, 50, &bytes, &n, &err)
                    : ot_image_encode_png(&im, &bytes, &n, &err)) < 0);
    d.has_data = d.has_encoded = d.has_label = d.encoded = 1;
    d.label = 3;
    d.data = (ProtobufCBinaryData){ n, bytes };
    put_message(name, &d.base);
    put_annotated(annotated, &d);
    ot_free(bytes);
    ot_image_release(&im);
}

static void put_records(void)
{
    uint8_t pixel[3 * 7 * 9];
    float values[12];
    Caffe__Datum d = CAFFE__DATUM__INIT;

    for (size_t i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(i * 5);
    for (int i = 0; i < 12; i++)
        values[i] = (float)i / 8;
    d.has_channels = d.has_height = d.has_width = d.has_label = d.has_data = 1;
    d.channels = 3;
    d.height = 7;
    d.width = 9;
    d.data = (ProtobufCBinaryData){ sizeof pixel, pixel };
    put_message("datum/bytes", &d.base);
    put_annotated("datum/boxes", &d);
    d.has_data = 0;
    d.channels = 1;
    d.height = 3;
    d.width = 4;
    d.n_float_data = 12;
    d.float_data = values;
    put_message("datum/floats", &d.base);
    put_encoded("datum/png-grey", "datum/png-grey-boxes", 1, false);
    put_encoded("datum/png", "datum/png-boxes", 3, false);
    put_encoded("datum/jpeg-grey", "datum/jpeg-grey-boxes", 1, true);
    put_encoded("datum/jpeg", "datum/jpeg-boxes", 3, true);
}

/* ---- weights and states ---------------------------------------------------------------------- */

static void put_weights(void)
{
    int64_t dim[] = { 2, 3 };
    float data[6] = { 1, 2, 3, 4, 5, 6 };
    double doubles[6] = { 1, 2, 3, 4, 5, 6 };
    char name[] = "conv", type[] = "Convolution", old[] = "conv";
    Caffe__BlobShape shape = CAFFE__BLOB_SHAPE__INIT;
    Caffe__BlobProto b = CAFFE__BLOB_PROTO__INIT, c = b, *blobs[] = { &b, &c };
    Caffe__LayerParameter l = CAFFE__LAYER_PARAMETER__INIT, *ls[] = { &l };
    Caffe__V0LayerParameter v0 = CAFFE__V0_LAYER_PARAMETER__INIT;
    Caffe__V1LayerParameter v1 = CAFFE__V1_LAYER_PARAMETER__INIT, v2 = v1, *v1s[] = { &v1, &v2 };
    Caffe__NetParameter net = CAFFE__NET_PARAMETER__INIT;
    Caffe__SolverState s = CAFFE__SOLVER_STATE__INIT;

    shape.n_dim = 2;
    shape.dim = dim;
    b.shape = &shape;
    b.n_data = 6;
    b.data = data;
    c.has_num = c.has_channels = c.has_height = c.has_width = 1;
    c.num = c.channels = c.height = 1;
    c.width = 6;
    c.n_double_data = 6;
    c.double_data = doubles;
    l.name = v1.name = name;
    l.type = type;
    l.n_blobs = v0.n_blobs = v1.n_blobs = s.n_history = 2;
    l.blobs = v0.blobs = v1.blobs = s.history = blobs;
    net.n_layer = 1;
    net.layer = ls;
    put_message("wire/weights", &net.base);
    net.n_layer = 0;
    net.n_layers = 2;
    net.layers = v1s;
    v0.name = v0.type = old;
    v2.layer = &v0;
    put_message("wire/weights-old", &net.base);
    put_message("wire/blob", &b.base);
    put_message("wire/mean", &c.base);
    s.has_iter = s.has_current_step = 1;
    s.iter = 30;
    s.learned_net = name;
    put_message("wire/state", &s.base);
}

/* Sizes that nobody has, byte by byte. */
static void put_hostile(void)
{
#define PUT(name, bytes) put(name, bytes, sizeof bytes - 1)
    PUT("wire/2-to-60-values",
        "\xa2\x06\x0f\x0a\x01l\x3a\x0a\x3a\x08\x0a\x06\x80\x80\x80\x80\x80\x10");
    PUT("wire/2-to-64-values", "\x3a\x0c\x0a\x0a\x80\x80\x80\x80\x10\x80\x80\x80\x80\x10");
    PUT("wire/none-of-2-to-64", "\x3a\x0d\x0a\x0b\x80\x80\x80\x80\x10\x80\x80\x80\x80\x10\x00");
    PUT("wire/negative-dim", "\x3a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    PUT("wire/negative-num",
        "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x01\x18\x01\x20\x01");
    PUT("wire/longer-than-its-file", "\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00");
    PUT("wire/groups", "\x0b\x0b\x0b\x0b\x0c\x0c\x0c\x0c");
    PUT("wire/empty-blobs", "\x1a\x00\x1a\x00\x1a\x00\x1a\x00\x1a\x00\x1a\x00\x1a\x00");
    PUT("datum/negative-shape", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x01\x18\x01");
    PUT("datum/large-shape", "\x08\x80\x80\x40\x10\x80\x80\x02\x18\x80\x80\x02");
    PUT("datum/longer-than-its-file", "\x08\x01\x22\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
#undef PUT
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    folder = argv[1];
    put_records();
    put_weights();
    put_hostile();
    return 0;
}
