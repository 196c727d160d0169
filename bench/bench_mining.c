/*
 * bench_mining.c - what mining costs by itself: looks per second of a full miner, memory, rows per
 * second into SQLite through the pool beside the same rows through a bare loop over prepared
 * statements, taking turns.  Prints JSON lines.
 *
 * usage: bench_mining [FOLDER]   where the pool files are made (default /tmp)
 */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mining/pool.h"

enum {
    LOOKS = 256,
    ITERS = 2000,
    WARM = 200,
    FIRST = 1 << 20,
    WRITES = 200000,
    STRIDE = 7919,
    TURNS = 3,
    COMMIT = 4096
};

/* ---- the miner ------------------------------------------------------------------------------- */

/* The defaults, for `rows` rows; image: an instance is a whole sample, else 32 RoIs of one. */
static struct ot_miner_conf conf_of(int rows, bool image)
{
    return (struct ot_miner_conf){ .admit = OT_ADMIT_QUANTILE,
                                   .quantile = 0.9f,
                                   .window = 4096,
                                   .topk = 8,
                                   .class_share = 0.3f,
                                   .end_iter = INT64_MAX,
                                   .capacity = rows,
                                   .ema = 0.9f,
                                   .batch = image ? 64 : 2,
                                   .min_fresh = 1,
                                   .max_share = 0.1f,
                                   .cooldown = 50,
                                   .per_sample = image ? 1 : 16,
                                   .retire = 0.5f,
                                   .probe_after = 2,
                                   .probe_conf = 0.8f,
                                   .quarantine_weight = 0.2f,
                                   .release = 1,
                                   .seed = 1,
                                   .n_classes = 21,
                                   .n_samples = (uint32_t)(image ? 2 * rows : rows / 16),
                                   .importance_beta = 0.4f,
                                   .auto_share = true,
                                   .scope_all = true,
                                   .scope_looks = 8,
                                   .scope_margin = 0.75f,
                                   .control = 0.1f,
                                   .thermometer = 0.005f,
                                   .first_class = image ? 0 : 1 };
}

static struct ot_look look_of(uint32_t sample, int64_t it, int i, bool image)
{
    struct ot_rng4 r = ot_philox(5, OT_RNG_TEST, (uint64_t)it, (uint64_t)i);
    float u = (float)(r.v[0] >> 8) / 16777216.0f, x = (float)(r.v[1] % 32) / 40.0f;
    bool bg = !image && i % 4 != 0;
    struct ot_look k = { .sample = sample,
                         .kind = image ? OT_KIND_IMAGE
                                 : bg  ? OT_KIND_BG_ROI
                                       : OT_KIND_GT_ROI,
                         .slot = image ? 0
                                 : bg  ? -1
                                       : i % 9,
                         .label = bg ? 0 : 1 + (int)(r.v[2] % 20),
                         .p_label = expf(-6 * u * u * u),
                         .loss = 6 * u * u * u,
                         .box = { x, x, x + 0.02f, x + 0.02f } };

    if (image)
        k.label = 1 + (int)(sample % 20);
    k.given = k.label;
    k.pred = k.p_label < 0.4f ? (k.label + 1) % 21 : k.label;
    k.p_pred = k.p_label < 0.4f ? 0.9f - k.p_label : k.p_label;
    return k;
}

/* A miner with as many rows as it may have: filled by one that admits everything. */
static struct ot_miner *full_miner(int rows, bool image, struct ot_err *err)
{
    struct ot_miner_conf conf = conf_of(rows, image), all = conf;
    struct ot_miner *filler, *m = NULL;
    struct ot_str state = { 0 };
    static struct ot_look k[LOOKS];
    uint32_t per = image ? 1 : 128;
    int64_t last = -1;
    int rc = 0;

