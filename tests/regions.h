/*
 * regions.h - what the tests of the region layers share: one device, layers opened from text,
 * blobs of golden/frcnn.
 */
#ifndef OT_TESTS_REGIONS_H
#define OT_TESTS_REGIONS_H

#include "tests/golden.h"
#include "tests/mininet.h"

extern struct ot_dev *ot_test_dev;
int ot_test_open_device(void **state);
int ot_test_close_device(void **state);

/* Fails the test when the layer refuses; gradients are wanted for input 0 only. */
struct ot_mini *ot_test_mini(const char *text, int n_in, const struct ot_shape *in);
/* Fails the test unless the layer refuses with this code and message. */
void ot_test_refused(const char *text, int n_in, const struct ot_shape *in, enum ot_code code,
                     const char *part);
void ot_test_forward(struct ot_mini *m);

/* golden/frcnn/NAME, read; skips the test when absent. */
void ot_test_golden(struct ot_golden *g, const char *name);
const struct ot_golden_blob *ot_test_blob(const struct ot_golden *g, const char *name);
void ot_test_give(const struct ot_golden *g, const char *name, struct ot_mini_array *a);
int ot_test_int(const struct ot_golden_blob *b, size_t i);
/* Within `tol` times the blob's largest value. */
void ot_test_same(const struct ot_golden *g, const char *name, const float *v, size_t n,
                  double tol);

#endif
