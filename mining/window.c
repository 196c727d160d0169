/*
 * window.c - the exact running quantile of the last N fresh losses.
 *
 * The window is kept in order of arrival and sorted; a batch of k losses is taken in by sorting
 * k losses and moving the blocks between them, O(N + k log N), exact at every step.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

int ot_window_init(struct ot_window *w, int cap, struct ot_err *err)
{
    float **part[] = { &w->ring, &w->sorted, &w->in, &w->out };

    w->cap = cap;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        *part[i] = ot_alloc((size_t)cap, sizeof(float), err);
        if (!*part[i])
            return err->code;
    }
    return 0;
}

void ot_window_release(struct ot_window *w)
{
    ot_free(w->ring);
    ot_free(w->sorted);
    ot_free(w->in);
    ot_free(w->out);
    *w = (struct ot_window){ 0 };
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The first place in s[from..n) of a value that is not below v. */
static int place_of(const float *s, int from, int n, float v)
{
    while (from < n) {
        int mid = from + (n - from) / 2;

        if (s[mid] < v)
            from = mid + 1;
        else
            n = mid;
    }
    return from;
}

/* sorted -= the first n_out of out, += the first k of in (both sorted here): what lies between two
 * of them moves as a block. */
static void merge(struct ot_window *w, int n_out, int k)
{
    float *s = w->sorted;
    int from = 0, kept = 0, end;

    qsort(w->in, (size_t)k, sizeof *w->in, by_value);
    qsort(w->out, (size_t)n_out, sizeof *w->out, by_value);
    for (int o = 0; o < n_out; o++) {
        int at = place_of(s, from, w->n, w->out[o]);

        memmove(s + kept, s + from, (size_t)(at - from) * sizeof *s);
        kept += at - from;
        from = at + 1;
    }
    memmove(s + kept, s + from, (size_t)(w->n - from) * sizeof *s);
    end = kept + w->n - from;
    w->n = end + k;
    for (int b = k - 1; b >= 0; b--) {
        int at = place_of(s, 0, end, w->in[b]);

        memmove(s + at + b + 1, s + at, (size_t)(end - at) * sizeof *s);
        s[at + b] = w->in[b];
        end = at;
    }
}

static void take_in(struct ot_window *w, int k)
{
    int n_out = 0, n = w->n;

    for (int i = 0; i < k; i++) {
        if (n == w->cap)
            w->out[n_out++] = w->ring[w->pos];
        else
            n++;
        w->ring[w->pos] = w->in[i];
        w->pos = (w->pos + 1) % w->cap;
    }
    merge(w, n_out, k);
}

void ot_window_push(struct ot_window *w, const struct ot_look *looks, size_t n)
{
    size_t from = n > (size_t)w->cap ? n - (size_t)w->cap : 0;

    for (size_t i = from; i < n; i++)
        w->in[i - from] = looks[i].loss;
    take_in(w, (int)(n - from));
}

void ot_window_fill(struct ot_window *w, const float *loss, int n)
{
    int from = n > w->cap ? n - w->cap : 0;

    memcpy(w->in, loss + from, (size_t)(n - from) * sizeof *loss);
    take_in(w, n - from);
}

/* Nearest rank: the least value that at least a share q of the window does not exceed.  Below
 * ten expected losses in the tail a quantile says nothing, unless the window is full. */
float ot_window_quantile(const struct ot_window *w, float q)
{
    double tail = (1 - (double)q) * w->n;
    int rank = (int)ceil((double)q * w->n - 1e-6);

    if (w->n == 0 || (w->n < w->cap && tail < 10 - 1e-3))
        return NAN;
    return w->sorted[rank < 1 ? 0 : rank - 1];
}
