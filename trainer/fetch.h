/*
 * fetch.h - a blob's values on their way to the host.
 *
 *     ot_fetch_ask(&s, net, b, &err);      after a pass was asked for
 *     m = dev->ops->mark(dev);
 *     ... the next pass is asked for ...
 *     dev->ops->wait(dev, m);             now s.v[0 .. s.n)
 *
 * Ownership: a slot owns its memory, which is the device's: release it before the device closes.
 * Threads: the net's.
 * Errors: no memory; those of reading, for a blob in another order than the plain one (then there
 *         is no lag: it is converted and waited for).
 */
#ifndef OT_TRAINER_FETCH_H
#define OT_TRAINER_FETCH_H

#include "trainer/net.h"

struct ot_fetch {
    struct ot_dev *dev;
    float *v;      /* pinned */
    size_t n, cap; /* values asked for; room */
};

int ot_fetch_ask(struct ot_fetch *s, struct ot_net *net, const struct ot_blob *b,
                 struct ot_err *err);
void ot_fetch_release(struct ot_fetch *s); /* a zeroed one is fine */

#endif
