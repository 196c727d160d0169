/*
 * bench_layers.c - what single layers cost: one JSON line a layer with milliseconds of forward and
 * backward (the best of several runs), in the formats the CPU device chooses.
 *
 *     build/release/bench/bench_layers [threads]
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "layers/device.h"

enum kind { CONV, IP, POOL };

struct job {
    const char *net, *name;
    enum kind kind;
    int n, c, h, w, oc, k, s, p;
    bool first; /* no gradient for the input */
};

static const struct job jobs[] = {
    { "lenet", "conv1", CONV, 64, 1, 28, 28, 20, 5, 1, 0, true },
    { "lenet", "pool1", POOL, 64, 20, 24, 24, 0, 2, 2, 0, false },
    { "lenet", "conv2", CONV, 64, 20, 12, 12, 50, 5, 1, 0, false },
    { "lenet", "pool2", POOL, 64, 50, 8, 8, 0, 2, 2, 0, false },
    { "lenet", "ip1", IP, 64, 50, 4, 4, 500, 0, 0, 0, false },
    { "lenet", "ip2", IP, 64, 500, 0, 0, 10, 0, 0, 0, false },
    { "cifar10_quick", "conv1", CONV, 100, 3, 32, 32, 32, 5, 1, 2, true },
    { "cifar10_quick", "pool1", POOL, 100, 32, 32, 32, 0, 3, 2, 0, false },
    { "cifar10_quick", "conv2", CONV, 100, 32, 16, 16, 32, 5, 1, 2, false },
    { "cifar10_quick", "pool2", POOL, 100, 32, 16, 16, 0, 3, 2, 0, false },
    { "cifar10_quick", "conv3", CONV, 100, 32, 8, 8, 64, 5, 1, 2, false },
    { "cifar10_quick", "ip1", IP, 100, 64, 4, 4, 64, 0, 0, 0, false },
    { "vgg16", "conv1_1", CONV, 1, 3, 600, 800, 64, 3, 1, 1, true },
    { "vgg16", "conv1_2", CONV, 1, 64, 600, 800, 64, 3, 1, 1, false },
    { "vgg16", "pool1", POOL, 1, 64, 600, 800, 0, 2, 2, 0, false },
    { "vgg16", "conv2_1", CONV, 1, 64, 300, 400, 128, 3, 1, 1, false },
    { "vgg16", "conv2_2", CONV, 1, 128, 300, 400, 128, 3, 1, 1, false },
    { "vgg16", "conv3_1", CONV, 1, 128, 150, 200, 256, 3, 1, 1, false },
    { "vgg16", "conv3_2", CONV, 1, 256, 150, 200, 256, 3, 1, 1, false },
    { "vgg16", "conv4_1", CONV, 1, 256, 75, 100, 512, 3, 1, 1, false },
    { "vgg16", "conv4_2", CONV, 1, 512, 75, 100, 512, 3, 1, 1, false },
    { "vgg16", "conv5_1", CONV, 1, 512, 38, 50, 512, 3, 1, 1, false },
    { "vgg16", "fc6", IP, 128, 512, 7, 7, 4096, 0, 0, 0, false },
};

struct bench {
    struct ot_dev *dev;
    struct ot_plan *plan;
    struct ot_plan_info info;
    float *x, *y, *dx, *dy, *w, *b, *dw, *db;
    void *scratch, *ws;
};

static float *array(struct bench *t, size_t n, struct ot_err *err)
{
    float *v = t->dev->ops->alloc(t->dev, n * sizeof *v, err);

    for (size_t i = 0; v && i < n; i++)
        v[i] = ot_rng_unit(1, OT_RNG_TEST, 0, i) - 0.5f;
    return v;
}

static int out_size(const struct job *j, int size)
{
    int room = size + 2 * j->p - j->k;

    return (j->kind == POOL ? room + j->s - 1 : room) / j->s + 1;
}

/* A pooling or inner product in a net reads what a convolution wrote: nChw16c where it blocks. */
static const struct ot_format *blocked(struct bench *t, const struct job *j)
{
    struct ot_conv_geom g = { .n = j->n,
                              .c = 16,
                              .h = j->h,
                              .w = j->w,
                              .oc = j->c,
                              .oh = j->h,
                              .ow = j->w,
                              .group = 1,
                              .kh = 3,
                              .kw = 3,
                              .ph = 1,
                              .pw = 1,
                              .sh = 1,
                              .sw = 1,
                              .dh = 1,
                              .dw = 1,
                              .training = true };
    struct ot_plan *plan = NULL;
    struct ot_plan_info info;

    if (!j->h)
        return NULL;
    t->dev->k->conv_plan(t->dev, &g, NULL, &plan, &info);
    t->dev->k->plan_free(t->dev, plan);
    return info.y;
}

