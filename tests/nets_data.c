/*
 * nets_data.c - a database has RECORDS images of noise, labels 0 and 1 in turn: every classifier
 * has two classes.  Its name is its shape, so that nets of one shape read the same one.
 */
#include "tests/nets_data.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "data/db.h"

enum { RECORDS = 8, PATH = 1200 };

int nets_edit(struct nets_edits *e, struct ot_err *err, const char *fmt, ...)
{
    struct ot_str s = { 0 };
    va_list ap;

    if (e->n == NETS_EDITS)
        return ot_fail(err, OT_ECONFIG, "more than %d edits for one net", NETS_EDITS);
    va_start(ap, fmt);
    ot_str_vprintf(&s, fmt, ap);
    va_end(ap);
    if (ot_str_ok(&s, err) < 0) {
        ot_str_release(&s);
        return err->code;
    }
    e->text[e->n++] = ot_str_take(&s);
    return 0;
}

void nets_edits_free(struct nets_edits *e)
{
    for (int i = 0; i < e->n; i++)
        ot_free(e->text[i]);
    e->n = 0;
}

/* ---- likely shapes --------------------------------------------------------------------------- */

static const struct {
    const char *name; /* in a source, a mean image's name or the net's */
    struct nets_record r;
} known[NETS_SHAPES] = { { "mnist", { 1, 28 } },
                         { "cifar", { 3, 32 } },
                         { "imagenet", { 3, 256 } } };

static bool named(const char *in, const char *name)
{
    return in && strstr(in, name);
}

int nets_records(const Caffe__NetParameter *net, struct nets_record *r)
{
    int first = 0, n = 0;
    unsigned crop = 0;
    bool data = false;

    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *l = net->layer[i];
        const Caffe__TransformationParameter *t = l->transform_param;

        if (!l->data_param)
            continue;
        data = true;
        if (t && t->crop_size > crop)
            crop = t->crop_size;
        for (int k = 0; k < NETS_SHAPES; k++)
            if (named(l->data_param->source, known[k].name) ||
                (t && named(t->mean_file, known[k].name)))
                first = k;
    }
    if (!data)
        return 0;
    if (crop) {
        r[0] = (struct nets_record){ 3, crop > 256 ? (int)crop : crop > 32 ? 256 : 32 };
        r[1] = (struct nets_record){ 1, r[0].side };
        return 2;
    }
    r[n++] = known[first].r;
    for (int k = 0; k < NETS_SHAPES; k++)
        if (k != first)
            r[n++] = known[k].r;
    return n;
}

/* ---- what is made ---------------------------------------------------------------------------- */

static int put(struct ot_db_writer *w, int i, const Caffe__Datum *d, uint8_t *room,
               struct ot_err *err)
{
    char key[16];
    size_t n = protobuf_c_message_pack(&d->base, room);

    (void)snprintf(key, sizeof key, "%08d", i);
    return ot_db_put(w, (struct ot_bytes){ key, 8 }, (struct ot_bytes){ room, n }, err);
}

static int fill_db(struct ot_db_writer *w, struct nets_record r, uint8_t *pixel, uint8_t *room,
                   struct ot_err *err)
{
    int n = r.channels * r.side * r.side;
    Caffe__Datum d = CAFFE__DATUM__INIT;

    d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = 1;
    d.channels = r.channels;
    d.height = d.width = r.side;
    d.data = (ProtobufCBinaryData){ (size_t)n, pixel };
    for (int i = 0; i < RECORDS; i++) {
        for (int k = 0; k < n; k++)
            pixel[k] = (uint8_t)ot_rng_below(1, OT_RNG_TEST, (uint64_t)i, (uint64_t)k, 256);
        d.label = i % 2;
        if (put(w, i, &d, room, err) < 0)
            return err->code;
    }
    return 0;
}

static int make_db(const char *path, struct nets_record r, struct ot_err *err)
{
    size_t n = (size_t)(r.channels * r.side * r.side);
    uint8_t *pixel = ot_alloc(n, 1, err), *room = pixel ? ot_alloc(n + 64, 1, err) : NULL;
    struct ot_db_writer *w = room ? ot_db_create(path, false, err) : NULL;
    int rc = w ? fill_db(w, r, pixel, room, err) : err->code;

    if (w && ot_db_finish(w, rc == 0, err) < 0)
        rc = err->code;
    ot_free(pixel);
    ot_free(room);
    return rc;
}

static int make_mean(const char *path, struct nets_record r, struct ot_err *err)
{
    size_t n = (size_t)(r.channels * r.side * r.side), size;
    Caffe__BlobProto b = CAFFE__BLOB_PROTO__INIT;
    float *v = ot_alloc(n, sizeof *v, err);
    uint8_t *bytes = NULL;
    int rc;

    for (size_t i = 0; v && i < n; i++)
        v[i] = 127.5f;
    b.has_num = b.has_channels = b.has_height = b.has_width = 1;
    b.num = 1;
    b.channels = r.channels;
    b.height = b.width = r.side;
    b.n_data = n;
    b.data = v;
    size = protobuf_c_message_get_packed_size(&b.base);
    bytes = v ? ot_alloc(size, 1, err) : NULL;
    if (bytes)
        (void)protobuf_c_message_pack(&b.base, bytes);
    rc = bytes ? ot_write_file_atomic(path, bytes, size, err) : err->code;
    ot_free(v);
    ot_free(bytes);
    return rc;
}

/* ---- the edits ------------------------------------------------------------------------------- */

static bool is_here(const char *path, const char *file)
{
    char dir[PATH], joined[PATH];

    return ot_exists(path) ||
           ot_exists(ot_path_join(joined, sizeof joined, ot_path_dir(dir, sizeof dir, file), path));
}

static int supply_source(const char *at, const char *dir, struct nets_record r,
                         struct nets_edits *e, struct ot_err *err)
{
    char path[PATH];

    (void)snprintf(path, sizeof path, "%s/%dx%d.lmdb", dir, r.channels, r.side);
    if (!ot_exists(path) && make_db(path, r, err) < 0)
        return err->code;
    if (nets_edit(e, err, "%s.data_param.source=\"%s\"", at, path) < 0)
        return err->code;
    return nets_edit(e, err, "%s.data_param.backend=LMDB", at);
}

static int supply_mean(const char *at, const char *dir, struct nets_record r, struct nets_edits *e,
                       struct ot_err *err)
{
    char path[PATH];

    (void)snprintf(path, sizeof path, "%s/%dx%d.binaryproto", dir, r.channels, r.side);
    if (!ot_exists(path) && make_mean(path, r, err) < 0)
        return err->code;
    return nets_edit(e, err, "%s.transform_param.mean_file=\"%s\"", at, path);
}

int nets_supply(const Caffe__NetParameter *net, const char *prefix, const char *file,
                const char *dir, struct nets_record r, int batch, struct nets_edits *e,
                struct ot_err *err)
{
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *l = net->layer[i];
        const Caffe__DataParameter *d = l->data_param;
        const Caffe__TransformationParameter *t = l->transform_param;
        char at[64];

        if (!d)
            continue;
        (void)snprintf(at, sizeof at, "%s.layer[%zu]", prefix, i);
        if (d->source && !is_here(d->source, file) && supply_source(at, dir, r, e, err) < 0)
            return err->code;
        if (t && t->mean_file && !is_here(t->mean_file, file) &&
            supply_mean(at, dir, r, e, err) < 0)
            return err->code;
        if (d->batch_size > (unsigned)batch &&
            nets_edit(e, err, "%s.data_param.batch_size=%d", at, batch) < 0)
            return err->code;
    }
    return 0;
}
