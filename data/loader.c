/*
 * loader.c - a ring of slots between workers and the caller, under one lock.
 *
 * A worker first owns a free slot and then takes the next batch number; so the batch that the
 * caller waits for always has a slot, and batches finished early wait in theirs.  Who begins a
 * batch of images makes its first sample, which says how large it is and what a sample costs; where
 * sharing is worth it, all workers that come by then take pieces of the rest, the oldest batch
 * first: more threads than slots are of use, and a batch is ready soonest.  seek() raises the
 * generation: what workers still make of an older one is dropped when it is done.
 *
 * A fetched batch is made by the caller, with a cursor and slots of its own, so that it does not
 * wait for the stream; workers take pieces of it before any others.
 */
#include "data/loader.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/fill.h"
#include "data/list.h"

enum { EXTRA_SLOTS = 2, FETCH_SLOTS = 4, MAX_THREADS = 256, MAX_AHEAD = 4096 };

static const double worth_sharing_s = 3e-4; /* of work; waking the others costs a tenth of it */

enum state { FREE, FILLING, READY, HELD };

struct ring_slot {
    struct ot_slot slot;
    enum state state;
    uint64_t generation, position;
    int n, next;       /* FILLING: samples, the next that nobody makes yet; 0: not open for all */
    int piece;         /* so many at once */
    int busy;          /* threads at work on it */
    int failed;        /* the first sample that failed, with: */
    struct ot_err err; /* READY with err.code: the batch failed */
};

struct ot_loader {
    struct ot_source source;
    char *name;
    int batch_size, n_threads, n_slots;
    struct ring_slot *slot;
    struct ring_slot fetch_slot[FETCH_SLOTS];
    struct ot_loader_room room; /* alloc NULL: none */
    size_t room_floats;         /* for a batch; 0: not known yet */
    struct ot_hand hand;        /* the caller's own */
    double wait_s;

    pthread_mutex_t lock; /* guards what follows and the slots' state */
    pthread_cond_t change;
    bool has_lock, stop;
    uint64_t generation, fill_position, position;
    struct ring_slot *fetching; /* what the caller fetches at the moment, or NULL */
    uint64_t helped;
    pthread_t *thread;
    int started;
};

/* ---- workers ----------------------------------------------------------------------------------
 */

static void take_on(struct ring_slot *s)
{
    s->state = FILLING;
    s->n = s->next = 0;
    s->busy = 0;
    s->err.code = OT_OK;
}

static struct ring_slot *claim(struct ot_loader *l)
{
    for (int i = 0; i < l->n_slots; i++) {
        struct ring_slot *s = &l->slot[i];

        if (s->state == FREE) {
            take_on(s);
            s->generation = l->generation;
            s->position = l->fill_position;
            l->fill_position += (uint64_t)l->batch_size;
            return s;
        }
    }
    return NULL;
}

/* A batch that is open for all: the one that is fetched, else the oldest of the stream. */
static struct ring_slot *open_one(const struct ot_loader *l)
{
    struct ring_slot *found = NULL;

    if (l->fetching && l->fetching->next < l->fetching->n)
        return l->fetching;
    for (int i = 0; i < l->n_slots; i++) {
        struct ring_slot *s = &l->slot[i];

        if (s->state == FILLING && s->generation == l->generation && s->next < s->n &&
            (!found || s->position < found->position))
            found = s;
    }
    return found;
}

/* Of several samples that failed the first counts; nobody begins any after it. */
static void failed_at(struct ring_slot *s, int sample, const struct ot_err *err)
{
    if (err->code == OT_OK || (s->err.code != OT_OK && sample > s->failed))
        return;
    s->failed = sample;
    s->err = *err;
    s->next = s->n;
}