static void make_plan(struct bench *t, const struct job *j)
{
    struct ot_dev *dev = t->dev;
    int oh = j->kind == IP ? 0 : out_size(j, j->h), ow = j->kind == IP ? 0 : out_size(j, j->w);

    if (j->kind == CONV) {
        struct ot_conv_geom g = { .n = j->n,
                                  .c = j->c,
                                  .h = j->h,
                                  .w = j->w,
                                  .oc = j->oc,
                                  .oh = oh,
                                  .ow = ow,
                                  .group = 1,
                                  .kh = j->k,
                                  .kw = j->k,
                                  .sh = j->s,
                                  .sw = j->s,
                                  .ph = j->p,
                                  .pw = j->p,
                                  .dh = 1,
                                  .dw = 1,
                                  .bias = true,
                                  .need_dx = !j->first,
                                  .training = true };

        dev->k->conv_plan(dev, &g, j->first ? NULL : blocked(t, j), &t->plan, &t->info);
    } else if (j->kind == IP) {
        struct ot_ip_geom g = { .n = j->n,
                                .oc = j->oc,
                                .nd = j->h ? 3 : 1,
                                .dim = { j->c, j->h, j->w },
                                .bias = true,
                                .need_dx = true,
                                .training = true };

        dev->k->ip_plan(dev, &g, blocked(t, j), &t->plan, &t->info);
    } else {
        struct ot_pool_geom g = { .kind = OT_POOL_MAX,
                                  .n = j->n,
                                  .c = j->c,
                                  .h = j->h,
                                  .w = j->w,
                                  .oh = oh,
                                  .ow = ow,
                                  .kh = j->k,
                                  .kw = j->k,
                                  .sh = j->s,
                                  .sw = j->s,
                                  .training = true };

        dev->k->pool_plan(dev, &g, blocked(t, j), &t->plan, &t->info);
    }
}

static void forward(struct bench *t, const struct job *j)
{
    const struct ot_kernels *k = t->dev->k;

    if (j->kind == CONV)
        k->conv_fwd(t->dev, t->plan, t->x, t->w, t->b, t->scratch, t->y);
    else if (j->kind == IP)
        k->ip_fwd(t->dev, t->plan, t->x, t->w, t->b, t->scratch, t->y);
    else
        k->pool_fwd(t->dev, t->plan, t->x, t->scratch, t->ws, t->y);
    t->dev->ops->sync(t->dev);
}

static void backward_filter(struct bench *t, const struct job *j)
{
    const struct ot_kernels *k = t->dev->k;

    if (j->kind == CONV)
        k->conv_bwd_filter(t->dev, t->plan, t->x, t->dy, t->scratch, 0.0f, t->dw, t->db);
    else if (j->kind == IP)
        k->ip_bwd_filter(t->dev, t->plan, t->x, t->dy, t->scratch, 0.0f, t->dw, t->db);
    t->dev->ops->sync(t->dev);
}

static void backward_data(struct bench *t, const struct job *j)
{
    const struct ot_kernels *k = t->dev->k;

    if (j->first)
        return;
    if (j->kind == CONV)
        k->conv_bwd_data(t->dev, t->plan, t->w, t->dy, t->scratch, t->dx);
    else if (j->kind == IP)
        k->ip_bwd_data(t->dev, t->plan, t->w, t->dy, t->scratch, t->dx);
    else
        k->pool_bwd(t->dev, t->plan, t->x, t->y, t->dy, t->ws, t->scratch, t->dx);
    t->dev->ops->sync(t->dev);
}

/* Milliseconds: the best of as many runs as fit half a second, at least three. */
static double best_ms(struct bench *t, const struct job *j,
                      void (*run)(struct bench *, const struct job *))
{
    double best = HUGE_VAL, began = ot_now_s();

    for (int i = 0; i < 4 || ot_now_s() - began < 0.25; i++) {
        double at = ot_now_s(), took;

        run(t, j);
        took = (ot_now_s() - at) * 1e3;
        if (i > 0 && took < best)
            best = took;
    }
    return best;
}

static int bench_one(struct ot_dev *dev, const struct job *j, struct ot_err *err)
{
    struct bench t = { .dev = dev };
    size_t nx;
    double fwd, filter, data;

    make_plan(&t, j);
    if (ot_dev_ok(dev, err))
        return err->code;
    nx = t.info.x ? t.info.x->elems
                  : (size_t)j->n * (size_t)j->c * (size_t)(j->h ? j->h * j->w : 1);
    t.x = array(&t, nx, err);
    t.dx = array(&t, nx, err);
    t.y = array(&t, t.info.y_elems, err);
    t.dy = array(&t, t.info.y_elems, err);
    t.w = array(&t, t.info.w_elems, err);
    t.dw = array(&t, t.info.w_elems, err);
    t.b = array(&t, 8192, err);
    t.db = array(&t, 8192, err);
    t.ws = dev->ops->alloc(dev, t.info.ws_bytes, err);
    t.scratch = dev->ops->alloc(dev, t.info.scratch_bytes, err);
    if (err->code != OT_OK)
        return err->code;
    fwd = best_ms(&t, j, forward);
    filter = best_ms(&t, j, backward_filter);
    data = best_ms(&t, j, backward_data);
    ot_out("{\"net\": \"%s\", \"layer\": \"%s\", \"batch\": %d, \"forward_ms\": %.3f, "
           "\"backward_filter_ms\": %.3f, \"backward_data_ms\": %.3f, \"x\": \"%s\", \"y\": "
           "\"%s\", \"w\": \"%s\"}\n",
           j->net, j->name, j->n, fwd, filter, data, t.info.x ? t.info.x->name : "plain",
           t.info.y ? t.info.y->name : "plain", t.info.w ? t.info.w->name : "plain");
    dev->k->plan_free(dev, t.plan);
    for (float **p = (float *[]){ t.x, t.dx, t.y, t.dy, t.w, t.dw, t.b, t.db, t.ws, t.scratch },
               **end = p + 10;
         p < end; p++)
        dev->ops->free(dev, *p);
    return 0;
}

int main(int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open("cpu", argc > 1 ? atoi(argv[1]) : 0, &err);

    for (size_t i = 0; dev && i < sizeof jobs / sizeof jobs[0]; i++)
        if (argc < 3 || !strcmp(argv[2], jobs[i].net))
            if (bench_one(dev, &jobs[i], &err))
                break;
    if (err.code != OT_OK)
        ot_log_err("bench", &err);
    ot_dev_close(dev);
    return ot_exit_code(err.code);
}
