/*
 * mininet.h - one layer, run alone from its prototxt text, with plain arrays on the host.
 *
 * The text is a NetParameter: Input layers (optional; they give the shapes of the bottoms in
 * order), then ONE layer.  ot_mini_open() does what a net does: builds blobs, calls setup,
 * reshape and plan, allocates device memory, converts between plain order and the formats the
 * plan chose.  forward and backward upload the host arrays, poison what the layer must write
 * with NaN, run the layer and bring the results back in plain order.
 *
 *     struct ot_mini *m = ot_mini_open(dev, &(struct ot_mini_spec){ .text = "layer { ... }",
 *                                      .n_in = 1, .in = { ot_shape4(2, 3, 5, 5) } }, &err);
 *     ot_mini_random(m, 1, -1, 1);
 *     assert_ok(ot_mini_forward(m, &err), &err);     now m->out[0].v
 *     assert_ok(ot_mini_backward(m, &err), &err);    now m->in_grad[0].v, m->param_grad[0].v
 *
 * A loss output's out_grad[i].v[0] is its loss weight.  A gradient nobody wants stays as it was.
 * Ownership: ot_mini_close() frees everything; the device stays the caller's.
 * Errors: as the net reports them: "file:line:col: layer 'name': what".
 */
#ifndef OT_TESTS_MININET_H
#define OT_TESTS_MININET_H

#include "layers/layer.h"

struct ot_mini_spec {
    const char *text;
    const char *file;   /* name in messages; NULL: "mini.prototxt" */
    Caffe__Phase phase; /* TRAIN is 0 */
    int n_in;           /* 0: shapes from the Input layers */
    struct ot_shape in[OT_MAX_IO];
    const struct ot_format *in_fmt[OT_MAX_IO]; /* what the producers would leave; NULL: plain */
    unsigned no_grad;                          /* bit i: nobody wants the gradient of input i */
    bool fused_relu;
    uint64_t seed;
    struct ot_feed_door *door; /* for data layers */
};

struct ot_mini_array {
    struct ot_shape shape;
    size_t n;
    float *v; /* plain, host */
};

struct ot_mini {
    struct ot_mini_array in[OT_MAX_IO], in_grad[OT_MAX_IO];
    struct ot_mini_array out[OT_MAX_IO], out_grad[OT_MAX_IO];
    struct ot_mini_array param[OT_MAX_PARAM], param_grad[OT_MAX_PARAM];
    int nin, nout, nparam;
    bool accumulate;       /* backward adds to param_grad instead of overwriting */
    struct ot_layer layer; /* to look at formats, flops, ... */
    struct ot_net_env env; /* iter and seed may be changed between calls */

    /* private */
    const struct ot_format *src_fmt[OT_MAX_IO];
    struct ot_blob in_blob[OT_MAX_IO], out_blob[OT_MAX_IO];
    struct ot_doc *doc;
    void *stage, *nan;
};

/* NULL with err filled when the layer refuses. */
struct ot_mini *ot_mini_open(struct ot_dev *dev, const struct ot_mini_spec *spec,
                             struct ot_err *err);
void ot_mini_close(struct ot_mini *m); /* NULL is fine */

/* New input shapes: reshape and plan again; host arrays of changed size are zero. */
int ot_mini_reshape(struct ot_mini *m, const struct ot_shape *in, struct ot_err *err);

/* Inputs, parameters and output gradients (not those of losses) uniform in [lo, hi). */
void ot_mini_random(struct ot_mini *m, uint64_t seed, float lo, float hi);
void ot_mini_fill(struct ot_mini_array *a, uint64_t seed, float lo, float hi);

int ot_mini_forward(struct ot_mini *m, struct ot_err *err);
/* Brings the parameters back into m->param, for layers whose forward changes them. */
void ot_mini_read_params(struct ot_mini *m);
int ot_mini_backward(struct ot_mini *m, struct ot_err *err);

#endif