/* begin(), piece() and settle() are called with the lock held, and give it away at work. */
static void begin(struct ot_loader *l, struct ot_hand *hand, struct ring_slot *s,
                  const uint32_t *index, int n, uint64_t position)
{
    const double at = ot_now_s();
    struct ot_err err = OT_ERR_INIT;
    bool share = false;

    s->busy++;
    (void)pthread_mutex_unlock(&l->lock);
    if (l->source.detection || n == 1) {
        (void)ot_batch_fill(&l->source, hand, &s->slot, index, n, position, &err);
    } else if (ot_batch_begin(&l->source, hand, &s->slot, index, n, position, &err) == 0) {
        share = (ot_now_s() - at) * (n - 1) > worth_sharing_s;
        if (!share)
            (void)ot_batch_part(&l->source, hand, &s->slot, 1, n, &err);
    }
    (void)pthread_mutex_lock(&l->lock);
    s->busy--;
    s->n = n;
    s->next = share ? 1 : n;
    s->piece = 1 + n / (4 * (l->n_threads + 1));
    failed_at(s, 0, &err);
    if (share)
        (void)pthread_cond_broadcast(&l->change);
}

static int piece(struct ot_loader *l, struct ot_hand *hand, struct ring_slot *s)
{
    const int from = s->next, to = s->n - from > s->piece ? from + s->piece : s->n;
    struct ot_err err = OT_ERR_INIT;

    s->next = to;
    s->busy++;
    (void)pthread_mutex_unlock(&l->lock);
    (void)ot_batch_part(&l->source, hand, &s->slot, from, to, &err);
    (void)pthread_mutex_lock(&l->lock);
    s->busy--;
    failed_at(s, from, &err);
    return to - from;
}

/* Who has done the last of a batch says so. */
static void settle(struct ot_loader *l, struct ring_slot *s)
{
    const bool old = s->generation != l->generation;

    if (s->busy || (s->next < s->n && !old))
        return;
    if (s != l->fetching)
        s->state = old ? FREE : READY;
    (void)pthread_cond_broadcast(&l->change);
}

static void *work(void *arg)
{
    struct ot_loader *l = arg;
    struct ot_err opening = OT_ERR_INIT;
    struct ot_hand hand;
    int opened = ot_hand_open(&hand, &l->source, &opening);

    (void)pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        struct ring_slot *s = opened == 0 ? open_one(l) : NULL;

        if (s) {
            l->helped += (uint64_t)piece(l, &hand, s);
            settle(l, s);
            continue;
        }
        s = claim(l);
        if (!s) {
            (void)pthread_cond_wait(&l->change, &l->lock);
            continue;
        }
        if (opened == 0)
            begin(l, &hand, s, NULL, l->batch_size, s->position);
        else
            failed_at(s, 0, &opening);
        settle(l, s);
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (opened == 0)
        ot_hand_close(&hand);
    return NULL;
}

/* Memory for a batch of the size of the first; a batch of detections may well be larger. */
static void lend(struct ot_loader *l, struct ot_slot *slot)
{
    if (slot->lent || !l->room_floats || !l->room.alloc)
        return;
    slot->lent = l->room.alloc(l->room.ctx, l->room_floats * sizeof *slot->lent);
    slot->cap_lent = slot->lent ? l->room_floats : 0;
}

/* Before the workers start: what they fill is not moved any more. */
static void lend_all(struct ot_loader *l)
{
    struct ot_err ignored = OT_ERR_INIT; /* it will be said of the batch */
    struct ot_batch shape = { 0 };

    if (!l->room.alloc ||
        ot_fill_shape(&l->source, &l->hand, l->fill_position, &shape, &ignored) < 0)
        return;
    l->room_floats = (size_t)l->batch_size * (size_t)shape.channels * (size_t)shape.height *
                     (size_t)shape.width;
    if (l->source.detection)
        l->room_floats += l->room_floats / 2;
    for (int i = 0; i < l->n_slots; i++)
        lend(l, &l->slot[i].slot);
}

static int start(struct ot_loader *l, struct ot_err *err)
{
    if (!l->started)
        lend_all(l);
    while (l->started < l->n_threads) {
        int rc = pthread_create(&l->thread[l->started], NULL, work, l);

        if (rc != 0)
            return ot_fail_sys(err, OT_EBUSY, rc, "%s: cannot start data thread %d", l->source.name,
                               l->started);
        l->started++;
    }
    return 0;
}

