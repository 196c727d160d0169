/*
 * gpu_guard.h - guard bands around what a device allocates: known bytes before and behind, which
 * nobody may write.  Works for every device; meant for a real GPU, where nothing else sees a write
 * that lands in a neighbour's memory.  Memory that the device takes for itself has none.
 *
 *     ot_guard(dev);
 *     ... work ...
 *     if (ot_guard_broken(dev, what, sizeof what))
 *         fail_msg("%s", what);
 *     ot_dev_close(dev);                               forgets them
 *
 * Threads: one.
 */
#ifndef OT_TESTS_GPU_GUARD_H
#define OT_TESTS_GPU_GUARD_H

#include "layers/device.h"

/* Everything that dev allocates from now on; up to four devices at once. */
void ot_guard(struct ot_dev *dev);

/* The first band that was written over since the last call, in words; waits for the device.
 * false: none was, or dev has no bands. */
bool ot_guard_broken(struct ot_dev *dev, char *what, size_t n);

#endif
