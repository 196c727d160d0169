/*
 * pool_merge.c - ohempool merge: several pools about one data set become one.
 *
 * Rows are the same when key, kind and slot are; for background RoIs, whose slots are numbers given
 * at admission, when their boxes overlap by IoU >= 0.7, as the miner itself matches them.  Counts
 * are added, the latest look wins, runs are numbered anew by their start.  Each input is read
 * through a consistent copy beside OUT, so that it may be in use; OUT appears when it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "mining/pool_impl.h"
#include "tools/pool_cmd.h"

struct merge {
    sqlite3 *db; /* the new file */
    const char *out;
    char part[1100], copy[1100];
};

/* ---- steps in SQL -----------------------------------------------------------------------------
 * src: the pool that comes in; o: what its ids are raised by; rm, sm, im: old and new id of runs,
 * samples, rows; slots: the new ones of background rows. */

/* Before anything is written: what must agree. */
static const struct rule {
    const char *sql, *text;
} rules[] = {
    { "SELECT path FROM src.dataset s WHERE EXISTS (SELECT 1 FROM main.dataset) AND NOT EXISTS "
      "(SELECT 1 FROM main.dataset m WHERE m.fingerprint=s.fingerprint AND m.entries=s.entries)",
      "must be about the same data set as the others, got '%s'" },
    { "SELECT s.label||' is '''||s.name||''' here and '''||m.name||''' there' FROM src.class s "
      "JOIN "
      "main.class m USING(label) WHERE s.name<>m.name",
      "must have the classes of the others, but %s" },
    { "SELECT s.run_id FROM src.run s JOIN main.run m ON m.started=s.started AND m.host=s.host AND "
      "m.pid=s.pid AND m.seed=s.seed AND m.config_hash=s.config_hash",
      "must have runs of its own, but its run %s is in another one too: one is a copy of the "
      "other" },
};

static const char *const first_steps[] = {
    "INSERT OR IGNORE INTO dataset(path,entries,fingerprint) SELECT path,entries,fingerprint "
    "FROM src.dataset WHERE NOT EXISTS (SELECT 1 FROM main.dataset)",
    "INSERT OR IGNORE INTO class SELECT * FROM src.class",
    "DROP TABLE IF EXISTS temp.o",
    "CREATE TABLE temp.o AS SELECT max(coalesce((SELECT max(inst_id) FROM "
    "main.inst),0),coalesce((SELECT max(inst_id) FROM main.event),0)) AS inst,coalesce((SELECT "
    "max(event_id) FROM main.event),0) AS event,coalesce((SELECT max(reinj_id) FROM "
    "main.reinj),0) AS reinj",
    "INSERT INTO run SELECT (SELECT new FROM rm WHERE old=run_id),job,(SELECT new FROM rm WHERE "
    "old=parent_run_id),started,ended,status,exit_code,host,pid,boot_id,device,version,"
    "config_hash,config_text,seed,iter_start,iter_end,loss_end,metric_name,metric_end FROM "
    "src.run ORDER BY run_id",
    "INSERT INTO sample(dataset_id,lmdb_key,datum_hash,width,height) SELECT "
    "d.dataset_id,s.lmdb_key,s.datum_hash,s.width,s.height FROM src.sample s, main.dataset d "
    "WHERE true ON CONFLICT(dataset_id,lmdb_key) DO NOTHING",
    "DROP TABLE IF EXISTS temp.sm",
    "CREATE TABLE temp.sm AS SELECT s.sample_id AS old, m.sample_id AS new FROM src.sample s "
    "JOIN main.dataset d JOIN main.sample m ON m.dataset_id=d.dataset_id AND m.lmdb_key=s.lmdb_key",
    "CREATE UNIQUE INDEX temp.sm_old ON sm(old)",
    "DROP TABLE IF EXISTS temp.slots",
    "CREATE TABLE temp.slots(inst INTEGER PRIMARY KEY, sample INTEGER, slot INTEGER)",
    "CREATE INDEX temp.slots_sample ON slots(sample)",
};

