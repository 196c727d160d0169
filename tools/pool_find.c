/*
 * pool_find.c - which instance a person means.
 *
 * A key goes before an inst_id that looks like it: keys are what logs and pictures show.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tools/pool_db.h"

static bool all_digits(const char *text)
{
    if (!*text || strlen(text) > 18)
        return false;
    for (; *text; text++)
        if (!isdigit((unsigned char)*text))
            return false;
    return true;
}

static void take_inst(sqlite3_stmt *s, struct ot_pdb_inst *f)
{
    f->inst = sqlite3_column_int64(s, 0);
    f->sample = sqlite3_column_int64(s, 1);
    (void)snprintf(f->key, sizeof f->key, "%s", ot_pdb_str(s, 2));
    f->kind = sqlite3_column_int(s, 3);
    f->slot = sqlite3_column_int(s, 4);
}

#define INST_OF                                                                          \
    "SELECT i.inst_id, s.sample_id, s.lmdb_key, coalesce(i.kind,0), coalesce(i.slot,0) " \
    "FROM sample s %s JOIN inst i USING(sample_id) WHERE "

/* The rows of a key; how many there are, or an error. */
static int find_key(const struct ot_pdb *d, const char *key, int kind, int slot,
                    struct ot_pdb_inst *f, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err,
                                   INST_OF "s.lmdb_key=%Q AND (%d<0 OR i.inst_id IS NULL OR "
                                           "i.kind=%d) AND (%d<0 OR i.inst_id IS NULL OR "
                                           "i.slot=%d) ORDER BY i.loss_ema",
                                   "LEFT", key, kind, kind, slot, slot);
    int rc, n = 0;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0) {
        take_inst(s, f); /* the last one, which is the hardest */
        n++;
    }
    (void)sqlite3_finalize(s);
    return rc < 0 ? rc : n;
}

int ot_pdb_find(const struct ot_pdb *d, const char *what, int kind, int slot,
                struct ot_pdb_inst *found, struct ot_err *err)
{
    int n = find_key(d, what, kind, slot, found, err);
    sqlite3_stmt *s;

    if (n > 1)
        return ot_fail(err, OT_EUSAGE,
                       "'%s' has %d rows: give an inst_id (ohempool top) or --kind and --slot, "
                       "got neither of one row",
                       what, n);
    if (n != 0 || !all_digits(what))
        return n < 0 ? n
               : n == 1
                   ? 0
                   : ot_fail(err, OT_ENOINPUT, "pool '%s': no row has the key '%s'", d->path, what);
    s = ot_pdb_query(d, err, INST_OF "i.inst_id=%s", "", what);
    if (!s)
        return err->code;
    n = ot_pdb_step(d, s, err);
    if (n > 0)
        take_inst(s, found);
    (void)sqlite3_finalize(s);
    return n < 0   ? n
           : n > 0 ? 0
                   : ot_fail(err, OT_ENOINPUT, "pool '%s': no row has the key or inst_id '%s'",
                             d->path, what);
}

int64_t ot_pdb_count(const struct ot_pdb *d, const char *key, int kind, int slot)
{
    return ot_pdb_int(
        d, 0,
        "SELECT count(*) FROM inst i JOIN sample s USING(sample_id) WHERE s.lmdb_key=%Q "
        "AND (%d<0 OR i.kind=%d) AND (%d<0 OR i.slot=%d)",
        key, kind, kind, slot, slot);
}
