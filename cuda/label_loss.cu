/*
 * label_loss.cu - hinge, multinomial and infogain losses: a thread takes an instance on the way
 * forward and a value on the way back.
 */
#include "cuda/loss_share.h"
#include "layers/label_loss_math.h"

__global__ static void __launch_bounds__(OT_THREADS)
    label_fwd(const __grid_constant__ struct ot_softmax_loss_geom g, enum ot_label_loss kind,
              const float *x, const float *label, const float *h,
              const __grid_constant__ struct ot_loss_out out)
{
    struct ot_sums s = { 0.0, 0.0 };

    OT_EACH (i, g.outer * g.inner) {
        const int k = ot_loss_class(g, out, i, label[i], &s);

        if (k >= 0)
            s.a += ot_label_loss_of(kind, g.c, g.inner, (size_t)k,
                                    x + i / g.inner * g.c * g.inner + i % g.inner,
                                    h ? h + (size_t)k * g.c : NULL);
    }
    ot_loss_finish(g, out, s);
}

extern "C" void ot_cuda_label_loss_fwd(struct ot_dev *dev, enum ot_label_loss kind,
                                       const struct ot_softmax_loss_geom *g, const float *x,
                                       const float *label, const float *h,
                                       struct ot_loss_stats *stats, float *loss)
{
    struct ot_loss_out out;

    if (ot_loss_out_of(dev, g->c, stats, loss, &out))
        OT_LAUNCH(dev, label_fwd, ot_grid(g->outer * g->inner, OT_LOSS_PARTS), OT_THREADS, *g, kind,
                  x, label, h, out);
}

__global__ static void row_sums(size_t c, const float *h, float *sum)
{
    OT_EACH (k, c) {
        double s = 0.0;

        for (size_t j = 0; j < c; j++)
            s += (double)h[k * c + j];
        sum[k] = (float)s;
    }
}

__global__ static void label_bwd(const __grid_constant__ struct ot_softmax_loss_geom g,
                                 enum ot_label_loss kind, size_t n, const float *x,
                                 const float *label, const float *h, const float *h_row,
                                 const struct ot_loss_stats *stats, const float *dloss, float *dx)
{
    const float scale = (float)((double)dloss[0] / stats->norm);

    OT_EACH (at, n) {
        const size_t j = at / g.inner % g.c, i = at / (g.inner * g.c) * g.inner + at % g.inner;
        const float l = label[i];
        const int64_t k = ot_label_ignored(&g, l) ? -1 : ot_label_class(l, g.c);

        dx[at] = k < 0 ? 0.0f
                       : scale * ot_label_loss_grad(kind, (int64_t)j == k, x[at],
                                                    h ? h[(size_t)k * g.c + j] : 0.0f,
                                                    h ? h_row[k] : 0.0f);
    }
}

extern "C" void ot_cuda_label_loss_bwd(struct ot_dev *dev, enum ot_label_loss kind,
                                       const struct ot_softmax_loss_geom *g, const float *x,
                                       const float *label, const float *h,
                                       const struct ot_loss_stats *stats, const float *dloss,
                                       float *dx)
{
    const size_t n = g->outer * g->c * g->inner;
    float *h_row = NULL;

    if (!n)
        return;
    if (h) {
        h_row = (float *)ot_cuda_room(dev, g->c * sizeof *h_row);
        if (!h_row)
            return;
        OT_LAUNCH(dev, row_sums, ot_grid(g->c), OT_THREADS, g->c, h, h_row);
    }
    OT_LAUNCH(dev, label_bwd, ot_grid(n), OT_THREADS, *g, kind, n, x, label, h, h_row, stats, dloss,
              dx);
}
