/* gradcheck.c - central differences; the difference is taken output by output, before the sum. */
#include "tests/gradcheck.h"

#include <math.h>

#include "base/mem.h"
#include "tests/check.h"

/* Runs forward and stores all outputs after one another. */
static void outputs(struct ot_mini *m, float *to)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_mini_forward(m, &err), &err);
    for (int i = 0; i < m->nout; i++) {
        memcpy(to, m->out[i].v, m->out[i].n * sizeof *to);
        to += m->out[i].n;
    }
}

static double objective_change(const struct ot_mini *m, const float *up, const float *down)
{
    double sum = 0;

    for (int i = 0; i < m->nout; i++)
        for (size_t j = 0; j < m->out[i].n; j++, up++, down++)
            if (*up != *down)
                sum += ((double)*up - (double)*down) * (double)m->out_grad[i].v[j];
    return sum;
}

static size_t check_array(struct ot_mini *m, const struct ot_gradcheck *how, const char *what,
                          int index, struct ot_mini_array *x, const float *grad, float *buf,
                          size_t n_out)
{
    double step = how->step > 0 ? how->step : 0x1p-7, tol = how->tol > 0 ? how->tol : 1e-3;
    size_t limit = how->limit ? how->limit : 200, stride = x->n / limit + 1, checked = 0;

    for (size_t i = 0; i < x->n; i += stride) {
        float was = x->v[i], up = (float)((double)was + step), down = (float)((double)was - step);
        double numeric, analytic = (double)grad[i], scale;

        if (how->has_kink && fabs((double)was - how->kink) < how->margin)
            continue;
        x->v[i] = up;
        outputs(m, buf);
        x->v[i] = down;
        outputs(m, buf + n_out);
        x->v[i] = was;
        numeric = objective_change(m, buf, buf + n_out) / ((double)up - (double)down);
        scale = fmax(1.0, fmax(fabs(analytic), fabs(numeric)));
        if (!(fabs(analytic - numeric) <= tol * scale))
            fail_msg("%s %d element %zu: analytic gradient %.8g, numeric %.8g, tolerance %g", what,
                     index, i, analytic, numeric, tol * scale);
        checked++;
    }
    return checked;
}

static float *copy_of(const struct ot_mini_array *a)
{
    struct ot_err err = OT_ERR_INIT;
    float *v = ot_alloc(a->n, sizeof *v, &err);

    assert_non_null(v);
    memcpy(v, a->v, a->n * sizeof *v);
    return v;
}

size_t ot_gradcheck(struct ot_mini *m, const struct ot_gradcheck *how)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n_out = 0, checked = 0;
    float *buf, *grad;

    for (int i = 0; i < m->nout; i++)
        n_out += m->out[i].n;
    buf = ot_alloc(2 * n_out, sizeof *buf, &err);
    assert_non_null(buf);
    m->accumulate = false;
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (int i = 0; i < m->nin; i++) {
        if (!ot_want_in(&m->layer, i) || (how->skip_in >> i & 1))
            continue;
        grad = copy_of(&m->in_grad[i]);
        checked += check_array(m, how, "input", i, &m->in[i], grad, buf, n_out);
        ot_free(grad);
    }
    for (int i = 0; i < m->nparam; i++) {
        if (!ot_want_param(&m->layer, i))
            continue;
        grad = copy_of(&m->param_grad[i]);
        checked += check_array(m, how, "parameter", i, &m->param[i], grad, buf, n_out);
        ot_free(grad);
    }
    ot_free(buf);
    return checked;
}
