/*
 * mine_proof.c - what the control group and the planted labels say of tonight's mining: to the
 * pool file, and in one sentence each.
 */
#include <math.h>

#include "base/mem.h"
#include "trainer/mine_i.h"

int ot_mine_prove(struct ot_mine *m, int64_t iter, struct ot_err *err)
{
    int max = m->conf.n_classes + 1, n;
    struct ot_thermometer t = ot_miner_thermometer(m->miner);
    struct ot_mining_effect *e;

    if (!m->pool)
        return 0;
    e = ot_alloc((size_t)max, sizeof *e, err);
    if (!e)
        return err->code;
    n = ot_miner_effects(m->miner, e, max);
    if (n > 0 || t.planted > 0)
        ot_pool_effects(m->pool, iter, e, n, &t);
    ot_free(e);
    return 0;
}

static void tell_effect(const struct ot_mining_effect *e, struct ot_str *s)
{
    if (isnan(e->diff)) {
        ot_str_printf(s, "control group: %lld examples, too few to say what mining did\n",
                      (long long)e->n_control);
        return;
    }
    ot_str_printf(s,
                  "control group: the loss of %lld examples that were never re-injected is %.4f, "
                  "of the %lld others %.4f; mining took off %.4f (95 %% interval %.4f to %.4f%s)\n",
                  (long long)e->n_control, e->loss_control, (long long)e->n_treated,
                  e->loss_treated, e->diff, e->lo, e->hi,
                  e->lo > 0   ? ""
                  : e->hi < 0 ? ": it did harm"
                              : ": no effect is shown");
}

static void tell_thermometer(const struct ot_thermometer *t, struct ot_str *s)
{
    ot_str_printf(s, "thermometer: of %lld planted wrong labels %lld were looked at often enough",
                  (long long)t->planted, (long long)t->tested);
    if (t->tested > 0)
        ot_str_printf(s, ", %lld of them quarantined: recall %.2f (%.2f to %.2f)",
                      (long long)t->quarantined, t->recall, t->recall_lo, t->recall_hi);
    if (!isnan(t->noise))
        ot_str_printf(s, "; at most %.2f %% of the data's labels are wrong", 100 * t->noise);
    if (!isnan(t->precision))
        ot_str_printf(s, "; precision of the quarantine about %.2f", t->precision);
    ot_str_puts(s, "\n");
}

void ot_mine_tell(const struct ot_mine *m, struct ot_str *s)
{
    struct ot_err ignored = OT_ERR_INIT;
    struct ot_thermometer t = ot_miner_thermometer(m->miner);
    int max = m->conf.n_classes + 1, n;
    struct ot_mining_effect *e = ot_alloc((size_t)max, sizeof *e, &ignored);

    n = e ? ot_miner_effects(m->miner, e, max) : 0;
    if (n > 0 && e[n - 1].label < 0)
        tell_effect(&e[n - 1], s);
    ot_free(e);
    if (t.planted > 0)
        tell_thermometer(&t, s);
}
