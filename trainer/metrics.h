/*
 * metrics.h - metrics.jsonl: one JSON object a line, for programs.
 *
 *     ot_metrics_begin(m, "train", iter);  ot_metrics_num(m, "loss", loss);  ot_metrics_end(m);
 *
 * Every line has "t" (seconds since start), "time" (UTC), "kind" and "iter"; numbers that are not
 * finite are null.  Ownership: ot_metrics_open returns owned.  Threads: one.  Errors: OT_ECREATE at
 * open; a later write error is logged once and stops the file, never the training.
 */
#ifndef OT_TRAINER_METRICS_H
#define OT_TRAINER_METRICS_H

#include <stdint.h>

#include "base/err.h"

struct ot_metrics;

struct ot_metrics *ot_metrics_open(const char *path, struct ot_err *err);
void ot_metrics_close(struct ot_metrics *m); /* NULL is fine, here and below */
void ot_metrics_begin(struct ot_metrics *m, const char *kind, int64_t iter);
void ot_metrics_num(struct ot_metrics *m, const char *name, double v);
void ot_metrics_str(struct ot_metrics *m, const char *name, const char *v);
void ot_metrics_end(struct ot_metrics *m);

#endif
