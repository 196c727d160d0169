/*
 * wal_guard.c - keeps the write-ahead log short, and names the process that keeps it long.
 *
 * Readers never stop the writer, but an open read transaction keeps the log from being begun
 * anew, and it grows.  Checkpoints are our own (PASSIVE, from `pages` on; TRUNCATE at snapshots).
 * When the log does not begin anew for `stuck_s`, or is longer than max_bytes, whoever holds a
 * read lock is named in the log file, the flushes become rarer (a row changed twice between two
 * flushes is written once) and iter_stat is left out, until it lets go.
 *
 * The locks are POSIX byte ranges of the -shm file: 120 write, 121 checkpoint, 122 recovery,
 * 123 to 127 readers.  They are read from /proc/locks: opening the file to ask with F_GETLK and
 * closing it again would drop our own locks on it.
 * Source: https://www.sqlite.org/walformat.html, section 2.3; proc(5), /proc/locks.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mining/pool_impl.h"

#define MAX_HOLDERS 16

/* ---- who holds a lock ------------------------------------------------------------------------ */

static bool shm_stat(const struct ot_pool *p, struct stat *st)
{
    char shm[1100];

    return (size_t)snprintf(shm, sizeof shm, "%s-shm", p->path) < sizeof shm && stat(shm, st) == 0;
}

/* Does the process have the file open?  Also true where its descriptors may not be seen. */
static bool has_open(long pid, const struct stat *file)
{
    char path[64];
    struct dirent *e;
    bool found = false;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    dir = opendir(path);
    if (!dir)
        return true;
    while (!found && (e = readdir(dir)) != NULL) {
        struct stat st;

        found = isdigit((unsigned char)e->d_name[0]) &&
                fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && st.st_ino == file->st_ino &&
                st.st_dev == file->st_dev;
    }
    (void)closedir(dir);
    return found;
}

struct lock {
    long pid;
    unsigned long inode, from, to;
};

/* "7: POSIX  ADVISORY  READ 1234 fe:00:5678 123 127"; one who waits for a lock has "->" after "7:"
 * and holds none. */
static bool parse_lock(char *line, struct lock *k)
{
    char *rest = NULL, *word[8], *colon;
    int n = 0;

    for (char *w = strtok_r(line, " \t\n", &rest); w && n < 8; w = strtok_r(NULL, " \t\n", &rest))
        word[n++] = w;
    if (n != 8 || strcmp(word[1], "POSIX") != 0)
        return false;
    colon = strrchr(word[5], ':');
    k->pid = strtol(word[4], NULL, 10);
    k->inode = colon ? strtoul(colon + 1, NULL, 10) : 0;
    k->from = strtoul(word[6], NULL, 10);
    k->to = strcmp(word[7], "EOF") == 0 ? ULONG_MAX : strtoul(word[7], NULL, 10);
    return true;
}

static void add_pid(long pid, long *pids, int *n)
{
    for (int i = 0; i < *n; i++)
        if (pids[i] == pid)
            return;
    if (*n < MAX_HOLDERS)
        pids[(*n)++] = pid;
}

/* Other processes with a lock that overlaps bytes first..last; returns how many. */
static int holders(const struct ot_pool *p, unsigned long first, unsigned long last, long *pids)
{
    char line[256];
    struct stat st;
    int n = 0;
    FILE *f;

    if (!shm_stat(p, &st))
        return 0;
    f = fopen("/proc/locks", "r");
    while (f && fgets(line, sizeof line, f)) {
        struct lock k;

        if (parse_lock(line, &k) && k.inode == st.st_ino && k.from <= last && k.to >= first &&
            k.pid > 0 && k.pid != (long)getpid() && has_open(k.pid, &st))
            add_pid(k.pid, pids, &n);
    }
    if (f)
        (void)fclose(f);
    return n;
}

/* "pid 1234 sqlite3 (alice)" */
static void describe(long pid, char *buf, size_t n)
{
    char path[64], comm[64] = "?", user[64], strings[1024];
    struct passwd pw, *found = NULL;
    struct stat st;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    f = fopen(path, "r");
    if (f) {
        if (fgets(comm, sizeof comm, f))
            comm[strcspn(comm, "\n")] = '\0';
        (void)fclose(f);
    }
    (void)snprintf(path, sizeof path, "/proc/%ld", pid);
    (void)snprintf(user, sizeof user, "?");
    if (stat(path, &st) == 0) {
        (void)snprintf(user, sizeof user, "uid %lu", (unsigned long)st.st_uid);
        if (getpwuid_r(st.st_uid, &pw, strings, sizeof strings, &found) == 0 && found)
            (void)snprintf(user, sizeof user, "%s", found->pw_name);
    }
    (void)snprintf(buf, n, "pid %ld %s (%s)", pid, comm, user);
}

const char *ot_lock_blame(const struct ot_pool *p, enum ot_lock_bytes which, char *buf, size_t n)
{
    unsigned long first = which == OT_LOCK_WRITE ? 120 : 123;
    long pid[MAX_HOLDERS];
    int k = holders(p, first, which == OT_LOCK_WRITE ? 120 : 127, pid);
    size_t len = 0;

    (void)snprintf(buf, n, "another process");
    for (int i = 0; i < k && len < n; i++) {
        char one[200];

        describe(pid[i], one, sizeof one);
        len += (size_t)snprintf(buf + len, n - len, "%s%s", i ? ", " : "", one);
    }
    return buf;
}

/* ---- the log's length ------------------------------------------------------------------------ */

