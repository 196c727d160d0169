/*
 * faults.c - what kernels find wrong in their data, in the words of the CPU's kernels.
 *
 * A note says a kind, and the layer it was made for; the first OT_FAULTS places are the kinds'
 * own, for kernels that run for no layer and for all layers that found no other place.
 */
#include <stdio.h>
#include <string.h>

#include "cuda/cuda_i.h"

static bool is_slot(const struct ot_cuda_fault_slot *s, enum ot_cuda_fault what, double limit,
                    const char *where)
{
    return s->what == what && s->limit == limit && !strncmp(s->where, where, sizeof s->where - 1);
}

int ot_cuda_fault_slot(struct ot_cuda_faults *t, enum ot_cuda_fault what, double limit,
                       const char *where)
{
    struct ot_cuda_fault_slot *s;

    for (int i = 0; where && *where && i < t->n; i++)
        if (is_slot(&t->slot[OT_FAULTS + i], what, limit, where))
            return OT_FAULTS + i;
    if (!where || !*where || OT_FAULTS + t->n == OT_CUDA_FAULTS) {
        t->slot[what].what = what;
        t->slot[what].limit = limit;
        return (int)what;
    }
    s = &t->slot[OT_FAULTS + t->n++];
    s->what = what;
    s->limit = limit;
    (void)snprintf(s->where, sizeof s->where, "%s", where);
    return (int)(s - t->slot);
}

static void report(struct ot_dev *dev, const struct ot_cuda_fault_slot *s, unsigned long long fault)
{
    const unsigned index = (unsigned)(fault >> 32), bits = (unsigned)fault;
    float value;

    memcpy(&value, &bits, sizeof value);
    switch (s->what) {
    case OT_FAULT_LABEL:
        ot_dev_fail(dev, OT_EDATA, "instance %u: label %g is outside [0, %.0f)", index,
                    (double)value, s->limit);
        break;
    case OT_FAULT_ROW:
        ot_dev_fail(dev, OT_EDATA, "index %g at position %u is outside [0, %.0f)", (double)value,
                    index, s->limit);
        break;
    case OT_FAULT_ROI:
        ot_dev_fail(dev, OT_EDATA, "RoI %u: batch index must be below %.0f, got %g", index,
                    s->limit, (double)value);
        break;
    case OT_FAULT_CLASS:
        ot_dev_fail(dev, OT_EDATA, "gt_boxes row %u: class must be below num_classes %.0f, got %g",
                    index, s->limit, (double)value);
        break;
    case OT_FAULTS:
        break;
    }
}

void ot_cuda_faults_report(struct ot_dev *dev, const struct ot_cuda_faults *t,
                           const unsigned long long *fault)
{
    for (int i = 0; i < OT_FAULTS + t->n && dev->latch.code == OT_OK; i++)
        if (fault[i] != ~0ull) {
            report(dev, &t->slot[i], fault[i]);
            if (t->slot[i].where[0])
                (void)ot_err_wrap(&dev->latch, "layer '%s'", t->slot[i].where);
        }
}
