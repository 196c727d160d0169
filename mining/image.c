/*
 * image.c - the whole miner as bytes and back, so that a resumed run decides as the one that
 * went on.
 *
 * Format: 8 bytes of magic, u32 version, u32 zero, u64 length and u64 FNV-1a of what follows;
 * then numbers in the machine's byte order, field by field (no padding).  Besides the rows it
 * keeps the orders that decide: the window, the waiting samples (the draw indexes them) and the
 * cooling queue.  Reading builds a second miner and exchanges the two when all is well.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

#define VERSION 1
static const char magic[8] = "OTMINER";

struct head {
    char magic[8];
    uint32_t version, zero;
    uint64_t len, hash;
};

/* ---- one description for both directions ----------------------------------------------------- */

struct io {
    struct ot_str *out;      /* writing */
    const unsigned char *in; /* reading */
    size_t left;
    bool bad;
};

static void pass(struct io *io, void *v, size_t n)
{
    if (io->out) {
        ot_str_add(io->out, v, n);
    } else if (io->left < n) {
        io->bad = true;
        memset(v, 0, n);
    } else {
        memcpy(v, io->in, n);
        io->in += n;
        io->left -= n;
    }
}

#define PASS(io, v) pass((io), &(v), sizeof(v))

static void pass_row(struct io *io, struct ot_row *r, int32_t *low)
{
    uint8_t flip = r->flip;

    PASS(io, r->id);
    PASS(io, r->sample);
    PASS(io, r->kind);
    PASS(io, r->state);
    PASS(io, r->slot);
    PASS(io, r->label);
    PASS(io, r->pred);
    PASS(io, r->p_label);
    PASS(io, r->p_pred);
    PASS(io, r->box);
    PASS(io, flip);
    PASS(io, r->loss);
    PASS(io, r->loss_ema);
    PASS(io, r->loss_max);
    PASS(io, r->loss_first);
    PASS(io, r->margin_sum);
    PASS(io, r->n_seen);
    PASS(io, r->n_reinj);
    PASS(io, r->n_contra);
    PASS(io, r->n_forget);
    PASS(io, r->weight);
    PASS(io, r->first_iter);
    PASS(io, r->last_iter);
    PASS(io, r->cool_until);
    PASS(io, *low);
    r->flip = flip != 0;
}

static void pass_counters(struct io *io, struct ot_miner *m)
{
    uint8_t flight = m->in_flight;

    PASS(io, m->next_id);
    PASS(io, m->iters);
    PASS(io, m->fresh);
    PASS(io, m->admitted);
    PASS(io, m->evicted);
    PASS(io, m->reinjected);
    PASS(io, m->batches);
    PASS(io, m->learned_total);
    PASS(io, m->quarantined_total);
    PASS(io, m->released_total);
    PASS(io, flight);
    m->in_flight = flight != 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_key(struct io *io, const struct ot_row *r)
{
    uint64_t key = ot_row_key(r->sample, r->kind, r->slot);

    PASS(io, key);
}

static void put_rows(struct io *io, const struct ot_miner *m)
{
    int32_t n = m->n_rows;

    PASS(io, n);
    for (int32_t i = m->by_id.head; i >= 0; i = m->e[i].link[OT_BY_ID].next) {
        struct ot_row r = m->e[i].r;
        int32_t low = m->e[i].low;

        pass_row(io, &r, &low);
    }
}

static void put_orders(struct io *io, const struct ot_miner *m)
{
    int32_t n = m->n_waiting;

    PASS(io, n);
    for (int k = 0; k < m->n_waiting; k++)
        PASS(io, m->waiting[k]);
    n = 0;
    for (int32_t i = m->cooling.head; i >= 0; i = m->e[i].link[OT_BY_COOLING].next)
        n++;
    PASS(io, n);
    for (int32_t i = m->cooling.head; i >= 0; i = m->e[i].link[OT_BY_COOLING].next)
        put_key(io, &m->e[i].r);
    n = m->in_flight ? m->n_book : 0;
    PASS(io, n);
    for (int k = 0; k < n; k++) {
        put_key(io, &m->e[m->book[k].row].r);
        PASS(io, m->book[k].before);
    }
}

static void put_slots(struct io *io, const struct ot_miner *m)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        n += m->sample[s].next_bg > 0;
    PASS(io, n);
    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        if (m->sample[s].next_bg > 0) {
            PASS(io, s);
            PASS(io, m->sample[s].next_bg);
        }
}

