/* mean.c - a mean image is a blob of one image; leading axes that are missing are 1. */
#include "data/mean.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "proto/wire.h"

enum { MOST = 1 << 20 };

/* chw = the last three dims; all before them must be 1 */
static bool one_image(const struct ot_wire_shape *s, int64_t chw[3])
{
    bool sane = s->nd <= 4;

    for (int i = 0; i < 3; i++) {
        int at = s->nd - 3 + i;

        chw[i] = at < 0 ? 1 : s->dim[at];
        sane = sane && chw[i] >= 1 && chw[i] <= MOST;
    }
    return sane && (s->nd < 4 || s->dim[0] == 1);
}

int ot_mean_read(const char *path, struct ot_mean *m, struct ot_err *err)
{
    struct ot_wire_blob b;
    int64_t chw[3];

    *m = (struct ot_mean){ 0 };
    if (ot_wire_read_blob(path, &b, err) < 0)
        return ot_err_wrap(err, "mean_file");
    if (!one_image(&b.shape, chw)) {
        (void)ot_fail(
            err, OT_EDATA,
            "mean_file '%s': must be one image of C x H x W values, got %d axes, the last "
            "%lldx%lldx%lld",
            path, b.shape.nd, (long long)chw[0], (long long)chw[1], (long long)chw[2]);
        ot_wire_blob_free(&b);
        return err->code;
    }
    *m = (struct ot_mean){ (int)chw[0], (int)chw[1], (int)chw[2], b.data };
    return 0;
}

void ot_mean_release(struct ot_mean *m)
{
    ot_free(m->v);
    *m = (struct ot_mean){ 0 };
}
