/*
 * looklog_bits.c - the loss log's numbers, one description for writing and reading.
 *
 * A look of an image takes about 19 bytes: its box and slot say nothing and are left out; a RoI's
 * takes 16 more.  Floats are kept whole: a decision may hang on their last bit.
 */
#include <string.h>

#include "base/hash.h"
#include "mining/looklog_impl.h"

void ot_bits_pass(struct ot_bits *b, void *v, size_t n)
{
    if (b->out) {
        ot_str_add(b->out, v, n);
    } else if (b->left < n) {
        b->bad = true;
        memset(v, 0, n);
    } else {
        memcpy(v, b->in, n);
        b->in += n;
        b->left -= n;
    }
}

void ot_bits_bool(struct ot_bits *b, bool *v)
{
    uint8_t byte = *v;

    OT_BITS(b, byte);
    b->bad |= byte > 1;
    *v = byte == 1;
}

void ot_bits_u64(struct ot_bits *b, uint64_t *v)
{
    uint64_t rest = *v, got = 0;
    uint8_t byte;

    for (int shift = 0; shift < 64; shift += 7) {
        byte = (uint8_t)((rest & 127) | (rest > 127 ? 128 : 0));
        OT_BITS(b, byte);
        got |= (uint64_t)(byte & 127) << shift;
        rest >>= 7;
        if (!(byte & 128)) {
            *v = got;
            return;
        }
    }
    b->bad = true;
}

void ot_bits_i32(struct ot_bits *b, int32_t *v)
{
    uint64_t z = *v < 0 ? (uint64_t)(-1 - (int64_t)*v) * 2 + 1 : (uint64_t)*v * 2;

    ot_bits_u64(b, &z);
    b->bad |= z > UINT32_MAX;
    *v = z & 1 ? (int32_t)(-1 - (int64_t)(z >> 1)) : (int32_t)(z >> 1);
}

static void pass_enum(struct ot_bits *b, unsigned *v, unsigned last)
{
    uint8_t byte = (uint8_t)*v;

    OT_BITS(b, byte);
    b->bad |= byte > last;
    *v = byte > last ? 0 : byte;
}

void ot_bits_conf(struct ot_bits *b, struct ot_miner_conf *c)
{
    unsigned admit = c->admit, priority = c->priority, importance = c->importance;

    ot_bits_bool(b, &c->naive);
    pass_enum(b, &admit, OT_ADMIT_TOPK);
    pass_enum(b, &priority, OT_PRIORITY_LOSS);
    pass_enum(b, &importance, OT_IMPORTANCE_PER);
    c->admit = (enum ot_admit)admit;
    c->priority = (enum ot_priority)priority;
    c->importance = (enum ot_importance)importance;
    OT_BITS(b, c->quantile);
    OT_BITS(b, c->window);
    OT_BITS(b, c->threshold);
    OT_BITS(b, c->topk);
    OT_BITS(b, c->class_share);
    OT_BITS(b, c->start_iter);
    OT_BITS(b, c->end_iter);
    OT_BITS(b, c->capacity);
    OT_BITS(b, c->ema);
    OT_BITS(b, c->batch);
    OT_BITS(b, c->min_fresh);
    OT_BITS(b, c->max_share);
    OT_BITS(b, c->fresh_part);
    OT_BITS(b, c->cooldown);
    OT_BITS(b, c->per_sample);
    OT_BITS(b, c->retire);
    OT_BITS(b, c->probe_after);
    OT_BITS(b, c->probe_conf);
    OT_BITS(b, c->quarantine_weight);
    OT_BITS(b, c->release);
    OT_BITS(b, c->seed);
    OT_BITS(b, c->n_classes);
    OT_BITS(b, c->n_samples);
    OT_BITS(b, c->importance_beta);
    ot_bits_bool(b, &c->auto_share);
    ot_bits_bool(b, &c->scope_all);
    OT_BITS(b, c->scope_looks);
    OT_BITS(b, c->scope_margin);
    OT_BITS(b, c->control);
    OT_BITS(b, c->thermometer);
    OT_BITS(b, c->first_class);
}

void ot_bits_tally(struct ot_bits *b, struct ot_tally *t)
{
    OT_BITS(b, t->n_events);
    OT_BITS(b, t->events);
    OT_BITS(b, t->n_draws);
    OT_BITS(b, t->draws);
}

enum { KIND = 3, FLIP = 4, SLOT = 8, BOX = 16, WRONG = 32, GIVEN = 64 };

void ot_bits_look(struct ot_bits *b, struct ot_look *k)
{
    static const float whole[4] = { 0, 0, 1, 1 };
    uint64_t sample = k->sample;
    uint8_t what = (uint8_t)((k->kind & KIND) | (k->flip ? FLIP : 0) | (k->slot ? SLOT : 0) |
                             (memcmp(k->box, whole, sizeof whole) ? BOX : 0) |
                             (k->pred != k->label ? WRONG : 0) |
                             (k->given != k->label ? GIVEN : 0));

    OT_BITS(b, what);
    ot_bits_u64(b, &sample);
    b->bad |= sample > UINT32_MAX;
    k->sample = (uint32_t)sample;
    k->kind = what & KIND;
    k->flip = (what & FLIP) != 0;
    if (what & SLOT)
        ot_bits_i32(b, &k->slot);
    else
        k->slot = 0;
    ot_bits_i32(b, &k->label);
    if (what & WRONG)
        ot_bits_i32(b, &k->pred);
    else
        k->pred = k->label;
    if (what & GIVEN)
        ot_bits_i32(b, &k->given);
    else
        k->given = k->label;
    OT_BITS(b, k->p_label);
    OT_BITS(b, k->p_pred);
    OT_BITS(b, k->loss);
    if (what & BOX)
        OT_BITS(b, k->box);
    else
        memcpy(k->box, whole, sizeof whole);
}

uint64_t ot_rec_hash(const struct ot_rec_head *h, const void *bytes)
{
    return ot_hash64_more(ot_hash64(h, sizeof h->type + sizeof h->len), bytes, h->len);
}

/* ---- tallies --------------------------------------------------------------------------------- */

struct ot_tally ot_tally_zero(void)
{
    return (struct ot_tally){ .events = ot_hash64("", 0), .draws = ot_hash64("", 0) };
}

void ot_tally_event(struct ot_tally *t, int64_t iter, enum ot_event_kind what, uint64_t row)
{
    uint64_t v[3] = { (uint64_t)iter, what, row };

    t->n_events++;
    t->events = ot_hash64_more(t->events, v, sizeof v);
}

void ot_tally_draw(struct ot_tally *t, int64_t iter, const uint32_t *sample, int n)
{
    uint64_t v[2] = { (uint64_t)iter, (uint64_t)n };

    if (n == 0)
        return;
    t->n_draws++;
    t->draws = ot_hash64_more(t->draws, v, sizeof v);
    t->draws = ot_hash64_more(t->draws, sample, (size_t)n * sizeof *sample);
}
