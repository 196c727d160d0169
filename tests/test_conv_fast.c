/*
 * test_conv_fast.c - convolutions of the sizes where the CPU takes a faster way (Winograd's
 * filtering, channels last) against plain sums in double precision.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "layers/device.h"
#include "tests/check.h"
#include "tests/cpu.h"

struct one { /* a convolution with its arrays in plain order and in the device's */
    struct ot_conv_geom g;
    struct ot_plan *plan;
    struct ot_plan_info info;
    size_t nx, ny, nw;
    float *x, *w, *b, *dy, *y, *dx, *dw, *db;
    float *fx, *fw, *fy, *fdx, *fdw, *scratch;
};

static float *array(size_t n, unsigned seed)
{
    struct ot_err err = OT_ERR_INIT;
    float *v = ot_cpu->ops->alloc(ot_cpu, (n > 0 ? n : 1) * sizeof *v, &err);

    assert_non_null(v);
    for (size_t i = 0; seed && i < n; i++)
        v[i] = ot_rng_unit(seed, OT_RNG_TEST, 0, i) - 0.5f;
    return v;
}

static size_t elems(const struct ot_format *f, size_t plain)
{
    return f ? f->elems : plain;
}

static void open_one(struct one *o)
{
    const struct ot_conv_geom *g = &o->g;

    ot_cpu->k->conv_plan(ot_cpu, g, NULL, &o->plan, &o->info);
    assert_non_null(o->plan);
    o->nx = (size_t)g->n * (size_t)g->c * (size_t)g->h * (size_t)g->w;
    o->ny = (size_t)g->n * (size_t)g->oc * (size_t)g->oh * (size_t)g->ow;
    o->nw = (size_t)g->oc * (size_t)g->c * (size_t)g->kh * (size_t)g->kw;
    o->x = array(o->nx, 1);
    o->w = array(o->nw, 2);
    o->b = array((size_t)g->oc, 3);
    o->dy = array(o->ny, 4);
    o->y = array(o->ny, 0);
    o->dx = array(o->nx, 0);
    o->dw = array(o->nw, 0);
    o->db = array((size_t)g->oc, 0);
    o->fx = array(elems(o->info.x, o->nx), 0);
    o->fw = array(elems(o->info.w, o->nw), 0);
    o->fy = array(o->info.y_elems, 0);
    o->fdx = array(elems(o->info.x, o->nx), 0);
    o->fdw = array(elems(o->info.w, o->nw), 0);
    o->scratch = array(o->info.scratch_bytes / sizeof(float) + 1, 0);
}

static void close_one(struct one *o)
{
    float *all[] = { o->x,  o->w,  o->b,  o->dy, o->y,   o->dx,  o->dw,
                     o->db, o->fx, o->fw, o->fy, o->fdx, o->fdw, o->scratch };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        ot_cpu->ops->free(ot_cpu, all[i]);
    ot_cpu->k->plan_free(ot_cpu, o->plan);
}

static void convert(const struct ot_shape *s, const struct ot_format *from, float *x,
                    const struct ot_format *to, float *y)
{
    struct ot_tensor a = { *s, from, elems(from, ot_count(s)), x };
    struct ot_tensor b = { *s, to, elems(to, ot_count(s)), y };

    ot_cpu->k->reorder(ot_cpu, &a, &b);
}

/* The device's y, dx, dw, db, back in plain order. */
static void compute(struct one *o)
{
    const struct ot_conv_geom *g = &o->g;
    struct ot_shape sx = ot_shape4(g->n, g->c, g->h, g->w);
    struct ot_shape sy = ot_shape4(g->n, g->oc, g->oh, g->ow);
    struct ot_shape sw = ot_shape4(g->oc, g->c, g->kh, g->kw);
    struct ot_err err = OT_ERR_INIT;

    convert(&sx, NULL, o->x, o->info.x, o->fx);
    convert(&sw, NULL, o->w, o->info.w, o->fw);
    ot_cpu->k->conv_fwd(ot_cpu, o->plan, o->fx, o->fw, o->b, o->scratch, o->fy);
    convert(&sy, o->info.y, o->fy, NULL, o->y);
    convert(&sy, NULL, o->dy, o->info.y, o->fy);
    ot_cpu->k->conv_bwd_data(ot_cpu, o->plan, o->fw, o->fy, o->scratch, o->fdx);
    ot_cpu->k->conv_bwd_filter(ot_cpu, o->plan, o->fx, o->fy, o->scratch, 0.0f, o->fdw, o->db);
    convert(&sx, o->info.x, o->fdx, NULL, o->dx);
    convert(&sw, o->info.w, o->fdw, NULL, o->dw);
    assert_ok(ot_dev_ok(ot_cpu, &err), &err);
}

struct sums {
    double *y, *dx, *dw, *db;
};

