/*
 * runkit.h - the pieces of a run for tests that look between them: config, feeds, net, solver and,
 * where asked, mining without a pool file.  Failures end the test.
 */
#ifndef OT_TESTS_RUNKIT_H
#define OT_TESTS_RUNKIT_H

#include "trainer/feed.h"
#include "trainer/mine.h"
#include "trainer/solver.h"

struct ot_run {
    struct ot_config *config;
    struct ot_feeds *feeds;
    struct ot_mine *mine; /* NULL without mining */
    struct ot_net *net;
    struct ot_solver *solver;
};

/* c: what of ot_net_conf the test wants to differ (dev, keep_all, no_fusion) */
void ot_run_open(struct ot_run *r, const char *conf, const char *const *set, int nset, bool mining,
                 struct ot_net_conf c);
void ot_run_close(struct ot_run *r);

/* Data, forward, mining, backward (adding to the gradients); returns the loss.  again: was it a
 * re-injection?  May be NULL. */
double ot_run_pass(struct ot_run *r, int64_t pass, bool *again);
void ot_run_update(struct ot_run *r, double lr);

#endif
