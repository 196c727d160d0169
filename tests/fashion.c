/* fashion.c - see fashion.h. */
#include "tests/fashion.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/fs.h"
#include "data/db.h"
#include "proto/caffe.pb-c.h"

#define FASHION "/usr/share/datasets/fashion-mnist/"

enum { SIDE = 28, PIXELS = SIDE * SIDE };

static gzFile open_idx(const char *prefix, const char *what, unsigned header, struct ot_err *err)
{
    char path[200], skip[16];
    gzFile f;

    (void)snprintf(path, sizeof path, FASHION "%s-%s-ubyte.gz", prefix, what);
    f = gzopen(path, "rb");
    if (!f || gzread(f, skip, header) != (int)header) {
        (void)ot_fail(err, OT_ENOINPUT, "no %s; package dataset-fashion-mnist has it", path);
        if (f)
            (void)gzclose(f);
        return NULL;
    }
    return f;
}

static int copy_records(struct ot_db_writer *w, gzFile images, gzFile labels, struct ot_err *err)
{
    unsigned char pixel[PIXELS], label, buf[PIXELS + 64];

    for (int i = 0; gzread(images, pixel, PIXELS) == PIXELS; i++) {
        Caffe__Datum d = CAFFE__DATUM__INIT;
        char key[16];

        if (gzread(labels, &label, 1) != 1)
            return ot_fail(err, OT_EDATA, "fewer labels than images");
        d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = 1;
        d.channels = 1;
        d.height = d.width = SIDE;
        d.label = label;
        d.data = (ProtobufCBinaryData){ PIXELS, pixel };
        (void)snprintf(key, sizeof key, "%08d", i);
        if (ot_db_put(w, (struct ot_bytes){ key, 8 },
                      (struct ot_bytes){ buf, protobuf_c_message_pack(&d.base, buf) }, err) < 0)
            return err->code;
    }
    return 0;
}

int ot_fashion_lmdb(const char *dir, const char *prefix, char *path, size_t n, struct ot_err *err)
{
    gzFile images, labels = NULL;
    struct ot_db_writer *w;
    int rc;

    (void)snprintf(path, n, "%s/fashion-%s", dir, prefix);
    if (ot_exists(path))
        return 0;
    images = open_idx(prefix, "images-idx3", 16, err);
    if (images)
        labels = open_idx(prefix, "labels-idx1", 8, err);
    w = labels ? ot_db_create(path, false, err) : NULL;
    rc = w ? copy_records(w, images, labels, err) : err->code;
    if (w && ot_db_finish(w, rc == 0, rc ? &(struct ot_err){ 0 } : err) < 0)
        rc = err->code ? err->code : rc;
    if (labels)
        (void)gzclose(labels);
    if (images)
        (void)gzclose(images);
    return rc;
}
