/* data_walk.c - one cursor from the first key to the last. */
#include "tools/data_walk.h"

int ot_data_walk(const char *path, ot_data_visit *visit, void *user, struct ot_err *err)
{
    struct ot_db *db = ot_db_open(path, err);
    struct ot_db_cursor *c = db ? ot_db_cursor_new(db, err) : NULL;
    struct ot_bytes key = { 0 }, value = { 0 };
    int rc = c ? ot_db_first(c, &key, &value, err) : (int)err->code;

    while (rc > 0) {
        rc = visit(user, key, value, err);
        if (rc == 0)
            rc = ot_db_next(c, &key, &value, err);
    }
    if (c)
        ot_db_cursor_free(c);
    if (db)
        ot_db_close(db);
    return rc;
}
