/*
 * data_info.c - `ohemdata info`: what is in a database.
 *
 * Only headers are read, no image is decoded, so that a big set is counted in seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/data_walk.h"

enum { FIRST_KEYS = 3, MAX_LINES = 20 };

struct bin {
    int64_t key, count, difficult;
};

struct bins {
    struct bin *bin;
    size_t n, cap;
};

struct info {
    size_t records, annotated, encoded, raw, floats, bad, boxes, difficult, most_boxes, empty;
    double side_sum;
    struct bins shapes, labels;
    char keys[FIRST_KEYS][600];
};

static struct bin *bin_of(struct bins *b, int64_t key, struct ot_err *err)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->bin[i].key == key)
            return &b->bin[i];
    if (ot_grow(&b->bin, &b->cap, b->n + 1, sizeof *b->bin, err) < 0)
        return NULL;
    b->bin[b->n].key = key;
    return &b->bin[b->n++];
}

static int count_boxes(struct info *s, const struct ot_data_record *r, struct ot_err *err)
{
    size_t boxes = 0;

    for (size_t g = 0; g < r->ann->n_annotation_group; g++) {
        const Caffe__AnnotationGroup *group = r->ann->annotation_group[g];
        struct bin *bin = bin_of(&s->labels, group->group_label, err);

        if (!bin)
            return err->code;
        for (size_t k = 0; k < group->n_annotation; k++) {
            const Caffe__NormalizedBBox *b = group->annotation[k]->bbox;

            if (!b)
                continue;
            boxes++;
            bin->count++;
            bin->difficult += b->difficult != 0;
            s->difficult += b->difficult != 0;
            s->side_sum += (double)(b->xmax - b->xmin) + (double)(b->ymax - b->ymin);
        }
    }
    s->boxes += boxes;
    s->empty += boxes == 0;
    s->most_boxes = boxes > s->most_boxes ? boxes : s->most_boxes;
    return 0;
}

static int visit(void *user, struct ot_bytes key, struct ot_bytes value, struct ot_err *err)
{
    struct info *s = user;
    struct ot_data_record r;
    struct ot_err bad = OT_ERR_INIT;
    struct bin *bin;
    int rc = 0;

    if (s->records < FIRST_KEYS)
        (void)ot_data_key(key, s->keys[s->records], sizeof s->keys[0]);
    s->records++;
    if (ot_data_parse(value, &r, &bad) < 0) {
        s->bad++;
        return 0;
    }
    s->encoded += r.datum->encoded != 0;
    s->floats += !r.datum->encoded && r.datum->n_float_data;
    s->raw += !r.datum->encoded && !r.datum->n_float_data;
    bin = bin_of(&s->shapes,
                 (int64_t)(r.datum->channels & 0xFFFF) << 48 |
                     (int64_t)(r.datum->height & 0xFFFFFF) << 24 | (r.datum->width & 0xFFFFFF),
                 err);
    if (bin)
        bin->count++;
    rc = bin ? 0 : (int)err->code;
    if (rc == 0 && r.ann) {
        s->annotated++;
        rc = count_boxes(s, &r, err);
    } else if (rc == 0) {
        bin = bin_of(&s->labels, r.datum->label, err);
        if (bin)
            bin->count++;
        rc = bin ? 0 : (int)err->code;
    }
    ot_data_record_release(&r);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const struct bin *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static int by_count(const void *a, const void *b)
{
    const struct bin *x = a, *y = b;

    return x->count == y->count ? by_key(a, b) : (x->count < y->count) - (x->count > y->count);
}

static void print_shapes(struct info *s)
{
    const struct bins *b = &s->shapes;

    if (b->n)
        qsort(b->bin, b->n, sizeof *b->bin, by_count);
    for (size_t i = 0; i < b->n && i < MAX_LINES; i++)
        ot_out("shape %lldx%lldx%lld: %lld\n", (long long)(b->bin[i].key >> 48),
               (long long)(b->bin[i].key >> 24 & 0xFFFFFF), (long long)(b->bin[i].key & 0xFFFFFF),
               (long long)b->bin[i].count);
    if (b->n > MAX_LINES)
        ot_out("shape: %zu more\n", b->n - MAX_LINES);
}

static void print_labels(struct info *s, const struct ot_data_names *names)
{
    const struct bins *b = &s->labels;

    if (b->n)
        qsort(b->bin, b->n, sizeof *b->bin, by_key);
    for (size_t i = 0; i < b->n; i++) {
        const struct bin *l = &b->bin[i];
        bool named = l->key >= 0 && l->key < names->n;

        ot_out("label %lld%s%s: %lld", (long long)l->key, named ? " " : "",
               named ? names->name[l->key] : "", (long long)l->count);
        if (s->annotated)
            ot_out(" (%lld difficult)", (long long)l->difficult);
        ot_out("\n");
    }
}

static void print_info(struct info *s, const char *path, const struct ot_data_names *names)
{
    ot_out("%s: %zu records, %zu with boxes; %zu encoded, %zu raw, %zu float, %zu unreadable\n",
           path, s->records, s->annotated, s->encoded, s->raw, s->floats, s->bad);
    for (size_t i = 0; i < FIRST_KEYS && i < s->records; i++)
        ot_out("key %s\n", s->keys[i]);
    print_shapes(s);
    print_labels(s, names);
    if (s->annotated)
        ot_out("boxes: %zu, %zu difficult, %.2f per image, at most %zu, %zu images without; "
               "mean side %.3f of the image\n",
               s->boxes, s->difficult, (double)s->boxes / (double)s->annotated, s->most_boxes,
               s->empty, s->boxes ? s->side_sum / (2 * (double)s->boxes) : 0.0);
}

int ot_data_info(int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt none[] = { { NULL, OT_OPT_FLAG, NULL } };
    struct ot_data_names names = { 0 };
    struct info s = { 0 };
    const char *pos[1];
    char path[1024];
    int rc;

    if (ot_data_options(none, argc, argv, pos, 1, 1, err) < 0)
        return err->code;
    rc = ot_data_walk(pos[0], visit, &s, err);
    if (rc == 0)
        rc = ot_data_read_classes(ot_path_join(path, sizeof path, pos[0], "classes.txt"), &names,
                                  err);
    if (rc == 0)
        print_info(&s, pos[0], &names);
    ot_data_names_release(&names);
    ot_free(s.shapes.bin);
    ot_free(s.labels.bin);
    return rc;
}
