/*
 * bench_mining.c - what mining costs: decisions per second at 64k rows, and rows per second into
 * SQLite through the pool beside the same rows through a bare prepared statement, in one run.
 * Prints JSON lines.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "mining/pool.h"

enum { ROWS = 65536, LOOKS = 256, ITERS = 2000, WRITES = 400000 };

static struct ot_miner *full_miner(struct ot_err *err)
{
    struct ot_miner_conf c = { .admit = OT_ADMIT_QUANTILE,
                               .quantile = 0.9f,
                               .window = 4096,
                               .threshold = 2,
                               .topk = 8,
                               .class_share = 0.3f,
                               .end_iter = INT64_MAX,
                               .capacity = ROWS,
                               .ema = 0.9f,
                               .batch = 2,
                               .min_fresh = 1,
                               .max_share = 0.35f,
                               .cooldown = 50,
                               .per_sample = 16,
                               .retire = 0.5f,
                               .probe_after = 2,
                               .probe_conf = 0.8f,
                               .quarantine_weight = 0.2f,
                               .release = 0.5f,
                               .seed = 1,
                               .n_classes = 21,
                               .n_samples = 20000 };

    return ot_miner_new(&c, NULL, err);
}

static void make_looks(struct ot_look *k, int64_t it, const uint32_t *sample)
{
    for (int i = 0; i < LOOKS; i++) {
        struct ot_rng4 r = ot_philox(5, OT_RNG_TEST, (uint64_t)it, (uint64_t)i);
        float u = (float)(r.v[0] >> 8) / 16777216.0f, x = (float)(r.v[1] >> 8) / 20000000.0f;

        k[i] = (struct ot_look){ .sample = sample[i % 2],
                                 .kind = i % 4 ? OT_KIND_BG_ROI : OT_KIND_GT_ROI,
                                 .slot = i % 4 ? -1 : i % 9,
                                 .label = i % 4 ? 0 : 1 + (int)(r.v[2] % 20),
                                 .p_pred = 0.6f,
                                 .loss = 6 * u * u * u,
                                 .box = { x, x, x + 0.15f, x + 0.15f } };
        k[i].pred = k[i].given = k[i].label;
    }
}

static int bench_decisions(struct ot_err *err)
{
    struct ot_miner *m = full_miner(err);
    static struct ot_look k[LOOKS];
    double spent = 0;
    int64_t it = 0, timed = 0;

    while (m && timed < ITERS && it < 60000) {
        uint32_t s[2] = { ot_rng_below(9, OT_RNG_TEST, (uint64_t)it, 0, 20000),
                          ot_rng_below(9, OT_RNG_TEST, (uint64_t)it, 1, 20000) };
        double t = ot_now_s();
        int n = ot_miner_next(m, it, s);

        t = ot_now_s() - t;
        make_looks(k, it, s);
        t -= ot_now_s();
        if (ot_miner_observe(m, it, n > 0, k, LOOKS, err) < 0)
            break;
        t += ot_now_s();
        if (ot_miner_counts(m).rows >= ROWS || it >= 60000 - ITERS) {
            spent += t;
            timed++;
        }
        it++;
    }
    if (m && timed)
        ot_out("{\"bench\":\"decisions\",\"rows\":%lld,\"looks_per_iter\":%d,\"looks_per_s\":%.0f,"
               "\"us_per_iter\":%.1f}\n",
               (long long)ot_miner_counts(m).rows, LOOKS, (double)timed * LOOKS / spent,
               1e6 * spent / (double)timed);
    ot_miner_free(m);
    return err->code;
}

static int bench_pool(const char *path, struct ot_err *err)
{
    struct ot_pool_conf c = { .path = path,
                              .job = "bench",
                              .config_text = "",
                              .device = "cpu",
                              .dataset = "none",
                              .flush_s = 1,
                              .flush_rows = 4096 };
    struct ot_pool *p = ot_pool_open(&c, err);
    const struct ot_mining_sink *s = p ? ot_pool_sink(p) : NULL;
    double t = ot_now_s(), told;

    for (int i = 0; s && i < WRITES; i++) {
        struct ot_row r = { .id = 1 + (uint64_t)i, .sample = (uint32_t)i % ROWS, .weight = 1 };

        r.slot = i / ROWS;
        s->row(s->ctx, i, &r);
    }
    told = ot_now_s() - t;
    if (!p || ot_pool_close(p, "ok", 0, 0, 0, NULL, 0, err) < 0)
        return err->code;
    ot_out("{\"bench\":\"pool\",\"rows\":%d,\"rows_per_s\":%.0f,\"trainer_ns_per_row\":%.0f}\n",
           WRITES, WRITES / (ot_now_s() - t), 1e9 * told / WRITES);
    return 0;
}

static void bench_bare(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    double t;

    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA synchronous=NORMAL; DELETE FROM inst", NULL, NULL, NULL) ||
        sqlite3_prepare_v2(db,
                           "INSERT INTO inst(sample_id,kind,slot,label,loss,loss_ema,loss_max,"
                           "loss_first,first_run,first_iter,last_run,last_iter) "
                           "VALUES(?1,0,?2,0,0,0,0,0,1,0,1,0)",
                           -1, &s, NULL) != SQLITE_OK)
        return;
    t = ot_now_s();
    for (int i = 0; i < WRITES; i++) {
        if (i % 4096 == 0)
            (void)sqlite3_exec(db, i ? "COMMIT; BEGIN" : "BEGIN", NULL, NULL, NULL);
        (void)sqlite3_bind_int(s, 1, 1 + i % ROWS);
        (void)sqlite3_bind_int(s, 2, i / ROWS);
        (void)sqlite3_step(s);
        (void)sqlite3_reset(s);
    }
    (void)sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    ot_out("{\"bench\":\"bare\",\"rows\":%d,\"rows_per_s\":%.0f}\n", WRITES,
           WRITES / (ot_now_s() - t));
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
}

int main(void)
{
    struct ot_err err = OT_ERR_INIT;
    char path[64], side[80];
    const char *const suffix[] = { "", "-wal", "-shm", ".lock" };

    (void)snprintf(path, sizeof path, "/tmp/bench_mining.%ld.db", (long)getpid());
    if (bench_decisions(&err) == 0 && bench_pool(path, &err) == 0)
        bench_bare(path);
    if (err.code)
        ot_log_err("bench", &err);
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        (void)snprintf(side, sizeof side, "%s%s", path, suffix[i]);
        (void)unlink(side);
    }
    return ot_exit_code(err.code);
}
