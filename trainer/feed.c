/* feed.c - see feed.h. */
#include "trainer/feed.h"

#include <string.h>

#include "base/env.h"
#include "base/mem.h"
#include "layers/layer.h"

enum { MAX_FEEDS = 8, MOST_UNASKED = 16 };

struct one { /* of one data layer */
    struct ot_feed feed;
    struct ot_feeds *all;
    struct ot_loader *loader;
    struct ot_batch *batch; /* current; NULL before the first */
    struct ot_batch *last;  /* the one before, from which the device may still be reading */
    bool detection;
    Caffe__TransformationParameter transform; /* the layer's, mean_file's path found */
    int peek_c, peek_h, peek_w, batch_size;
    float *extra; /* owned: weights (N) or booked rows (N, K, 5) */
    size_t extra_cap;
    float *label; /* owned: labels (N) or boxes (N, G, 6), as they are trained on */
    size_t label_cap;
};

struct ot_feeds {
    struct ot_config *config;
    const struct ot_net_source *net;
    struct ot_feed_door door;
    struct one one[MAX_FEEDS];
    int n;
    struct ot_dev *dev; /* borrowed: the net's; NULL while there are no feeds */
    uint64_t read;      /* the mark behind all that reads `last`; 0: none */
    uint64_t reading;   /* and the current one, as ot_feeds_passed() says; 0: nobody said */
    struct ot_loader_room room;
    struct ot_feed_hints hints;
    int max_booked;
};

/* ---- what a data layer asks ------------------------------------------------------------------ */

static int rows(const struct one *o)
{
    return o->batch ? o->batch->n : o->batch_size;
}

static int shape(void *ctx, int top, struct ot_shape *s, struct ot_err *err)
{
    const struct one *o = ctx;
    int n = rows(o), k = o->all->max_booked > 0 ? o->all->max_booked : 1;

    if (top == 0)
        *s = o->batch ? ot_shape4(n, o->batch->channels, o->batch->height, o->batch->width)
                      : ot_shape4(n, o->peek_c, o->peek_h, o->peek_w);
    else if (!o->detection && top <= 2)
        *s = ot_shape1(n);
    else if (o->detection && top == 1)
        *s = ot_shape2(n, 3);
    else if (o->detection && top == 2)
        *s = (struct ot_shape){ 3, { n, ot_loader_max_boxes(o->loader), 6 } };
    else if (o->detection && top == 3)
        *s = (struct ot_shape){ 3, { n, k, 5 } };
    else
        return ot_fail(err, OT_ECONFIG, "the data has no top %d", top);
    return 0;
}

/* A miner knows the records of the first data layer. */
static const struct ot_feed_hints *hints_of(const struct one *o)
{
    static const struct ot_feed_hints none;

    return o == &o->all->one[0] ? &o->all->hints : &none;
}

static const float *image_weights(struct one *o)
{
    const struct ot_feed_hints *h = hints_of(o);

    for (int i = 0; i < o->batch->n; i++)
        o->extra[i] = h->image_weight
                          ? h->image_weight(h->ctx, o->batch->sample[i].index, o->batch->fetched)
                          : 1.0f;
    return o->extra;
}

static float label_of(const struct one *o, uint32_t sample, uint8_t kind, int32_t slot, float given)
{
    const struct ot_feed_hints *h = hints_of(o);

    return h->label ? (float)h->label(h->ctx, sample, kind, slot, (int32_t)given) : given;
}

static const float *image_labels(struct one *o)
{
    const struct ot_batch *b = o->batch;

    for (int i = 0; i < b->n; i++)
        o->label[i] = label_of(o, b->sample[i].index, OT_KIND_IMAGE, 0, b->label[i]);
    return o->label;
}

/* Fractions of the un-augmented image to inclusive corners in pixels of the blob. */
static void place_box(const struct ot_sample_info *s, const float frac[5], float *row)
{
    float w = (float)s->in_width, h = (float)s->in_height;
    float x0 = s->flip ? 1.0f - frac[2] : frac[0], x1 = s->flip ? 1.0f - frac[0] : frac[2];

    row[0] = x0 * w;
    row[1] = frac[1] * h;
    row[2] = x1 * w - 1.0f;
    row[3] = frac[3] * h - 1.0f;
    row[4] = frac[4];
}

static const float *booked_rows(struct one *o)
{
    const struct ot_feed_hints *h = hints_of(o);
    int k = o->all->max_booked > 0 ? o->all->max_booked : 1;
    float frac[256][5];

    memset(o->extra, 0, (size_t)(o->batch->n * k) * 5 * sizeof *o->extra);
    for (int i = 0; h->booked && o->all->max_booked > 0 && i < o->batch->n; i++) {
        const struct ot_sample_info *s = &o->batch->sample[i];
        int n = h->booked(h->ctx, s->index, o->batch->fetched, frac, k < 256 ? k : 256);

        for (int j = 0; j < n; j++)
            place_box(s, frac[j], o->extra + ((size_t)(i * k) + (size_t)j) * 5);
    }
    return o->extra;
}

