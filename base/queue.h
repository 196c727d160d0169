/*
 * queue.h - a bounded queue of pointers between threads.
 *
 * push waits while the queue is full, pop while it is empty; ot_queue_close() wakes everyone,
 * after which push fails at once and pop drains what is left and then fails.
 *
 * Ownership: items are moved, never shared: whoever popped an item owns it.
 * Threads: any number of pushers and poppers.
 * Errors: OT_ECLOSED as the return value (no message: it is how threads are told to stop).
 */
#ifndef OT_BASE_QUEUE_H
#define OT_BASE_QUEUE_H

#include <stddef.h>

#include "base/err.h"

struct ot_queue;

struct ot_queue *ot_queue_new(size_t capacity, struct ot_err *err);
void ot_queue_free(struct ot_queue *q); /* NULL is fine; no thread may still use it */
int ot_queue_push(struct ot_queue *q, void *item);
int ot_queue_pop(struct ot_queue *q, void **item);
int ot_queue_try_pop(struct ot_queue *q, void **item); /* OT_EBUSY when empty and open */
void ot_queue_close(struct ot_queue *q);
size_t ot_queue_len(struct ot_queue *q);

#endif
