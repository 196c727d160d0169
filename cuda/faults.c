/* faults.c - what kernels find wrong in their data, in the words of the CPU's kernels. */
#include <string.h>

#include "cuda/cuda_i.h"

void ot_cuda_report(struct ot_dev *dev, enum ot_cuda_fault what, unsigned long long fault,
                    double limit)
{
    const unsigned index = (unsigned)(fault >> 32), bits = (unsigned)fault;
    float value;

    memcpy(&value, &bits, sizeof value);
    switch (what) {
    case OT_FAULT_LABEL:
        ot_dev_fail(dev, OT_EDATA, "instance %u: label %g is outside [0, %.0f)", index,
                    (double)value, limit);
        break;
    case OT_FAULT_ROI:
        ot_dev_fail(dev, OT_EDATA, "RoI %u: batch index must be below %.0f, got %g", index, limit,
                    (double)value);
        break;
    case OT_FAULT_CLASS:
        ot_dev_fail(dev, OT_EDATA, "gt_boxes row %u: class must be below num_classes %.0f, got %g",
                    index, limit, (double)value);
        break;
    case OT_FAULTS:
        break;
    }
}
