/*
 * looklog.c - the writing side of the loss log.
 *
 * The trainer encodes records into `front`; the writing thread exchanges it with `back`, which
 * is then its own, ten times a second or when a megabyte waits.  Hashes are computed there too.
 * What does not fit into the buffer breaks the log: a part that is missing in the middle would
 * make every decision after it wrong.
 */
#include "mining/looklog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "mining/looklog_impl.h"

enum { LIMIT = 64 << 20, WAKE = 1 << 20, SPARE = 4096 };

struct ot_looklog {
    char *path;
    int fd;
    struct ot_str top; /* HEAD and KEYS, until begun */
    uint64_t fingerprint;
    struct ot_mining_sink sink, next;
    struct ot_tally tally;
    bool begun, resumed;
    uint64_t state; /* of the snapshot that is resumed */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    struct ot_str front;
    size_t rec, limit;        /* rec: where the record being made begins */
    bool stop, broken, hurry; /* hurry: a snapshot waits for its mark */
    struct ot_err err;        /* the first one */

    struct ot_str back; /* the thread's own */
    pthread_t thread;
    bool started;
};

/* ---- the thread ------------------------------------------------------------------------------ */

static void seal(struct ot_str *s)
{
    for (size_t at = 0; at < s->len;) {
        struct ot_rec_head h;

        memcpy(&h, s->buf + at, sizeof h);
        h.hash = ot_rec_hash(&h, s->buf + at + sizeof h);
        memcpy(s->buf + at, &h, sizeof h);
        at += sizeof h + h.len;
    }
}

static void wait_for_work(struct ot_looklog *log)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 100000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    if (!log->stop && !log->hurry && log->front.len < WAKE)
        (void)pthread_cond_timedwait(&log->wake, &log->mutex, &t);
    log->hurry = false;
}

static void *writer(void *arg)
{
    struct ot_looklog *log = arg;
    bool stop = false;

    while (!stop) {
        struct ot_str swap;
        int error = 0;

        (void)pthread_mutex_lock(&log->mutex);
        wait_for_work(log);
        swap = log->front;
        log->front = log->back;
        log->back = swap;
        stop = log->stop && log->back.len == 0;
        (void)pthread_mutex_unlock(&log->mutex);
        seal(&log->back);
        if (ot_write_fully(log->fd, log->back.buf, log->back.len) < 0)
            error = errno;
        ot_str_clear(&log->back);
        if (!error)
            continue;
        (void)pthread_mutex_lock(&log->mutex);
        (void)ot_fail_sys(&log->err, OT_EIO, error, "cannot write '%s'", log->path);
        log->broken = true;
        ot_str_clear(&log->front);
        stop = true;
        (void)pthread_mutex_unlock(&log->mutex);
    }
    return NULL;
}

/* ---- records --------------------------------------------------------------------------------- */

static void head_of(struct ot_str *s, size_t *at, enum ot_looklog_type type)
{
    struct ot_rec_head h = { .type = type };

    *at = s->len;
    ot_str_add(s, (const char *)&h, sizeof h);
}

static void end_of(struct ot_str *s, size_t at)
{
    uint32_t len;

    if (s->failed)
        return;
    len = (uint32_t)(s->len - at - sizeof(struct ot_rec_head));
    memcpy(s->buf + at + offsetof(struct ot_rec_head, len), &len, sizeof len);
}

/* The mutex is held.  The buffer ends before the record that did not fit. */
static void give_up(struct ot_looklog *log, int64_t iter, const char *why)
{
    struct ot_bits b = { .out = &log->front };
    size_t at;

    log->broken = true;
    log->front.failed = false;
    log->front.len = log->rec;
    (void)ot_fail(&log->err, OT_EIO, "'%s': broken from iteration %lld on: %s", log->path,
                  (long long)iter, why);
    head_of(&log->front, &at, OT_REC_BROKEN);
    OT_BITS(&b, iter);
    end_of(&log->front, at);
    if (log->front.failed) { /* the reader will find an end without END */
        log->front.failed = false;
        log->front.len = log->rec;
    }
}

