/*
 * golden_net.h - whole golden nets: a folder with net.prototxt, shapes.txt and blob.*, param.*,
 * loss, perhaps .caffemodel files (golden/README.md: nets, weights-io, data-transform).
 *
 * The phase is what the first line of shapes.txt says.  A net with Data layers is fed by them, any
 * other from its given blobs.  Given parameters are set; where there are .caffemodel files they are
 * also loaded from each, which must give the same values bit for bit, and the forward pass is
 * compared again.  In phase TRAIN the gradients follow.
 *
 * Tolerance: OT_GOLDEN_NET tolerances of golden.h, which is for one layer: a gradient here is
 * behind up to eight of them, and a bias gradient is a sum of 240 nearly equal values whose
 * roundings go one way.
 */
#ifndef OT_TESTS_GOLDEN_NET_H
#define OT_TESTS_GOLDEN_NET_H

#include "tests/golden.h"

#define OT_GOLDEN_NET 3.0

/* Fills *r (share: of OT_GOLDEN_NET tolerances); err is for what cannot be run. */
int ot_golden_net(struct ot_dev *dev, const char *dir, struct ot_golden_result *r,
                  struct ot_err *err);

#endif
