/*
 * write_rows.c - the buffer's records as rows of the tables.
 *
 * Order inside a transaction: rows that went, rows that changed (by natural key, so a row of an
 * earlier run is updated, not doubled), events, re-injections, numbers per iteration, snapshots.
 * A row that was evicted is deleted unless a re-injection tells its story; then it stays with
 * state 5.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "mining/pool_impl.h"

static const char *const sql[OT_N_STMTS] = {
    [OT_S_SAMPLE] = "INSERT INTO sample(dataset_id,lmdb_key) VALUES(?1,?2) "
                    "ON CONFLICT(dataset_id,lmdb_key) DO UPDATE SET lmdb_key=excluded.lmdb_key "
                    "RETURNING sample_id",
    [OT_S_INST] =
        "INSERT INTO inst(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,"
        "loss_max,loss_first,pred,p_label,p_pred,margin_sum,n_seen,n_reinj,n_contra,n_forget,"
        "flip,weight,first_run,first_iter,last_run,last_iter,label_given,planted,control) "
        "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,"
        "?23,?24,?25,?26,?25,?27,?28,?29,?30) "
        "ON CONFLICT(sample_id,kind,slot) DO UPDATE SET label=excluded.label,x0=excluded.x0,"
        "y0=excluded.y0,x1=excluded.x1,y1=excluded.y1,state=excluded.state,loss=excluded.loss,"
        "loss_ema=excluded.loss_ema,loss_max=excluded.loss_max,loss_first=excluded.loss_first,"
        "pred=excluded.pred,p_label=excluded.p_label,p_pred=excluded.p_pred,"
        "margin_sum=excluded.margin_sum,n_seen=excluded.n_seen,n_reinj=excluded.n_reinj,"
        "n_contra=excluded.n_contra,n_forget=excluded.n_forget,flip=excluded.flip,"
        "weight=excluded.weight,last_run=excluded.last_run,last_iter=excluded.last_iter,"
        "label_given=excluded.label_given,planted=excluded.planted,control=excluded.control "
        "RETURNING inst_id",
    [OT_S_DROP] = "DELETE FROM inst WHERE inst_id=?1 AND n_reinj=0 AND NOT EXISTS (SELECT 1 FROM "
                  "reinj_item WHERE inst_id=?1)", /* a batch may tell of it, not seen again */
    [OT_S_RETIRE] = "UPDATE inst SET state=5 WHERE inst_id=?1",
    [OT_S_EVENT] = "INSERT INTO event(run_id,iter,inst_id,sample_id,what,loss,why) "
                   "VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [OT_S_REINJ] = "INSERT OR REPLACE INTO reinj(run_id,iter,n,reason,lr,weight,loss_before,"
                   "loss_after) VALUES(?1,?2,?3,'a full batch was waiting',?4,1,?5,?6)",
    [OT_S_ITEM] = "INSERT OR REPLACE INTO reinj_item(reinj_id,pos,inst_id,loss_before,loss_after) "
                  "VALUES(?1,?2,?3,?4,?5)",
    [OT_S_ITER] = "INSERT OR REPLACE INTO iter_stat(run_id,iter,kind,loss,lr,ms,pool_n,admit_thr,"
                  "admitted) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    [OT_S_SNAP] = "INSERT OR REPLACE INTO snapshot(run_id,iter,path,bytes,model_hash,event_id,at) "
                  "VALUES(?1,?2,?3,?4,?5,(SELECT coalesce(max(event_id),0) FROM event),?6)",
    [OT_S_EFFECT] = "INSERT OR REPLACE INTO effect(run_id,iter,label,n_treated,n_control,"
                    "loss_treated,loss_control,diff,lo,hi) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [OT_S_THERM] = "INSERT OR REPLACE INTO thermometer(run_id,iter,planted,tested,quarantined,"
                   "recall,recall_lo,recall_hi,noise,precision) "
                   "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [OT_S_SENTRY] = "INSERT OR REPLACE INTO sentinel(run_id,iter,n,loss,sd,max_share) "
                    "VALUES(?1,?2,?3,?4,?5,?6)",
};

int ot_writer_prepare(struct ot_pool *p, struct ot_err *err)
{
    for (int i = 0; i < OT_N_STMTS; i++)
        if (sqlite3_prepare_v3(p->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &p->stmt[i], NULL) !=
            SQLITE_OK)
            return ot_sql_fail(p->db, err, "preparing a statement");
    return 0;
}

void ot_writer_release(struct ot_pool *p)
{
    for (int i = 0; i < OT_N_STMTS; i++)
        (void)sqlite3_finalize(p->stmt[i]);
    memset(p->stmt, 0, sizeof p->stmt);
}

/* ---- statements ------------------------------------------------------------------------------ */

/* Runs a bound statement; *out (may be NULL) gets the first column of its row. */
static int run(struct ot_pool *p, enum ot_stmt which, int64_t *out, struct ot_err *err)
{
    sqlite3_stmt *s = p->stmt[which];
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW) {
        if (out)
            *out = sqlite3_column_int64(s, 0);
        rc = sqlite3_step(s);
    }
    if (rc != SQLITE_DONE)
        (void)ot_sql_fail(p->db, err, "writing");
    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : err->code;
}

