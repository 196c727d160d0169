#include "tests/regions.h"

#include <math.h>

#include "tests/check.h"

struct ot_dev *ot_test_dev;

int ot_test_open_device(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_test_dev = ot_dev_open("cpu", 2, &err);
    return ot_test_dev ? 0 : -1;
}

int ot_test_close_device(void **state)
{
    (void)state;
    ot_dev_close(ot_test_dev);
    return 0;
}

static struct ot_mini *try_mini(const char *text, int n_in, const struct ot_shape *in,
                                struct ot_err *err)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in, .no_grad = ~1u, .seed = 17 };

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    return ot_mini_open(ot_test_dev, &spec, err);
}

struct ot_mini *ot_test_mini(const char *text, int n_in, const struct ot_shape *in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = try_mini(text, n_in, in, &err);

    if (!m)
        assert_ok(err.code, &err);
    return m;
}

void ot_test_refused(const char *text, int n_in, const struct ot_shape *in, enum ot_code code,
                     const char *part)
{
    struct ot_err err = OT_ERR_INIT;

    assert_null(try_mini(text, n_in, in, &err));
    assert_error(&err, code, part);
}

void ot_test_forward(struct ot_mini *m)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_mini_forward(m, &err), &err);
}

void ot_test_golden(struct ot_golden *g, const char *name)
{
    struct ot_err err = OT_ERR_INIT;
    char path[128];

    (void)snprintf(path, sizeof path, "golden/frcnn/%s", name);
    if (!ot_shared(path))
        skip_because("no %s", path);
    assert_ok(ot_golden_open(g, ot_shared(path), &err), &err);
}

const struct ot_golden_blob *ot_test_blob(const struct ot_golden *g, const char *name)
{
    const struct ot_golden_blob *b = ot_golden_find(g, name);

    if (!b)
        fail_msg("%s has no blob %s", g->dir, name);
    return b;
}

void ot_test_give(const struct ot_golden *g, const char *name, struct ot_mini_array *a)
{
    const struct ot_golden_blob *b = ot_test_blob(g, name);

    assert_int_equal(b->n, a->n);
    memcpy(a->v, b->v, a->n * sizeof *a->v);
}

int ot_test_int(const struct ot_golden_blob *b, size_t i)
{
    assert_true(i < b->n);
    return (int)b->v[i];
}

void ot_test_same(const struct ot_golden *g, const char *name, const float *v, size_t n, double tol)
{
    const struct ot_golden_blob *b = ot_test_blob(g, name);
    double most = 0.0;

    assert_int_equal(b->n, n);
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)b->v[i]));
    for (size_t i = 0; i < n; i++) {
        double e = fabs((double)v[i] - (double)b->v[i]);

        if (!(e <= tol * most))
            fail_msg("%s %s[%zu]: wanted %.9g, got %.9g", g->dir, name, i, (double)b->v[i],
                     (double)v[i]);
    }
}
