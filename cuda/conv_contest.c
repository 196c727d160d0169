/*
 * conv_contest.c - whether a plan of cuDNN's graph interface (conv_graph.c) is faster than the
 * fastest algorithm of the other one, on the same arrays.
 *
 * Forward counts with its bias and ReLU, which some plans do by the way.  Each is timed as it
 * runs in a net: from memory, not from the cache, and without what the host takes to queue it.
 * Before a plan is taken its result is looked at: the arrays hold noise whose products are exact in
 * every type, so that two right results differ by the order of sums and one rounding.  Whatever
 * does not run, or gives something else, is passed over.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/conv_graph.h"
#include "layers/bf16_math.h"

enum { REPEATS = 3, NOISE = 4093, PIECES = 3, PIECE = 4096 };

/* Cleared before each run: more than the cache, and longer than the host takes for a run. */
static const size_t cleared = (size_t)64 << 20;

/* A plan must be as much faster, and a result as near in parts of the largest value; what is so
 * much slower than the best is not timed again. */
static const float faster = 0.97f, near = 1.0f / 64, hopeless = 1.25f;

struct contest {
    struct ot_dev *dev;
    const struct ot_conv_desc *d;
    enum ot_conv_way way;
    const struct ot_conv_bench *bench;
    struct ot_conv_args args;
    struct ot_channels y;
    size_t bytes; /* of what is written */
    cudaEvent_t from, to;
    float want[PIECES * PIECE], got[PIECES * PIECE];
};

struct graphs {
    struct ot_conv_graph *graph[2]; /* not fused, fused; may be NULL */
    float ms[2][OT_CONV_PLANS];     /* INFINITY: out */
};

/* ---- the arrays ---------------------------------------------------------------------------- */

/* Fills it with sixty-fourths between -1 and 1: products have 12 bits. */
static bool make_noise(const struct contest *c, enum ot_type type, void *p, size_t bytes,
                       uint32_t seed)
{
    cudaStream_t stream = ot_cuda_of(c->dev)->stream;

    union {
        float f[NOISE];
        uint16_t half[NOISE];
    } first;

    const size_t some = NOISE * ot_type_bytes(type);
    cudaError_t e;

    for (int i = 0; i < NOISE; i++) {
        const float v = (float)((int)(seed >> 16 & 127) - 64) / 64.0f;

        seed = seed * 1664525u + 1013904223u;
        if (type == OT_BF16)
            first.half[i] = ot_bf16_from(v);
        else
            first.f[i] = v;
    }
    e = cudaMemcpyAsync(p, &first, bytes < some ? bytes : some, cudaMemcpyHostToDevice, stream);
    for (size_t n = some; e == cudaSuccess && n < bytes; n *= 2)
        e = cudaMemcpyAsync((char *)p + n, p, bytes - n < n ? bytes - n : n,
                            cudaMemcpyDeviceToDevice, stream);
    return e == cudaSuccess;
}

static bool all_noise(const struct contest *c)
{
    const struct ot_conv_bench *b = c->bench;
    const size_t oc = (size_t)c->d->g.oc;

    return make_noise(c, c->d->type, b->x, c->d->x_bytes, 1) &&
           make_noise(c, c->d->type, b->y, c->d->y_bytes, 2) &&
           make_noise(c, c->d->type, b->w, c->d->w_bytes, 3) &&
           make_noise(c, OT_F32, b->bias_f32, oc * sizeof(float), 4);
}

/* The beginning, the middle and the end of what was written. */
static bool look(const struct contest *c, float v[PIECES * PIECE])
{
    cudaStream_t stream = ot_cuda_of(c->dev)->stream;
    const size_t elem = ot_type_bytes(c->d->type), n = c->bytes / elem;
    const size_t piece = n < PIECE ? n : PIECE;
    float read[PIECE];

    memset(v, 0, sizeof(float[PIECES * PIECE]));
    for (size_t k = 0; k < PIECES; k++) {
        const char *at = (const char *)c->args.to + (n - piece) * k / (PIECES - 1) * elem;

        if (cudaMemcpyAsync(read, at, piece * elem, cudaMemcpyDeviceToHost, stream) !=
                cudaSuccess ||
            cudaStreamSynchronize(stream) != cudaSuccess)
            return false;
        for (size_t i = 0; i < piece; i++) {
            uint16_t half;

            memcpy(&half, (const char *)read + i * elem, sizeof half);
            v[k * PIECE + i] = c->d->type == OT_BF16 ? ot_bf16_to(half) : read[i];
        }
    }
    return true;
}

