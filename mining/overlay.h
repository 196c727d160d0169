/*
 * overlay.h - a file of label corrections: JSON Lines, applied while reading, the data unharmed.
 *
 * One object a line; empty lines do not count, nor do members that are not named here:
 *
 *     {"key": "00000012", "label": 6}
 *     {"key": "00000044", "label": "Shirt", "who": "ann"}
 *     {"key": "BCCD_7", "kind": "box", "slot": 3, "verdict": "ignore"}
 *
 *   key      of the record, as the pool file and the logs print it
 *   kind     "image" (default) or "box"; the pool file's numbers 0 and 1 are taken too
 *   slot     of a box: its index in the record, from 0
 *   verdict  "mislabelled", "hard", "ignore", "relabel"; default: relabel when there is a label
 *   label    of a relabel: a number or a name of the config's class_name; a box that is
 *            relabelled 0 (the background) counts as not there
 *
 * Of several lines about one instance the last counts.
 *
 * Ownership: *v is the caller's (ot_free).  Threads: any; nothing is kept.
 * Errors: OT_ENOINPUT (no such file), OT_EDATA with file, line and value.
 */
#ifndef OT_MINING_OVERLAY_H
#define OT_MINING_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "mining/miner.h"

/* The verdicts of a file, by identity, one per instance.  find: the sample of a key, -1: none.
 * n_classes 0: unknown, labels are only checked to be >= 0; class_name may be NULL. */
int ot_overlay_read(const char *path, int64_t (*find)(void *ctx, const char *key), void *ctx,
                    int n_classes, const char *const *class_name, struct ot_verdict **v, size_t *n,
                    struct ot_err *err);

#endif