void ot_bind_num(sqlite3_stmt *s, int at, double v)
{
    if (isnan(v))
        (void)sqlite3_bind_null(s, at);
    else
        (void)sqlite3_bind_double(s, at, v);
}

static int sample_id(struct ot_pool *p, uint32_t sample, int64_t *id, struct ot_err *err)
{
    sqlite3_stmt *s = p->stmt[OT_S_SAMPLE];
    char key[512];
    uint64_t known;

    if (ot_map_get(&p->sample_of, sample, &known)) {
        *id = (int64_t)known;
        return 0;
    }
    (void)sqlite3_bind_int64(s, 1, p->dataset);
    (void)sqlite3_bind_text(s, 2, p->key(p->key_ctx, sample, key, sizeof key), -1, SQLITE_STATIC);
    if (run(p, OT_S_SAMPLE, id, err) < 0)
        return err->code;
    return ot_map_set(&p->sample_of, sample, (uint64_t)*id, err);
}

static void bind_row(sqlite3_stmt *s, const struct ot_row *r, int64_t run_id)
{
    (void)sqlite3_bind_int(s, 3, r->kind);
    (void)sqlite3_bind_int(s, 4, r->slot);
    (void)sqlite3_bind_int(s, 5, r->label);
    for (int i = 0; i < 4; i++)
        (void)sqlite3_bind_double(s, 6 + i, (double)r->box[i]);
    (void)sqlite3_bind_int(s, 10, r->state);
    (void)sqlite3_bind_double(s, 11, (double)r->loss);
    (void)sqlite3_bind_double(s, 12, (double)r->loss_ema);
    (void)sqlite3_bind_double(s, 13, (double)r->loss_max);
    (void)sqlite3_bind_double(s, 14, (double)r->loss_first);
    (void)sqlite3_bind_int(s, 15, r->pred);
    (void)sqlite3_bind_double(s, 16, (double)r->p_label);
    (void)sqlite3_bind_double(s, 17, (double)r->p_pred);
    (void)sqlite3_bind_double(s, 18, r->margin_sum);
    (void)sqlite3_bind_int(s, 19, r->n_seen);
    (void)sqlite3_bind_int(s, 20, r->n_reinj);
    (void)sqlite3_bind_int(s, 21, r->n_contra);
    (void)sqlite3_bind_int(s, 22, r->n_forget);
    (void)sqlite3_bind_int(s, 23, r->flip);
    (void)sqlite3_bind_double(s, 24, (double)r->weight);
    (void)sqlite3_bind_int64(s, 25, run_id);
    (void)sqlite3_bind_int64(s, 26, r->first_iter);
    (void)sqlite3_bind_int64(s, 27, r->last_iter);
    (void)sqlite3_bind_int(s, 28, r->label_given);
    (void)sqlite3_bind_int(s, 29, r->planted);
    (void)sqlite3_bind_int(s, 30, r->control);
}