static void put_window(struct io *io, const struct ot_window *w)
{
    int32_t n = w->n, first = w->n < w->cap ? 0 : w->pos;

    PASS(io, n);
    for (int k = 0; k < n; k++)
        PASS(io, w->ring[(first + k) % w->cap]);
}

int ot_miner_save(const struct ot_miner *m, struct ot_str *out, struct ot_err *err)
{
    struct head h = { .version = VERSION };
    struct io io = { .out = out };
    struct ot_miner copy = *m; /* pass_counters() takes what it may also write to */
    size_t at = out->len;

    memcpy(h.magic, magic, sizeof h.magic);
    ot_str_add(out, (const char *)&h, sizeof h);
    pass_counters(&io, &copy);
    put_window(&io, &m->window);
    put_rows(&io, m);
    put_orders(&io, m);
    put_slots(&io, m);
    if (ot_str_ok(out, err) < 0)
        return err->code;
    h.len = out->len - at - sizeof h;
    h.hash = ot_hash64(out->buf + at + sizeof h, h.len);
    memcpy(out->buf + at, &h, sizeof h);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int bad(struct ot_err *err, const char *what, long long got)
{
    return ot_fail(err, OT_EDATA, "miner's saved state: %s, got %lld", what, got);
}

/* A count of things of at least `size` bytes that are still to come. */
static int32_t take_n(struct io *io, size_t size)
{
    int32_t n;

    PASS(io, n);
    if (n < 0 || (size_t)n > io->left / size) {
        io->bad = true;
        return 0;
    }
    return n;
}

static int take_window(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, sizeof(float));
    float *v = ot_alloc((size_t)n, sizeof *v, err);
    int rc = 0;

    if (!v)
        return err->code;
    pass(io, v, (size_t)n * sizeof *v);
    for (int k = 0; k < n; k++)
        if (!isfinite(v[k]))
            rc = bad(err, "a loss of the window is not finite at", k);
    if (rc == 0)
        ot_window_fill(&m->window, v, n);
    ot_free(v);
    return rc;
}

static int check_row(const struct ot_miner *m, const struct ot_row *r, uint64_t last_id,
                     struct ot_err *err)
{
    if (r->sample >= m->conf.n_samples)
        return bad(err, "sample beyond the data set", r->sample);
    if (r->label < 0 || r->label >= m->conf.n_classes)
        return bad(err, "label out of range", r->label);
    if (r->kind > OT_KIND_TILE || r->state > OT_EXCLUDED)
        return bad(err, "no such kind or state", r->kind * 256 + r->state);
    if (r->slot < 0 || r->slot > OT_SLOT_MAX)
        return bad(err, "slot out of range", r->slot);
    if (r->id <= last_id || r->id >= m->next_id)
        return bad(err, "row id out of order", (long long)r->id);
    if (!isfinite(r->loss_ema) || !isfinite(r->loss))
        return bad(err, "loss is not finite in row", (long long)r->id);
    if (ot_rows_find(m, ot_row_key(r->sample, r->kind, r->slot)) >= 0)
        return bad(err, "instance twice, row", (long long)r->id);
    return 0;
}

static int take_rows(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, 64);
    uint64_t last = 0;

    for (int32_t k = 0; k < n && !io->bad; k++) {
        struct ot_row r = { 0 };
        int32_t low = 0, i;

        pass_row(io, &r, &low);
        if (io->bad)
            break;
        if (check_row(m, &r, last, err) < 0)
            return err->code;
        last = r.id;
        i = ot_rows_add(m, &r, err);
        if (i < 0)
            return err->code;
        m->e[i].low = low;
    }
    return 0;
}