void ot_guard_init(struct ot_guard *g, double flush_s, double max_mb)
{
    g->since = g->unknown_warned = -1;
    g->interval = flush_s;
    g->pages = OT_WAL_PAGES;
    g->stuck_s = OT_STUCK_S;
    g->warn_s = 60;
    g->max_bytes = (max_mb > 0 ? max_mb : 1024) * 1048576.0;
}

static int count_pages(void *pool, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct ot_pool *)pool)->guard.frames = pages;
    return SQLITE_OK;
}

void ot_guard_watch(struct ot_pool *p)
{
    (void)sqlite3_wal_hook(p->db, count_pages, p);
}

static double log_bytes(const struct ot_pool *p)
{
    char wal[1100];
    struct stat st;

    if ((size_t)snprintf(wal, sizeof wal, "%s-wal", p->path) >= sizeof wal || stat(wal, &st) < 0)
        return 0;
    return (double)st.st_size;
}

/* Who holds a read now, and since which look without a gap. */
static void update_holders(struct ot_pool *p)
{
    struct ot_guard *g = &p->guard;
    long pid[MAX_HOLDERS];
    int n = holders(p, 123, 127, pid), k = 0;

    for (int i = 0; i < g->n_holders; i++)
        g->holder[i].here = false;
    for (int i = 0; i < n; i++) {
        struct ot_holder *h = NULL;

        for (int j = 0; j < g->n_holders && !h; j++)
            h = g->holder[j].pid == pid[i] ? &g->holder[j] : NULL;
        if (!h && g->n_holders < MAX_HOLDERS) {
            h = &g->holder[g->n_holders++];
            *h = (struct ot_holder){ .pid = pid[i], .since = ot_now_s(), .warned = -1 };
            (void)ot_time_utc(h->since_utc);
        }
        if (h)
            h->here = true;
    }
    for (int i = 0; i < g->n_holders; i++)
        if (g->holder[i].here)
            g->holder[k++] = g->holder[i];
    g->n_holders = k;
}

static void warn(struct ot_pool *p, struct ot_holder *h, double bytes)
{
    char who[200];

    describe(h->pid, who, sizeof who);
    h->warned = ot_now_s();
    ot_log(OT_LOG_WARN, "pool",
           "%s has held a read of '%s' at least since %s; its log has grown to %.0f MB and "
           "cannot be emptied; until it lets go, changes are written less often",
           who, p->path, h->since_utc, bytes / 1048576.0);
}

/* Names those who have read for long enough; true when there is one. */
static bool blame(struct ot_pool *p)
{
    struct ot_guard *g = &p->guard;
    double now = ot_now_s(), bytes = log_bytes(p);
    bool too_long = bytes > g->max_bytes, any = false;

    if (!too_long && now - g->since < g->stuck_s)
        return false;
    for (int i = 0; i < g->n_holders; i++) {
        struct ot_holder *h = &g->holder[i];

        if (!too_long && now - h->since < g->stuck_s)
            continue; /* readers that come and go */
        any = true;
        if (h->warned < 0 || now - h->warned >= g->warn_s)
            warn(p, h, bytes);
    }
    if (too_long && !any && (g->unknown_warned < 0 || now - g->unknown_warned >= g->warn_s)) {
        g->unknown_warned = now;
        ot_log(OT_LOG_WARN, "pool",
               "the log of '%s' has grown to %.0f MB and cannot be emptied; no process that reads "
               "it was found",
               p->path, bytes / 1048576.0);
    }
    return any || too_long;
}

static void release(struct ot_pool *p)
{
    struct ot_guard *g = &p->guard;

    if (g->pinned)
        ot_log(OT_LOG_INFO, "pool", "the log of '%s' is emptied again", p->path);
    g->pinned = false;
    g->since = g->unknown_warned = -1;
    g->n_holders = 0;
    g->interval = (double)p->flush_s;
}

static void checkpoint(struct ot_pool *p, int mode)
{
    int frames = 0, done = 0;

    p->guard.tried = ot_now_s();
    if (mode == SQLITE_CHECKPOINT_TRUNCATE)
        (void)sqlite3_busy_timeout(p->db, 100);
    if (sqlite3_wal_checkpoint_v2(p->db, NULL, mode, &frames, &done) == SQLITE_OK &&
        mode == SQLITE_CHECKPOINT_TRUNCATE)
        p->guard.frames = 0;
    if (mode == SQLITE_CHECKPOINT_TRUNCATE)
        (void)sqlite3_busy_timeout(p->db, OT_BUSY_MS);
}

void ot_guard_look(struct ot_pool *p, bool committed, bool truncate)
{
    struct ot_guard *g = &p->guard;
    double now = ot_now_s();

    if (truncate)
        checkpoint(p, SQLITE_CHECKPOINT_TRUNCATE);
    if (g->frames < g->pages || (g->since >= 0 && g->frames < g->peak)) { /* it began anew */
        if (g->since >= 0)
            release(p);
        return;
    }
    if (g->since < 0) {
        g->since = now;
        g->peak = g->frames;
        checkpoint(p, SQLITE_CHECKPOINT_PASSIVE);
        update_holders(p);
        return;
    }
    update_holders(p);
    if (committed && now - g->tried >= (double)p->flush_s)
        checkpoint(p, SQLITE_CHECKPOINT_PASSIVE);
    g->peak = g->frames > g->peak ? g->frames : g->peak;
    if (g->n_holders == 0 && g->pinned) {
        checkpoint(p, SQLITE_CHECKPOINT_TRUNCATE);
        if (g->frames == 0) {
            release(p);
            return;
        }
    }
    if (committed || g->pinned) {
        bool pinned = blame(p);

        if (pinned && committed && g->interval < OT_FLUSH_MAX_S)
            g->interval = fmin(g->interval * 2, OT_FLUSH_MAX_S);
        g->pinned = pinned;
    }
}
