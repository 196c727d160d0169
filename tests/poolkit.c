/* What the tests of the pool file share. */
#include "tests/poolkit.h"

#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "tests/check.h"

static const char *const names[] = { "background", "cat", "dog" };

const char *pk_path(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof path, "%s/%s.db", ot_tmpdir(), name);
    return path;
}

struct ot_pool_conf pk_conf(const char *file)
{
    return (struct ot_pool_conf){ .path = file,
                                  .job = "test",
                                  .config_text = "max_iter: 10",
                                  .seed = 1,
                                  .device = "cpu",
                                  .dataset = "data/train_lmdb",
                                  .dataset_entries = 1000,
                                  .dataset_fingerprint = 42,
                                  .class_name = names,
                                  .n_classes = 3,
                                  .flush_s = 0.01f,
                                  .flush_rows = 64 };
}

struct ot_pool *pk_open(const struct ot_pool_conf *c)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = ot_pool_open(c, &err);

    assert_ok(p ? 0 : -1, &err);
    return p;
}

void pk_close(struct ot_pool *p)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_pool_close(p, "ok", 0, 10, 0.5, "mAP", 0.7, &err), &err);
}

struct ot_row pk_row(uint64_t id, uint32_t sample, float loss)
{
    return (struct ot_row){ .id = id,
                            .sample = sample,
                            .label = 1,
                            .pred = 2,
                            .p_pred = 0.9f,
                            .loss = loss,
                            .loss_ema = loss,
                            .loss_max = loss,
                            .loss_first = loss,
                            .n_seen = 1,
                            .weight = 1 };
}

void pk_put(struct ot_pool *p, uint64_t id, uint32_t sample, float loss)
{
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_row r = pk_row(id, sample, loss);

    s->row(s->ctx, 1, &r);
    s->event(s->ctx, 1, &r, OT_EV_ADMIT, loss, "loss is high");
}

/* First column of the first row as a number; fails the test on an SQL error. */
double pk_ask(const char *file, const char *query)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    double v = NAN;
    int rc;

    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    rc = sqlite3_prepare_v2(db, query, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        fail_msg("%s: %s", query, sqlite3_errmsg(db));
    if (rc == SQLITE_ROW)
        v = sqlite3_column_double(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return v;
}

void pk_change(const char *file, const char *query)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    if (sqlite3_exec(db, query, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", query, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

void pk_nap_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

/* Waits at most five seconds for the query to give v. */
void pk_await(const char *file, const char *query, double v)
{
    for (int i = 0; i < 250; i++) {
        if (pk_ask(file, query) >= v)
            return;
        pk_nap_ms(20);
    }
    fail_msg("%s never reached %g", query, v);
}

bool pk_shell(const char *file, const char *script)
{
    pid_t child;
    int status = 1;

    if (access("/usr/bin/sqlite3", X_OK) != 0)
        return false;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execl("/usr/bin/sqlite3", "sqlite3", "-batch", "-bail", "-cmd", ".timeout 5000", file,
                    script, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("sqlite3 %s \"%s\": status %d", file, script, status);
    return true;
}

static bool has_row(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    bool has = sqlite3_prepare_v2(db, "SELECT 1 FROM inst", -1, &s, NULL) == SQLITE_OK &&
               sqlite3_step(s) == SQLITE_ROW;

    (void)sqlite3_finalize(s);
    return has;
}

pid_t pk_holder(const char *file, const char *script, int *ready)
{
    int pipefd[2];
    pid_t child;

    assert_int_equal(pipe(pipefd), 0);
    child = fork();
    assert_true(child >= 0);
    *ready = pipefd[0];
    if (child > 0) {
        (void)close(pipefd[1]);
        return child;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
    for (;;) {
        sqlite3 *db = NULL;

        pk_nap_ms(10);
        if (access(file, F_OK) == 0 && sqlite3_open(file, &db) == SQLITE_OK && has_row(db) &&
            sqlite3_exec(db, script, NULL, NULL, NULL) == SQLITE_OK)
            break;
        (void)sqlite3_close(db);
    }
    (void)!write(pipefd[1], "x", 1);
    for (;;)
        (void)pause();
}

void pk_await_ready(int ready)
{
    char c;

    assert_int_equal(read(ready, &c, 1), 1);
    (void)close(ready);
}

void pk_kill(pid_t child)
{
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

int pk_count_in(const char *file, const char *part)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n;
    char *text = ot_read_file(file, 1 << 26, &n, &err);
    int count = 0;

    for (const char *at = text; at && (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    ot_free(text);
    return count;
}
