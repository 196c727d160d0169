/* gpu_guard.c - see gpu_guard.h.  Bands are written by upload and read by download alone. */
#include "tests/gpu_guard.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { BAND = 512, DEVICES = 4 };

struct array {
    struct array *next;
    char *p;
    size_t bytes;
};

static struct guarded {
    struct ot_dev *dev; /* NULL: free */
    const struct ot_dev_ops *below;
    struct ot_dev_ops ops;
    struct array *list;
    char broken[160];
} devices[DEVICES];

static struct guarded *of(const struct ot_dev *dev)
{
    for (int i = 0; i < DEVICES; i++)
        if (devices[i].dev == dev)
            return &devices[i];
    return NULL;
}

static void pattern(unsigned char band[BAND])
{
    for (int i = 0; i < BAND; i++)
        band[i] = (unsigned char)(0xa5 ^ (i * 7));
}

static void *take(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    struct guarded *g = of(dev);
    struct array *a = ot_alloc(1, sizeof *a, err);
    unsigned char band[BAND];
    char *p = a ? g->below->alloc(dev, bytes + 2 * BAND, err) : NULL;

    if (!p) {
        ot_free(a);
        return NULL;
    }
    pattern(band);
    g->below->upload(dev, p, band, BAND);
    g->below->upload(dev, p + BAND + bytes, band, BAND);
    *a = (struct array){ .next = g->list, .p = p + BAND, .bytes = bytes };
    g->list = a;
    return a->p;
}

static void look(struct guarded *g, const struct array *a)
{
    unsigned char want[BAND], got[BAND];

    pattern(want);
    for (int behind = 0; behind < 2; behind++) {
        g->below->download(g->dev, got, behind ? a->p + a->bytes : a->p - BAND, BAND);
        for (int i = 0; i < BAND && !g->broken[0] && g->dev->latch.code == OT_OK; i++)
            if (got[i] != want[i])
                (void)snprintf(g->broken, sizeof g->broken,
                               "an array of %zu bytes: byte %d %s it was written", a->bytes,
                               behind ? i : BAND - i, behind ? "behind" : "before");
    }
}

static void give(struct ot_dev *dev, void *p)
{
    struct guarded *g = of(dev);
    struct array **at = &g->list, *a;

    while (*at && (*at)->p != p)
        at = &(*at)->next;
    a = *at;
    if (!a) { /* from before, or NULL */
        g->below->free(dev, p);
        return;
    }
    look(g, a);
    *at = a->next;
    g->below->free(dev, a->p - BAND);
    ot_free(a);
}

static void end(struct ot_dev *dev)
{
    struct guarded *g = of(dev);

    while (g->list) {
        struct array *a = g->list;

        g->list = a->next;
        ot_free(a);
    }
    g->dev = NULL;
    g->below->close(dev);
}

void ot_guard(struct ot_dev *dev)
{
    struct guarded *g = of(NULL);

    OT_BUG_IF(!g || of(dev));
    *g = (struct guarded){ .dev = dev, .below = dev->ops, .ops = *dev->ops };
    g->ops.alloc = take;
    g->ops.free = give;
    g->ops.close = end;
    dev->ops = &g->ops;
}

bool ot_guard_broken(struct ot_dev *dev, char *what, size_t n)
{
    struct guarded *g = of(dev);

    if (!g)
        return false;
    for (const struct array *a = g->list; a; a = a->next)
        look(g, a);
    (void)snprintf(what, n, "%s", g->broken);
    g->broken[0] = '\0';
    return what[0] != '\0';
}