static int put_row(struct ot_pool *p, const struct ot_row *r, struct ot_err *err)
{
    sqlite3_stmt *s = p->stmt[OT_S_INST];
    uint64_t known = 0;
    bool is_known = ot_map_get(&p->inst_of, r->id, &known);
    int64_t id = is_known ? (int64_t)known : p->next_inst, sample, got = 0;

    if (sample_id(p, r->sample, &sample, err) < 0)
        return err->code;
    (void)sqlite3_bind_int64(s, 1, id);
    (void)sqlite3_bind_int64(s, 2, sample);
    bind_row(s, r, p->run);
    if (run(p, OT_S_INST, &got, err) < 0)
        return err->code;
    if (got == p->next_inst)
        p->next_inst++;
    return is_known ? 0 : ot_map_set(&p->inst_of, r->id, (uint64_t)got, err);
}

/* A row of whose re-injection this very buffer tells is written once more, so that it stays. */
static int drop_row(struct ot_pool *p, const struct ot_row *r, const struct ot_map *told,
                    struct ot_err *err)
{
    uint64_t inst, batch;

    if (!ot_map_get(&p->inst_of, r->id, &inst))
        return 0;
    if (ot_map_get(told, r->id, &batch)) {
        if (put_row(p, r, err) < 0)
            return err->code;
        (void)sqlite3_bind_int64(p->stmt[OT_S_RETIRE], 1, (int64_t)inst);
        return run(p, OT_S_RETIRE, NULL, err);
    }
    (void)sqlite3_bind_int64(p->stmt[OT_S_DROP], 1, (int64_t)inst);
    (void)sqlite3_bind_int64(p->stmt[OT_S_RETIRE], 1, (int64_t)inst);
    if (run(p, OT_S_DROP, NULL, err) < 0 || run(p, OT_S_RETIRE, NULL, err) < 0)
        return err->code;
    return 0;
}

static void bind_inst(struct ot_pool *p, sqlite3_stmt *s, int at, uint64_t row)
{
    uint64_t inst;

    if (ot_map_get(&p->inst_of, row, &inst))
        (void)sqlite3_bind_int64(s, at, (int64_t)inst);
    else
        (void)sqlite3_bind_null(s, at);
}

static int put_event(struct ot_pool *p, const struct ot_pool_event *e, struct ot_err *err)
{
    static const char *const name[] = {
        [OT_EV_ADMIT] = "admit",     [OT_EV_EVICT] = "evict",           [OT_EV_LEARNED] = "learned",
        [OT_EV_FORGOT] = "forgot",   [OT_EV_QUARANTINE] = "quarantine", [OT_EV_RELEASE] = "release",
        [OT_EV_EXCLUDE] = "exclude", [OT_EV_RESTORE] = "restore",       [OT_EV_RELABEL] = "relabel",
    };
    sqlite3_stmt *s = p->stmt[OT_S_EVENT];
    int64_t sample;

    if (sample_id(p, e->sample, &sample, err) < 0)
        return err->code;
    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, e->iter);
    bind_inst(p, s, 3, e->row);
    (void)sqlite3_bind_int64(s, 4, sample);
    (void)sqlite3_bind_text(s, 5, name[e->what], -1, SQLITE_STATIC);
    (void)sqlite3_bind_double(s, 6, (double)e->loss);
    (void)sqlite3_bind_text(s, 7, e->why, -1, SQLITE_STATIC);
    return run(p, OT_S_EVENT, NULL, err);
}

static int put_reinj(struct ot_pool *p, const struct ot_pool_reinj *r, struct ot_err *err)
{
    const struct ot_pool_item *item = p->back.items + r->first;
    sqlite3_stmt *s = p->stmt[OT_S_REINJ];
    double before = 0, after = 0;
    int64_t id;
    int seen = 0;

    for (int i = 0; i < r->n; i++)
        if (!isnan(item[i].after)) { /* both means over the rows that were seen again */
            before += (double)item[i].before;
            after += (double)item[i].after;
            seen++;
        }
    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, r->iter);
    (void)sqlite3_bind_int(s, 3, r->n);
    ot_bind_num(s, 4, r->lr);
    ot_bind_num(s, 5, seen ? before / seen : (double)NAN);
    ot_bind_num(s, 6, seen ? after / seen : (double)NAN);
    if (run(p, OT_S_REINJ, NULL, err) < 0)
        return err->code;
    id = sqlite3_last_insert_rowid(p->db);
    s = p->stmt[OT_S_ITEM];
    for (int i = 0; i < r->n; i++) {
        uint64_t inst;

        if (!ot_map_get(&p->inst_of, item[i].row, &inst))
            continue;
        (void)sqlite3_bind_int64(s, 1, id);
        (void)sqlite3_bind_int(s, 2, i);
        (void)sqlite3_bind_int64(s, 3, (int64_t)inst);
        (void)sqlite3_bind_double(s, 4, (double)item[i].before);
        ot_bind_num(s, 5, (double)item[i].after);
        if (run(p, OT_S_ITEM, NULL, err) < 0)
            return err->code;
    }
    return 0;
}

