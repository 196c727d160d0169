/* sumtree.c - see sumtree.h; wraps around 2^64 when weights fall, which cancels. */
#include "mining/sumtree.h"

#include "base/mem.h"

enum { FAN = 16 };

int ot_sumtree_init(struct ot_sumtree *t, uint32_t n, struct ot_err *err)
{
    uint64_t at_level = n;

    *t = (struct ot_sumtree){ .n = n };
    t->leaf = ot_alloc(n, sizeof *t->leaf, err);
    if (!t->leaf)
        return err->code;
    do {
        at_level = (at_level + FAN - 1) / FAN;
        t->sum[t->levels] = ot_alloc((size_t)at_level, sizeof *t->sum[0], err);
        if (!t->sum[t->levels])
            return err->code;
        t->levels++;
    } while (at_level > 1);
    return 0;
}

void ot_sumtree_release(struct ot_sumtree *t)
{
    ot_free(t->leaf);
    for (int l = 0; l < OT_SUMTREE_LEVELS; l++)
        ot_free(t->sum[l]);
    *t = (struct ot_sumtree){ 0 };
}

void ot_sumtree_set(struct ot_sumtree *t, uint32_t i, uint32_t weight)
{
    uint64_t more = (uint64_t)weight - t->leaf[i];

    OT_BUG_IF(i >= t->n);
    t->leaf[i] = weight;
    for (int l = 0; l < t->levels; l++) {
        i /= FAN;
        t->sum[l][i] += more;
    }
}

uint64_t ot_sumtree_total(const struct ot_sumtree *t)
{
    return t->sum[t->levels - 1][0];
}

uint32_t ot_sumtree_find(const struct ot_sumtree *t, uint64_t x)
{
    uint32_t i = 0;

    OT_BUG_IF(x >= ot_sumtree_total(t));
    for (int l = t->levels - 2; l >= 0; l--)
        for (i *= FAN; x >= t->sum[l][i]; i++)
            x -= t->sum[l][i];
    for (i *= FAN; x >= t->leaf[i]; i++)
        x -= t->leaf[i];
    return i;
}
