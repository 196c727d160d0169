/*
 * image.c - the whole miner as bytes and back, so that a resumed run decides as the one that
 * went on.
 *
 * Format: 8 bytes of magic, u32 version, u32 zero, u64 length and u64 FNV-1a of what follows;
 * then numbers in the machine's byte order, field by field (no padding).  Besides the rows it
 * keeps the orders that decide: the window and the cooling queue; the rest of what it remembers
 * is in image_mind.c.  Reading builds a second miner and exchanges the two when all is well.
 */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "mining/miner_impl.h"

#define VERSION 2 /* 1 had no statistics, groups, verdicts, and an order of the waiting */
static const char magic[8] = "OTMINER";

struct head {
    char magic[8];
    uint32_t version, zero;
    uint64_t len, hash;
};

/* ---- one description for both directions ----------------------------------------------------- */

void ot_io_pass(struct ot_io *io, void *v, size_t n)
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

static void pass_row(struct ot_io *io, struct ot_row *r, int32_t *low, uint8_t *probation)
{
    uint8_t flip = r->flip, group = (uint8_t)(r->planted | r->control << 1);

    OT_PASS(io, r->id);
    OT_PASS(io, r->sample);
    OT_PASS(io, r->kind);
    OT_PASS(io, r->state);
    OT_PASS(io, r->slot);
    OT_PASS(io, r->label);
    OT_PASS(io, r->pred);
    OT_PASS(io, r->p_label);
    OT_PASS(io, r->p_pred);
    OT_PASS(io, r->box);
    OT_PASS(io, flip);
    OT_PASS(io, r->loss);
    OT_PASS(io, r->loss_ema);
    OT_PASS(io, r->loss_max);
    OT_PASS(io, r->loss_first);
    OT_PASS(io, r->margin_sum);
    OT_PASS(io, r->n_seen);
    OT_PASS(io, r->n_reinj);
    OT_PASS(io, r->n_contra);
    OT_PASS(io, r->n_forget);
    OT_PASS(io, r->weight);
    OT_PASS(io, r->first_iter);
    OT_PASS(io, r->last_iter);
    OT_PASS(io, r->cool_until);
    OT_PASS(io, *low);
    r->flip = flip != 0;
    r->label_given = io->version > 1 ? r->label_given : r->label;
    if (io->version == 1)
        return;
    OT_PASS(io, r->label_given);
    OT_PASS(io, group);
    OT_PASS(io, *probation);
    r->planted = group & 1;
    r->control = group >> 1 & 1;
}