/* ---- running ------------------------------------------------------------------------------- */

/* As conv.c does it. */
static bool run(const struct contest *c, const struct ot_conv_algo *algo)
{
    const struct ot_conv_bench *b = c->bench;

    if (algo->fused && c->d->type == OT_BF16)
        ot_cuda_to_bf16(c->dev, c->y.c, b->bias_f32, b->bias);
    else if (algo->fused)
        ot_cuda_move(c->dev, b->bias, b->bias_f32, c->y.c * sizeof(float));
    if (ot_cuda_conv_run(c->dev, c->d, c->way, algo, &c->args) != CUDNN_STATUS_SUCCESS)
        return false;
    if (c->way == OT_CONV_FORWARD && !algo->fused)
        ot_cuda_bias(c->dev, &c->y, c->d->bias ? b->bias_f32 : NULL, c->d->relu, c->args.to);
    return c->dev->latch.code == OT_OK;
}

/* Milliseconds; INFINITY where it does not run.  *best: the least so far. */
static float timed(const struct contest *c, const struct ot_conv_algo *algo, float *best)
{
    cudaStream_t stream = ot_cuda_of(c->dev)->stream;
    const size_t room = c->bench->room_bytes;
    float least = INFINITY;

    if (!run(c, algo)) /* what is loaded or compiled at first use */
        return INFINITY;
    for (int i = 0; i < REPEATS && (i == 0 || least < hopeless * *best); i++) {
        float ms;

        if (cudaMemsetAsync(c->bench->room, 0, room < cleared ? room : cleared, stream) !=
                cudaSuccess ||
            cudaEventRecord(c->from, stream) != cudaSuccess || !run(c, algo) ||
            cudaEventRecord(c->to, stream) != cudaSuccess ||
            cudaEventSynchronize(c->to) != cudaSuccess ||
            cudaEventElapsedTime(&ms, c->from, c->to) != cudaSuccess)
            return INFINITY;
        least = fminf(least, ms);
    }
    *best = fminf(*best, least);
    return least;
}

/* Whether what it writes is what was wanted. */
static bool is_right(struct contest *c, const struct ot_conv_algo *algo)
{
    cudaStream_t stream = ot_cuda_of(c->dev)->stream;
    float most = 0.0f;

    /* all bits set: no number in either type */
    if (cudaMemsetAsync(c->args.to, 0xff, c->bytes, stream) != cudaSuccess || !run(c, algo) ||
        !look(c, c->got))
        return false;
    for (int i = 0; i < PIECES * PIECE; i++)
        most = fmaxf(most, fabsf(c->want[i]));
    for (int i = 0; i < PIECES * PIECE; i++)
        if (!(fabsf(c->want[i] - c->got[i]) <= near * most))
            return false;
    return true;
}

/* ---- the contest --------------------------------------------------------------------------- */

static struct ot_conv_algo plan_of(const struct ot_conv_algo *other, struct ot_conv_graph *g, int k)
{
    return (struct ot_conv_algo){ .algo = k,
                                  .bytes = g->plan[k].bytes,
                                  .math = other->math,
                                  .graph = g,
                                  .fused = g->fused,
                                  .measured = true };
}

static void time_plans(const struct contest *c, const struct ot_conv_algo *other, float best,
                       struct graphs *s)
{
    const struct ot_conv_target target = { .handle = ot_cuda_of(c->dev)->cudnn };
    const size_t most = ot_cuda_of(c->dev)->conf.workspace_bytes;
    const size_t room = c->bench->room_bytes < most ? c->bench->room_bytes : most;
    const int kinds = c->way == OT_CONV_FORWARD && c->d->bias ? 2 : 1;

