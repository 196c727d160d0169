/*
 * data_images.c - `ohemdata images`: a list of "path label" to an LMDB of Datum, as Caffe's
 * convert_imageset: the last blank splits the line, the key is the 8-digit place in the
 * (shuffled) list, "_" and the path as listed.  An image that cannot be read is reported and
 * skipped; a line without a label is an error, since the list itself is then in doubt.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tools/data_cmd.h"

enum { MAX_LIST = 1 << 30, MAX_IMAGE = 256 << 20, MAX_KEY = 511 };

struct entry {
    const char *path; /* into the list's text */
    int label, line;
};

struct images_job {
    const char *list, *root;
    int size[2]; /* 0: as they are */
    bool gray, shuffle, encoded;
    uint64_t seed;
    char *text;
    struct entry *entry;
    size_t n, cap;
    struct ot_image read, resized;
    struct ot_str chw, packed;
    int skipped;
};

static int parse_line(struct images_job *j, char *line, int number, struct ot_err *err)
{
    struct ot_loc at = { j->list, number, 0 };
    size_t n = strlen(line);
    char *blank, *end;
    long label;

    while (n && strchr(" \t\r", line[n - 1]))
        line[--n] = '\0';
    if (!n)
        return 0;
    blank = strrchr(line, ' ');
    if (!blank)
        return ot_fail_at(err, at, OT_EDATA, "wants 'path label', got '%.200s'", line);
    errno = 0;
    label = strtol(blank + 1, &end, 10);
    if (errno || *end || end == blank + 1 || label < INT_MIN || label > INT_MAX)
        return ot_fail_at(err, at, OT_EDATA, "label: wants a whole number, got '%.80s'", blank + 1);
    *blank = '\0';
    if (ot_grow(&j->entry, &j->cap, j->n + 1, sizeof *j->entry, err) < 0)
        return err->code;
    j->entry[j->n++] = (struct entry){ line, (int)label, number };
    return 0;
}

static int read_list(struct images_job *j, struct ot_err *err)
{
    size_t size = 0;
    int line = 1;

    j->text = ot_read_file(j->list, MAX_LIST, &size, err);
    if (!j->text)
        return err->code;
    for (char *p = j->text, *end; *p; p = end, line++) {
        end = p + strcspn(p, "\n");
        if (*end)
            *end++ = '\0';
        if (parse_line(j, p, line, err) < 0)
            return err->code;
    }
    return j->n ? 0 : ot_fail(err, OT_EDATA, "'%s': lists no image", j->list);
}

/* Fills d->data: the file's own bytes, a new PNG, or raw CHW; *file is owned by the caller. */
static int fill_data(struct images_job *j, const char *path, Caffe__Datum *d, unsigned char **file,
                     struct ot_err *err)
{
    const struct ot_image *im = &j->read;
    size_t n = 0;

    *file = (unsigned char *)ot_read_file(path, MAX_IMAGE, &n, err);
    if (!*file ||
        ot_image_decode(&j->read, (struct ot_bytes){ *file, n }, j->gray ? 1 : 3, err) < 0)
        return err->code;
    if (j->size[0]) {
        if (ot_image_resize(&j->read, j->size[0], j->size[1], &j->resized, err) < 0)
            return err->code;
        im = &j->resized;
    }
    d->channels = im->channels;
    d->height = im->height;
    d->width = im->width;
    d->encoded = j->encoded;
    if (!j->encoded) {
        if (ot_data_chw(im, &j->chw, err) < 0)
            return err->code;
        d->data = (ProtobufCBinaryData){ j->chw.len, (uint8_t *)j->chw.buf };
        return 0;
    }
    if (j->size[0] || j->gray) {
        ot_free(*file);
        *file = NULL;
        if (ot_image_encode_png(im, file, &n, err) < 0)
            return err->code;
    }
    d->data = (ProtobufCBinaryData){ n, *file };
    return 0;
}

static int put_entry(struct images_job *j, struct ot_db_writer *w, size_t at, const struct entry *e,
                     struct ot_err *err)
{
    struct ot_loc loc = { j->list, e->line, 0 };
    unsigned char *file = NULL;
    char path[4096], key[MAX_KEY + 8];
    Caffe__Datum d;
    int rc;

    caffe__datum__init(&d);
    d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = d.has_encoded = 1;
    d.label = e->label;
    rc = fill_data(j, ot_path_join(path, sizeof path, j->root, e->path), &d, &file, err);
    if (rc < 0) {
        (void)ot_err_wrap(err, "'%s'", e->path);
        (void)ot_err_at(err, loc);
        ot_free(file);
        if (err->code == OT_ENOMEM)
            return rc;
        ot_data_report(err);
        *err = (struct ot_err)OT_ERR_INIT;
        j->skipped++;
        return 0;
    }
    if (snprintf(key, sizeof key, "%08zu_%s", at, e->path) > MAX_KEY)
        rc = ot_fail_at(err, loc, OT_EDATA, "a key has at most %d bytes, got '%.80s...'", MAX_KEY,
                        key);
    else
        rc = ot_data_put(w, key, &d.base, &j->packed, err);
    ot_free(file);
    return rc;
}

static int put_all(struct images_job *j, struct ot_db_writer *w, struct ot_err *err)
{
    for (size_t i = 0; i < j->n; i++) {
        size_t from = j->shuffle ? (size_t)ot_permute(j->seed, 0, j->n, i) : i;

        if (put_entry(j, w, i, &j->entry[from], err) < 0)
            return err->code;
    }
    if ((size_t)j->skipped == j->n)
        return ot_fail(err, OT_EDATA, "'%s': none of %zu images can be read", j->list, j->n);
    return 0;
}

int ot_data_images(int argc, char **argv, struct ot_err *err)
{
    struct images_job j = { .seed = 1 };
    const char *pos[3];
    bool force = false;
    const struct ot_data_opt table[] = {
        { "--resize", OT_OPT_SIZE, j.size },
        { "--gray", OT_OPT_FLAG, &j.gray },
        { "--shuffle", OT_OPT_FLAG, &j.shuffle },
        { "--seed", OT_OPT_U64, &j.seed },
        { "--encoded", OT_OPT_FLAG, &j.encoded },
        { "--force", OT_OPT_FLAG, &force },
        { NULL, OT_OPT_FLAG, NULL },
    };
    struct ot_db_writer *w;
    int rc;

    if (ot_data_options(table, argc, argv, pos, 3, 3, err) < 0)
        return err->code;
    j.list = pos[0];
    j.root = pos[1];
    rc = read_list(&j, err);
    if (rc == 0) {
        w = ot_data_create(pos[2], force, err);
        rc = w ? ot_data_finish(w, put_all(&j, w, err), err) : err->code;
    }
    if (rc == 0)
        ot_out("%s: %zu of %zu images, %d skipped\n", pos[2], j.n - (size_t)j.skipped, j.n,
               j.skipped);
    ot_free(j.text);
    ot_free(j.entry);
    ot_image_release(&j.read);
    ot_image_release(&j.resized);
    ot_str_release(&j.chw);
    ot_str_release(&j.packed);
    return rc;
}
