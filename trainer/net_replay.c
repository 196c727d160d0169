/*
 * net_replay.c - passes and updates as recordings (CUDA graphs).
 *
 * A recording is of one plan and of one state of what the host decides: which gradients are zero,
 * whether running statistics are frozen.  Work is done twice as always, so that libraries have
 * settled and later calls allocate nothing; the third time it is recorded.  Where a device cannot
 * record it, it goes on as always.  Where plans follow each other so fast that a recording is
 * hardly ever replayed (images of many sizes), the next one is made later, by twice as many times.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "trainer/net.h"

enum { MOST = 12, EAGER = 2, MOST_EAGER = 64, WORTH_IT = 8 };

struct ot_replay {
    enum ot_replay_what what;
    bool frozen;
    uint64_t key;
    int eager;            /* so often it was done as always */
    int uses;             /* so often it was recorded or replayed */
    bool *before, *after; /* owned: grad_zero of each parameter */
};

/* Not while somebody looks between layers, and not where the host decides in the middle. */
bool ot_net_replays(const struct ot_net *net)
{
    return net->env.dev->late_faults && !net->dynamic && !net->watch && !net->timing;
}

static int patience(const struct ot_net *net)
{
    return net->patience ? net->patience : EAGER;
}

void ot_net_forget(struct ot_net *net)
{
    int most = 0;

    net->env.dev->ops->forget(net->env.dev);
    for (int i = 0; i < net->nreplay; i++) {
        most = net->replay[i].uses > most ? net->replay[i].uses : most;
        ot_free(net->replay[i].before);
    }
    net->nreplay = 0;
    if (most >= WORTH_IT)
        net->patience = EAGER;
    else if (most)
        net->patience = patience(net) < MOST_EAGER / 2 ? 2 * patience(net) : MOST_EAGER;
}

static void zeros_of(const struct ot_net *net, bool *to)
{
    for (size_t k = 0; k < net->nparam; k++)
        to[k] = net->param[k]->grad_zero;
}

static void set_zeros(struct ot_net *net, const bool *from)
{
    for (size_t k = 0; k < net->nparam; k++)
        net->param[k]->grad_zero = from[k];
}

static bool frozen(const struct ot_net *net, enum ot_replay_what what)
{
    return what != OT_REPLAY_UPDATE && net->env.frozen_stats;
}

static bool is_now(const struct ot_net *net, const struct ot_replay *r, enum ot_replay_what what)
{
    if (r->what != what || r->frozen != frozen(net, what))
        return false;
    for (size_t k = 0; k < net->nparam; k++)
        if (net->param[k]->grad_zero != r->before[k])
            return false;
    return true;
}

/* The entry of what is asked for now; NULL: there are too many, or no memory. */
static struct ot_replay *entry(struct ot_net *net, enum ot_replay_what what)
{
    static _Atomic uint64_t keys;
    struct ot_err ignored = OT_ERR_INIT;
    struct ot_replay *r;

    for (int i = 0; i < net->nreplay; i++)
        if (is_now(net, &net->replay[i], what))
            return &net->replay[i];
    if (!net->replay)
        net->replay = ot_alloc(MOST, sizeof *net->replay, &ignored);
    if (!net->replay || net->nreplay == MOST)
        return NULL;
    r = &net->replay[net->nreplay];
    *r = (struct ot_replay){ .what = what, .frozen = frozen(net, what) };
    r->before = ot_alloc(2 * net->nparam + 1, sizeof *r->before, &ignored);
    if (!r->before)
        return NULL;
    r->after = r->before + net->nparam;
    r->key = atomic_fetch_add(&keys, 1) + 1;
    zeros_of(net, r->before);
    net->nreplay++;
    return r;
}

/* 1: it was recorded and is done; 0: it is not done.  What fails while recording (room that cannot
 * be made then, say) is no failure yet: the same is asked for once more, as always. */
static int record(struct ot_net *net, struct ot_replay *r,
                  int (*work)(void *arg, struct ot_err *err), void *arg, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    struct ot_err why = OT_ERR_INIT;

    if (!dev->ops->record(dev, r->key))
        return 0;
    if (work(arg, &why) < 0)
        dev->latch = why; /* nothing of it may be launched */
    if (!dev->ops->launch(dev)) {
        set_zeros(net, r->before);
        return 0;
    }
    if (why.code != OT_OK) {
        *err = why;
        return why.code;
    }
    zeros_of(net, r->after);
    return 1;
}

int ot_net_replay(struct ot_net *net, enum ot_replay_what what,
                  int (*work)(void *arg, struct ot_err *err), void *arg, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    struct ot_replay *r = ot_net_replays(net) ? entry(net, what) : NULL;
    int rc;

    if (!r || r->eager < patience(net)) {
        if (r)
            r->eager++;
        return work(arg, err);
    }
    if (dev->ops->replay(dev, r->key)) {
        r->uses++;
        set_zeros(net, r->after);
        return 0;
    }
    rc = record(net, r, work, arg, err);
    r->uses += rc == 1;
    return rc == 0 ? work(arg, err) : rc < 0 ? rc : 0;
}