    for (int f = 0; f < kinds; f++) {
        struct ot_conv_graph *g = ot_conv_graph_open(c->d, c->way, f > 0, &target, room);

        s->graph[f] = g;
        for (int k = 0; g && k < g->plans; k++) {
            const struct ot_conv_algo algo = plan_of(other, g, k);

            s->ms[f][k] = timed(c, &algo, &best);
            (void)cudaGetLastError(); /* or the next kernel would find it */
        }
    }
}

/* The fastest plan that takes less than `ms`. */
static bool fastest(const struct graphs *s, float ms, int *kind, int *k)
{
    bool any = false;

    for (int f = 0; f < 2; f++)
        for (int i = 0; s->graph[f] && i < s->graph[f]->plans; i++)
            if (s->ms[f][i] < ms) {
                ms = s->ms[f][i];
                *kind = f;
                *k = i;
                any = true;
            }
    return any;
}

/* Keeps the first for people. */
static void distrust(const struct contest *c, const struct ot_conv_graph *g, int k)
{
    static const char *const ways[] = { "forward", "backward to data", "backward to weights" };
    const struct ot_conv_geom *d = &c->d->g;
    char *to = c->dev->distrusted;

    if (!to[0])
        (void)snprintf(to, sizeof c->dev->distrusted,
                       "plan %d of cuDNN%s, %s, %dx%dx%dx%d by %dx%d to %d", k,
                       g->fused ? " with bias" : "", ways[c->way], d->n, d->c, d->h, d->w, d->kh,
                       d->kw, d->oc);
}

static void play(struct contest *c, struct ot_conv_algo *algo)
{
    struct graphs s = { 0 };
    int kind, k;
    float best = INFINITY;
    const float ms = all_noise(c) ? timed(c, algo, &best) : INFINITY;

    if (!isfinite(ms) || !look(c, c->want))
        return;
    time_plans(c, algo, best, &s);
    while (fastest(&s, faster * ms, &kind, &k)) {
        const struct ot_conv_algo plan = plan_of(algo, s.graph[kind], k);

        if (is_right(c, &plan)) {
            ot_conv_graph_keep(s.graph[kind], k);
            *algo = plan;
            algo->algo = 0;
            s.graph[kind] = NULL;
            break;
        }
        distrust(c, s.graph[kind], k);
        s.ms[kind][k] = INFINITY;
    }
    ot_conv_graph_close(s.graph[0]);
    ot_conv_graph_close(s.graph[1]);
}

void ot_cuda_conv_contest(struct ot_dev *dev, const struct ot_conv_desc *d, enum ot_conv_way way,
                          const struct ot_conv_bench *bench, struct ot_conv_algo *algo)
{
    const struct ot_conv_geom *g = &d->g;
    const size_t inner = (size_t)g->oh * (size_t)g->ow, oc = (size_t)g->oc;
    struct ot_err none = OT_ERR_INIT;
    struct contest *c = d->last ? ot_alloc(1, sizeof *c, &none) : NULL;

    if (!c)
        return;
    c->dev = dev;
    c->d = d;
    c->way = way;
    c->bench = bench;
    c->args = ot_cuda_conv_on(bench, way);
    c->y = (struct ot_channels){
        .outer = (size_t)g->n, .c = oc, .inner = inner, .block = inner > 1 ? oc : 1, .type = d->type
    };
    c->bytes = way == OT_CONV_FORWARD ? d->y_bytes : way == OT_CONV_DATA ? d->x_bytes : d->w_bytes;
    if (cudaEventCreate(&c->from) == cudaSuccess) {
        if (cudaEventCreate(&c->to) == cudaSuccess) {
            play(c, algo);
            (void)cudaEventDestroy(c->to);
        }
        (void)cudaEventDestroy(c->from);
    }
    (void)cudaGetLastError();
    ot_free(c);
}
