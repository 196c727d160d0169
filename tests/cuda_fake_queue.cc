// cuda_fake_queue.cc - the fake's streams, events and graphs, and when what is queued runs.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "tests/cuda_fake_i.hh"
#include "tests/cuda_fibres.hh"

using fake::op;
using fake::op_ref;

// A graph's nodes are operations that never run themselves; a launch copies them.
struct CUgraph_st {
    std::vector<op_ref> nodes;
};

struct capture {
    CUgraph_st *graph;
    cudaStream_t origin;
    cudaStreamCaptureMode mode;
    bool spoilt;
};

struct CUstream_st {
    op_ref last;
    bool blocking; // waits for the legacy stream
    std::shared_ptr<capture> into;
    std::vector<op_ref> ends; // of the capture: what the next node depends on
};

struct CUevent_st {
    op_ref recorded; // nullptr: never
    bool timing;
    std::shared_ptr<capture> in; // recorded while this captured
    std::vector<op_ref> ends;
};

struct CUgraphExec_st {
    std::vector<op_ref> nodes;
    op_ref last; // launches of one executable graph follow each other
};

namespace fake
{
namespace
{

std::vector<op_ref> queued; // in the order of queueing
std::set<cudaStream_t> streams;
std::set<cudaEvent_t> events;
CUstream_st legacy;
std::vector<std::shared_ptr<capture>> captures;
uint64_t way, random_state = 1, ran;
unsigned break_in;
int break_with;
cudaError_t broken_with = cudaSuccess;

uint64_t draw(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

bool ready(const op_ref &o)
{
    for (const op_ref &a : o->after)
        if (!a->done)
            return false;
    return true;
}

void run(op_ref o)
{
    queued.erase(std::find(queued.begin(), queued.end(), o));
    if (o->run && break_in && --break_in == 0)
        broken_with = static_cast<cudaError_t>(break_with);
    if (o->run && broken_with == cudaSuccess)
        o->run();
    o->done = true;
    o->when = ran += o->cost;
    o->run = nullptr;
    o->after.clear();
}

op_ref any_ready()
{
    std::vector<op_ref> can;

    for (size_t i = 0; i < queued.size() && can.size() < 4; i++)
        if (ready(queued[i]))
            can.push_back(queued[i]);
    return can[draw(can.size())];
}

// Runs what o depends on, then o, and nothing else.
void run_path(const op_ref &o)
{
    std::vector<op_ref> path(1, o);

    while (!path.empty()) {
        const op_ref top = path.back();
        const size_t before = path.size();

        if (top->done) {
            path.pop_back();
            continue;
        }
        for (const op_ref &a : top->after)
            if (!a->done)
                path.push_back(a);
        if (path.size() == before) {
            path.pop_back();
            run(top);
        }
    }
}

void enqueue(CUstream_st *s, const op_ref &o)
{
    if (s->last && !s->last->done)
        o->after.push_back(s->last);
    if (s == &legacy) {
        for (cudaStream_t t : streams)
            if (t->blocking && t->last && !t->last->done)
                o->after.push_back(t->last);
    } else if (s->blocking && legacy.last && !legacy.last->done) {
        o->after.push_back(legacy.last);
    }
    s->last = o;
    queued.push_back(o);
    if (way == 1)
        wait(o);
}

CUstream_st *stream_of(cudaStream_t s)
{
    if (s == nullptr || s == cudaStreamLegacy)
        return &legacy;
    return streams.count(s) ? s : nullptr;
}

cudaError_t spoil()
{
    for (const auto &c : captures)
        c->spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
}

// A stream is taken into a capture by waiting for an event of it.
void join(CUstream_st *s, const std::shared_ptr<capture> &c)
{
    s->into = c;
    s->ends.clear();
}

void leave(const std::shared_ptr<capture> &c)
{
    for (cudaStream_t s : streams)
        if (s->into == c) {
            s->into.reset();
            s->ends.clear();
        }
    captures.erase(std::find(captures.begin(), captures.end(), c));
}

bool reaches(const std::vector<op_ref> &from, const op_ref &o)
{
    std::vector<op_ref> todo = from;
    std::set<op_ref> seen;

    while (!todo.empty()) {
        const op_ref at = todo.back();

        todo.pop_back();
        if (at == o)
            return true;
        if (seen.insert(at).second)
            todo.insert(todo.end(), at->after.begin(), at->after.end());
    }
    return false;
}

// Whether all streams of the capture have been joined to its origin again.
bool joined(const std::shared_ptr<capture> &c)
{
    for (cudaStream_t s : streams)
        if (s->into == c && s != c->origin)
            for (const op_ref &o : s->ends)
                if (!reaches(c->origin->ends, o))
                    return false;
    return true;
}

} // namespace

// ---- running ----------------------------------------------------------------------------------

void wait(op_ref o)
{
    if (!o || o->done)
        return;
    open_memory(true);
    if (way < 2)
        run_path(o);
    while (!o->done)
        run(any_ready());
    check_fences();
    open_memory(false);
}

void wait_all()
{
    while (!queued.empty())
        wait(way < 2 ? queued[0] : queued[draw(queued.size())]);
}

void some_may_run()
{
    if (way < 2 || queued.empty() || draw(4))
        return;
    open_memory(true);
    for (uint64_t n = draw(6); n && !queued.empty(); n--)
        run(any_ready());
    open_memory(false);
}

bool uses(const void *host, size_t bytes)
{
    const char *p = static_cast<const char *>(host);

    for (const op_ref &o : queued)
        if (o->host && o->host < p + bytes && p < o->host + o->host_bytes)
            return true;
    return false;
}

cudaError_t broken()
{
    return broken_with;
}

bool known(cudaStream_t stream)
{
    return stream_of(stream) != nullptr;
}

void loads(cudaStream_t stream, const char *what, const std::string &code)
{
    static std::set<std::string> loaded;

    if (!capturing(stream))
        loaded.insert(code);
    else if (!loaded.count(code))
        wrong("%s is launched in a capture, and has not been loaded by a launch before", what);
}

bool capturing(cudaStream_t stream)
{
    const CUstream_st *s = stream_of(stream);

    return s && s->into;
}

cudaError_t may_wait()
{
    for (const auto &c : captures)
        if (c->mode != cudaStreamCaptureModeRelaxed)
            return spoil();
    return cudaSuccess;
}

cudaError_t put(cudaStream_t stream, op_ref o)
{
    CUstream_st *s = stream_of(stream);

    if (!s)
        return cudaErrorInvalidResourceHandle;
    if (s == &legacy) {
        for (const auto &c : captures)
            if (c->origin->blocking) {
                c->spoilt = true;
                return cudaErrorStreamCaptureImplicit;
            }
    }
    if (!s->into) {
        enqueue(s, o);
        return cudaSuccess;
    }
    if (s->into->spoilt)
        return cudaErrorStreamCaptureInvalidated;
    o->after = s->ends;
    s->into->graph->nodes.push_back(o);
    s->ends.assign(1, o);
    return cudaSuccess;
}

cudaError_t put(cudaStream_t stream, const char *name, std::function<void()> run, uint64_t cost)
{
    op_ref o = std::make_shared<op>();

    o->name = name;
    o->run = std::move(run);
    o->cost = cost;
    return put(stream, o);
}

} // namespace fake

using namespace fake;

extern "C" {

void ot_fake_schedule(uint64_t new_way)
{
    way = new_way;
    random_state = new_way | 1;
    if (way == 1)
        wait_all();
}

void ot_fake_break(unsigned nth, int status)
{
    break_in = nth;
    break_with = status;
    if (nth == 0)
        broken_with = cudaSuccess;
}

size_t ot_fake_queued(void)
{
    return queued.size();
}

// ---- streams ------------------------------------------------------------------------------------

static cudaError_t make_stream(cudaStream_t *stream, unsigned flags)
{
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking)
        return result(cudaErrorInvalidValue);
    *stream = new CUstream_st();
    (*stream)->blocking = flags == cudaStreamDefault;
    streams.insert(*stream);
    alive(1);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    OT_RT_WORKS(cudaStreamCreate);
    return make_stream(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    OT_RT_WORKS(cudaStreamCreateWithFlags);
    return make_stream(stream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    OT_RT_WORKS(cudaStreamCreateWithPriority);
    return make_stream(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    OT_RT_DESTROYS(cudaStreamDestroy);
    if (!streams.count(stream))
        return result(cudaErrorInvalidResourceHandle);
    if (stream->into) {
        wrong("cudaStreamDestroy of a stream that captures");
        leave(stream->into);
    }
    streams.erase(stream); // what is in it runs on
    delete stream;
    alive(-1);
    return OT_RT_GONE();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    OT_RT_WORKS(cudaStreamSynchronize);
    CUstream_st *s = stream_of(stream);

    if (!s)
        return result(cudaErrorInvalidResourceHandle);
    if (s->into || may_wait() != cudaSuccess)
        return result(spoil());
    wait(s->last);
    return result(broken());
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    OT_RT_WORKS(cudaStreamQuery);
    CUstream_st *s = stream_of(stream);

    if (!s)
        return result(cudaErrorInvalidResourceHandle);
    if (s->into || may_wait() != cudaSuccess)
        return result(spoil());
    return result(!s->last || s->last->done ? broken() : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize(void)
{
    OT_RT_WORKS(cudaDeviceSynchronize);
    if (!captures.empty())
        return result(spoil());
    wait_all();
    return result(broken());
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    OT_RT_WORKS(cudaStreamWaitEvent);
    CUstream_st *s = stream_of(stream);

    if (!s || !events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    if (event->in) {
        if (std::find(captures.begin(), captures.end(), event->in) == captures.end())
            return result(cudaErrorCapturedEvent); // of a capture that has ended
        if (s->into && s->into != event->in)
            return result(cudaErrorStreamCaptureMerge);
        if (!s->into)
            join(s, event->in);
        s->ends.insert(s->ends.end(), event->ends.begin(), event->ends.end());
        return cudaSuccess;
    }
    if (s->into) {
        s->into->spoilt = true;
        return result(cudaErrorStreamCaptureIsolation);
    }
    if (!event->recorded || event->recorded->done)
        return cudaSuccess;
    op_ref o = std::make_shared<op>();

    o->name = "cudaStreamWaitEvent";
    o->after.push_back(event->recorded);
    return result(put(stream, o));
}

// ---- events -------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    OT_RT_WORKS(cudaEventCreateWithFlags);
    *event = new CUevent_st();
    (*event)->timing = !(flags & cudaEventDisableTiming);
    events.insert(*event);
    alive(1);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    OT_RT_DESTROYS(cudaEventDestroy);
    if (!events.erase(event))
        return result(cudaErrorInvalidResourceHandle);
    delete event;
    alive(-1);
    return OT_RT_GONE();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    OT_RT_WORKS(cudaEventRecord);
    CUstream_st *s = stream_of(stream);

    if (!s || !events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    event->in = s->into;
    event->ends = s->ends;
    event->recorded.reset();
    if (s->into)
        return result(s->into->spoilt ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
    op_ref o = std::make_shared<op>();

    o->name = "cudaEventRecord";
    event->recorded = o;
    return result(put(stream, o));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    OT_RT_WORKS(cudaEventSynchronize);
    if (!events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    if (event->in)
        return result((spoil(), cudaErrorCapturedEvent));
    if (may_wait() != cudaSuccess)
        return result(cudaErrorStreamCaptureUnsupported);
    wait(event->recorded);
    return result(broken());
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    OT_RT_WORKS(cudaEventQuery);
    if (!events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    if (event->in)
        return result((spoil(), cudaErrorCapturedEvent));
    if (may_wait() != cudaSuccess)
        return result(cudaErrorStreamCaptureUnsupported);
    return result(!event->recorded || event->recorded->done ? broken() : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    OT_RT_WORKS(cudaEventElapsedTime);
    if (!events.count(from) || !events.count(to) || !from->timing || !to->timing ||
        !from->recorded || !to->recorded)
        return result(cudaErrorInvalidResourceHandle);
    if (!from->recorded->done || !to->recorded->done)
        return result(cudaErrorNotReady);
    *ms = 1e-3f * static_cast<float>(static_cast<int64_t>(to->recorded->when) -
                                     static_cast<int64_t>(from->recorded->when));
    return cudaSuccess;
}

// ---- graphs -------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    OT_RT_WORKS(cudaStreamBeginCapture);
    if (!streams.count(stream)) // the legacy stream cannot be captured
        return result(stream_of(stream) ? cudaErrorStreamCaptureUnsupported
                                        : cudaErrorInvalidResourceHandle);
    if (stream->into)
        return result(cudaErrorIllegalState);
    auto c = std::make_shared<capture>();

    c->graph = new CUgraph_st();
    c->origin = stream;
    c->mode = mode;
    captures.push_back(c);
    join(stream, c);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    OT_RT(cudaStreamEndCapture);
    CUstream_st *s = stream_of(stream);

    *graph = nullptr;
    if (!s || !s->into)
        return result(s ? cudaErrorIllegalState : cudaErrorInvalidResourceHandle);
    const auto c = s->into;
    const cudaError_t e = c->origin != s ? cudaErrorStreamCaptureUnmatched
                          : c->spoilt    ? cudaErrorStreamCaptureInvalidated
                          : !joined(c)   ? cudaErrorStreamCaptureUnjoined
                                         : broken();

    leave(c);
    if (e != cudaSuccess) {
        delete c->graph;
        return result(e);
    }
    *graph = c->graph;
    alive(1);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    OT_RT_WORKS(cudaStreamIsCapturing);
    const CUstream_st *s = stream_of(stream);

    if (!s)
        return result(cudaErrorInvalidResourceHandle);
    *status = !s->into          ? cudaStreamCaptureStatusNone
              : s->into->spoilt ? cudaStreamCaptureStatusInvalidated
                                : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    OT_RT_WORKS(cudaGraphGetNodes);
    if (nodes)
        return result(cudaErrorNotSupported);
    *n = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    OT_RT_WORKS(cudaGraphInstantiate);
    *exec = new CUgraphExec_st();
    (*exec)->nodes = graph->nodes;
    alive(1);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags)
{
    return cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    OT_RT_DESTROYS(cudaGraphDestroy);
    delete graph;
    alive(-1);
    return OT_RT_GONE();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    OT_RT_DESTROYS(cudaGraphExecDestroy);
    delete exec;
    alive(-1);
    return OT_RT_GONE();
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream)
{
    OT_RT_WORKS(cudaGraphUpload);
    return result(put(stream, "cudaGraphUpload", nullptr));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    OT_RT_WORKS(cudaGraphLaunch);
    CUstream_st *s = stream_of(stream);
    std::unordered_map<const op *, op_ref> copy;
    op_ref head = std::make_shared<op>(), tail = std::make_shared<op>();

    if (!s || s->into)
        return result(s ? cudaErrorNotSupported : cudaErrorInvalidResourceHandle);
    if (exec->last && !exec->last->done)
        head->after.push_back(exec->last);
    head->name = tail->name = "cudaGraphLaunch";
    enqueue(s, head);
    for (const op_ref &node : exec->nodes) { // dependencies come before what depends on them
        op_ref o = std::make_shared<op>(*node);

        o->after.clear();
        for (const op_ref &a : node->after)
            o->after.push_back(copy[a.get()]);
        o->after.push_back(head);
        copy[node.get()] = o;
        tail->after.push_back(o);
        queued.push_back(o);
    }
    exec->last = tail;
    enqueue(s, tail);
    return cudaSuccess;
}

} // extern "C"