static void pass_counters(struct ot_io *io, struct ot_miner *m)
{
    uint8_t flight = m->in_flight;

    OT_PASS(io, m->next_id);
    OT_PASS(io, m->iters);
    OT_PASS(io, m->fresh);
    OT_PASS(io, m->admitted);
    OT_PASS(io, m->evicted);
    OT_PASS(io, m->reinjected);
    OT_PASS(io, m->batches);
    OT_PASS(io, m->learned_total);
    OT_PASS(io, m->quarantined_total);
    OT_PASS(io, m->released_total);
    OT_PASS(io, flight);
    m->in_flight = flight != 0;
    if (io->version > 1) {
        OT_PASS(io, m->seen_again);
        OT_PASS(io, m->planted_again);
        OT_PASS(io, m->noise);
        OT_PASS(io, m->credit);
        OT_PASS(io, m->next_reading);
    } else {
        m->credit = (double)m->conf.max_share * (double)m->iters - (double)m->batches;
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_key(struct ot_io *io, const struct ot_row *r)
{
    uint64_t key = ot_row_key(r->sample, r->kind, r->slot);

    OT_PASS(io, key);
}

static void put_rows(struct ot_io *io, const struct ot_miner *m)
{
    int32_t n = m->n_rows;

    OT_PASS(io, n);
    for (int32_t i = m->by_id.head; i >= 0; i = m->e[i].link[OT_BY_ID].next) {
        struct ot_row r = m->e[i].r;
        int32_t low = m->e[i].low;

        pass_row(io, &r, &low, &m->e[i].probation);
    }
}

static void put_orders(struct ot_io *io, const struct ot_miner *m)
{
    int32_t n = 0;

    for (int32_t i = m->cooling.head; i >= 0; i = m->e[i].link[OT_BY_COOLING].next)
        n++;
    OT_PASS(io, n);
    for (int32_t i = m->cooling.head; i >= 0; i = m->e[i].link[OT_BY_COOLING].next)
        put_key(io, &m->e[i].r);
    n = m->in_flight ? m->n_book : 0;
    OT_PASS(io, n);
    for (int k = 0; k < n; k++) {
        put_key(io, &m->e[m->book[k].row].r);
        OT_PASS(io, m->book[k].before);
    }
}

static void put_slots(struct ot_io *io, const struct ot_miner *m)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        n += m->sample[s].next_bg > 0;
    OT_PASS(io, n);
    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        if (m->sample[s].next_bg > 0) {
            OT_PASS(io, s);
            OT_PASS(io, m->sample[s].next_bg);
        }
}

static void put_window(struct ot_io *io, const struct ot_window *w)
{
    int32_t n = w->n, first = w->n < w->cap ? 0 : w->pos;

    OT_PASS(io, n);
    for (int k = 0; k < n; k++)
        OT_PASS(io, w->ring[(first + k) % w->cap]);
}

int ot_miner_save(const struct ot_miner *m, struct ot_str *out, struct ot_err *err)
{
    struct head h = { .version = VERSION };
    struct ot_io io = { .out = out, .version = VERSION };
    struct ot_miner copy = *m; /* pass_counters() takes what it may also write to */
    size_t at = out->len;

    memcpy(h.magic, magic, sizeof h.magic);
    ot_str_add(out, (const char *)&h, sizeof h);
    pass_counters(&io, &copy);
    ot_put_judged(&io, m);
    put_window(&io, &m->window);
    put_rows(&io, m);
    put_orders(&io, m);
    put_slots(&io, m);
    ot_put_mind(&io, m);
    if (ot_str_ok(out, err) < 0)
        return err->code;
    h.len = out->len - at - sizeof h;
    h.hash = ot_hash64(out->buf + at + sizeof h, h.len);
    memcpy(out->buf + at, &h, sizeof h);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int ot_io_bad(struct ot_err *err, const char *what, long long got)
{
    return ot_fail(err, OT_EDATA, "miner's saved state: %s, got %lld", what, got);
}

/* A count of things of at least `size` bytes that are still to come. */
int32_t ot_io_take_n(struct ot_io *io, size_t size)
{
    int32_t n = 0;

    OT_PASS(io, n);
    if (n < 0 || (size_t)n > io->left / size) {
        io->bad = true;
        return 0;
    }
    return n;
}

static int take_window(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = ot_io_take_n(io, sizeof(float));
    float *v = ot_alloc((size_t)n, sizeof *v, err);
    int rc = 0;

    if (!v)
        return err->code;
    ot_io_pass(io, v, (size_t)n * sizeof *v);
    for (int k = 0; k < n; k++)
        if (!isfinite(v[k]))
            rc = ot_io_bad(err, "a loss of the window is not finite at", k);
    if (rc == 0)
        ot_window_fill(&m->window, v, n);
    ot_free(v);
    return rc;
}

static int check_row(const struct ot_miner *m, const struct ot_row *r, uint64_t last_id,
                     struct ot_err *err)
{
    if (r->sample >= m->conf.n_samples)
        return ot_io_bad(err, "sample beyond the data set", r->sample);
    if (r->label < 0 || r->label >= m->conf.n_classes)
        return ot_io_bad(err, "label out of range", r->label);
    if (r->label_given < 0 || r->label_given >= m->conf.n_classes)
        return ot_io_bad(err, "given label out of range", r->label_given);
    if (r->kind > OT_KIND_TILE || (r->state > OT_EXCLUDED && r->state != OT_CONTROL))
        return ot_io_bad(err, "no such kind or state", r->kind * 256 + r->state);
    if (r->slot < 0 || r->slot > OT_SLOT_MAX)
        return ot_io_bad(err, "slot out of range", r->slot);
    if (r->id <= last_id || r->id >= m->next_id)
        return ot_io_bad(err, "row id out of order", (long long)r->id);
    if (!isfinite(r->loss_ema) || !isfinite(r->loss))
        return ot_io_bad(err, "loss is not finite in row", (long long)r->id);
    if (ot_rows_find(m, ot_row_key(r->sample, r->kind, r->slot)) >= 0)
        return ot_io_bad(err, "instance twice, row", (long long)r->id);
    return 0;
}

static int take_rows(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = ot_io_take_n(io, 64);
    uint64_t last = 0;

    for (int32_t k = 0; k < n && !io->bad; k++) {
        struct ot_row r = { 0 };
        int32_t low = 0, i;
        uint8_t probation = 0;

        pass_row(io, &r, &low, &probation);
        if (io->bad)
            break;
        if (check_row(m, &r, last, err) < 0)
            return err->code;
        last = r.id;
        ot_row_conform(m, &r);
        i = ot_rows_add(m, &r, err);
        if (i < 0)
            return err->code;
        m->e[i].low = low;
        m->e[i].probation = probation;
    }
    return 0;
}

/* Version 1 drew by an order of the waiting samples; their set is known from the rows. */
static void skip_waiting(struct ot_io *io)
{
    int32_t n = ot_io_take_n(io, sizeof(uint32_t));
    uint32_t s = 0;

    for (int32_t k = 0; k < n; k++)
        OT_PASS(io, s);
}

static int take_cooling(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = ot_io_take_n(io, sizeof(uint64_t));

    for (int32_t k = 0; k < n; k++) {
        uint64_t key = 0;
        int32_t i;

        OT_PASS(io, key);
        i = ot_rows_find(m, key);
        if (i < 0)
            return ot_io_bad(err, "not a cooling row", (long long)key);
        if (m->e[i].cool_listed) /* not when its sample is of the control group now */
            ot_rows_requeue(m, i);
    }
    return 0;
}

static int take_book(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = ot_io_take_n(io, sizeof(uint64_t) + sizeof(float));

    if (n > m->book_cap)
        return ot_io_bad(err, "more booked rows than a batch holds", n);
    for (int32_t k = 0; k < n; k++) {
        uint64_t key = 0;
        int32_t i;

        OT_PASS(io, key);
        i = ot_rows_find(m, key);
        if (i < 0 || m->e[i].book >= 0)
            return ot_io_bad(err, "not a row to book", (long long)key);
        m->book[k] = (struct ot_booked){ .row = i, .sample = m->e[i].r.sample, .after = NAN };
        OT_PASS(io, m->book[k].before);
        m->e[i].book = k;
        ot_rows_resort(m, i);
        m->n_book = k + 1;
    }
    return 0;
}

static int take_slots(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = ot_io_take_n(io, sizeof(uint32_t) + sizeof(int32_t));

    for (int32_t k = 0; k < n; k++) {
        uint32_t s = 0;
        int32_t next = 0;

        OT_PASS(io, s);
        OT_PASS(io, next);
        if (s >= m->conf.n_samples || next < 0)
            return ot_io_bad(err, "background slot of a sample beyond the data set", s);
        m->sample[s].next_bg = next;
    }
    return 0;
}

static int take_all(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    pass_counters(io, m);
    if (ot_take_judged(io, m, err) < 0 || take_window(io, m, err) < 0 || take_rows(io, m, err) < 0)
        return err->code;
    if (io->version == 1)
        skip_waiting(io);
    if (take_cooling(io, m, err) < 0 || take_book(io, m, err) < 0 || take_slots(io, m, err) < 0 ||
        ot_take_mind(io, m, err) < 0)
        return err->code;
    if (io->bad || io->left)
        return ot_io_bad(err, "length does not fit its content, bytes left", (long long)io->left);
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
    struct ot_io io = { .in = p };
    struct head h;
    int rc;

    if (n < sizeof h)
        return ot_io_bad(err, "too short", (long long)n);
    memcpy(&h, p, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0)
        return ot_io_bad(err, "not a miner's state, first byte", p[0]);
    if (h.version < 1 || h.version > VERSION)
        return ot_io_bad(err, "version is not 1 or 2", h.version);
    if (h.len != n - sizeof h)
        return ot_io_bad(err, "length differs from what its head says", (long long)n);
    if (h.hash != ot_hash64(p + sizeof h, h.len))
        return ot_io_bad(err, "checksum differs, bytes", (long long)n);
    fresh = ot_miner_new(&m->conf, &m->sink, err);
    if (!fresh)
        return err->code;
    io.in += sizeof h;
    io.left = h.len;
    io.version = h.version;
    rc = take_all(&io, fresh, err);
    if (rc == 0) {
        swap = *m;
        *m = *fresh;
        *fresh = swap;
    }
    ot_miner_free(fresh);
    return rc;
}
