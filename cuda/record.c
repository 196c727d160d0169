/*
 * record.c - what is the same in every iteration, recorded once as a CUDA graph and replayed.
 *
 * Where recording fails nothing has been done and nothing stays latched: the caller asks for the
 * same once more without recording, and whatever is really wrong is found then.  The next recording
 * may go well: room for a kernel (memory.c) has been made, code that a library loads late has been
 * loaded.  After MOST_FAILURES that were not for want of room nothing is recorded any more.
 *
 * A graph in flight may be destroyed: CUDA frees it when it is done.
 */
#include <stdio.h>

#include "cuda/device_i.h"

enum { MOST_FAILURES = 3 };

static struct ot_cuda_recording *find(struct ot_cuda_recorder *r, uint64_t key)
{
    for (unsigned i = 0; i < OT_RECORDINGS; i++)
        if (r->list[i].exec && r->list[i].key == key)
            return &r->list[i];
    return NULL;
}

static void drop(struct ot_cuda_recording *r)
{
    if (r->exec)
        (void)cudaGraphExecDestroy(r->exec);
    r->exec = NULL;
}

/* One time too many, and nothing is recorded from now on; the last reason is kept for people. */
static void give_up(struct ot_dev *dev, const char *why)
{
    struct ot_cuda_recorder *r = &ot_cuda_of(dev)->recorder;

    r->off = ++r->failed >= MOST_FAILURES;
    if (r->off)
        (void)snprintf(dev->unrecorded, sizeof dev->unrecorded, "%.90s", why);
}

bool ot_cuda_replay(struct ot_dev *dev, uint64_t key)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recording *r = find(&cuda->recorder, key);
    cudaError_t e;

    OT_BUG_IF(cuda->recorder.on);
    if (!r || dev->latch.code != OT_OK)
        return false;
    e = cudaGraphLaunch(r->exec, cuda->stream);
    if (e == cudaSuccess)
        return true;
    (void)cudaGetLastError();
    drop(r);
    give_up(dev, cudaGetErrorString(e));
    return false;
}

bool ot_cuda_record(struct ot_dev *dev, uint64_t key)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recorder *r = &cuda->recorder;
    cudaError_t e;

    OT_BUG_IF(r->on);
    if (cuda->conf.no_record || r->off || dev->latch.code != OT_OK)
        return false;
    /* thread local: other threads of the program may allocate pinned memory meanwhile */
    e = cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal);
    if (e != cudaSuccess) {
        (void)cudaGetLastError();
        give_up(dev, cudaGetErrorString(e));
        return false;
    }
    r->on = true;
    r->spoilt = false;
    r->key = key;
    return true;
}

/* The recording made into something that can be launched, and launched; NULL: it cannot be. */
static cudaGraphExec_t finish(struct ot_dev *dev, cudaError_t *e)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;

    *e = cudaStreamEndCapture(cuda->stream, &graph);
    if (*e == cudaSuccess && (!graph || cuda->recorder.spoilt || dev->latch.code != OT_OK))
        *e = cudaErrorStreamCaptureInvalidated;
    if (*e == cudaSuccess)
        *e = cudaGraphInstantiate(&exec, graph, 0);
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (*e == cudaSuccess)
        *e = cudaGraphUpload(exec, cuda->stream);
    if (*e == cudaSuccess)
        *e = cudaGraphLaunch(exec, cuda->stream);
    if (*e != cudaSuccess && exec) {
        (void)cudaGraphExecDestroy(exec);
        exec = NULL;
    }
    return exec;
}

bool ot_cuda_launch(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recorder *r = &cuda->recorder;
    struct ot_cuda_recording *to;
    cudaGraphExec_t exec;
    cudaError_t e;

    OT_BUG_IF(!r->on);
    exec = finish(dev, &e);
    r->on = false;
    if (exec) {
        to = find(r, r->key);
        to = to ? to : &r->list[r->next++ % OT_RECORDINGS];
        drop(to);
        *to = (struct ot_cuda_recording){ r->key, exec };
        return true;
    }
    (void)cudaGetLastError();
    if (!r->spoilt)
        give_up(dev, dev->latch.code != OT_OK ? dev->latch.text : cudaGetErrorString(e));
    dev->latch = (struct ot_err)OT_ERR_INIT;
    return false;
}

void ot_cuda_forget(struct ot_dev *dev)
{
    struct ot_cuda_recorder *r = &ot_cuda_of(dev)->recorder;

    for (unsigned i = 0; i < OT_RECORDINGS; i++)
        drop(&r->list[i]);
}