static int put_iter(struct ot_pool *p, const struct ot_pool_iter *it, struct ot_err *err)
{
    sqlite3_stmt *s = p->stmt[OT_S_ITER];

    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, it->iter);
    (void)sqlite3_bind_text(s, 3, it->reinjected ? "pool" : "fresh", -1, SQLITE_STATIC);
    (void)sqlite3_bind_double(s, 4, isnan(it->loss) ? 0 : it->loss);
    (void)sqlite3_bind_double(s, 5, it->lr);
    (void)sqlite3_bind_double(s, 6, it->ms);
    (void)sqlite3_bind_int64(s, 7, it->pool_rows);
    ot_bind_num(s, 8, it->admit_threshold);
    (void)sqlite3_bind_int64(s, 9, it->admitted);
    return run(p, OT_S_ITER, NULL, err);
}

static int put_snap(struct ot_pool *p, const struct ot_pool_snap *sn, struct ot_err *err)
{
    sqlite3_stmt *s = p->stmt[OT_S_SNAP];
    char hash[32], now[32];
    struct stat st;

    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)sn->model_hash);
    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, sn->iter);
    (void)sqlite3_bind_text(s, 3, sn->path, -1, SQLITE_STATIC);
    ot_bind_num(s, 4, NAN);
    if (stat(sn->path, &st) == 0)
        (void)sqlite3_bind_int64(s, 4, st.st_size);
    (void)sqlite3_bind_text(s, 5, hash, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 6, ot_time_utc(now), -1, SQLITE_STATIC);
    return run(p, OT_S_SNAP, NULL, err);
}

static int put_effect(struct ot_pool *p, const struct ot_pool_effect *f, struct ot_err *err)
{
    const double v[] = { f->e.loss_treated, f->e.loss_control, f->e.diff, f->e.lo, f->e.hi };
    sqlite3_stmt *s = p->stmt[OT_S_EFFECT];

    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, f->iter);
    (void)sqlite3_bind_int(s, 3, f->e.label);
    (void)sqlite3_bind_int64(s, 4, f->e.n_treated);
    (void)sqlite3_bind_int64(s, 5, f->e.n_control);
    for (int i = 0; i < 5; i++)
        ot_bind_num(s, 6 + i, v[i]);
    return run(p, OT_S_EFFECT, NULL, err);
}

static int put_therm(struct ot_pool *p, const struct ot_pool_therm *h, struct ot_err *err)
{
    const double v[] = { h->t.recall, h->t.recall_lo, h->t.recall_hi, h->t.noise, h->t.precision };
    sqlite3_stmt *s = p->stmt[OT_S_THERM];

    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, h->iter);
    (void)sqlite3_bind_int64(s, 3, h->t.planted);
    (void)sqlite3_bind_int64(s, 4, h->t.tested);
    (void)sqlite3_bind_int64(s, 5, h->t.quarantined);
    for (int i = 0; i < 5; i++)
        ot_bind_num(s, 6 + i, v[i]);
    return run(p, OT_S_THERM, NULL, err);
}

static int put_sentry(struct ot_pool *p, const struct ot_pool_sentry *y, struct ot_err *err)
{
    const double v[] = { y->mean, y->sd, y->share };
    sqlite3_stmt *s = p->stmt[OT_S_SENTRY];

    (void)sqlite3_bind_int64(s, 1, p->run);
    (void)sqlite3_bind_int64(s, 2, y->iter);
    (void)sqlite3_bind_int64(s, 3, y->n);
    for (int i = 0; i < 3; i++) /* the columns are NOT NULL */
        (void)sqlite3_bind_double(s, 4 + i, isnan(v[i]) ? 0 : v[i]);
    return run(p, OT_S_SENTRY, NULL, err);
}