    all.admit = OT_ADMIT_THRESHOLD;
    all.threshold = -1;
    all.class_share = 1;
    all.max_share = 0;
    filler = ot_miner_new(&all, NULL, err);
    /* twice: what passed once only is not re-injected */
    for (int64_t it = 0; filler && rc == 0 && (it < last || last < 0); it++) {
        for (int i = 0; i < LOOKS; i++)
            k[i] = look_of((uint32_t)((it * LOOKS + i) / per % all.n_samples), it, i, image);
        if (last < 0 && ot_miner_counts(filler).rows >= rows)
            last = 2 * it;
        (void)ot_miner_next(filler, it, NULL);
        rc = ot_miner_observe(filler, it, false, k, LOOKS, err);
    }
    if (filler && rc == 0 && ot_miner_save(filler, &state, err) == 0)
        m = ot_miner_new(&conf, NULL, err);
    ot_miner_free(filler);
    if (m && ot_miner_restore(m, state.buf, state.len, err) < 0) {
        ot_miner_free(m);
        m = NULL;
    }
    ot_str_release(&state);
    return m;
}

static int bench_decisions(int rows, bool image, struct ot_err *err)
{
    struct ot_miner *m = full_miner(rows, image, err);
    struct ot_miner_conf conf = conf_of(rows, image);
    struct ot_miner_counts before, after;
    static struct ot_look k[LOOKS];
    uint32_t sample[64];
    double spent = 0;
    int64_t looks = 0;

    if (!m)
        return err->code;
    before = ot_miner_counts(m);
    for (int64_t it = FIRST; it < FIRST + WARM + ITERS; it++) {
        double t;
        int n, many;

        if (it == FIRST + WARM) { /* all that rested while it was filled is awake */
            before = ot_miner_counts(m);
            spent = 0;
            looks = 0;
        }
        t = ot_now_s();
        n = ot_miner_next(m, it, sample);
        spent += ot_now_s() - t;
        many = n && image ? n : LOOKS;
        for (int i = 0; i < many; i++) {
            uint32_t at = image ? (uint32_t)i : (uint32_t)i % 2;
            uint32_t s = n ? sample[at]
                           : ot_rng_below(9, OT_RNG_TEST, (uint64_t)it, at, conf.n_samples);

            k[i] = look_of(s, it, i, image);
        }
        t = ot_now_s();
        if (ot_miner_observe(m, it, n > 0, k, (size_t)many, err) < 0)
            break;
        spent += ot_now_s() - t;
        looks += many;
    }
    after = ot_miner_counts(m);
    ot_out("{\"bench\":\"decisions\",\"instances\":\"%s\",\"rows\":%lld,\"capacity\":%d,"
           "\"looks_per_s\":%.0f,\"us_per_iter\":%.1f,\"admitted_per_iter\":%.1f,"
           "\"evicted_per_iter\":%.1f,\"reinjected_batches\":%lld}\n",
           image ? "image" : "roi", (long long)after.rows, rows, (double)looks / spent,
           1e6 * spent / ITERS, (double)(after.admitted - before.admitted) / ITERS,
           (double)(after.evicted - before.evicted) / ITERS,
           (long long)(after.reinj_batches - before.reinj_batches));
    ot_miner_free(m);
    return err->code;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static double resident_mb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all = 0, resident = 0;

    if (!f)
        return 0;
    if (fscanf(f, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    (void)fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* A million samples, all of them looked at; none of them hard, or every one a row. */
static int bench_memory(bool hard, struct ot_err *err)
{
    const uint32_t million = 1000000;
    struct ot_miner_conf conf = conf_of((int)million, true);
    double resident = resident_mb(), bytes = (double)ot_mem_bytes();
    static struct ot_look k[LOOKS];
    struct ot_miner *m;
    int rc = 0;

    conf.n_samples = million;
    conf.admit = OT_ADMIT_THRESHOLD;
    conf.threshold = hard ? -1 : 100;
    conf.class_share = 1;
    m = ot_miner_new(&conf, NULL, err);
    for (uint32_t s = 0; m && rc == 0 && s < million; s += LOOKS) {
        for (uint32_t i = 0; i < LOOKS; i++)
            k[i] = look_of((s + i) % million, s, (int)i, true);
        rc = ot_miner_observe(m, s / LOOKS, false, k, LOOKS, err);
    }
    if (m && rc == 0)
        ot_out("{\"bench\":\"memory\",\"samples\":%u,\"rows\":%lld,\"heap_mb\":%.1f,"
               "\"resident_mb\":%.1f}\n",
               million, (long long)ot_miner_counts(m).rows, ((double)ot_mem_bytes() - bytes) / 1e6,
               resident_mb() - resident);
    ot_miner_free(m);
    return m ? rc : err->code;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static char *key_of(void *ctx, uint32_t index, char *buf, size_t n)
{
    (void)ctx;
    (void)snprintf(buf, n, "%08u", index);
    return buf;
}

/* Row i of WRITES: the second time round in another order and with other numbers. */
static struct ot_row row_of(int i, int again)
{
    int at = again ? (int)((int64_t)i * STRIDE % WRITES) : i;

    return (struct ot_row){ .id = 1 + (uint64_t)at,
                            .sample = (uint32_t)at / 4,
                            .slot = at % 4,
                            .kind = OT_KIND_GT_ROI,
                            .label = at % 21,
                            .label_given = at % 21,
                            .pred = (at + again) % 21,
                            .p_label = 0.1f,
                            .p_pred = 0.7f,
                            .box = { 0.1f, 0.2f, 0.3f, 0.4f },
                            .loss = 2.0f + (float)again,
                            .loss_ema = 2.0f + (float)(at % 1000) / 1000.0f + (float)again,
                            .loss_max = 3,
                            .loss_first = 2,
                            .n_seen = 1 + again,
                            .weight = 1,
                            .last_iter = again };
}

static struct ot_pool *open_pool(const char *path, struct ot_err *err)
{
    struct ot_pool_conf c = { .path = path,
                              .job = "bench",
                              .config_text = "",
                              .device = "cpu",
                              .dataset = "none",
                              .n_classes = 21,
                              .flush_s = 1,
                              .flush_rows = COMMIT,
                              .key = key_of };

    return ot_pool_open(&c, err);
}

/* Seconds until all rows are in the file, and nanoseconds that the teller of one waited. */
static double through_pool(const char *path, int again, double *told, struct ot_err *err)
{
    struct ot_pool *p = open_pool(path, err);
    const struct ot_mining_sink *s = p ? ot_pool_sink(p) : NULL;
    double t = ot_now_s();

    for (int i = 0; s && i < WRITES; i++) {
        struct ot_row r = row_of(i, again);

        s->row(s->ctx, i, &r);
    }
    *told = 1e9 * (ot_now_s() - t) / WRITES;
    if (!p || ot_pool_close(p, "ok", 0, 0, 0, NULL, 0, err) < 0)
        return -1;
    return ot_now_s() - t;
}

static const char put_sample[] = "INSERT INTO sample(dataset_id,lmdb_key) VALUES(1,?1)";
static const char put_row[] =
    "INSERT INTO inst(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,"
    "loss_first,pred,p_label,p_pred,margin_sum,n_seen,n_reinj,n_contra,n_forget,flip,weight,"
    "first_run,first_iter,last_run,last_iter,label_given) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,0,?10,"
    "?11,?12,?13,?14,?15,?16,?17,?18,0,0,0,0,?19,1,0,1,?20,?21) ON CONFLICT(sample_id,kind,slot) "
    "DO UPDATE SET label=excluded.label,x0=excluded.x0,y0=excluded.y0,x1=excluded.x1,"
    "y1=excluded.y1,state=excluded.state,loss=excluded.loss,loss_ema=excluded.loss_ema,"
    "loss_max=excluded.loss_max,loss_first=excluded.loss_first,pred=excluded.pred,"
    "p_label=excluded.p_label,p_pred=excluded.p_pred,margin_sum=excluded.margin_sum,"
    "n_seen=excluded.n_seen,n_reinj=excluded.n_reinj,n_contra=excluded.n_contra,"
    "n_forget=excluded.n_forget,flip=excluded.flip,weight=excluded.weight,"
    "last_run=excluded.last_run,last_iter=excluded.last_iter,label_given=excluded.label_given";

static int step(sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);

    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int bare_row(sqlite3_stmt *sample, sqlite3_stmt *s, int i, int again)
{
    struct ot_row r = row_of(i, again);
    const double real[] = { (double)r.loss, (double)r.loss_ema, (double)r.loss_max,
                            (double)r.loss_first };
    char key[16];

    if (!again && r.slot == 0) {
        (void)sqlite3_bind_text(sample, 1, key_of(NULL, r.sample, key, sizeof key), -1,
                                SQLITE_STATIC);
        if (step(sample) < 0)
            return -1;
    }
    (void)sqlite3_bind_int64(s, 1, (int64_t)r.id);
    (void)sqlite3_bind_int64(s, 2, 1 + (int64_t)r.sample);
    (void)sqlite3_bind_int(s, 3, r.kind);
    (void)sqlite3_bind_int(s, 4, r.slot);
    (void)sqlite3_bind_int(s, 5, r.label);
    for (int k = 0; k < 4; k++) {
        (void)sqlite3_bind_double(s, 6 + k, (double)r.box[k]);
        (void)sqlite3_bind_double(s, 10 + k, real[k]);
    }
    (void)sqlite3_bind_int(s, 14, r.pred);
    (void)sqlite3_bind_double(s, 15, (double)r.p_label);
    (void)sqlite3_bind_double(s, 16, (double)r.p_pred);
    (void)sqlite3_bind_double(s, 17, r.margin_sum);
    (void)sqlite3_bind_int(s, 18, r.n_seen);
    (void)sqlite3_bind_double(s, 19, (double)r.weight);
    (void)sqlite3_bind_int64(s, 20, r.last_iter);
    (void)sqlite3_bind_int(s, 21, r.label_given);
    return step(s);
}

/* The same tables and rows, a transaction for every 4096 and nothing else: the limit. */
static double bare(const char *path, int again)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *sample = NULL, *row = NULL;
    double t = ot_now_s();
    int rc = -1;

    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_exec(db, "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4096", NULL, NULL,
                     NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, put_sample, -1, &sample, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, put_row, -1, &row, NULL) == SQLITE_OK)
        rc = 0;
    for (int i = 0; rc == 0 && i < WRITES; i++) {
        if (i % COMMIT == 0)
            (void)sqlite3_exec(db, i ? "COMMIT; BEGIN" : "BEGIN", NULL, NULL, NULL);
        rc = bare_row(sample, row, i, again);
    }
    (void)sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (rc)
        (void)fprintf(stderr, "bare: %s\n", sqlite3_errmsg(db));
    (void)sqlite3_finalize(sample);
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db); /* with its checkpoint, as the pool's */
    return rc ? -1 : ot_now_s() - t;
}

static void clean(const char *path)
{
    const char *const suffix[] = { "",          "-wal",          "-shm",          ".lock",
                                   ".verdicts", ".verdicts-wal", ".verdicts-shm", ".1" };
    char side[600];

    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        (void)snprintf(side, sizeof side, "%s%s", path, suffix[i]);
        (void)unlink(side);
    }
}

