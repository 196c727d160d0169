/*
 * looklog_read.c - the reading side of the loss log.
 *
 * Opening walks all records once and checks their hashes: a record that is cut off at the end of
 * the file was being written when the run was killed, and is left out; a wrong hash is damage.
 */
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "mining/looklog_impl.h"

static const size_t limit = (size_t)1 << 36;

/* ---- a file ---------------------------------------------------------------------------------- */

static bool rec_at(const struct ot_looks_file *f, size_t at, struct ot_rec_head *h)
{
    if (f->n - at < sizeof *h)
        return false;
    memcpy(h, f->bytes + at, sizeof *h);
    return h->len <= f->n - at - sizeof *h;
}

static int check_records(struct ot_looks_file *f, size_t at, const char *path, struct ot_err *err)
{
    size_t all = f->n;
    struct ot_rec_head h;

    while (rec_at(f, at, &h)) {
        if (h.hash != ot_rec_hash(&h, f->bytes + at + sizeof h))
            return ot_fail(err, OT_EDATA,
                           "'%s' is damaged: wrong checksum of the record at byte %zu", path, at);
        at += sizeof h + h.len;
    }
    f->n = at;
    f->torn = all - at;
    return 0;
}

static int bad_rec(const struct ot_looks_rec *r, struct ot_err *err)
{
    return ot_fail(err, OT_EDATA, "record '%c' at byte %zu: its %zu bytes do not hold what it must",
                   (int)r->type, r->at, r->n);
}

static const char *take_text(struct ot_bits *b)
{
    const char *text = (const char *)b->in;
    const void *end = b->left ? memchr(b->in, 0, b->left) : NULL;
    size_t n;

    if (!end) {
        b->bad = true;
        return "";
    }
    n = (size_t)((const unsigned char *)end - b->in) + 1;
    b->in += n;
    b->left -= n;
    return text;
}

static int take_head(struct ot_looks_file *f, const struct ot_looks_rec *r, struct ot_err *err)
{
    struct ot_bits b = { .in = r->p, .left = r->n };

    ot_bits_conf(&b, &f->head.conf);
    OT_BITS(&b, f->head.passes);
    OT_BITS(&b, f->head.batch);
    ot_bits_bool(&b, &f->head.roi);
    OT_BITS(&b, f->head.fingerprint);
    f->head.dataset = take_text(&b);
    f->head.policy = take_text(&b);
    return b.bad || b.left ? bad_rec(r, err) : 0;
}

static int take_keys(struct ot_looks_file *f, const struct ot_looks_rec *r, struct ot_err *err)
{
    struct ot_bits b = { .in = r->p, .left = r->n };

    if (f->head.conf.n_samples > r->n) /* each has a byte at least */
        return bad_rec(r, err);
    f->key = ot_alloc(f->head.conf.n_samples, sizeof *f->key, err);
    if (!f->key)
        return err->code;
    for (uint32_t i = 0; i < f->head.conf.n_samples; i++)
        f->key[i] = take_text(&b);
    return b.bad || b.left ? bad_rec(r, err) : 0;
}

static int open_it(struct ot_looks_file *f, const char *path, struct ot_err *err)
{
    static const char magic[] = OT_LOOKLOG_MAGIC;
    size_t at = sizeof magic - 1;
    struct ot_looks_rec r;

    f->bytes = ot_read_file(path, limit, &f->n, err);
    if (!f->bytes)
        return err->code;
    if (f->n < at || memcmp(f->bytes, magic, at) != 0)
        return ot_fail(err, OT_EDATA, "'%s' is not a loss log of this version (%zu bytes)", path,
                       f->n);
    if (check_records(f, at, path, err) < 0)
        return err->code;
    if (!ot_looks_next(f, &at, &r) || r.type != OT_REC_HEAD)
        return ot_fail(err, OT_EDATA, "'%s' has no head (%zu bytes)", path, f->n);
    if (take_head(f, &r, err) < 0)
        return ot_err_wrap(err, "'%s'", path);
    if (!ot_looks_next(f, &at, &r) || r.type != OT_REC_KEYS)
        return ot_fail(err, OT_EDATA, "'%s' does not name its samples (%zu bytes)", path, f->n);
    if (take_keys(f, &r, err) < 0)
        return ot_err_wrap(err, "'%s'", path);
    f->first = at;
    return 0;
}

struct ot_looks_file *ot_looks_open(const char *path, struct ot_err *err)
{
    struct ot_looks_file *f = ot_alloc(1, sizeof *f, err);

    if (f && open_it(f, path, err) < 0) {
        ot_looks_free(f);
        f = NULL;
    }
    return f;
}

void ot_looks_free(struct ot_looks_file *f)
{
    if (!f)
        return;
    ot_free(f->key);
    ot_free(f->bytes);
    ot_free(f);
}

