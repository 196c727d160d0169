/* fetch.c - see fetch.h.  A slot grows to the largest blob it has seen, by half as much again, so
 * that batches of changing size soon need no memory. */
#include "trainer/fetch.h"

static int make_room(struct ot_fetch *s, struct ot_dev *dev, size_t n, struct ot_err *err)
{
    if (s->v && n <= s->cap)
        return 0;
    ot_fetch_release(s);
    s->v = dev->ops->host_alloc(dev, (n + n / 2 + 16) * sizeof *s->v, err);
    if (!s->v)
        return err->code;
    s->dev = dev;
    s->cap = n + n / 2 + 16;
    return 0;
}

int ot_fetch_ask(struct ot_fetch *s, struct ot_net *net, const struct ot_blob *b,
                 struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    size_t n = ot_count(&b->data.shape);

    if (make_room(s, dev, n, err) < 0)
        return err->code;
    s->n = n;
    if (b->data.fmt)
        return ot_net_read(net, b, s->v, err);
    dev->ops->fetch(dev, s->v, b->data.data, n * sizeof *s->v);
    return 0;
}

void ot_fetch_release(struct ot_fetch *s)
{
    if (s->v)
        s->dev->ops->host_free(s->dev, s->v);
    *s = (struct ot_fetch){ 0 };
}
