/*
 * minekit.h - mined runs of configs/fashion.conf on small images, and what they leave behind.
 * Failures end the test.
 */
#ifndef OT_TESTS_MINEKIT_H
#define OT_TESTS_MINEKIT_H

#include "trainer/config.h"
#include "trainer/net.h"

/* fashion.conf on `source`, mined from the first iteration, 40 iterations into tmpdir/dir; `more`
 * are further --set. */
struct ot_config *ot_mined_config(const char *dir, const char *source, bool no_mining,
                                  const char *const *more, int nmore);
/* resume: as of --resume, or NULL */
int ot_mined_train(const char *dir, const char *source, bool no_mining, const char *const *more,
                   int nmore, const char *resume, struct ot_err *err);

char *ot_mined_slurp(const char *name, size_t *n);
/* Do the weights of two runs after 40 iterations agree to the bit? */
bool ot_mined_same(const char *a, const char *b);
/* A blob's values, at most `room`. */
void ot_mined_blob(struct ot_net *net, const char *name, float *to, size_t room);

#endif
