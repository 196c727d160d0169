/* rows.c - indices from outside are looked at on the device and reported after forward. */
#include "layers/rows_i.h"

void ot_rows_check(struct ot_layer *l, int in, size_t limit, int ws)
{
    const struct ot_tensor *index = &l->in[in]->data;

    l->dev->k->check_rows(l->dev, ot_count(&index->shape), limit, index->data, l->ws[ws]);
}

int ot_rows_report(struct ot_layer *l, int in, size_t limit, int ws, struct ot_err *err)
{
    struct ot_bad_row bad;

    if (l->dev->late_faults)
        return 0;
    l->dev->ops->download(l->dev, &bad, l->ws[ws], sizeof bad);
    if (!bad.at)
        return 0;
    return ot_fail(err, OT_EDATA, "bottom '%s': index %g at position %lld is outside [0, %zu)",
                   l->in[in]->name, bad.index, (long long)bad.at - 1, limit);
}
