/*
 * solver.cu - the solver's step and the norm of all gradients, each one launch for all parameters.
 *
 * A launch's arguments are the list of parameters: what is recorded keeps it, and no table must be
 * uploaded.  Parameters are cut into chunks, a block to each; a block finds its parameter by
 * bisection.  Arguments hold MANY parameters (32,764 bytes since CUDA 12.1); nets with more take
 * one more launch.
 */
#include "cuda/elem.h"
#include "layers/update_math.h"

constexpr int FEW = 64, MANY = 600;
constexpr size_t CHUNK = 4096; /* elements of a block: 4 times 4 a thread */

template <int N> struct segs {
    struct ot_update_seg s[N];
    unsigned first[N + 1]; /* first block of each, and their number */
    int n;
    unsigned chunk;
};

/* Takes up to N segments that are not empty from *at on. */
template <int N>
static void take(const struct ot_update_seg *host_segs, int nseg, size_t chunk, int *at,
                 struct segs<N> *t)
{
    t->n = 0;
    t->chunk = (unsigned)chunk;
    t->first[0] = 0;
    for (; *at < nseg && t->n < N; ++*at) {
        const struct ot_update_seg *s = &host_segs[*at];

        if (s->n == 0)
            continue;
        t->s[t->n] = *s;
        t->first[t->n + 1] = t->first[t->n] + (unsigned)((s->n + chunk - 1) / chunk);
        t->n++;
    }
}

/* What this block works on: elements [*from, *to) of the result. */
template <int N>
__device__ static const struct ot_update_seg *own_chunk(const struct segs<N> &t, size_t *from,
                                                        size_t *to)
{
    int lo = 0, hi = t.n;

    while (hi - lo > 1) {
        const int mid = (lo + hi) / 2;

        if (blockIdx.x < t.first[mid])
            hi = mid;
        else
            lo = mid;
    }
    *from = (size_t)(blockIdx.x - t.first[lo]) * t.chunk;
    *to = t.s[lo].n - *from < t.chunk ? t.s[lo].n : *from + t.chunk;
    return &t.s[lo];
}

__device__ __forceinline__ static bool aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0; /* NULL too */
}

/* ---- norm ---------------------------------------------------------------------------------- */

template <int N>
__global__ static void __launch_bounds__(OT_THREADS)
    grad_norm(OT_ARGUMENT(struct segs<N>) t, bool add, struct ot_sums *part,
              unsigned *arrived, double *norm)
{
    size_t from, to;
    const float *g = own_chunk(t, &from, &to)->g;
    const size_t four = aligned(g) ? from + (to - from) / 4 * 4 : from;
    struct ot_sums s = { 0.0, 0.0 };

    for (size_t i = from + 4 * threadIdx.x; i < four; i += 4 * OT_THREADS) {
        float v[4];

        ot_load<4>(g + i, v);
        OT_UNROLL
        for (int k = 0; k < 4; k++)
            s.a += (double)v[k] * (double)v[k];
    }
    for (size_t i = four + threadIdx.x; i < to; i += OT_THREADS)
        s.a += (double)g[i] * (double)g[i];
    if (ot_grid_sum(&s, part, arrived) && threadIdx.x == 0)
        *norm = add ? *norm + s.a : s.a;
}

template <int N>
static void norm_of(struct ot_dev *dev, const struct ot_update_seg *host_segs, int nseg,
                    size_t chunk, double *norm)
{
    bool add = false;

    for (int at = 0; at < nseg;) {
        struct segs<N> t = {
        };
        struct ot_sums *part;

        take(host_segs, nseg, chunk, &at, &t);
        if (t.n == 0)
            break;
        part = (struct ot_sums *)ot_cuda_room(dev, t.first[t.n] * sizeof *part);
        if (!part)
            return;
        OT_LAUNCH(dev, grad_norm<N>, t.first[t.n], OT_THREADS, t, add, part, ot_cuda_arrived(dev),
                  norm);
        add = true;
    }
    if (!add)
        ot_cuda_zero(dev, norm, sizeof *norm);
}

extern "C" void ot_cuda_grad_norm(struct ot_dev *dev, const struct ot_update_seg *host_segs,
                                  int nseg, double *norm)
{
    const size_t parts = 2048; /* about as many blocks: one of them adds their sums */
    size_t total = 0, chunk;

    for (int i = 0; i < nseg; i++)
        total += host_segs[i].n;
    chunk = (total / parts / CHUNK + 1) * CHUNK;
    if (nseg <= FEW)
        norm_of<FEW>(dev, host_segs, nseg, chunk, norm);
    else
        norm_of<MANY>(dev, host_segs, nseg, chunk, norm);
}