/* All that input channel k and output channel m contribute. */
static void direct_pair(const struct one *o, const struct sums *s, int i, int m, int k)
{
    const struct ot_conv_geom *g = &o->g;
    size_t in = ((size_t)i * (size_t)g->c + (size_t)k) * (size_t)(g->h * g->w);
    size_t out = ((size_t)i * (size_t)g->oc + (size_t)m) * (size_t)(g->oh * g->ow);
    size_t tap = ((size_t)m * (size_t)g->c + (size_t)k) * (size_t)(g->kh * g->kw);

    for (int r = 0; r < g->oh * g->ow; r++)
        for (int q = 0; q < g->kh * g->kw; q++) {
            int h = r / g->ow - g->ph + q / g->kw, w = r % g->ow - g->pw + q % g->kw;
            size_t x = in + (size_t)(h * g->w + w), y = out + (size_t)r, t = tap + (size_t)q;

            if (h < 0 || h >= g->h || w < 0 || w >= g->w)
                continue;
            s->y[y] += (double)o->x[x] * (double)o->w[t];
            s->dx[x] += (double)o->dy[y] * (double)o->w[t];
            s->dw[t] += (double)o->dy[y] * (double)o->x[x];
        }
}

static void direct_sums(const struct one *o, struct sums *s)
{
    const struct ot_conv_geom *g = &o->g;
    size_t place = (size_t)(g->oh * g->ow);

    s->y = calloc(o->ny, sizeof *s->y);
    s->dx = calloc(o->nx, sizeof *s->dx);
    s->dw = calloc(o->nw, sizeof *s->dw);
    s->db = calloc((size_t)g->oc, sizeof *s->db);
    assert_true(s->y && s->dx && s->dw && s->db);
    for (size_t i = 0; i < o->ny; i++) {
        size_t m = i / place % (size_t)g->oc;

        s->y[i] = (double)o->b[m];
        s->db[m] += (double)o->dy[i];
    }
    for (int i = 0; i < g->n; i++)
        for (int m = 0; m < g->oc; m++)
            for (int k = 0; k < g->c; k++)
                direct_pair(o, s, i, m, k);
}

/* Differences as a share of the values' root mean square. */
static void assert_close(const char *what, size_t n, const float *have, const double *want,
                         double share)
{
    double square = 0, worst = 0;

    for (size_t i = 0; i < n; i++) {
        double e = fabs((double)have[i] - want[i]);

        assert_true(isfinite((double)have[i]));
        square += want[i] * want[i];
        worst = e > worst ? e : worst;
    }
    if (!(worst <= share * sqrt(square / (double)n)))
        fail_msg("%s: off by %g, allowed %g", what, worst, share * sqrt(square / (double)n));
}

static void agrees_with_direct_sums(struct ot_conv_geom g, double share)
{
    struct one o = { .g = g };
    struct sums s;

    open_one(&o);
    direct_sums(&o, &s);
    compute(&o);
    assert_close("output", o.ny, o.y, s.y, share);
    assert_close("gradient of the input", o.nx, o.dx, s.dx, share);
    assert_close("gradient of the weights", o.nw, o.dw, s.dw, share);
    assert_close("gradient of the bias", (size_t)g.oc, o.db, s.db, share);
    free(s.y);
    free(s.dx);
    free(s.dw);
    free(s.db);
    close_one(&o);
}

static struct ot_conv_geom geom(int n, int c, int h, int w, int oc, int k, int pad)
{
    return (struct ot_conv_geom){ .n = n,
                                  .c = c,
                                  .h = h,
                                  .w = w,
                                  .oc = oc,
                                  .oh = h + 2 * pad - k + 1,
                                  .ow = w + 2 * pad - k + 1,
                                  .group = 1,
                                  .kh = k,
                                  .kw = k,
                                  .sh = 1,
                                  .sw = 1,
                                  .ph = pad,
                                  .pw = pad,
                                  .dh = 1,
                                  .dw = 1,
                                  .bias = true,
                                  .need_dx = true,
                                  .training = true };
}

static void many_channels_under_3x3_agree_with_direct_sums(void **state)
{
    (void)state;
    agrees_with_direct_sums(geom(1, 32, 32, 33, 48, 3, 1), 5e-5);
    agrees_with_direct_sums(geom(4, 48, 19, 14, 32, 3, 1), 5e-5);
    agrees_with_direct_sums(geom(2, 32, 30, 27, 32, 3, 0), 5e-5);
}

static void channels_that_fill_no_block_agree_with_direct_sums(void **state)
{
    (void)state;
    agrees_with_direct_sums(geom(3, 20, 12, 12, 50, 5, 0), 5e-6);
    agrees_with_direct_sums(geom(2, 5, 9, 11, 17, 3, 1), 5e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_channels_under_3x3_agree_with_direct_sums),
        cmocka_unit_test(channels_that_fill_no_block_agree_with_direct_sums),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