/* ---- open, close --------------------------------------------------------------------------------
 */

static int check_conf(const struct ot_loader_conf *c, struct ot_err *err)
{
    if (!c->source || !c->source[0])
        return ot_fail(err, OT_ECONFIG, "source: must name an LMDB or a list, got ''");
    if (c->batch_size < 1)
        return ot_fail(err, OT_ECONFIG, "batch_size: must be >= 1, got %d", c->batch_size);
    if (c->threads < 1 || c->threads > MAX_THREADS)
        return ot_fail(err, OT_ECONFIG, "threads: must be 1 to %d, got %d", MAX_THREADS,
                       c->threads);
    if (c->prefetch < 1 || c->prefetch > MAX_AHEAD)
        return ot_fail(err, OT_ECONFIG, "prefetch: must be 1 to %d, got %d", MAX_AHEAD,
                       c->prefetch);
    return 0;
}

static int open_source(struct ot_loader *l, const struct ot_loader_conf *c, struct ot_err *err)
{
    struct ot_source *s = &l->source;

    s->name = l->name;
    s->detection = c->detection;
    s->shuffle = c->shuffle;
    s->seed = c->seed;
    s->images = c->images;
    if (c->rand_skip)
        s->skip = ot_rng_below(c->seed, OT_RNG_SHUFFLE, UINT64_MAX, 0, c->rand_skip);
    if (ot_transform_open(&s->transform, c->transform, c->det, c->detection, c->train, c->seed,
                          c->base_dir, err) < 0)
        return err->code;
    if (c->images) {
        if (ot_list_read(c->source, &s->keys, &s->label, err) < 0)
            return err->code;
        return ot_hand_open(&l->hand, s, err);
    }
    s->db = ot_db_open(c->source, err);
    if (!s->db)
        return err->code;
    if (ot_keys_scan(&s->keys, s->db, err) < 0)
        return err->code;
    return ot_hand_open(&l->hand, s, err);
}

static int open_all(struct ot_loader *l, const struct ot_loader_conf *c, struct ot_err *err)
{
    if (check_conf(c, err) < 0)
        return err->code;
    l->batch_size = c->batch_size;
    l->n_threads = c->threads;
    l->n_slots = c->prefetch + EXTRA_SLOTS;
    if (c->room)
        l->room = *c->room;
    l->name = ot_strdup(c->source, err);
    l->slot = l->name ? ot_alloc((size_t)l->n_slots, sizeof *l->slot, err) : NULL;
    l->thread = l->slot ? ot_alloc((size_t)l->n_threads, sizeof *l->thread, err) : NULL;
    if (!l->thread)
        return err->code;
    if (pthread_mutex_init(&l->lock, NULL) != 0)
        return ot_fail(err, OT_ENOMEM, "%s: cannot make a lock for %d threads", c->source,
                       l->n_threads);
    if (pthread_cond_init(&l->change, NULL) != 0) {
        (void)pthread_mutex_destroy(&l->lock);
        return ot_fail(err, OT_ENOMEM, "%s: cannot make a condition for %d threads", c->source,
                       l->n_threads);
    }
    l->has_lock = true;
    return open_source(l, c, err);
}

struct ot_loader *ot_loader_open(const struct ot_loader_conf *conf, struct ot_err *err)
{
    struct ot_loader *l = ot_alloc(1, sizeof *l, err);

    if (l && open_all(l, conf, err) < 0) {
        ot_loader_close(l);
        return NULL;
    }
    return l;
}

static void stop(struct ot_loader *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    (void)pthread_cond_broadcast(&l->change);
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++)
        (void)pthread_join(l->thread[i], NULL);
    (void)pthread_cond_destroy(&l->change);
    (void)pthread_mutex_destroy(&l->lock);
}

static void release(struct ot_loader *l, struct ot_slot *slot)
{
    if (slot->lent)
        l->room.free(l->room.ctx, slot->lent);
    ot_slot_release(slot);
}