/* false: nothing is written any more.  Else the mutex is held until finish(). */
static bool begin(struct ot_looklog *log, struct ot_bits *b, enum ot_looklog_type type)
{
    if (!log->begun)
        return false;
    (void)pthread_mutex_lock(&log->mutex);
    if (log->broken) {
        (void)pthread_mutex_unlock(&log->mutex);
        return false;
    }
    *b = (struct ot_bits){ .out = &log->front };
    head_of(&log->front, &log->rec, type);
    return true;
}

static void finish(struct ot_looklog *log, int64_t iter)
{
    if (log->front.failed)
        give_up(log, iter, "out of memory");
    else if (log->front.len > log->limit)
        give_up(log, iter, "the disk does not keep up");
    else
        end_of(&log->front, log->rec);
    if (log->hurry || log->front.len >= WAKE)
        (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->mutex);
}

void ot_looklog_next(struct ot_looklog *log, int64_t iter, const uint32_t *sample, int n)
{
    uint64_t many = (uint64_t)n;
    struct ot_bits b;

    ot_tally_draw(&log->tally, iter, sample, n);
    if (!begin(log, &b, OT_REC_NEXT))
        return;
    OT_BITS(&b, iter);
    ot_bits_tally(&b, &log->tally);
    ot_bits_u64(&b, &many);
    ot_str_add(b.out, (const char *)sample, (size_t)n * sizeof *sample);
    finish(log, iter);
}

void ot_looklog_looks(struct ot_looklog *log, int64_t iter, bool reinjected,
                      const struct ot_look *looks, size_t n)
{
    uint64_t many = n;
    struct ot_bits b;

    if (!begin(log, &b, OT_REC_LOOKS))
        return;
    OT_BITS(&b, iter);
    ot_bits_bool(&b, &reinjected);
    ot_bits_u64(&b, &many);
    for (size_t i = 0; i < n; i++) {
        struct ot_look k = looks[i];

        ot_bits_look(&b, &k);
    }
    finish(log, iter);
}

void ot_looklog_verdicts(struct ot_looklog *log, int64_t iter, const struct ot_verdict *v, size_t n)
{
    uint64_t many = n;
    struct ot_bits b;

    if (!begin(log, &b, OT_REC_VERDICTS))
        return;
    OT_BITS(&b, iter);
    ot_bits_u64(&b, &many);
    for (size_t i = 0; i < n; i++) {
        struct ot_verdict k = v[i];

        OT_BITS(&b, k.sample);
        OT_BITS(&b, k.kind);
        OT_BITS(&b, k.what);
        OT_BITS(&b, k.slot);
        OT_BITS(&b, k.label);
    }
    finish(log, iter);
}

void ot_looklog_sentinel(struct ot_looklog *log, int64_t iter, const float *loss, size_t n,
                         float share)
{
    uint64_t many = n;
    struct ot_bits b;

    if (!begin(log, &b, OT_REC_SENTINEL))
        return;
    OT_BITS(&b, iter);
    OT_BITS(&b, share);
    ot_bits_u64(&b, &many);
    ot_str_add(b.out, (const char *)loss, n * sizeof *loss);
    finish(log, iter);
}

void ot_looklog_mark(struct ot_looklog *log, int64_t iter, const void *bytes, size_t n)
{
    uint64_t state = ot_hash64(bytes, n);
    struct ot_bits b;

    if (!begin(log, &b, OT_REC_MARK))
        return;
    OT_BITS(&b, iter);
    OT_BITS(&b, state);
    ot_bits_tally(&b, &log->tally);
    log->hurry = true;
    finish(log, iter);
}

/* ---- opening and beginning ------------------------------------------------------------------- */

static void put_head(struct ot_str *s, const struct ot_looklog_head *head)
{
    struct ot_bits b = { .out = s };
    struct ot_looklog_head h = *head;
    size_t at;

    ot_str_add(s, OT_LOOKLOG_MAGIC, sizeof OT_LOOKLOG_MAGIC - 1);
    head_of(s, &at, OT_REC_HEAD);
    ot_bits_conf(&b, &h.conf);
    OT_BITS(&b, h.passes);
    OT_BITS(&b, h.batch);
    ot_bits_bool(&b, &h.roi);
    OT_BITS(&b, h.fingerprint);
    ot_str_add(s, h.dataset, strlen(h.dataset) + 1);
    ot_str_add(s, h.policy, strlen(h.policy) + 1);
    end_of(s, at);
}