static const char *const row_steps[] = {
    "INSERT INTO inst SELECT i.inst_id+o.inst,sm.new,i.kind,coalesce(t.slot,i.slot),i.label,i.x0,"
    "i.y0,i.x1,i.y1,i.state,i.loss,i.loss_ema,i.loss_max,i.loss_first,i.pred,i.p_label,i.p_pred,"
    "i.margin_sum,i.n_seen,i.n_reinj,i.n_contra,i.n_forget,i.flip,i.weight,(SELECT new FROM rm "
    "WHERE old=i.first_run),i.first_iter,(SELECT new FROM rm WHERE old=i.last_run),i.last_iter,"
    "i.label_given,i.planted,i.control FROM src.inst i JOIN sm ON sm.old=i.sample_id LEFT JOIN "
    "slots t ON t.inst=i.inst_id, o WHERE true ON CONFLICT(sample_id,kind,slot) DO UPDATE SET "
    "loss_max=max(loss_max,excluded.loss_max),margin_sum=margin_sum+excluded.margin_sum,"
    "n_seen=n_seen+excluded.n_seen,n_reinj=n_reinj+excluded.n_reinj,"
    "n_contra=n_contra+excluded.n_contra,n_forget=n_forget+excluded.n_forget",
    "DROP TABLE IF EXISTS temp.im",
    "CREATE TABLE temp.im AS SELECT i.inst_id AS old, m.inst_id AS new FROM src.inst i JOIN sm "
    "ON sm.old=i.sample_id LEFT JOIN slots t ON t.inst=i.inst_id JOIN main.inst m ON "
    "m.sample_id=sm.new AND m.kind=i.kind AND m.slot=coalesce(t.slot,i.slot)",
    "CREATE UNIQUE INDEX temp.im_old ON im(old)",
    "UPDATE inst AS m SET label=i.label,x0=i.x0,y0=i.y0,x1=i.x1,y1=i.y1,state=i.state,"
    "loss=i.loss,loss_ema=i.loss_ema,pred=i.pred,p_label=i.p_label,p_pred=i.p_pred,flip=i.flip,"
    "weight=i.weight,last_run=rm.new,last_iter=i.last_iter,label_given=i.label_given,"
    "planted=i.planted,control=i.control FROM src.inst i JOIN im ON im.old=i.inst_id JOIN rm ON "
    "rm.old=i.last_run WHERE m.inst_id=im.new AND rm.new>m.last_run",
    "UPDATE inst AS m SET loss_first=i.loss_first,first_run=rm.new,first_iter=i.first_iter FROM "
    "src.inst i JOIN im ON im.old=i.inst_id JOIN rm ON rm.old=i.first_run WHERE m.inst_id=im.new "
    "AND rm.new<m.first_run",
    "INSERT INTO event SELECT e.event_id+o.event,(SELECT new FROM rm WHERE "
    "old=e.run_id),e.iter,coalesce(im.new,e.inst_id+o.inst),sm.new,e.what,e.loss,e.why,"
    "e.superseded FROM src.event e LEFT JOIN im ON im.old=e.inst_id LEFT JOIN sm ON "
    "sm.old=e.sample_id, o ORDER BY e.event_id",
    "INSERT INTO reinj SELECT reinj_id+o.reinj,(SELECT new FROM rm WHERE "
    "old=run_id),iter,n,reason,lr,weight,loss_before,loss_after,superseded FROM src.reinj, o",
    "INSERT INTO reinj_item SELECT t.reinj_id+o.reinj,t.pos,im.new,t.loss_before,t.loss_after "
    "FROM src.reinj_item t JOIN im ON im.old=t.inst_id, o",
    "INSERT INTO iter_stat SELECT (SELECT new FROM rm WHERE old=run_id),iter,kind,loss,lr,ms,"
    "pool_n,admit_thr,admitted FROM src.iter_stat",
    "INSERT INTO snapshot SELECT (SELECT new FROM rm WHERE old=run_id),iter,path,bytes,"
    "model_hash,event_id+o.event,at FROM src.snapshot, o",
    "INSERT INTO effect SELECT (SELECT new FROM rm WHERE old=run_id),iter,label,n_treated,"
    "n_control,loss_treated,loss_control,diff,lo,hi FROM src.effect",
    "INSERT INTO thermometer SELECT (SELECT new FROM rm WHERE old=run_id),iter,planted,tested,"
    "quarantined,recall,recall_lo,recall_hi,noise,precision FROM src.thermometer",
    "INSERT INTO sentinel SELECT (SELECT new FROM rm WHERE old=run_id),iter,n,loss,sd,max_share "
    "FROM src.sentinel",
    "INSERT INTO verdict(inst_id,lmdb_key,kind,slot,verdict,new_label,who,note,at,source,"
    "applied_run,outcome) SELECT CASE WHEN v.lmdb_key IS NULL THEN "
    "coalesce(im.new,v.inst_id+o.inst) ELSE im.new END,v.lmdb_key,v.kind,v.slot,v.verdict,"
    "v.new_label,v.who,v.note,v.at,v.source,(SELECT new FROM rm WHERE "
    "old=v.applied_run),v.outcome FROM src.verdict v LEFT JOIN im ON im.old=v.inst_id, o ORDER "
    "BY v.verdict_id",
};

