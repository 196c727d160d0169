/*
 * pool_labels.c - labels, as the data set has them and as they are spoken of.
 */
#include "tools/pool_labels.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "data/image.h"

/* ---- what is said ---------------------------------------------------------------------------- */

static char *text_of(sqlite3_stmt *s, int column, struct ot_err *err)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? NULL
                                                         : ot_strdup(ot_pdb_str(s, column), err);
}

static int int_of(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? -1 : sqlite3_column_int(s, column);
}

static void claim_release(struct ot_claim *c)
{
    ot_free(c->key);
    ot_free(c->verdict);
    ot_free(c->who);
    ot_free(c->note);
}

void ot_claims_release(struct ot_claims *c)
{
    for (size_t i = 0; i < c->n; i++)
        claim_release(&c->v[i]);
    ot_free(c->v);
    *c = (struct ot_claims){ 0 };
}

/* Columns key, kind, slot, verdict, new_label, who, note, label, pred, conf, in the order of the
 * instances; of several rows about one the last holds. */
static int take_claims(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_claims *c,
                       struct ot_err *err)
{
    int rc;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0) {
        struct ot_claim *last, one = { .key = text_of(s, 0, err),
                                       .kind = sqlite3_column_int(s, 1),
                                       .slot = sqlite3_column_int(s, 2),
                                       .verdict = text_of(s, 3, err),
                                       .label = int_of(s, 4),
                                       .who = text_of(s, 5, err),
                                       .note = text_of(s, 6, err),
                                       .given = int_of(s, 7),
                                       .pred = int_of(s, 8),
                                       .conf = ot_pdb_real(s, 9) };

        if (err->code || ot_grow(&c->v, &c->cap, c->n + 1, sizeof *c->v, err) < 0) {
            claim_release(&one);
            rc = err->code;
            break;
        }
        last = c->n ? &c->v[c->n - 1] : NULL;
        if (last && strcmp(last->key, one.key) == 0 && last->kind == one.kind &&
            last->slot == one.slot) {
            claim_release(last);
            *last = one;
        } else {
            c->v[c->n++] = one;
        }
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int ot_claims_said(const struct ot_pdb *d, struct ot_claims *c, struct ot_err *err)
{
    const char *file = "SELECT coalesce(v.lmdb_key,s.lmdb_key) AS key, coalesce(v.kind,i.kind,0) "
                       "AS "
                       "kind, coalesce(v.slot,i.slot,0) AS slot, verdict, new_label, who, note, "
                       "1 AS "
                       "rank, verdict_id AS id FROM said.verdict v LEFT JOIN main.inst i ON "
                       "i.inst_id=v.inst_id LEFT JOIN main.sample s ON s.sample_id=i.sample_id";
    bool has;
    int rc;

    if (ot_pdb_attach_verdicts(d, &has, err) < 0)
        return err->code;
    /* of the file's rows the pool has copies, which may be older */
    rc = take_claims(
        d,
        ot_pdb_query(d, err,
                     "SELECT key, kind, slot, verdict, new_label, who, note, NULL, NULL, NULL FROM "
                     "(SELECT coalesce(v.lmdb_key,s.lmdb_key) AS key, coalesce(v.kind,i.kind,0) AS "
                     "kind, coalesce(v.slot,i.slot,0) AS slot, verdict, new_label, who, note, CASE "
                     "source WHEN 'overlay' THEN 0 WHEN 'file' THEN 1 ELSE 2 END AS rank, "
                     "verdict_id "
                     "AS id FROM main.verdict v LEFT JOIN main.inst i ON i.inst_id=v.inst_id LEFT "
                     "JOIN main.sample s ON s.sample_id=i.sample_id WHERE source<>'file' OR NOT %d "
                     "%s %s) WHERE key IS NOT NULL ORDER BY key, kind, slot, rank, id",
                     (int)has, has ? "UNION ALL" : "", has ? file : ""),
        c, err);
    if (has)
        (void)sqlite3_exec(d->db, "DETACH said", NULL, NULL, NULL);
    return rc;
}

int ot_claims_suspected(const struct ot_pdb *d, struct ot_claims *c, struct ot_err *err)
{
    return take_claims(d,
                       ot_pdb_query(d, err,
                                    "SELECT s.lmdb_key, i.kind, i.slot, 'mislabelled', NULL, "
                                    "'quarantine', NULL, i.label, i.pred, i.p_pred FROM inst i "
                                    "JOIN "
                                    "sample s USING(sample_id) WHERE i.inst_id IN (SELECT inst_id "
                                    "FROM suspected_noise) ORDER BY 1, 2, 3"),
                       c, err);
}

/* ---- the data set ---------------------------------------------------------------------------- */

static int measure(struct ot_labels *l, struct ot_err *err)
{
    struct ot_image im = { 0 };

    l->width = l->record.width;
    l->height = l->record.height;
    if (!l->record.encoded)
        return 0;
    if (ot_image_decode(&im, l->record.data, 0, err) < 0)
        return err->code;
    l->width = im.width;
    l->height = im.height;
    ot_image_release(&im);
    return 0;
}

int ot_labels_get(struct ot_crops *c, const char *key, struct ot_labels *l, struct ot_err *err)
{
    const unsigned char annotated = 0x0A; /* field 1 is a message */
    struct ot_bytes value;
    int rc = ot_db_get(c->cursor, (struct ot_bytes){ key, strlen(key) }, &value, err);

    if (rc <= 0)
        return rc;
    l->image = !value.n || *(const unsigned char *)value.data != annotated;
    if (ot_record_parse(value, !l->image, &l->record, err) < 0 || measure(l, err) < 0)
        return ot_err_wrap(err, "key '%s'", key);
    return 1;
}

int ot_labels_count(const struct ot_labels *l)
{
    return l->image ? 1 : (int)l->record.n_boxes;
}

struct ot_record_box ot_labels_at(const struct ot_labels *l, int slot)
{
    return l->image ? (struct ot_record_box){ .label = l->record.label, .xmax = 1, .ymax = 1 }
                    : l->record.box[slot];
}

void ot_labels_release(struct ot_labels *l)
{
    ot_record_release(&l->record);
    *l = (struct ot_labels){ 0 };
}