struct ot_looklog *ot_looklog_open(const char *path, const struct ot_looklog_head *head,
                                   char *(*key)(void *ctx, uint32_t index, char *buf, size_t n),
                                   void *key_ctx, struct ot_err *err)
{
    struct ot_looklog *log = ot_alloc(1, sizeof *log, err);
    char buf[512];
    size_t at;

    if (!log)
        return NULL;
    (void)pthread_mutex_init(&log->mutex, NULL);
    (void)pthread_cond_init(&log->wake, NULL);
    log->limit = LIMIT;
    log->tally = ot_tally_zero();
    log->fingerprint = head->fingerprint;
    put_head(&log->top, head);
    head_of(&log->top, &at, OT_REC_KEYS);
    for (uint32_t i = 0; i < head->conf.n_samples; i++) {
        const char *k = key ? key(key_ctx, i, buf, sizeof buf) : "";

        ot_str_add(&log->top, k, strlen(k) + 1);
    }
    end_of(&log->top, at);
    log->path = ot_strdup(path, err);
    log->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (log->fd < 0)
        (void)ot_fail_sys(err, OT_ECREATE, errno, "cannot create the loss log '%s'", path);
    if (log->path && log->fd >= 0 && ot_str_ok(&log->top, err) == 0)
        return log;
    (void)ot_looklog_close(log, false, &log->err);
    return NULL;
}

void ot_looklog_resume(struct ot_looklog *log, const void *bytes, size_t n)
{
    log->resumed = true;
    log->state = ot_hash64(bytes, n);
}

/* Where the log's record of that snapshot ends; 0: it has none. */
static size_t find_mark(struct ot_looklog *log, const struct ot_looks_file *f)
{
    struct ot_looks_part part = { 0 };
    struct ot_err ignored = OT_ERR_INIT;
    struct ot_looks_rec r;
    size_t found = 0;

    for (size_t at = f->first; ot_looks_next(f, &at, &r);)
        if (r.type == OT_REC_MARK && ot_looks_take(&r, &part, &ignored) == 0 &&
            part.state == log->state) {
            log->tally = part.tally;
            found = at;
        }
    ot_looks_part_release(&part);
    return found;
}

/* Keeps of the file what belongs to the run that goes on; returns how much. */
static size_t keep_resumed(struct ot_looklog *log, bool *gap)
{
    struct ot_err ignored = OT_ERR_INIT;
    struct ot_looks_file *f = log->resumed ? ot_looks_open(log->path, &ignored) : NULL;
    size_t keep = 0;

    *gap = false;
    if (f && f->head.fingerprint == log->fingerprint) {
        keep = find_mark(log, f);
        *gap = keep == 0;
        keep = keep ? keep : f->n;
    }
    ot_looks_free(f);
    return keep;
}