static int run_steps(struct merge *m, const char *const *step, size_t n, struct ot_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ot_sql(m->db, err, "%s", step[i]) < 0)
            return err->code;
    return 0;
}

/* ---- background boxes ------------------------------------------------------------------------ */

static double area(const double *b)
{
    return b[2] > b[0] && b[3] > b[1] ? (b[2] - b[0]) * (b[3] - b[1]) : 0;
}

static void iou(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    double a[4], b[4], both[4], in;

    (void)n;
    for (int i = 0; i < 4; i++) {
        a[i] = sqlite3_value_double(v[i]);
        b[i] = sqlite3_value_double(v[4 + i]);
        both[i] = i < 2 ? (a[i] > b[i] ? a[i] : b[i]) : (a[i] < b[i] ? a[i] : b[i]);
    }
    in = area(both);
    sqlite3_result_double(ctx, in > 0 ? in / (area(a) + area(b) - in) : 0);
}

struct boxed {
    int64_t inst, sample; /* sample as in the new file */
    double box[4];
};

/* Slot of the box of the same sample that overlaps best and is not taken; -1: none. */
static int64_t best_slot(const struct ot_pdb *d, const struct boxed *b)
{
    return ot_pdb_int(d, -1,
                      "SELECT slot FROM (SELECT slot, "
                      "iou(x0,y0,x1,y1,%!.17g,%!.17g,%!.17g,%!.17g) AS "
                      "u FROM main.inst WHERE sample_id=%lld AND kind=2 AND slot NOT IN (SELECT "
                      "slot "
                      "FROM slots WHERE sample=%lld)) WHERE u>=0.7 ORDER BY u DESC, slot LIMIT 1",
                      b->box[0], b->box[1], b->box[2], b->box[3], (long long)b->sample,
                      (long long)b->sample);
}

static int64_t new_slot(const struct ot_pdb *d, const struct boxed *b)
{
    return ot_pdb_int(d, 0,
                      "SELECT 1+max(coalesce((SELECT max(slot) FROM main.inst WHERE "
                      "sample_id=%lld AND "
                      "kind=2),-1),coalesce((SELECT max(slot) FROM slots WHERE sample=%lld),-1))",
                      (long long)b->sample, (long long)b->sample);
}

