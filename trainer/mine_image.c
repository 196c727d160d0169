/*
 * mine_image.c - mining in a snapshot: the losses that lag, then the miner.
 *
 * Version 1 knew the label that was trained on only, which was the given one.
 */
#include <string.h>

#include "base/mem.h"
#include "trainer/mine_i.h"

struct image_head { /* in the machine's byte order; a snapshot stays on its machine class */
    char magic[8];
    int64_t lag_iter;
    uint64_t lag_n;
    uint32_t look_size, lag_reinjected, lag_waiting, reserved;
};

struct look_1 { /* of version 1 */
    uint32_t sample;
    uint8_t kind;
    int32_t slot;
    int32_t label, pred;
    float p_label, p_pred;
    float loss;
    float box[4];
    bool flip;
};

static const char magic_1[8] = { 'O', 'T', 'M', 'I', 'N', 'E', '1', '\n' };
static const char magic_2[8] = { 'O', 'T', 'M', 'I', 'N', 'E', '2', '\n' };

int ot_mine_save(struct ot_mine *m, struct ot_str *out, struct ot_err *err)
{
    int rc = ot_mine_settle(m, err);
    struct image_head h = { .lag_iter = m->lag.iter,
                            .lag_n = m->lag.waiting ? m->lag.n : 0,
                            .look_size = sizeof(struct ot_look),
                            .lag_reinjected = m->lag.reinjected,
                            .lag_waiting = m->lag.waiting };
    size_t at = out->len;

    if (rc < 0)
        return ot_err_wrap(err, "mining");
    memcpy(h.magic, magic_2, sizeof h.magic);
    ot_str_add(out, (const char *)&h, sizeof h);
    ot_str_add(out, (const char *)m->lag.look, (size_t)h.lag_n * sizeof(struct ot_look));
    if (ot_miner_save(m->miner, out, err) < 0 || ot_str_ok(out, err) < 0)
        return err->code;
    if (m->log)
        ot_looklog_mark(m->log, m->lag.iter, out->buf + at, out->len - at);
    return 0;
}

static int read_head(const void *bytes, size_t n, struct image_head *h, struct ot_err *err)
{
    size_t size;

    if (n < sizeof *h)
        return ot_fail(err, OT_EDATA, "mining state: only %zu bytes", n);
    memcpy(h, bytes, sizeof *h);
    size = !memcmp(h->magic, magic_1, sizeof h->magic) ? sizeof(struct look_1)
                                                       : sizeof(struct ot_look);
    if ((memcmp(h->magic, magic_1, sizeof h->magic) != 0 &&
         memcmp(h->magic, magic_2, sizeof h->magic) != 0) ||
        h->look_size != size)
        return ot_fail(err, OT_EDATA, "mining state: written by another version");
    if (h->lag_n > (n - sizeof *h) / size)
        return ot_fail(err, OT_EDATA, "mining state: truncated (%zu bytes)", n);
    return 0;
}

static struct ot_look look_of_1(const char *bytes)
{
    struct look_1 v;
    struct ot_look k;

    memcpy(&v, bytes, sizeof v);
    k = (struct ot_look){ .sample = v.sample,
                          .kind = v.kind,
                          .slot = v.slot,
                          .label = v.label,
                          .given = v.label,
                          .pred = v.pred,
                          .p_label = v.p_label,
                          .p_pred = v.p_pred,
                          .loss = v.loss,
                          .flip = v.flip };
    memcpy(k.box, v.box, sizeof k.box);
    return k;
}

static int take_looks(struct ot_mine *m, const struct image_head *h, const char *bytes,
                      struct ot_err *err)
{
    size_t n = (size_t)h->lag_n;

    if (ot_grow(&m->lag.look, &m->lag.cap, n + 1, sizeof *m->lag.look, err) < 0)
        return err->code;
    if (h->look_size == sizeof *m->lag.look)
        memcpy(m->lag.look, bytes, n * sizeof *m->lag.look);
    else
        for (size_t i = 0; i < n; i++)
            m->lag.look[i] = look_of_1(bytes + i * sizeof(struct look_1));
    m->lag.n = n;
    m->lag.iter = h->lag_iter;
    m->lag.reinjected = h->lag_reinjected != 0;
    m->lag.waiting = h->lag_waiting != 0;
    return 0;
}

int ot_mine_restore(struct ot_mine *m, const void *bytes, size_t n, int64_t iter,
                    struct ot_err *err)
{
    struct image_head h;
    const char *looks = (const char *)bytes + sizeof h;
    size_t size;

    if (read_head(bytes, n, &h, err) < 0 || take_looks(m, &h, looks, err) < 0)
        return err->code;
    size = (size_t)h.lag_n * h.look_size;
    if (ot_miner_restore(m->miner, looks + size, n - sizeof h - size, err) < 0)
        return err->code;
    m->restored = true;
    if (m->log)
        ot_looklog_resume(m->log, bytes, n);
    /* what the miner made of the lagging losses will be made of them again */
    return m->pool ? ot_pool_reset(m->pool, m->miner, m->lag.waiting ? m->lag.iter - 1 : iter, err)
                   : 0;
}