void ot_loader_close(struct ot_loader *l)
{
    if (!l)
        return;
    if (l->has_lock)
        stop(l);
    ot_hand_close(&l->hand);
    for (int i = 0; l->slot && i < l->n_slots; i++)
        release(l, &l->slot[i].slot);
    for (int i = 0; i < FETCH_SLOTS; i++)
        release(l, &l->fetch_slot[i].slot);
    ot_keys_release(&l->source.keys);
    ot_transform_close(&l->source.transform);
    ot_db_close(l->source.db);
    ot_free(l->source.label);
    ot_free(l->thread);
    ot_free(l->slot);
    ot_free(l->name);
    ot_free(l);
}

/* ---- batches ------------------------------------------------------------------------------------
 */

int ot_loader_peek(struct ot_loader *l, int *channels, int *height, int *width, struct ot_err *err)
{
    struct ot_batch shape = { 0 };

    if (ot_fill_shape(&l->source, &l->hand, ot_loader_position(l), &shape, err) < 0)
        return err->code;
    *channels = shape.channels;
    *height = shape.height;
    *width = shape.width;
    return 0;
}

/* The slot of the batch to deliver once it is ready; NULL while it is not.  *held counts. */
static struct ring_slot *ready(struct ot_loader *l, int *held)
{
    struct ring_slot *found = NULL;

    *held = 0;
    for (int i = 0; i < l->n_slots; i++) {
        struct ring_slot *s = &l->slot[i];

        *held += s->state == HELD;
        if (s->state == READY && s->position == l->position)
            found = s;
    }
    return found;
}

static int take(struct ot_loader *l, struct ring_slot *s, struct ot_batch **batch,
                struct ot_err *err)
{
    l->position += (uint64_t)l->batch_size;
    if (s->err.code == OT_OK) {
        s->state = HELD;
        *batch = &s->slot.batch;
        return 0;
    }
    *err = s->err;
    s->state = FREE;
    (void)pthread_cond_broadcast(&l->change);
    return err->code;
}

int ot_loader_next(struct ot_loader *l, struct ot_batch **batch, struct ot_err *err)
{
    double begin = ot_now_s();
    struct ring_slot *s;
    int held, rc;

    *batch = NULL;
    if (start(l, err) < 0)
        return err->code;
    (void)pthread_mutex_lock(&l->lock);
    while (!(s = ready(l, &held)) && held < l->n_slots)
        (void)pthread_cond_wait(&l->change, &l->lock);
    if (s)
        rc = take(l, s, batch, err);
    else
        rc = ot_fail(err, OT_EBUSY, "%s: give a batch back with done() first, got %d held",
                     l->source.name, held);
    (void)pthread_mutex_unlock(&l->lock);
    l->wait_s += ot_now_s() - begin;
    return rc;
}

static struct ring_slot *free_fetch_slot(struct ot_loader *l)
{
    for (int i = 0; i < FETCH_SLOTS; i++)
        if (l->fetch_slot[i].state == FREE)
            return &l->fetch_slot[i];
    return NULL;
}

static void fill_fetched(struct ot_loader *l, struct ring_slot *s, const uint32_t *index, int n,
                         uint64_t ordinal)
{
    (void)pthread_mutex_lock(&l->lock);
    take_on(s);
    s->generation = l->generation;
    l->fetching = s;
    begin(l, &l->hand, s, index, n, ordinal);
    while (s->next < s->n)
        (void)piece(l, &l->hand, s);
    while (s->busy)
        (void)pthread_cond_wait(&l->change, &l->lock);
    l->fetching = NULL;
    s->state = s->err.code == OT_OK ? HELD : FREE;
    (void)pthread_mutex_unlock(&l->lock);
}

int ot_loader_fetch(struct ot_loader *l, const uint32_t *index, int n, uint64_t ordinal,
                    struct ot_batch **batch, struct ot_err *err)
{
    const double begin_s = ot_now_s();
    struct ring_slot *s = free_fetch_slot(l);