/* Each background row gets the slot of the box that it overlaps best, a new one otherwise. */
static int match_boxes(struct merge *m, struct ot_err *err)
{
    struct ot_pdb d = { .db = m->db, .path = m->out, .version = OT_POOL_VERSION };
    sqlite3_stmt *s = ot_pdb_query(&d, err,
                                   "SELECT i.inst_id, sm.new, i.x0, i.y0, i.x1, i.y1 FROM "
                                   "src.inst i "
                                   "JOIN sm ON sm.old=i.sample_id WHERE i.kind=2 "
                                   "ORDER BY i.sample_id, i.slot");
    int rc;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(&d, s, err)) > 0) {
        struct boxed b = { .inst = sqlite3_column_int64(s, 0),
                           .sample = sqlite3_column_int64(s, 1) };
        int64_t slot;

        for (int i = 0; i < 4; i++)
            b.box[i] = sqlite3_column_double(s, 2 + i);
        slot = best_slot(&d, &b);
        if (slot < 0)
            slot = new_slot(&d, &b);
        rc = ot_sql(m->db, err, "INSERT INTO slots VALUES(%lld,%lld,%lld)", (long long)b.inst,
                    (long long)b.sample, (long long)slot);
        if (rc < 0)
            break;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

/* ---- one input ------------------------------------------------------------------------------- */

/* A copy at one moment, of the current version. */
static int copy_input(struct merge *m, const char *path, struct ot_err *err)
{
    struct ot_pdb d;
    int rc;

    (void)unlink(m->copy);
    if (ot_pdb_open(path, &d, err) < 0)
        return err->code;
    rc = ot_sql(d.db, err, "PRAGMA query_only=OFF; VACUUM INTO %Q", m->copy);
    ot_pdb_close(&d);
    return rc;
}

static int check_rules(struct merge *m, const char *path, struct ot_err *err)
{
    struct ot_pdb d = { .db = m->db, .path = path, .version = OT_POOL_VERSION };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        sqlite3_stmt *s = ot_pdb_query(&d, err, "%s", rules[i].sql);
        char text[400];

        if (!s)
            return err->code;
        if (ot_pdb_step(&d, s, err) > 0) {
            char *why = sqlite3_mprintf(rules[i].text, ot_pdb_str(s, 0));

            (void)snprintf(text, sizeof text, "%s", why ? why : "?");
            sqlite3_free(why);
            (void)ot_fail(err, OT_ECONFIG, "pool '%s': %s", path, text);
        }
        (void)sqlite3_finalize(s);
        if (err->code)
            return err->code;
    }
    return 0;
}

static int take(struct merge *m, int src, const char *path, struct ot_err *err)
{
    int rc;

    if (copy_input(m, path, err) < 0 || ot_sql(m->db, err, "ATTACH %Q AS src", m->copy) < 0)
        return err->code;
    rc = check_rules(m, path, err);
    if (rc == 0)
        rc = ot_sql(m->db, err,
                    "BEGIN; DELETE FROM rm; INSERT INTO rm SELECT old, new FROM numbered WHERE "
                    "src=%d",
                    src);
    if (rc == 0)
        rc = run_steps(m, first_steps, sizeof first_steps / sizeof *first_steps, err);
    if (rc == 0)
        rc = match_boxes(m, err);
    if (rc == 0)
        rc = run_steps(m, row_steps, sizeof row_steps / sizeof *row_steps, err);
    if (rc == 0)
        rc = ot_sql(m->db, err, "COMMIT; DETACH src");
    (void)unlink(m->copy);
    return rc;
}

/* ---- the order of runs ----------------------------------------------------------------------- */

