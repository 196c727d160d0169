/*
 * record.c - what is the same in every iteration, recorded once as a CUDA graph and replayed.
 *
 * Where recording fails nothing has been done and nothing stays latched: the caller asks for the
 * same once more without recording, and whatever is really wrong is found then.  Nothing is
 * recorded any more after that, with one exception: when all that was missing is room for a kernel
 * (memory.c), that is made then, and the next recording may go well.
 *
 * A graph in flight may be destroyed: CUDA frees it when it is done.
 */
#include "cuda/device_i.h"

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

bool ot_cuda_replay(struct ot_dev *dev, uint64_t key)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recording *r = find(&cuda->recorder, key);

    OT_BUG_IF(cuda->recorder.on);
    if (!r || dev->latch.code != OT_OK)
        return false;
    if (cudaGraphLaunch(r->exec, cuda->stream) == cudaSuccess)
        return true;
    (void)cudaGetLastError();
    drop(r);
    cuda->recorder.off = true;
    return false;
}

bool ot_cuda_record(struct ot_dev *dev, uint64_t key)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recorder *r = &cuda->recorder;

    OT_BUG_IF(r->on);
    if (cuda->conf.no_record || r->off || dev->latch.code != OT_OK)
        return false;
    /* thread local: other threads of the program may allocate pinned memory meanwhile */
    if (cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        (void)cudaGetLastError();
        r->off = true;
        return false;
    }
    r->on = true;
    r->spoilt = false;
    r->key = key;
    return true;
}

/* The recording made into something that can be launched; NULL: it cannot. */
static cudaGraphExec_t finish(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    bool good = cudaStreamEndCapture(cuda->stream, &graph) == cudaSuccess && graph &&
                !cuda->recorder.spoilt && dev->latch.code == OT_OK;

    if (good && cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess)
        exec = NULL;
    if (graph)
        (void)cudaGraphDestroy(graph);
    return exec;
}

bool ot_cuda_launch(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_recorder *r = &cuda->recorder;
    struct ot_cuda_recording *to;
    cudaGraphExec_t exec;

    OT_BUG_IF(!r->on);
    exec = finish(dev);
    r->on = false;
    if (exec && cudaGraphUpload(exec, cuda->stream) == cudaSuccess &&
        cudaGraphLaunch(exec, cuda->stream) == cudaSuccess) {
        to = find(r, r->key);
        to = to ? to : &r->list[r->next++ % OT_RECORDINGS];
        drop(to);
        *to = (struct ot_cuda_recording){ r->key, exec };
        return true;
    }
    if (exec)
        (void)cudaGraphExecDestroy(exec);
    (void)cudaGetLastError();
    dev->latch = (struct ot_err)OT_ERR_INIT;
    r->off = !r->spoilt;
    return false;
}

void ot_cuda_forget(struct ot_dev *dev)
{
    struct ot_cuda_recorder *r = &ot_cuda_of(dev)->recorder;

    for (unsigned i = 0; i < OT_RECORDINGS; i++)
        drop(&r->list[i]);
}
