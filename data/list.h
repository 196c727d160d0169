/*
 * list.h - ImageData's list: a line "path label" for each image, split at its last blank.
 *
 * Ownership: *keys (the paths) and *label are owned by the caller: ot_keys_release(), ot_free().
 * Threads: none of its own.
 * Errors: OT_ENOINPUT; OT_EDATA with file, line and what the line holds.
 */
#ifndef OT_DATA_LIST_H
#define OT_DATA_LIST_H

#include <stdint.h>

#include "data/keys.h"

int ot_list_read(const char *path, struct ot_keys *keys, int32_t **label, struct ot_err *err);

#endif