/* An earlier run's log gives way. */
static int make_anew(struct ot_looklog *log)
{
    char old[2048];

    seal(&(struct ot_str){ .buf = log->top.buf + sizeof OT_LOOKLOG_MAGIC - 1,
                           .len = log->top.len - (sizeof OT_LOOKLOG_MAGIC - 1) });
    if (lseek(log->fd, 0, SEEK_END) > 0) {
        (void)snprintf(old, sizeof old, "%s.old", log->path);
        (void)close(log->fd);
        (void)rename(log->path, old);
        log->fd = open(log->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    return log->fd < 0 ? -1 : ot_write_fully(log->fd, log->top.buf, log->top.len);
}

static void tell_start(struct ot_looklog *log, const struct ot_miner_conf *rules,
                       const struct ot_miner *m, bool gap)
{
    struct ot_miner_conf conf = *rules;
    struct ot_str image = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_bits b;
    bool whole = ot_miner_save(m, &image, &err) == 0;

    log->begun = true;
    if (begin(log, &b, OT_REC_MINER)) {
        ot_bits_bool(&b, &gap);
        ot_bits_tally(&b, &log->tally);
        ot_bits_conf(&b, &conf);
        if (whole)
            ot_str_add(b.out, image.buf, image.len);
        b.out->failed |= !whole;
        finish(log, 0);
    }
    ot_str_release(&image);
}

void ot_looklog_begin(struct ot_looklog *log, const struct ot_miner_conf *conf,
                      const struct ot_miner *m)
{
    bool gap;
    size_t keep;
    int rc;

    if (log->begun || log->broken)
        return;
    keep = keep_resumed(log, &gap);
    if (keep)
        rc = ftruncate(log->fd, (off_t)keep) < 0 || lseek(log->fd, 0, SEEK_END) < 0;
    else
        rc = make_anew(log);
    if (rc == 0 && pthread_create(&log->thread, NULL, writer, log) != 0) {
        errno = EAGAIN;
        rc = -1;
    }
    log->started = rc == 0;
    log->broken = rc != 0;
    if (rc)
        (void)ot_fail_sys(&log->err, OT_EIO, errno, "cannot write '%s'", log->path);
    ot_str_release(&log->top);
    tell_start(log, conf, m, gap);
}

/* ---- the sink -------------------------------------------------------------------------------- */

static void on_row(void *ctx, int64_t iter, const struct ot_row *row)
{
    struct ot_looklog *log = ctx;

    if (log->next.row)
        log->next.row(log->next.ctx, iter, row);
}

static void on_gone(void *ctx, int64_t iter, const struct ot_row *row)
{
    struct ot_looklog *log = ctx;

    if (log->next.gone)
        log->next.gone(log->next.ctx, iter, row);
}

static void on_event(void *ctx, int64_t iter, const struct ot_row *row, enum ot_event_kind what,
                     float loss, const char *why)
{
    struct ot_looklog *log = ctx;

    ot_tally_event(&log->tally, iter, what, row->id);
    if (log->next.event)
        log->next.event(log->next.ctx, iter, row, what, loss, why);
}

static void on_reinjected(void *ctx, int64_t iter, const uint64_t *row_id, const float *before,
                          const float *after, int n)
{
    struct ot_looklog *log = ctx;

    if (log->next.reinjected)
        log->next.reinjected(log->next.ctx, iter, row_id, before, after, n);
}

const struct ot_mining_sink *ot_looklog_sink(struct ot_looklog *log,
                                             const struct ot_mining_sink *next)
{
    if (next)
        log->next = *next;
    log->sink = (struct ot_mining_sink){
        .ctx = log, .row = on_row, .gone = on_gone, .event = on_event, .reinjected = on_reinjected
    };
    return &log->sink;
}

/* ---- the end --------------------------------------------------------------------------------- */

int ot_looklog_ok(struct ot_looklog *log, struct ot_err *err)
{
    int rc = 0;

    (void)pthread_mutex_lock(&log->mutex);
    if (log->err.code) {
        *err = log->err;
        rc = err->code;
    }
    (void)pthread_mutex_unlock(&log->mutex);
    return rc;
}

void ot_looklog_limit(struct ot_looklog *log, size_t bytes)
{
    log->limit = bytes;
}

int ot_looklog_close(struct ot_looklog *log, bool ended, struct ot_err *err)
{
    struct ot_bits b;
    int rc;

    if (!log)
        return 0;
    if (ended && begin(log, &b, OT_REC_END)) {
        ot_bits_tally(&b, &log->tally);
        finish(log, 0);
    }
    if (log->started) {
        (void)pthread_mutex_lock(&log->mutex);
        log->stop = true;
        (void)pthread_cond_signal(&log->wake);
        (void)pthread_mutex_unlock(&log->mutex);
        (void)pthread_join(log->thread, NULL);
        if (!log->err.code && fsync(log->fd) < 0)
            (void)ot_fail_sys(&log->err, OT_EIO, errno, "cannot write '%s'", log->path);
    }
    rc = ot_looklog_ok(log, err);
    if (log->fd >= 0)
        (void)close(log->fd);
    (void)pthread_cond_destroy(&log->wake);
    (void)pthread_mutex_destroy(&log->mutex);
    ot_str_release(&log->top);
    ot_str_release(&log->front);
    ot_str_release(&log->back);
    ot_free(log->path);
    ot_free(log);
    return rc;
}