static const float *boxes(struct one *o)
{
    const struct ot_feed_hints *h = hints_of(o);
    const struct ot_batch *b = o->batch;
    size_t g = (size_t)ot_loader_max_boxes(o->loader);

    memcpy(o->label, b->gt, (size_t)b->n * g * 6 * sizeof *o->label);
    for (int i = 0; i < b->n; i++)
        for (int j = 0; j < b->sample[i].n_boxes; j++) {
            float *row = o->label + ((size_t)i * g + (size_t)j) * 6;

            row[4] = label_of(o, b->sample[i].index, OT_KIND_GT_ROI, j, row[4]);
            if (h->box_weight)
                row[5] = h->box_weight(h->ctx, b->sample[i].index, j);
        }
    return o->label;
}

static const float *values(void *ctx, int top, struct ot_err *err)
{
    struct one *o = ctx;

    if (!o->batch) {
        (void)ot_fail(err, OT_EDATA, "no batch has been read yet");
        return NULL;
    }
    if (top == 0)
        return o->batch->data;
    if (!o->detection)
        return top == 1 ? image_labels(o) : image_weights(o);
    return top == 1 ? o->batch->im_info : top == 2 ? boxes(o) : booked_rows(o);
}

/* What Caffe once had in data_param is refused rather than passed over. */
struct old_name {
    const char *field;
    bool given;
    const char *instead;
};

static int check_old_names(const struct ot_layer *l, const void *msg, const char *param,
                           const struct old_name *old, size_t n, struct ot_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (old[i].given)
            return ot_layer_fail(l, err, msg, old[i].field, OT_ECONFIG,
                                 "%s.%s is not supported; %s", param, old[i].field, old[i].instead);
    return 0;
}

static int check_data_names(const struct ot_layer *l, const Caffe__DataParameter *d,
                            struct ot_err *err)
{
    const struct old_name old[] = {
        { "scale", d->has_scale, "write it in transform_param" },
        { "mean_file", d->mean_file != NULL, "write it in transform_param" },
        { "crop_size", d->has_crop_size, "write it in transform_param" },
        { "mirror", d->has_mirror, "write it in transform_param" },
        { "force_encoded_color", d->force_encoded_color != 0, "use transform_param.force_color" },
    };

    return check_old_names(l, d, "data_param", old, sizeof old / sizeof old[0], err);
}

static int check_image_names(const struct ot_layer *l, const Caffe__ImageDataParameter *p,
                             struct ot_err *err)
{
    const struct old_name old[] = {
        { "scale", p->has_scale, "write it in transform_param" },
        { "mean_file", p->mean_file != NULL, "write it in transform_param" },
        { "crop_size", p->has_crop_size, "write it in transform_param" },
        { "mirror", p->has_mirror, "write it in transform_param" },
    };

    return check_old_names(l, p, "image_data_param", old, sizeof old / sizeof old[0], err);
}

/* ---- memory that the device reads by itself -------------------------------------------------- */

static void *room_alloc(void *ctx, size_t bytes)
{
    struct ot_dev *dev = ((struct ot_feeds *)ctx)->dev;
    struct ot_err ignored = OT_ERR_INIT;

    return dev->ops->host_alloc(dev, bytes, &ignored);
}

static void room_free(void *ctx, void *p)
{
    struct ot_dev *dev = ((struct ot_feeds *)ctx)->dev;

    dev->ops->host_free(dev, p);
}

static void give_back(struct one *o, struct ot_batch **batch)
{
    if (*batch)
        ot_loader_done(o->loader, *batch);
    *batch = NULL;
}

/* The batch before the current one is given back: the device, which works on the current one, has
 * read it. */
static void step_on(struct ot_feeds *f)
{
    if (!f->n)
        return;
    if (f->read)
        f->dev->ops->wait(f->dev, f->read);
    f->read = f->reading ? f->reading : f->dev->ops->mark(f->dev);
    f->reading = 0;
    for (int i = 0; i < f->n; i++) {
        give_back(&f->one[i], &f->one[i].last);
        f->one[i].last = f->one[i].batch;
        f->one[i].batch = NULL;
    }
}

