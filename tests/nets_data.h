/*
 * nets_data.h - data for nets whose own is not here: small databases, a mean image, and the edits
 * of a parsed document that name them.
 *
 * An edit is the text of --set: "net.layer[0].data_param.batch_size=2" (trainer/config.h).
 *
 * Ownership: nets_edits_free() frees the edits.
 * Threads: one.  Errors: OT_ECREATE, OT_EIO, OT_ENOMEM; OT_ENOINPUT for data that cannot be made.
 */
#ifndef OT_TESTS_NETS_DATA_H
#define OT_TESTS_NETS_DATA_H

#include <stdbool.h>

#include "base/err.h"
#include "proto/caffe.pb-c.h"

enum { NETS_SHAPES = 3, NETS_EDITS = 160, NETS_TEXT = 2200 };

struct nets_record { /* of the database to be made */
    int channels, side;
};

struct nets_edits {
    char *text[NETS_EDITS];
    int n;
};

int nets_edit(struct nets_edits *e, struct ot_err *err, const char *fmt, ...) OT_PRINTF(3, 4);
void nets_edits_free(struct nets_edits *e);

/* Likely shapes of the net's records, the likeliest first: by the names of its data and its
 * crop_size.  Returns how many: 0 when it reads no database. */
int nets_records(const Caffe__NetParameter *net, struct nets_record *r);

/* Edits for every data layer: missing sources and mean images (not there, nor beside the net's
 * file) are replaced by ones made in `dir`, and batches cut down.  prefix: "net" or "net_param". */
int nets_supply(const Caffe__NetParameter *net, const char *prefix, const char *file,
                const char *dir, struct nets_record r, int batch, struct nets_edits *e,
                struct ot_err *err);

#endif