/* ---- update -------------------------------------------------------------------------------- */

struct rates {
    float scale, lr, correction, decay;
};

/* V values of w, g, h and, where the kind has it, h2; g keeps the gradient with decay. */
template <enum ot_update_kind KIND, unsigned V>
__device__ __forceinline__ static void step(const struct ot_update_rule &rule,
                                            const struct rates &now, const struct ot_update_seg &s,
                                            size_t i)
{
    constexpr bool two = KIND == OT_UPDATE_ADADELTA || KIND == OT_UPDATE_ADAM;
    struct ot_update_rule r = rule;
    float w[V], g[V], h[V], h2[V];

    r.kind = KIND;
    ot_load<V>(s.g + i, g);
    ot_load<V>(s.w + i, w);
    ot_load<V>(s.h + i, h);
    if (two)
        ot_load<V>(s.h2 + i, h2);
    OT_UNROLL
    for (unsigned k = 0; k < V; k++) {
        g[k] = ot_update_grad(&r, now.scale, now.decay, w[k], g[k]);
        w[k] -= ot_update_step(&r, now.lr, now.correction, g[k], &h[k], two ? &h2[k] : nullptr);
    }
    ot_store<V>(s.g + i, g);
    ot_store<V>(s.w + i, w);
    ot_store<V>(s.h + i, h);
    if (two)
        ot_store<V>(s.h2 + i, h2);
}

template <enum ot_update_kind KIND, int N>
__global__ static void __launch_bounds__(OT_THREADS)
    solver_update(OT_ARGUMENT(struct segs<N>) t,
                  const __grid_constant__ struct ot_update_rule r, const struct ot_step *step_now,
                  const double *norm)
{
    size_t from, to;
    const struct ot_update_seg &s = *own_chunk(t, &from, &to);
    const struct rates now = { ot_update_scale(&r, norm), step_now->lr * s.lr_mult,
                               step_now->correction, s.decay };
    const bool wide = aligned(s.w) && aligned(s.g) && aligned(s.h) && aligned(s.h2);
    const size_t four = wide ? from + (to - from) / 4 * 4 : from;

    for (size_t i = from + 4 * threadIdx.x; i < four; i += 4 * OT_THREADS)
        step<KIND, 4>(r, now, s, i);
    for (size_t i = four + threadIdx.x; i < to; i += OT_THREADS)
        step<KIND, 1>(r, now, s, i);
}

template <enum ot_update_kind KIND, int N>
static void update(struct ot_dev *dev, const struct ot_update_rule *rule,
                   const struct ot_update_seg *host_segs, int nseg, const double *norm)
{
    for (int at = 0; at < nseg;) {
        struct segs<N> t = {
        };

        take(host_segs, nseg, CHUNK, &at, &t);
        if (t.n)
            OT_LAUNCH(dev, (solver_update<KIND, N>), t.first[t.n], OT_THREADS, t, *rule,
                      ot_cuda_step(dev), norm);
    }
}

template <int N>
static void update_by(struct ot_dev *dev, const struct ot_update_rule *rule,
                      const struct ot_update_seg *host_segs, int nseg, const double *norm)
{
    switch (rule->kind) {
    case OT_UPDATE_SGD:
        update<OT_UPDATE_SGD, N>(dev, rule, host_segs, nseg, norm);
        break;
    case OT_UPDATE_NESTEROV:
        update<OT_UPDATE_NESTEROV, N>(dev, rule, host_segs, nseg, norm);
        break;
    case OT_UPDATE_ADAGRAD:
        update<OT_UPDATE_ADAGRAD, N>(dev, rule, host_segs, nseg, norm);
        break;
    case OT_UPDATE_RMSPROP:
        update<OT_UPDATE_RMSPROP, N>(dev, rule, host_segs, nseg, norm);
        break;
    case OT_UPDATE_ADADELTA:
        update<OT_UPDATE_ADADELTA, N>(dev, rule, host_segs, nseg, norm);
        break;
    case OT_UPDATE_ADAM:
        update<OT_UPDATE_ADAM, N>(dev, rule, host_segs, nseg, norm);
        break;
    }
}

extern "C" void ot_cuda_solver_update(struct ot_dev *dev, const struct ot_update_rule *rule,
                                      const struct ot_update_seg *host_segs, int nseg,
                                      const double *norm)
{
    if (nseg <= FEW)
        update_by<FEW>(dev, rule, host_segs, nseg, norm);
    else
        update_by<MANY>(dev, rule, host_segs, nseg, norm);
}