/* All runs of all inputs, numbered by their start. */
static int number_runs(struct merge *m, const char *const *path, int n, struct ot_err *err)
{
    if (ot_sql(m->db, err, "CREATE TABLE temp.seen(src INTEGER, old INTEGER, started TEXT)") < 0)
        return err->code;
    for (int i = 0; i < n; i++) {
        struct ot_pdb d;
        sqlite3_stmt *s;
        int rc;

        if (ot_pdb_open(path[i], &d, err) < 0)
            return err->code;
        s = ot_pdb_query(&d, err, "SELECT run_id, started FROM run");
        rc = s ? 1 : err->code;
        while (rc > 0 && (rc = ot_pdb_step(&d, s, err)) > 0)
            if (ot_sql(m->db, err, "INSERT INTO seen VALUES(%d,%lld,%Q)", i,
                       sqlite3_column_int64(s, 0), ot_pdb_str(s, 1)) < 0)
                rc = err->code;
        (void)sqlite3_finalize(s);
        ot_pdb_close(&d);
        if (rc < 0)
            return rc;
    }
    return ot_sql(m->db, err,
                  "CREATE TABLE temp.numbered AS SELECT src, old, row_number() OVER (ORDER BY "
                  "started, "
                  "src, old) AS new FROM seen; CREATE TABLE temp.rm(old INTEGER PRIMARY KEY, new)");
}

/* ---- the new file ---------------------------------------------------------------------------- */

static int begin(struct merge *m, struct ot_err *err)
{
    (void)unlink(m->part);
    if (sqlite3_open_v2(m->part, &m->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return ot_fail(err, OT_ECREATE, "'%s': cannot be made: %s", m->part,
                       m->db ? sqlite3_errmsg(m->db) : "no memory");
    if (sqlite3_create_function(m->db, "iou", 8, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, iou,
                                NULL, NULL) != SQLITE_OK)
        return ot_sql_fail(m->db, err, "adding a function");
    return ot_pdb_schema(m->db, err) < 0
               ? err->code
               : ot_sql(m->db, err, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF");
}

/* On the disk, then under its name. */
static int end(struct merge *m, struct ot_err *err)
{
    int fd;

    if (sqlite3_close(m->db) != SQLITE_OK)
        return ot_sql_fail(m->db, err, "closing");
    m->db = NULL;
    fd = open(m->part, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        int e = errno;

        if (fd >= 0)
            (void)close(fd);
        return ot_fail_sys(err, OT_EIO, e, "cannot write '%s'", m->part);
    }
    (void)close(fd);
    return rename(m->part, m->out) < 0
               ? ot_fail_sys(err, OT_ECREATE, errno, "cannot make '%s'", m->out)
               : 0;
}

static int say(const char *path, int n, struct ot_err *err)
{
    struct ot_pdb d;

    if (ot_pdb_open(path, &d, err) < 0)
        return err->code;
    ot_out("%s: %lld rows of %lld records, %lld runs of %d pools\n", path,
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM inst"),
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM sample"),
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM run"), n);
    ot_pdb_close(&d);
    return 0;
}

int ot_pcmd_merge(int argc, char **argv, struct ot_err *err)
{
    enum { MOST = 64 };

    const char *pos[MOST + 1];
    struct merge m = { 0 };
    bool force = false;
    const struct ot_data_opt own[] = { { "--force", OT_OPT_FLAG, &force }, { 0 } };
    int n = ot_data_options(own, argc, argv, pos, 3, MOST + 1, err), rc;

    if (n < 0)
        return n;
    m.out = pos[0];
    for (int i = 1; i < n; i++) {
        if (strcmp(pos[i], m.out) == 0)
            return ot_fail(err, OT_EUSAGE,
                           "'%s': must not be one of the pools that are "
                           "merged",
                           m.out);
    }
    if (ot_exists(m.out) && !force)
        return ot_fail(err, OT_ECREATE, "'%s' exists; --force replaces it", m.out);
    (void)snprintf(m.part, sizeof m.part, "%s.part", m.out);
    (void)snprintf(m.copy, sizeof m.copy, "%s.copy", m.out);
    rc = begin(&m, err);
    if (rc == 0)
        rc = number_runs(&m, pos + 1, n - 1, err);
    for (int i = 1; rc == 0 && i < n; i++)
        rc = take(&m, i - 1, pos[i], err);
    if (rc == 0)
        rc = end(&m, err);
    if (rc == 0)
        return say(m.out, n - 1, err);
    (void)sqlite3_close(m.db);
    (void)unlink(m.part);
    (void)unlink(m.copy);
    return rc;
}
