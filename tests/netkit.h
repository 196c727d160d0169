/*
 * netkit.h - whole nets for tests: from text, or from a config with its data.
 *
 * A kit of text has Input layers; ot_kit_fill() gives them values.  Failures end the test, except
 * in ot_kit_try().  One device of the CPU serves all kits that name none of their own.
 */
#ifndef OT_TESTS_NETKIT_H
#define OT_TESTS_NETKIT_H

#include "trainer/net.h"

struct ot_kit {
    struct ot_doc *doc;
    struct ot_net *net;
};

/* What of ot_net_conf a test wants to differ: dev, phase, level, stages, share, keep_all, ... */
struct ot_dev *ot_kit_dev(void);
struct ot_kit ot_kit_open(const char *text, struct ot_net_conf conf);
/* the net in tests/nets/NAME.prototxt */
struct ot_kit ot_kit_file(const char *name, struct ot_net_conf conf);
/* net NULL with err filled when the net is refused; close it in any case */
struct ot_kit ot_kit_try(const char *text, struct ot_net_conf conf, struct ot_err *err);
void ot_kit_close(struct ot_kit *k);

/* Every blob of an Input layer: uniform in [-1, 1); one named label*: integers in [0, classes). */
void ot_kit_fill(struct ot_kit *k, uint64_t seed, int classes);
void ot_kit_set(struct ot_kit *k, const char *blob, const float *values);

double ot_kit_forward(struct ot_kit *k);
void ot_kit_backward(struct ot_kit *k); /* gradients are zeroed first */

/* Owned arrays (ot_free) in plain order; *n may be NULL. */
float *ot_kit_blob(struct ot_net *net, const char *name, size_t *n);
/* of the first version, before layers in place: what a backward pass writes last, as in Caffe */
float *ot_kit_blob_grad(struct ot_net *net, const char *name, size_t *n);
float *ot_kit_param(struct ot_net *net, const struct ot_param *p, int part, size_t *n);

#endif
