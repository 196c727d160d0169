/* queue.c - one mutex guards a ring; two conditions wake the two sides. */
#include "base/queue.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"

struct ot_queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_full, not_empty;
    void **ring;
    size_t cap, head, len;
    bool closed;
};

struct ot_queue *ot_queue_new(size_t capacity, struct ot_err *err)
{
    struct ot_queue *q = ot_alloc(1, sizeof *q, err);

    if (!q)
        return NULL;
    q->ring = ot_alloc(capacity ? capacity : 1, sizeof *q->ring, err);
    if (!q->ring) {
        ot_free(q);
        return NULL;
    }
    q->cap = capacity ? capacity : 1;
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->not_full, NULL);
    (void)pthread_cond_init(&q->not_empty, NULL);
    return q;
}

void ot_queue_free(struct ot_queue *q)
{
    if (!q)
        return;
    (void)pthread_cond_destroy(&q->not_full);
    (void)pthread_cond_destroy(&q->not_empty);
    (void)pthread_mutex_destroy(&q->lock);
    ot_free(q->ring);
    ot_free(q);
}

int ot_queue_push(struct ot_queue *q, void *item)
{
    int rc = OT_ECLOSED;

    (void)pthread_mutex_lock(&q->lock);
    while (q->len == q->cap && !q->closed)
        (void)pthread_cond_wait(&q->not_full, &q->lock);
    if (!q->closed) {
        q->ring[(q->head + q->len++) % q->cap] = item;
        (void)pthread_cond_signal(&q->not_empty);
        rc = 0;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return rc;
}

/* The lock is held. */
static void take(struct ot_queue *q, void **item)
{
    *item = q->ring[q->head];
    q->head = (q->head + 1) % q->cap;
    q->len--;
    (void)pthread_cond_signal(&q->not_full);
}

int ot_queue_pop(struct ot_queue *q, void **item)
{
    int rc = OT_ECLOSED;

    (void)pthread_mutex_lock(&q->lock);
    while (q->len == 0 && !q->closed)
        (void)pthread_cond_wait(&q->not_empty, &q->lock);
    if (q->len) {
        take(q, item);
        rc = 0;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return rc;
}

int ot_queue_try_pop(struct ot_queue *q, void **item)
{
    int rc;

    (void)pthread_mutex_lock(&q->lock);
    rc = q->closed ? OT_ECLOSED : OT_EBUSY;
    if (q->len) {
        take(q, item);
        rc = 0;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return rc;
}

void ot_queue_close(struct ot_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->closed = true;
    (void)pthread_cond_broadcast(&q->not_full);
    (void)pthread_cond_broadcast(&q->not_empty);
    (void)pthread_mutex_unlock(&q->lock);
}

size_t ot_queue_len(struct ot_queue *q)
{
    size_t n;

    (void)pthread_mutex_lock(&q->lock);
    n = q->len;
    (void)pthread_mutex_unlock(&q->lock);
    return n;
}
