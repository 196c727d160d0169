/*
 * each.c - rows that earlier runs left in the file, for the miner to adopt.
 *
 * A row is believed only when every number in it is possible; persons edit this file.  What is not
 * is skipped and counted, never an error; so are rows whose record is not in the data set.
 */
#include <math.h>

#include "base/log.h"
#include "mining/pool_impl.h"

static const char query[] =
    "SELECT inst_id,lmdb_key,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,"
    "loss_first,coalesce(pred,label),coalesce(p_label,0),coalesce(p_pred,0),margin_sum,n_seen,"
    "n_reinj,n_contra,n_forget,coalesce(flip,0),weight,first_iter,last_iter,"
    "coalesce(label_given,label),planted,control FROM inst JOIN sample USING(sample_id) "
    "WHERE dataset_id=?1 AND state<>5 ORDER BY inst_id";

enum column {
    INST,
    KEY,
    KIND,
    SLOT,
    LABEL,
    X0,
    STATE = 9,
    LOSS,
    EMA,
    MAX,
    FIRST,
    PRED,
    P_LABEL,
    P_PRED,
    MARGIN,
    SEEN,
    REINJ,
    CONTRA,
    FORGET,
    FLIP,
    WEIGHT,
    FIRST_ITER,
    LAST_ITER,
    GIVEN,
    PLANTED,
    CONTROL
};

/* A whole number from lo to hi; *ok goes false when it is none. */
static int64_t whole(sqlite3_stmt *s, int column, int64_t lo, int64_t hi, bool *ok)
{
    int64_t v = sqlite3_column_int64(s, column);

    *ok = *ok && sqlite3_column_type(s, column) == SQLITE_INTEGER && v >= lo && v <= hi;
    return *ok ? v : 0;
}

/* A number from lo to hi: NULL, text, NaN and infinities are none. */
static double number(sqlite3_stmt *s, int column, double lo, double hi, bool *ok)
{
    double v = sqlite3_column_double(s, column);
    int type = sqlite3_column_type(s, column);

    *ok = *ok && (type == SQLITE_FLOAT || type == SQLITE_INTEGER) && v >= lo && v <= hi;
    return *ok ? v : 0;
}

static bool take_row(const struct ot_pool *p, sqlite3_stmt *s, struct ot_row *r)
{
    const double most = 3e38;
    int64_t classes = p->n_classes > 0 ? p->n_classes : INT32_MAX;
    bool ok = true;

    *r = (struct ot_row){ 0 };
    r->id = (uint64_t)whole(s, INST, 1, INT64_MAX, &ok);
    r->kind = (uint8_t)whole(s, KIND, 0, OT_KIND_TILE, &ok);
    r->slot = (int32_t)whole(s, SLOT, 0, INT32_MAX, &ok);
    r->label = (int32_t)whole(s, LABEL, 0, classes - 1, &ok);
    r->label_given = (int32_t)whole(s, GIVEN, 0, classes - 1, &ok);
    r->pred = (int32_t)whole(s, PRED, 0, classes - 1, &ok);
    r->state = (uint8_t)whole(s, STATE, 0, OT_CONTROL, &ok);
    for (int i = 0; i < 4; i++)
        if (r->kind != OT_KIND_IMAGE || sqlite3_column_type(s, X0 + i) != SQLITE_NULL)
            r->box[i] = (float)number(s, X0 + i, -most, most, &ok);
    r->loss = (float)number(s, LOSS, 0, most, &ok);
    r->loss_ema = (float)number(s, EMA, 0, most, &ok);
    r->loss_max = (float)number(s, MAX, 0, most, &ok);
    r->loss_first = (float)number(s, FIRST, 0, most, &ok);
    r->p_label = (float)number(s, P_LABEL, 0, 1, &ok);
    r->p_pred = (float)number(s, P_PRED, 0, 1, &ok);
    r->margin_sum = number(s, MARGIN, -1e15, 1e15, &ok);
    r->n_seen = (int32_t)whole(s, SEEN, 0, INT32_MAX, &ok);
    r->n_reinj = (int32_t)whole(s, REINJ, 0, INT32_MAX, &ok);
    r->n_contra = (int32_t)whole(s, CONTRA, 0, INT32_MAX, &ok);
    r->n_forget = (int32_t)whole(s, FORGET, 0, INT32_MAX, &ok);
    r->flip = whole(s, FLIP, 0, 1, &ok) != 0;
    r->weight = (float)number(s, WEIGHT, 0, most, &ok);
    r->first_iter = whole(s, FIRST_ITER, 0, INT64_MAX, &ok);
    r->last_iter = whole(s, LAST_ITER, 0, INT64_MAX, &ok);
    r->planted = whole(s, PLANTED, 0, 1, &ok) != 0;
    r->control = whole(s, CONTROL, 0, 1, &ok) != 0;
    return ok;
}

static int visit_all(struct ot_pool *p, sqlite3_stmt *s,
                     int (*visit)(void *ctx, const struct ot_row *row, struct ot_err *err),
                     void *ctx, struct ot_err *err)
{
    int64_t bad = 0, first_bad = 0, unknown = 0;
    int rc;

    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t sample = p->find ? p->find(p->key_ctx, ot_sql_text(s, KEY)) : -1;
        struct ot_row row;

        if (!take_row(p, s, &row)) {
            first_bad = bad++ ? first_bad : sqlite3_column_int64(s, INST);
            continue;
        }
        if (sample < 0 || sample > UINT32_MAX) {
            unknown++;
            continue;
        }
        row.sample = (uint32_t)sample;
        if (visit(ctx, &row, err) < 0)
            return err->code;
    }
    if (rc != SQLITE_DONE)
        return ot_sql_fail(p->db, err, "reading the rows of earlier runs");
    if (bad)
        ot_log(OT_LOG_WARN, "pool",
               "'%s': %lld rows hold values that cannot be and are not taken over, the first is "
               "inst_id %lld",
               p->path, (long long)bad, (long long)first_bad);
    if (unknown)
        ot_log(OT_LOG_WARN, "pool",
               "'%s': %lld rows are about records that the data set does not have", p->path,
               (long long)unknown);
    return 0;
}

int ot_pool_each(struct ot_pool *p,
                 int (*visit)(void *ctx, const struct ot_row *row, struct ot_err *err), void *ctx,
                 struct ot_err *err)
{
    sqlite3_stmt *s = NULL;

    (void)pthread_mutex_lock(&p->db_lock);
    if (sqlite3_prepare_v2(p->db, query, -1, &s, NULL) != SQLITE_OK) {
        (void)ot_sql_fail(p->db, err, "reading the rows of earlier runs");
    } else {
        (void)sqlite3_bind_int64(s, 1, p->dataset);
        (void)visit_all(p, s, visit, ctx, err);
    }
    (void)sqlite3_finalize(s);
    (void)pthread_mutex_unlock(&p->db_lock);
    return err->code;
}