/* All batches are given back. */
static void let_go(struct ot_feeds *f)
{
    step_on(f);
    step_on(f);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What data_param says. */
static int read_data(const struct ot_layer *l, struct ot_loader_conf *c, struct ot_err *err)
{
    const Caffe__DataParameter *d = l->conf->data_param;

    if (!d || !d->source || !d->source[0])
        return ot_layer_fail(l, err, l->conf, "data_param", OT_ECONFIG,
                             "data_param.source is missing");
    if (check_data_names(l, d, err) < 0)
        return err->code;
    if (d->has_backend && d->backend != CAFFE__DATA_PARAMETER__DB__LMDB)
        return ot_layer_fail(l, err, d, "backend", OT_ECONFIG,
                             "backend: only LMDB is supported, got LEVELDB");
    c->source = d->source;
    c->batch_size = d->batch_size > 1u << 20 ? 0 : (int)d->batch_size;
    c->shuffle = d->shuffle;
    c->rand_skip = d->rand_skip;
    if (!c->batch_size)
        return ot_layer_fail(l, err, d, "batch_size", OT_ECONFIG,
                             "batch_size: must be in [1, 1048576], got %u", d->batch_size);
    return 0;
}

/* What image_data_param says. */
static int read_images(const struct ot_layer *l, struct ot_loader_conf *c, struct ot_err *err)
{
    const Caffe__ImageDataParameter *p = l->conf->image_data_param;

    if (!p || !p->source || !p->source[0])
        return ot_layer_fail(l, err, l->conf, "image_data_param", OT_ECONFIG,
                             "image_data_param.source is missing");
    if (check_image_names(l, p, err) < 0)
        return err->code;
    if (!p->new_height != !p->new_width || p->new_height > INT32_MAX || p->new_width > INT32_MAX)
        return ot_layer_fail(l, err, p, p->new_height ? "new_height" : "new_width", OT_ECONFIG,
                             "new_height and new_width: give both or neither, got %u and %u",
                             p->new_height, p->new_width);
    c->images = p;
    c->source = p->source;
    c->batch_size = p->batch_size > 1u << 20 ? 0 : (int)p->batch_size;
    c->shuffle = p->shuffle;
    c->rand_skip = p->rand_skip;
    if (!c->batch_size)
        return ot_layer_fail(l, err, p, "batch_size", OT_ECONFIG,
                             "batch_size: must be in [1, 1048576], got %u", p->batch_size);
    return 0;
}

/* The layer's transform_param with the path of mean_file looked for as all paths are. */
static int find_transform(struct ot_feeds *f, struct one *o, const struct ot_layer *l,
                          struct ot_loader_conf *c, struct ot_err *err)
{
    const Caffe__TransformationParameter *t = l->conf->transform_param;
    const char *path;

    c->transform = t;
    if (!t || !t->mean_file)
        return 0;
    path = ot_config_path(f->config, t->mean_file, ot_doc_file(f->net->doc), err);
    if (!path)
        return ot_layer_blame(l, err, t, "mean_file");
    o->transform = *t;
    o->transform.mean_file = (char *)(uintptr_t)path; /* protobuf-c has no const strings */
    c->transform = &o->transform;
    return 0;
}

/* On the CPU reading takes cores from computing; a GPU leaves them idle. */
static int data_threads(const struct ot_feeds *f)
{
    const int given = f->config->solver->data_threads, cores = ot_env_cores();

    if (given)
        return given;
    if (!strcmp(f->dev->name, "cpu") || cores < 3)
        return 1;
    return cores > MOST_UNASKED ? MOST_UNASKED : cores - 1;
}

static int open_loader(struct ot_feeds *f, struct one *o, const struct ot_layer *l,
                       struct ot_err *err)
{
    const Caffe__LayerParameter *p = l->conf;
    bool images = !strcmp(l->ops->type, "ImageData");
    const void *param = images ? (const void *)p->image_data_param : p->data_param;
    struct ot_loader_conf c = { .detection = o->detection,
                                .train = f->net->phase == CAFFE__PHASE__TRAIN,
                                .threads = data_threads(f),
                                .seed = f->config->seed,
                                .det = p->detection_data_param,
                                .prefetch = 4,
                                .base_dir = "",
                                .room = &f->room };

    if ((images ? read_images(l, &c, err) : read_data(l, &c, err)) < 0 ||
        find_transform(f, o, l, &c, err) < 0)
        return err->code;
    c.source = ot_config_path(f->config, c.source, ot_doc_file(f->net->doc), err);
    if (!c.source)
        return ot_layer_blame(l, err, param, "source");
    o->batch_size = c.batch_size;
    if (p->data_param && p->data_param->prefetch) /* Caffe takes it from there for ImageData too */
        c.prefetch = (int)p->data_param->prefetch;
    o->loader = ot_loader_open(&c, err);
    if (!o->loader || ot_loader_peek(o->loader, &o->peek_c, &o->peek_h, &o->peek_w, err) < 0)
        return ot_layer_blame(l, err, param, "source");
    return 0;
}

/* Room for what the feed itself makes of a batch of n. */
static int make_room(struct one *o, int n, struct ot_err *err)
{
    size_t k = (size_t)(o->all->max_booked > 0 ? o->all->max_booked : 1);
    size_t labels = o->detection ? (size_t)ot_loader_max_boxes(o->loader) * 6 : 1;

    if (ot_grow(&o->extra, &o->extra_cap, (size_t)n * k * 5, sizeof *o->extra, err) < 0)
        return err->code;
    return ot_grow(&o->label, &o->label_cap, (size_t)n * labels, sizeof *o->label, err);
}

static int open_feed(void *ctx, const struct ot_layer *l, struct ot_feed **feed, struct ot_err *err)
{
    struct ot_feeds *f = ctx;
    struct one *o = &f->one[f->n];

    if (f->n == MAX_FEEDS)
        return ot_fail(err, OT_ECONFIG, "more than %d data layers", (int)MAX_FEEDS);
    f->n++;
    f->dev = l->dev;
    o->all = f;
    o->detection = !strcmp(l->ops->type, "DetectionData");
    o->feed = (struct ot_feed){ .ctx = o, .shape = shape, .values = values };
    if (open_loader(f, o, l, err) < 0)
        return err->code;
    if (make_room(o, o->batch_size, err) < 0)
        return err->code;
    *feed = &o->feed;
    return 0;
}

struct ot_feeds *ot_feeds_new(struct ot_config *config, const struct ot_net_source *net,
                              struct ot_err *err)
{
    struct ot_feeds *f = ot_alloc(1, sizeof *f, err);

    if (!f)
        return NULL;
    f->config = config;
    f->net = net;
    f->door = (struct ot_feed_door){ .ctx = f, .open = open_feed };
    f->room = (struct ot_loader_room){ .ctx = f, .alloc = room_alloc, .free = room_free };
    return f;
}

void ot_feeds_free(struct ot_feeds *f)
{
    if (!f)
        return;
    let_go(f);
    for (int i = 0; i < f->n; i++) {
        ot_loader_close(f->one[i].loader);
        ot_free(f->one[i].extra);
        ot_free(f->one[i].label);
    }
    ot_free(f);
}

struct ot_feed_door *ot_feeds_door(struct ot_feeds *f)
{
    return &f->door;
}

void ot_feeds_set_hints(struct ot_feeds *f, const struct ot_feed_hints *hints, int max_booked)
{
    f->hints = *hints;
    f->max_booked = max_booked;
}

void ot_feeds_passed(struct ot_feeds *f, uint64_t mark)
{
    f->reading = mark;
}

/* ---- running --------------------------------------------------------------------------------- */

int ot_feeds_next(struct ot_feeds *f, const uint32_t *sample, int n, uint64_t ordinal,
                  struct ot_err *err)
{
    step_on(f);
    for (int i = 0; i < f->n; i++) {
        struct one *o = &f->one[i];
        int rc;

        if (i == 0 && sample)
            rc = ot_loader_fetch(o->loader, sample, n, ordinal, &o->batch, err);
        else
            rc = ot_loader_next(o->loader, &o->batch, err);
        if (rc == 0)
            rc = make_room(o, o->batch->n, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

const struct ot_batch *ot_feeds_batch(const struct ot_feeds *f)
{
    return f->n ? f->one[0].batch : NULL;
}

struct ot_loader *ot_feeds_loader(const struct ot_feeds *f)
{
    return f->n ? f->one[0].loader : NULL;
}

int ot_feeds_count(const struct ot_feeds *f)
{
    return f->n;
}

int ot_feeds_batch_size(const struct ot_feeds *f)
{
    return f->n ? f->one[0].batch_size : 0;
}

uint64_t ot_feeds_position(const struct ot_feeds *f)
{
    return f->n ? ot_loader_position(f->one[0].loader) : 0;
}

int ot_feeds_seek(struct ot_feeds *f, uint64_t position, struct ot_err *err)
{
    let_go(f);
    for (int i = 0; i < f->n; i++) {
        struct one *o = &f->one[i];

        /* all feeds have given equally many batches */
        if (ot_loader_seek(o->loader,
                           i == 0 ? position
                                  : position / (uint64_t)f->one[0].batch_size *
                                        (uint64_t)o->batch_size,
                           err) < 0)
            return err->code;
    }
    return 0;
}

double ot_feeds_wait_s(const struct ot_feeds *f)
{
    double s = 0;

    for (int i = 0; i < f->n; i++)
        s += ot_loader_wait_s(f->one[i].loader);
    return s;
}