bool ot_looks_next(const struct ot_looks_file *f, size_t *at, struct ot_looks_rec *r)
{
    struct ot_rec_head h;

    if (!rec_at(f, *at, &h))
        return false;
    *r = (struct ot_looks_rec){ .type = (enum ot_looklog_type)h.type,
                                .at = *at,
                                .p = (const unsigned char *)f->bytes + *at + sizeof h,
                                .n = h.len };
    *at += sizeof h + h.len;
    return true;
}

/* ---- a record -------------------------------------------------------------------------------- */

/* How many things of at least `least` bytes are to come, and room for them. */
static int take_array(struct ot_bits *b, struct ot_looks_part *part, void *array, size_t *cap,
                      size_t size, size_t least, struct ot_err *err)
{
    uint64_t n = 0;

    ot_bits_u64(b, &n);
    b->bad |= n > b->left / least;
    part->n = b->bad ? 0 : (size_t)n;
    return ot_grow(array, cap, part->n + 1, size, err);
}

static int take_next(struct ot_bits *b, struct ot_looks_part *p, struct ot_err *err)
{
    ot_bits_tally(b, &p->tally);
    if (take_array(b, p, &p->sample, &p->sample_cap, sizeof *p->sample, sizeof *p->sample, err) < 0)
        return err->code;
    ot_bits_pass(b, p->sample, p->n * sizeof *p->sample);
    return 0;
}

static int take_looks(struct ot_bits *b, struct ot_looks_part *p, struct ot_err *err)
{
    ot_bits_bool(b, &p->reinjected);
    if (take_array(b, p, &p->look, &p->look_cap, sizeof *p->look, 15, err) < 0)
        return err->code;
    for (size_t i = 0; i < p->n; i++)
        ot_bits_look(b, &p->look[i]);
    return 0;
}

static int take_verdicts(struct ot_bits *b, struct ot_looks_part *p, struct ot_err *err)
{
    if (take_array(b, p, &p->verdict, &p->verdict_cap, sizeof *p->verdict, 14, err) < 0)
        return err->code;
    for (size_t i = 0; i < p->n; i++) {
        struct ot_verdict *v = &p->verdict[i];

        OT_BITS(b, v->sample);
        OT_BITS(b, v->kind);
        OT_BITS(b, v->what);
        OT_BITS(b, v->slot);
        OT_BITS(b, v->label);
    }
    return 0;
}

static int take_sentinel(struct ot_bits *b, struct ot_looks_part *p, struct ot_err *err)
{
    OT_BITS(b, p->share);
    if (take_array(b, p, &p->loss, &p->loss_cap, sizeof *p->loss, sizeof *p->loss, err) < 0)
        return err->code;
    ot_bits_pass(b, p->loss, p->n * sizeof *p->loss);
    return 0;
}

static void take_miner(struct ot_bits *b, struct ot_looks_part *p)
{
    ot_bits_bool(b, &p->gap);
    ot_bits_tally(b, &p->tally);
    ot_bits_conf(b, &p->conf);
    p->image = b->in;
    p->n_image = b->left;
    b->left = 0;
}

int ot_looks_take(const struct ot_looks_rec *r, struct ot_looks_part *p, struct ot_err *err)
{
    struct ot_bits b = { .in = r->p, .left = r->n };
    int rc = 0;

    if (r->type != OT_REC_MINER && r->type != OT_REC_END)
        OT_BITS(&b, p->iter);
    switch (r->type) {
    case OT_REC_MINER:
        take_miner(&b, p);
        break;
    case OT_REC_NEXT:
        rc = take_next(&b, p, err);
        break;
    case OT_REC_LOOKS:
        rc = take_looks(&b, p, err);
        break;
    case OT_REC_VERDICTS:
        rc = take_verdicts(&b, p, err);
        break;
    case OT_REC_SENTINEL:
        rc = take_sentinel(&b, p, err);
        break;
    case OT_REC_MARK:
        OT_BITS(&b, p->state);
        ot_bits_tally(&b, &p->tally);
        break;
    case OT_REC_END:
        ot_bits_tally(&b, &p->tally);
        break;
    case OT_REC_BROKEN:
        break;
    default:
        return ot_fail(err, OT_EDATA, "record at byte %zu: no such type, got %u", r->at,
                       (unsigned)r->type);
    }
    return rc < 0 ? rc : b.bad || b.left ? bad_rec(r, err) : 0;
}

void ot_looks_part_release(struct ot_looks_part *p)
{
    ot_free(p->look);
    ot_free(p->sample);
    ot_free(p->verdict);
    ot_free(p->loss);
    *p = (struct ot_looks_part){ 0 };
}
