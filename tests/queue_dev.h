/*
 * queue_dev.h - a device that is late on purpose: the CPU's kernels behind a queue.
 *
 * Kernels, uploads and fetches are put in a queue with copies of what the host gave them, and done
 * when somebody waits, no earlier; what was fetched is NaN until then, and memory of host_alloc is
 * read only then.  It records and replays.  Bad labels are found by kernels and said by wait, sync
 * and download.  It says that it chose for 3 directions of convolutions, and for 5 once it has
 * recorded.  It opens as "cuda:0" in a
 * program that links it (test_async), in place of cuda/.
 *
 * Threads: one device at a time, on one thread.
 */
#ifndef OT_TESTS_QUEUE_DEV_H
#define OT_TESTS_QUEUE_DEV_H

#include "layers/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ot_queue_stats {
    int waits;      /* wait with something left to do */
    int full_waits; /* of these, those that left the queue empty: the host fell behind */
    int blocking;   /* sync, download, free and alloc with something in the queue */
    int kernels;    /* done */
    int called;     /* kernels that the host called one by one */
    int recorded, refused, replayed, forgotten;
    int forbidden; /* what is not allowed while recording; `what` has the first */
    char what[64];
};

/* What the last device did, and how the next one behaves. */
extern struct ot_queue_stats ot_queue_stats;
/* The so-manieth recording fails and none is tried after it; in the so-manieth a kernel fails,
 * once. 0: none. */
extern int ot_queue_refuse, ot_queue_spoil;
/* Not linked where there is no C++ compiler: then its address is NULL. */
#pragma weak ot_queue_stats
#pragma weak ot_queue_refuse
#pragma weak ot_queue_spoil

#ifdef __cplusplus
}
#endif

#endif