/* ---- all of it ------------------------------------------------------------------------------- */

#define CHAIN                                                                             \
    "WITH RECURSIVE chain(id) AS (SELECT parent_run_id FROM run WHERE run_id=%lld UNION " \
    "SELECT parent_run_id FROM run JOIN chain ON run_id=chain.id) "

/* The resumed run's ancestors: what they wrote after the snapshot did not happen, and rows of
 * theirs that the restored miner does not have (it has put its own by now) leave the pool. */
static int supersede(struct ot_pool *p, int64_t iter, struct ot_err *err)
{
    long long r = p->run, i = iter;

    if (ot_sql(p->db, err,
               CHAIN "UPDATE event SET superseded=1 WHERE iter>%lld AND run_id IN chain", r,
               i) < 0 ||
        ot_sql(p->db, err,
               CHAIN "UPDATE reinj SET superseded=1 WHERE iter>%lld AND run_id IN chain", r,
               i) < 0 ||
        ot_sql(p->db, err,
               CHAIN
               "DELETE FROM inst WHERE n_reinj=0 AND last_run IN chain AND NOT EXISTS (SELECT 1 "
               "FROM reinj_item t WHERE t.inst_id=inst.inst_id)",
               r) < 0 ||
        ot_sql(p->db, err, CHAIN "UPDATE inst SET state=5 WHERE last_run IN chain", r) < 0)
        return err->code;
    return 0;
}

/* Before what came: a row may be there anew. */
static int drop_gone(struct ot_pool *p, struct ot_err *err)
{
    const struct ot_buffer *b = &p->back;
    struct ot_map told = { 0 };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < b->n_items; i++)
        rc = ot_map_set(&told, b->items[i].row, 1, err);
    for (size_t i = 0; rc == 0 && i < b->n_rows; i++)
        if (b->rows[i].op == OT_DIRTY_GONE)
            rc = drop_row(p, &b->rows[i].row, &told, err);
    ot_map_release(&told);
    return rc;
}

static int put_rows(struct ot_pool *p, struct ot_err *err)
{
    struct ot_buffer *b = &p->back;

    if (drop_gone(p, err) < 0)
        return err->code;
    for (size_t i = 0; i < b->n_rows; i++)
        if (b->rows[i].op == OT_DIRTY_PUT && put_row(p, &b->rows[i].row, err) < 0)
            return err->code;
    return b->reset ? supersede(p, b->reset_iter, err) : 0;
}

static int put_proofs(struct ot_pool *p, struct ot_err *err)
{
    struct ot_buffer *b = &p->back;

    for (size_t i = 0; i < b->n_effects; i++)
        if (put_effect(p, &b->effects[i], err) < 0)
            return err->code;
    for (size_t i = 0; i < b->n_therms; i++)
        if (put_therm(p, &b->therms[i], err) < 0)
            return err->code;
    for (size_t i = 0; i < b->n_sentries; i++)
        if (put_sentry(p, &b->sentries[i], err) < 0)
            return err->code;
    return 0;
}

int ot_write_all(struct ot_pool *p, struct ot_err *err)
{
    struct ot_buffer *b = &p->back;

    if (put_rows(p, err) < 0)
        return err->code;
    for (size_t i = 0; i < b->n_events; i++)
        if (put_event(p, &b->events[i], err) < 0)
            return err->code;
    for (size_t i = 0; i < b->n_reinj; i++)
        if (put_reinj(p, &b->reinj[i], err) < 0)
            return err->code;
    for (size_t i = 0; i < b->n_iters; i++)
        if (put_iter(p, &b->iters[i], err) < 0)
            return err->code;
    for (size_t i = 0; i < b->n_snaps; i++)
        if (put_snap(p, &b->snaps[i], err) < 0)
            return err->code;
    if (put_proofs(p, err) < 0)
        return err->code;
    for (size_t i = 0; i < b->n_rows; i++)
        if (b->rows[i].op == OT_DIRTY_GONE)
            (void)ot_map_remove(&p->inst_of, b->rows[i].row.id);
    return 0;
}
