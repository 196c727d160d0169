// queue_dev.cc - see queue_dev.h.
//
// A kernel's call is kept as a closure over copies of its arguments: structs and arrays that lie on
// the host are copied, device memory is a pointer.  Kernels see a device of their own, whose step
// is what the queue has come to, not what the host has said since.
#include "tests/queue_dev.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/mem.h"

struct ot_queue_stats ot_queue_stats;
int ot_queue_refuse, ot_queue_spoil;

namespace
{

using job = std::function<void()>;

struct queue_dev {
    struct ot_dev pub;      // what the net sees
    struct ot_dev *cpu, in; // the CPU's, and a copy of it for kernels
    std::deque<job> todo;
    uint64_t asked, done; // jobs so far
    std::map<uint64_t, std::vector<job>> recording;
    std::vector<job> *tape; // while recording
    std::map<const char *, size_t> pinned; // memory of host_alloc
    uint64_t key;
    bool gave_up, no_record;
};

queue_dev *of(struct ot_dev *dev)
{
    return static_cast<queue_dev *>(dev->impl);
}

void forbid(queue_dev *q, const char *what)
{
    if (!q->tape)
        return;
    if (!ot_queue_stats.forbidden++)
        (void)snprintf(ot_queue_stats.what, sizeof ot_queue_stats.what, "%s", what);
}

void put(queue_dev *q, job j)
{
    if (q->tape) {
        q->tape->push_back(std::move(j));
        return;
    }
    q->todo.push_back(std::move(j));
    q->asked++;
}

void work(queue_dev *q, uint64_t until)
{
    while (q->done < until) {
        job j = std::move(q->todo.front());

        q->todo.pop_front();
        q->done++;
        j();
    }
}

void drain(queue_dev *q)
{
    if (q->done < q->asked)
        ot_queue_stats.blocking++;
    work(q, q->asked);
}

// What a kernel latched, with the layer that asked for it.
void tell(queue_dev *q, const std::string &where)
{
    if (q->in.latch.code == OT_OK)
        return;
    if (q->pub.latch.code == OT_OK) {
        q->pub.latch = q->in.latch;
        if (!where.empty())
            (void)ot_err_wrap(&q->pub.latch, "layer '%s'", where.c_str());
    }
    q->in.latch = (struct ot_err){};
}

// ---- arguments, kept ---------------------------------------------------------------------------

// Memory of the device, and what is interned: pointers stay pointers.
template <class T>
constexpr bool lies_on_host = std::is_class<T>::value && !std::is_same<T, ot_loss_stats>::value &&
                              !std::is_same<T, ot_format>::value && !std::is_same<T, ot_dev>::value;

template <class P, class = void> struct kept {
    P v;

    kept(P p, int) : v(p)
    {
    }

    P get()
    {
        return v;
    }
};

template <class T> struct kept<const T *, std::enable_if_t<lies_on_host<T>>> {
    std::vector<T> v;

    kept(const T *p, int n) : v(p, p + (std::is_same<T, ot_update_seg>::value ? n : 1))
    {
    }

    const T *get()
    {
        return v.data();
    }
};

// Arrays of device memory; coefficients (host_coeff) lie in the layer's state and stay.
template <class F> struct kept<F *const *, void> {
    std::vector<F *> v;

    kept(F *const *p, int n) : v(p, p + n)
    {
    }

    F *const *get()
    {
        return v.data();
    }
};

// How long an argument's array is: the first int among the arguments.
inline int count()
{
    return 0;
}

template <class A, class... Rest> int count(A a, Rest... rest)
{
    if constexpr (std::is_same<A, int>::value)
        return a;
    else
        return count(rest...);
}

template <class A> void look(queue_dev *, A)
{
}

void look(queue_dev *q, ot_loss_stats *s)
{
    if (s->bad)
        (void)ot_fail(&q->in.latch, OT_EDATA, "instance %lld: label %g is out of range",
                      static_cast<long long>(s->bad) - 1, s->bad_label);
}

template <class... P> void call(void (*f)(ot_dev *, P...), ot_dev *dev, P... p)
{
    queue_dev *q = of(dev);
    std::string where = dev->where ? dev->where : "";
    auto args = std::make_shared<std::tuple<kept<P>...>>(kept<P>(p, count(p...))...);

    ot_queue_stats.called++;
    if (q->tape && q->tape->size() == 3 && ot_queue_spoil && !ot_queue_stats.refused &&
        ot_queue_stats.recorded + 1 == ot_queue_spoil)
        (void)ot_fail(&q->pub.latch, OT_ENOMEM, "no room for this while recording");
    put(q, [=] {
        std::apply(
            [&](auto &...a) {
                f(&q->in, a.get()...);
                (look(q, a.get()), ...);
            },
            *args);
        ot_queue_stats.kernels++;
        tell(q, where);
    });
}

template <class... P> void at_once(void (*f)(ot_dev *, P...), ot_dev *dev, P... p)
{
    queue_dev *q = of(dev);

    forbid(q, "a plan");
    f(&q->in, p...);
    tell(q, "");
}

template <class... P>
constexpr bool answers =
    ((std::is_same<P, ot_plan **>::value || std::is_same<P, const ot_format **>::value) || ...);

template <class... P> void submit(void (*f)(ot_dev *, P...), ot_dev *dev, P... p)
{
    if constexpr (answers<P...>)
        at_once(f, dev, p...);
    else
        call(f, dev, p...);
}

// The one kernel that only frees: the queue may still need the plan.
void submit(void (*f)(ot_dev *, ot_plan *), ot_dev *dev, ot_plan *plan)
{
    drain(of(dev));
    at_once(f, dev, plan);
}

#define UNPACK(...) __VA_ARGS__
#define K(name, params, args)               \
    void queue_##name params                \
    {                                       \
        submit(ot_cpu_##name, UNPACK args); \
    }
#include "layers/kernels.def"
#undef K

const struct ot_kernels kernels = {
#define K(name, params, args) queue_##name,
#include "layers/kernels.def"
#undef K
};

// ---- the device --------------------------------------------------------------------------------

void *get(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    queue_dev *q = of(dev);

    forbid(q, "alloc");
    drain(q);
    return q->cpu->ops->alloc(q->cpu, bytes, err);
}

void give(struct ot_dev *dev, void *p)
{
    queue_dev *q = of(dev);

    if (!p)
        return;
    forbid(q, "free");
    drain(q);
    q->cpu->ops->free(q->cpu, p);
}

void *pin(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    queue_dev *q = of(dev);
    void *p;

    forbid(q, "host_alloc");
    p = q->cpu->ops->host_alloc(q->cpu, bytes, err);
    if (p)
        q->pinned[static_cast<char *>(p)] = bytes;
    return p;
}

void unpin(struct ot_dev *dev, void *p)
{
    of(dev)->pinned.erase(static_cast<char *>(p));
    give(dev, p);
}

bool is_pinned(queue_dev *q, const void *host, size_t bytes)
{
    const char *p = static_cast<const char *>(host);
    auto after = q->pinned.upper_bound(p);

    if (after == q->pinned.begin())
        return false;
    --after;
    return p + bytes <= after->first + after->second;
}

void upload(struct ot_dev *dev, void *dst, const void *host, size_t bytes)
{
    queue_dev *q = of(dev);

    if (is_pinned(q, host, bytes)) { // read as late as can be
        forbid(q, "upload");
        put(q, [=] { memcpy(dst, host, bytes); });
        return;
    }
    std::vector<char> copy(static_cast<const char *>(host),
                           static_cast<const char *>(host) + bytes);

    forbid(q, "upload");
    put(q, [=] {
        if (bytes)
            memcpy(dst, copy.data(), bytes);
    });
}

void download(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    forbid(of(dev), "download");
    drain(of(dev));
    if (bytes)
        memcpy(host, src, bytes);
}

void sync_all(struct ot_dev *dev)
{
    forbid(of(dev), "sync");
    drain(of(dev));
}

void set_step(struct ot_dev *dev, const struct ot_step *step)
{
    queue_dev *q = of(dev);
    struct ot_step s = *step;

    forbid(q, "step");
    put(q, [=] { q->in.step = s; });
}

void fetch(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    forbid(of(dev), "fetch");
    memset(host, 0xff, bytes);
    put(of(dev), [=] {
        if (bytes)
            memcpy(host, src, bytes);
    });
}

uint64_t mark(struct ot_dev *dev)
{
    forbid(of(dev), "mark");
    put(of(dev), [] {});
    return of(dev)->asked;
}

void wait_for(struct ot_dev *dev, uint64_t m)
{
    queue_dev *q = of(dev);

    forbid(q, "wait");
    if (q->done >= m)
        return;
    work(q, m);
    ot_queue_stats.waits++;
    ot_queue_stats.full_waits += q->done == q->asked;
}

bool replay(struct ot_dev *dev, uint64_t key)
{
    queue_dev *q = of(dev);
    auto r = q->recording.find(key);

    forbid(q, "replay");
    if (r == q->recording.end())
        return false;
    for (const job &j : r->second)
        put(q, j);
    ot_queue_stats.replayed++;
    return true;
}

bool record(struct ot_dev *dev, uint64_t key)
{
    queue_dev *q = of(dev);

    forbid(q, "record");
    if (q->gave_up || q->no_record)
        return false;
    q->key = key;
    q->tape = new std::vector<job>;
    return true;
}

// As a device that tells what its convolutions run as.
void choose(queue_dev *q, int n)
{
    (void)snprintf(q->pub.chosen, sizeof q->pub.chosen, "%d directions of convolutions", n);
}

bool launch(struct ot_dev *dev)
{
    queue_dev *q = of(dev);
    std::vector<job> *tape = q->tape;

    q->tape = nullptr;
    if (q->pub.latch.code != OT_OK) {
        q->pub.latch = (struct ot_err){};
        ot_queue_stats.refused++;
        delete tape;
        return false;
    }
    q->gave_up = ot_queue_refuse && ot_queue_stats.recorded + 1 == ot_queue_refuse;
    ot_queue_stats.refused += q->gave_up;
    if (!q->gave_up) {
        q->recording[q->key] = *tape;
        ot_queue_stats.recorded++;
        for (const job &j : *tape)
            put(q, j);
        choose(q, 5);
    }
    delete tape;
    return !q->gave_up;
}

void forget(struct ot_dev *dev)
{
    forbid(of(dev), "forget");
    of(dev)->recording.clear();
    ot_queue_stats.forgotten++;
}

void close_dev(struct ot_dev *dev)
{
    queue_dev *q = of(dev);

    drain(q);
    ot_dev_close(q->cpu);
    delete q;
}

const struct ot_dev_ops ops = {
    get,  give,  upload, download, sync_all, close_dev, set_step, pin,
    unpin, fetch, mark,   wait_for, replay,   record,    launch,   forget
};

} // namespace

// The linker puts it in ot_cuda_open()'s place.
extern "C" struct ot_dev *__wrap_ot_cuda_open(int index, const struct ot_dev_conf *conf,
                                              struct ot_err *err);

struct ot_dev *__wrap_ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct ot_dev *cpu = ot_cpu_open(conf, err);
    queue_dev *q;

    if (!cpu)
        return nullptr;
    q = new queue_dev{};
    q->cpu = cpu;
    q->in = *cpu;
    q->no_record = conf->no_record;
    q->pub = *cpu;
    q->pub.k = &kernels;
    q->pub.ops = &ops;
    q->pub.late_faults = true;
    q->pub.impl = q;
    choose(q, 3);
    (void)snprintf(q->pub.name, sizeof q->pub.name, "cuda:%d", index);
    ot_queue_stats = (struct ot_queue_stats){};
    return &q->pub;
}
