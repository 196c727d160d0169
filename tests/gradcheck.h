/*
 * gradcheck.h - a layer's gradient against central differences of its own forward.
 *
 * The objective is sum over outputs of out * out_grad, accumulated in double over the outputs
 * that changed, so unchanged outputs cancel exactly.  Every element of every wanted input and
 * every trained parameter is checked (at most `limit` of each, evenly spread):
 *
 *     |analytic - numeric| <= tol * max(1, |analytic|, |numeric|)
 *
 * Linear layers allow a large step (no truncation error) and so a tight tolerance.  Choose values
 * away from kinks, or give `kink` and `margin`: elements closer than margin to kink are left out.
 */
#ifndef OT_TESTS_GRADCHECK_H
#define OT_TESTS_GRADCHECK_H

#include "tests/mininet.h"

struct ot_gradcheck {
    double step;  /* 0: 2^-7 */
    double tol;   /* 0: 1e-3 */
    size_t limit; /* elements of each array; 0: 200 */
    bool has_kink;
    double kink, margin;
    unsigned skip_in; /* bit i: do not perturb input i (labels) */
};

/* Runs forward and backward of `m` with its present values, then the differences; fails the
 * running test at the first wrong element and says which.  Returns how many were checked. */
size_t ot_gradcheck(struct ot_mini *m, const struct ot_gradcheck *how);

#endif
