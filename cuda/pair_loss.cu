/*
 * pair_loss.cu - Euclidean and sigmoid cross entropy losses, a thread an element; the contrastive
 * loss, a block a pair of rows.
 */
#include "cuda/loss_share.h"
#include "layers/pair_loss_math.h"

__global__ static void __launch_bounds__(OT_THREADS)
    pair_fwd(const __grid_constant__ struct ot_softmax_loss_geom g, enum ot_pair_loss kind,
             const float *x, const float *t, const __grid_constant__ struct ot_loss_out out)
{
    struct ot_sums s = { 0.0, 0.0 };

    OT_EACH (i, g.outer * g.inner) {
        if (ot_label_ignored(&g, t[i]))
            continue;
        s.b += 1.0;
        s.a += ot_pair_loss_of(kind, x[i], t[i]);
    }
    ot_loss_finish(g, out, s);
}

extern "C" void ot_cuda_pair_loss_fwd(struct ot_dev *dev, enum ot_pair_loss kind,
                                      const struct ot_softmax_loss_geom *g, const float *x,
                                      const float *t, struct ot_loss_stats *stats, float *loss)
{
    struct ot_loss_out out;

    if (ot_loss_out_of(dev, g->c, stats, loss, &out))
        OT_LAUNCH(dev, pair_fwd, ot_grid(g->outer * g->inner, OT_LOSS_PARTS), OT_THREADS, *g, kind,
                  x, t, out);
}

__global__ static void pair_bwd(const __grid_constant__ struct ot_softmax_loss_geom g,
                                enum ot_pair_loss kind, float sign, const float *x, const float *t,
                                const struct ot_loss_stats *stats, const float *dloss, float *dx)
{
    const float scale = (float)((double)(sign * dloss[0]) / stats->norm);

    OT_EACH (i, g.outer * g.inner)
        dx[i] = ot_label_ignored(&g, t[i]) ? 0.0f : scale * ot_pair_loss_grad(kind, x[i], t[i]);
}

extern "C" void ot_cuda_pair_loss_bwd(struct ot_dev *dev, enum ot_pair_loss kind,
                                      const struct ot_softmax_loss_geom *g, float sign,
                                      const float *x, const float *t,
                                      const struct ot_loss_stats *stats, const float *dloss,
                                      float *dx)
{
    const size_t n = g->outer * g->inner;

    if (n)
        OT_LAUNCH(dev, pair_bwd, ot_grid(n), OT_THREADS, *g, kind, sign, x, t, stats, dloss, dx);
}

/* ---- contrastive --------------------------------------------------------------------------- */

/* Squared distance of two rows, the same in every thread of the block. */
__device__ static float distance2(size_t cols, const float *a, const float *b)
{
    double sum = 0.0;

    for (size_t j = threadIdx.x; j < cols; j += blockDim.x) {
        float d = a[j] - b[j];

        sum += (double)d * (double)d;
    }
    return (float)ot_block_sum(sum);
}

__global__ static void contrastive_fwd(const __grid_constant__ struct ot_contrastive_geom g,
                                       const float *a, const float *b, const float *same,
                                       struct ot_sums *part, unsigned *arrived, float *loss)
{
    struct ot_sums s = { 0.0, 0.0 };

    for (size_t r = blockIdx.x; r < g.rows; r += gridDim.x) {
        const float d2 = distance2(g.cols, a + r * g.cols, b + r * g.cols);

        if (threadIdx.x == 0) /* the same in every thread, wanted once */
            s.a += ot_contrastive_of(&g, ot_pair_same(same[r]), d2);
    }
    if (ot_grid_sum(&s, part, arrived) && threadIdx.x == 0)
        loss[0] = g.rows ? (float)(s.a / (2.0 * (double)g.rows)) : 0.0f;
}

static unsigned row_blocks(size_t rows)
{
    return (unsigned)(rows < 1 ? 1 : rows > OT_LOSS_PARTS ? OT_LOSS_PARTS : rows);
}

extern "C" void ot_cuda_contrastive_fwd(struct ot_dev *dev, const struct ot_contrastive_geom *g,
                                        const float *a, const float *b, const float *same,
                                        float *loss)
{
    struct ot_sums *part = (struct ot_sums *)ot_cuda_room(dev, OT_LOSS_PARTS * sizeof *part);

    if (part)
        OT_LAUNCH(dev, contrastive_fwd, row_blocks(g->rows), OT_THREADS, *g, a, b, same, part,
                  ot_cuda_arrived(dev), loss);
}

__global__ static void contrastive_bwd(const __grid_constant__ struct ot_contrastive_geom g,
                                       float sign, const float *a, const float *b,
                                       const float *same, const float *dloss, float *dx)
{
    const float scale = sign * dloss[0] / (float)g.rows;

    for (size_t r = blockIdx.x; r < g.rows; r += gridDim.x) {
        const float *ar = a + r * g.cols, *br = b + r * g.cols;
        const float f = scale *
                        ot_contrastive_factor(&g, ot_pair_same(same[r]), distance2(g.cols, ar, br));

        for (size_t j = threadIdx.x; j < g.cols; j += blockDim.x)
            dx[r * g.cols + j] = f * (ar[j] - br[j]);
    }
}

extern "C" void ot_cuda_contrastive_bwd(struct ot_dev *dev, const struct ot_contrastive_geom *g,
                                        float sign, const float *a, const float *b,
                                        const float *same, const float *dloss, float *dx)
{
    if (g->rows && g->cols)
        OT_LAUNCH(dev, contrastive_bwd, row_blocks(g->rows), OT_THREADS, *g, sign, a, b, same,
                  dloss, dx);
}