/* The set of waiting samples is known from the rows; here comes its order. */
static int take_waiting(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, sizeof(uint32_t));

    if (n != m->n_waiting)
        return bad(err, "number of waiting samples differs from the rows'", n);
    for (int32_t k = 0; k < n; k++) {
        int32_t was;
        uint32_t s;

        PASS(io, s);
        if (s >= m->conf.n_samples || (was = m->sample[s].wait_pos) < k)
            return bad(err, "not a waiting sample", s);
        m->waiting[was] = m->waiting[k];
        m->sample[m->waiting[was]].wait_pos = was;
        m->waiting[k] = s;
        m->sample[s].wait_pos = k;
    }
    return 0;
}

static int take_cooling(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, sizeof(uint64_t));

    for (int32_t k = 0; k < n; k++) {
        uint64_t key;
        int32_t i;

        PASS(io, key);
        i = ot_rows_find(m, key);
        if (i < 0 || !m->e[i].cool_listed)
            return bad(err, "not a cooling row", (long long)key);
        ot_rows_requeue(m, i);
    }
    return 0;
}

static int take_book(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, sizeof(uint64_t) + sizeof(float));

    if (n > m->book_cap)
        return bad(err, "more booked rows than a batch holds", n);
    for (int32_t k = 0; k < n; k++) {
        uint64_t key;
        int32_t i;

        PASS(io, key);
        i = ot_rows_find(m, key);
        if (i < 0 || m->e[i].book >= 0)
            return bad(err, "not a row to book", (long long)key);
        m->book[k] = (struct ot_booked){ .row = i, .sample = m->e[i].r.sample, .after = NAN };
        PASS(io, m->book[k].before);
        m->e[i].book = k;
        ot_rows_resort(m, i);
        m->n_book = k + 1;
    }
    return 0;
}

static int take_slots(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = take_n(io, sizeof(uint32_t) + sizeof(int32_t));

    for (int32_t k = 0; k < n; k++) {
        uint32_t s;
        int32_t next;

        PASS(io, s);
        PASS(io, next);
        if (s >= m->conf.n_samples || next < 0)
            return bad(err, "background slot of a sample beyond the data set", s);
        m->sample[s].next_bg = next;
    }
    return 0;
}

static int take_all(struct io *io, struct ot_miner *m, struct ot_err *err)
{
    pass_counters(io, m);
    if (take_window(io, m, err) < 0 || take_rows(io, m, err) < 0 || take_waiting(io, m, err) < 0 ||
        take_cooling(io, m, err) < 0 || take_book(io, m, err) < 0 || take_slots(io, m, err) < 0)
        return err->code;
    if (io->bad || io->left)
        return bad(err, "length does not fit its content, bytes left", (long long)io->left);
    while (m->n_rows > m->conf.capacity) {
        int32_t i = ot_rows_least(m);

        if (i < 0)
            break;
        ot_rows_remove(m, i);
    }
    return 0;
}

int ot_miner_restore(struct ot_miner *m, const void *bytes, size_t n, struct ot_err *err)
{
    const unsigned char *p = bytes;
    struct ot_miner *fresh, swap;
    struct io io = { .in = p };
    struct head h;
    int rc;

    if (n < sizeof h)
        return bad(err, "too short", (long long)n);
    memcpy(&h, p, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0)
        return bad(err, "not a miner's state, first byte", p[0]);
    if (h.version != VERSION)
        return bad(err, "version is not 1", h.version);
    if (h.len != n - sizeof h)
        return bad(err, "length differs from what its head says", (long long)n);
    if (h.hash != ot_hash64(p + sizeof h, h.len))
        return bad(err, "checksum differs, bytes", (long long)n);
    fresh = ot_miner_new(&m->conf, &m->sink, err);
    if (!fresh)
        return err->code;
    io.in += sizeof h;
    io.left = h.len;
    rc = take_all(&io, fresh, err);
    if (rc == 0) {
        swap = *m;
        *m = *fresh;
        *fresh = swap;
    }
    ot_miner_free(fresh);
    return rc;
}
