/*
 * backup.c - copies of the pool, one a day, and the newest few of them.
 *
 * VACUUM INTO another name, synced, then renamed: a backup is whole or not there.  The copy is
 * compact and without a log of its own.
 * Source: https://www.sqlite.org/lang_vacuum.html, "VACUUM with an INTO clause".
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool_impl.h"

#define DAY "YYYYMMDD"

static int sync_path(const char *path, struct ot_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return ot_fail_sys(err, OT_EIO, errno, "backup '%s'", path);
    rc = fsync(fd) < 0 ? ot_fail_sys(err, OT_EIO, errno, "backup '%s'", path) : 0;
    (void)close(fd);
    return rc;
}

static int copy(sqlite3 *db, const char *to, struct ot_err *err)
{
    char part[1200], dir[1200];

    if ((size_t)snprintf(part, sizeof part, "%s.part", to) >= sizeof part)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", to);
    (void)remove(part);
    if (ot_sql(db, err, "VACUUM INTO %Q", part) < 0 || sync_path(part, err) < 0 ||
        (rename(part, to) < 0 && ot_fail_sys(err, OT_ECREATE, errno, "backup '%s'", to) < 0)) {
        (void)remove(part);
        return err->code;
    }
    return sync_path(ot_path_dir(dir, sizeof dir, to), err);
}

static int newest_first(const void *a, const void *b)
{
    return -strcmp(a, b);
}

/* Is this name prefix + eight digits? */
static bool is_backup(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(name, prefix, n) != 0 || strlen(name) != n + strlen(DAY))
        return false;
    for (const char *c = name + n; *c; c++)
        if (!isdigit((unsigned char)*c))
            return false;
    return true;
}

/* Removes all but the newest `keep` of path.bak-*; those beyond the first 512 wait for their turn.
 */
static void thin_out(const char *path, int keep)
{
    char dir[1024], prefix[300], (*days)[sizeof DAY];
    const char *base = strrchr(path, '/');
    struct ot_err ignored = OT_ERR_INIT;
    struct dirent *e;
    int n = 0;
    DIR *d;

    (void)snprintf(prefix, sizeof prefix, "%s.bak-", base ? base + 1 : path);
    d = opendir(ot_path_dir(dir, sizeof dir, path));
    days = ot_alloc(512, sizeof *days, &ignored);
    while (d && days && n < 512 && (e = readdir(d)) != NULL)
        if (is_backup(e->d_name, prefix))
            (void)snprintf(days[n++], sizeof *days, "%s", e->d_name + strlen(prefix));
    if (n)
        qsort(days, (size_t)n, sizeof *days, newest_first);
    for (int i = keep; i < n; i++) {
        char old[1400];

        (void)snprintf(old, sizeof old, "%s.bak-%s", path, days[i]);
        (void)remove(old);
    }
    ot_free(days);
    if (d)
        (void)closedir(d);
}

void ot_pool_backup(sqlite3 *db, const char *path, int keep)
{
    struct ot_err err = OT_ERR_INIT;
    char now[32], day[sizeof DAY], to[1100];

    if (keep <= 0)
        return;
    (void)ot_time_utc(now); /* 2026-11-23T... */
    (void)snprintf(day, sizeof day, "%.4s%.2s%.2s", now, now + 5, now + 8);
    if ((size_t)snprintf(to, sizeof to, "%s.bak-%s", path, day) >= sizeof to)
        return;
    if (ot_exists(to))
        return;
    if (copy(db, to, &err) < 0) {
        ot_log(OT_LOG_WARN, "pool", "no backup was made: %s", err.text);
        return;
    }
    thin_out(path, keep);
}