static int bench_rows(const char *path, struct ot_err *err)
{
    for (int turn = 0; turn < TURNS; turn++) {
        double s[2], limit[2], told[2];

        clean(path);
        for (int again = 0; again < 2; again++)
            s[again] = through_pool(path, again, &told[again], err);
        clean(path);
        if (err->code || ot_pool_close(open_pool(path, err), "ok", 0, 0, 0, NULL, 0, err) < 0)
            return err->code;
        for (int again = 0; again < 2; again++)
            limit[again] = bare(path, again);
        for (int again = 0; again < 2 && limit[again] > 0; again++)
            ot_out("{\"bench\":\"rows\",\"what\":\"%s\",\"turn\":%d,\"rows\":%d,"
                   "\"pool_rows_per_s\":%.0f,\"bare_rows_per_s\":%.0f,\"ratio\":%.3f,"
                   "\"teller_ns_per_row\":%.0f}\n",
                   again ? "changed" : "new", turn, WRITES, WRITES / s[again],
                   WRITES / limit[again], limit[again] / s[again], told[again]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/bench_mining.%ld.db", argc > 1 ? argv[1] : "/tmp",
                   (long)getpid());
    ot_log_set_level(OT_LOG_ERROR);
    if (bench_memory(false, &err) == 0 && bench_memory(true, &err) == 0 &&
        bench_decisions(1 << 16, true, &err) == 0 && bench_decisions(1 << 20, true, &err) == 0 &&
        bench_decisions(1 << 16, false, &err) == 0 && bench_decisions(1 << 20, false, &err) == 0)
        (void)bench_rows(path, &err);
    if (err.code)
        ot_log_err("bench", &err);
    clean(path);
    return ot_exit_code(err.code);
}
