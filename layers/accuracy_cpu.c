/*
 * accuracy_cpu.c - counts instances whose class is among the top_k scores.
 *
 * As in Caffe a score equal to the true class's counts as better, so ties are wrong; and since
 * no comparison with NaN holds, NaN scores are right.
 */
#include "layers/device.h"
#include "layers/softmax_loss_math.h"

enum { CLASSES = 256 }; /* counted in one sweep over the labels */

/* Whether fewer than top_k other classes score at least as high as class k. */
static int is_right(size_t c, size_t inner, int top_k, const float *x, size_t k)
{
    float own = x[k * inner];
    int better = -1; /* class k itself is found too */

    for (size_t j = 0; j < c; j++)
        better += x[j * inner] >= own;
    return better < top_k;
}

void ot_cpu_accuracy(struct ot_dev *dev, size_t outer, size_t c, size_t inner, int top_k,
                     bool has_ignore, int ignore, const float *x, const float *label, float *acc,
                     float *per_class)
{
    const struct ot_softmax_loss_geom g = { .has_ignore = has_ignore, .ignore_label = ignore };
    uint64_t all = 0, right_all = 0;

    for (size_t from = 0; from < c; from += CLASSES) {
        uint64_t seen[CLASSES] = { 0 }, right[CLASSES] = { 0 };

        for (size_t i = 0; i < outer * inner; i++) {
            int64_t k = ot_label_class(label[i], c);

            if (ot_label_ignored(&g, label[i]))
                continue;
            if (k < 0)
                ot_dev_fail(dev, OT_EDATA, "instance %zu: label %g is outside [0, %zu)", i,
                            (double)label[i], c);
            if (k < (int64_t)from || k >= (int64_t)from + CLASSES)
                continue;
            seen[(size_t)k - from]++;
            right[(size_t)k - from] += (uint64_t)is_right(
                c, inner, top_k, x + i / inner * c * inner + i % inner, (size_t)k);
        }
        for (size_t k = from; k < c && k < from + CLASSES; k++) {
            uint64_t n = seen[k - from], r = right[k - from];

            all += n;
            right_all += r;
            if (per_class)
                per_class[k] = n ? (float)((double)r / (double)n) : 0.0f;
        }
    }
    acc[0] = all ? (float)((double)right_all / (double)all) : 0.0f;
}
