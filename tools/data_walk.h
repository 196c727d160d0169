/*
 * data_walk.h - every record of a database, one after another.
 *
 * Ownership: nothing is kept; keys and values are borrowed for the length of a call.
 */
#ifndef OT_TOOLS_DATA_WALK_H
#define OT_TOOLS_DATA_WALK_H

#include "tools/data_cmd.h"

/* Returns 0 to go on, a code to stop (err filled). */
typedef int ot_data_visit(void *user, struct ot_bytes key, struct ot_bytes value,
                          struct ot_err *err);

int ot_data_walk(const char *path, ot_data_visit *visit, void *user, struct ot_err *err);

#endif