    *batch = NULL;
    if (n < 1)
        return ot_fail(err, OT_EDATA, "%s: fetch needs at least one sample, got %d", l->source.name,
                       n);
    for (int i = 0; i < n; i++)
        if (index[i] >= l->source.keys.n)
            return ot_fail(err, OT_EDATA, "%s: fetch: there are %zu records, got index %u",
                           l->source.name, l->source.keys.n, index[i]);
    if (!s)
        return ot_fail(err, OT_EBUSY, "%s: give a fetched batch back with done() first, got %d",
                       l->source.name, FETCH_SLOTS);
    lend(l, &s->slot);
    fill_fetched(l, s, index, n, ordinal);
    if (s->err.code == OT_OK)
        *batch = &s->slot.batch;
    else
        *err = s->err;
    l->wait_s += ot_now_s() - begin_s;
    return s->err.code;
}

/* The slot whose batch this is, among n. */
static struct ring_slot *slot_of(struct ring_slot *slot, int n, const struct ot_batch *batch)
{
    for (int i = 0; i < n; i++)
        if (&slot[i].slot.batch == batch)
            return &slot[i];
    return NULL;
}

void ot_loader_done(struct ot_loader *l, struct ot_batch *batch)
{
    struct ring_slot *s;

    if (!batch)
        return;
    s = slot_of(l->fetch_slot, FETCH_SLOTS, batch);
    if (s) {
        s->state = FREE;
        return;
    }
    s = slot_of(l->slot, l->n_slots, batch);
    OT_BUG_IF(!s);
    (void)pthread_mutex_lock(&l->lock);
    OT_BUG_IF(s->state != HELD);
    s->state = FREE;
    (void)pthread_cond_broadcast(&l->change);
    (void)pthread_mutex_unlock(&l->lock);
}

uint64_t ot_loader_position(const struct ot_loader *l)
{
    return l->position; /* written by this thread only */
}

int ot_loader_seek(struct ot_loader *l, uint64_t position, struct ot_err *err)
{
    if (position > UINT64_MAX / 2)
        return ot_fail(err, OT_ECONFIG, "%s: seek: impossible position, got %llu", l->source.name,
                       (unsigned long long)position);
    (void)pthread_mutex_lock(&l->lock);
    l->generation++;
    l->position = position;
    l->fill_position = position;
    for (int i = 0; i < l->n_slots; i++)
        if (l->slot[i].state == READY || (l->slot[i].state == FILLING && !l->slot[i].busy))
            l->slot[i].state = FREE;
    (void)pthread_cond_broadcast(&l->change);
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

/* ---- facts --------------------------------------------------------------------------------------
 */

const char *ot_loader_source(const struct ot_loader *l)
{
    return l->source.db ? ot_db_path(l->source.db) : l->name;
}

size_t ot_loader_count(const struct ot_loader *l)
{
    return l->source.keys.n;
}

int ot_loader_threads(const struct ot_loader *l)
{
    return l->n_threads;
}

uint64_t ot_loader_fingerprint(const struct ot_loader *l)
{
    return l->source.keys.fingerprint;
}

char *ot_loader_key(const struct ot_loader *l, uint32_t index, char *buf, size_t n)
{
    OT_BUG_IF(index >= l->source.keys.n);
    return ot_keys_print(&l->source.keys, index, buf, n);
}

int64_t ot_loader_find(const struct ot_loader *l, const char *key)
{
    return ot_keys_find(&l->source.keys, key);
}

int ot_loader_max_boxes(const struct ot_loader *l)
{
    return (int)l->source.transform.det->max_boxes;
}

uint64_t ot_loader_helped(struct ot_loader *l)
{
    uint64_t n;

    (void)pthread_mutex_lock(&l->lock);
    n = l->helped;
    (void)pthread_mutex_unlock(&l->lock);
    return n;
}

double ot_loader_wait_s(const struct ot_loader *l)
{
    return l->wait_s;
}
