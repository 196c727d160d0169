/*
 * cpu_device.c - the CPU device: memory is the heap, transfers are copies, and formats are oneDNN
 * memory descriptors, interned so that equal formats are equal pointers.  A descriptor that is
 * plain C order in all but name (strides of axes of size 1 do not count) is NULL, so that layers
 * that never heard of oneDNN see plain memory wherever it is plain.
 */
#include <stdio.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

#include "base/mem.h"
#include "layers/cpu_i.h"

/* ---- formats ------------------------------------------------------------------------------- */

static bool is_plain(const dnnl_memory_desc_t *md)
{
    dnnl_dim_t stride = 1;

    if (md->format_kind != dnnl_blocked || md->format_desc.blocking.inner_nblks != 0 ||
        md->offset0 != 0 || md->extra.flags != dnnl_memory_extra_flag_none)
        return false;
    for (int d = md->ndims - 1; d >= 0; d--) {
        if (md->dims[d] != md->padded_dims[d] ||
            (md->dims[d] != 1 && md->format_desc.blocking.strides[d] != stride))
            return false;
        stride *= md->dims[d];
    }
    return true;
}

/* Outer axes by falling stride, upper case when blocked, then the blocks: "aBcd16b". */
static void name_format(struct ot_cpu_format *f)
{
    const dnnl_blocking_desc_t *b = &f->md.format_desc.blocking;
    bool used[DNNL_MAX_NDIMS] = { false };
    size_t len = 0;

    if (f->md.format_kind != dnnl_blocked) {
        (void)snprintf(f->name, sizeof f->name, "opaque");
        return;
    }
    for (int k = 0; k < f->md.ndims; k++) {
        int best = -1;
        bool blocked = false;

        for (int d = 0; d < f->md.ndims; d++)
            if (!used[d] && (best < 0 || b->strides[d] > b->strides[best]))
                best = d;
        used[best] = true;
        for (int i = 0; i < b->inner_nblks; i++)
            blocked = blocked || b->inner_idxs[i] == best;
        f->name[len++] = (char)((blocked ? 'A' : 'a') + best);
    }
    for (int i = 0; i < b->inner_nblks && len < sizeof f->name; i++)
        len += (size_t)snprintf(f->name + len, sizeof f->name - len, "%d%c", (int)b->inner_blks[i],
                                (char)('a' + b->inner_idxs[i]));
}

/* See struct ot_format: one block of the second axis innermost, everything else in order. */
static size_t channel_block(const dnnl_memory_desc_t *md)
{
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    dnnl_dim_t block, stride;

    if (md->format_kind != dnnl_blocked || md->ndims < 2 || b->inner_nblks > 1 ||
        (b->inner_nblks == 1 && b->inner_idxs[0] != 1) || md->offset0 != 0)
        return 0;
    block = b->inner_nblks == 1 ? b->inner_blks[0] : md->dims[1];
    stride = block;
    for (int d = md->ndims - 1; d >= 0; d--) {
        dnnl_dim_t size = d == 1 ? md->padded_dims[1] / block : md->padded_dims[d];

        if (d != 1 && md->padded_dims[d] != md->dims[d])
            return 0;
        if (size != 1 && b->strides[d] != stride)
            return 0;
        stride *= size;
    }
    return (size_t)block;
}

const struct ot_format *ot_cpu_format(struct ot_dev *dev, const dnnl_memory_desc_t *md,
                                      size_t *elems)
{
    struct ot_cpu *cpu = ot_cpu_of(dev);
    struct ot_cpu_format *f;

    *elems = dnnl_memory_desc_get_size(md) / sizeof(float);
    if (is_plain(md))
        return NULL;
    for (f = cpu->formats; f; f = f->next)
        if (dnnl_memory_desc_equal(&f->md, md))
            return &f->pub;
    f = ot_plan_alloc(dev, sizeof *f);
    if (!f)
        return NULL;
    f->md = *md;
    f->pub.elems = *elems;
    f->pub.block = channel_block(md);
    name_format(f);
    f->pub.name = f->name;
    f->next = cpu->formats;
    cpu->formats = f;
    return &f->pub;
}

void ot_md_plain(dnnl_memory_desc_t *md, int nd, const dnnl_dim_t *dims)
{
    dnnl_dims_t strides;
    dnnl_dim_t stride = 1;

    for (int d = nd - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= dims[d] > 0 ? dims[d] : 1;
    }
    OT_BUG_IF(dnnl_memory_desc_init_by_strides(md, nd, dims, dnnl_f32, strides) != dnnl_success);
}

void ot_md_any(dnnl_memory_desc_t *md, int nd, const dnnl_dim_t *dims)
{
    OT_BUG_IF(dnnl_memory_desc_init_by_tag(md, nd, dims, dnnl_f32, dnnl_format_tag_any) !=
              dnnl_success);
}

void ot_md_of(dnnl_memory_desc_t *md, const struct ot_format *f, int nd, const dnnl_dim_t *dims)
{
    if (f)
        *md = *ot_format_md(f);
    else
        ot_md_plain(md, nd, dims);
}

/* ---- primitives ---------------------------------------------------------------------------- */

bool ot_dnn_bad(struct ot_dev *dev, dnnl_status_t s, const char *what)
{
    if (s == dnnl_success)
        return false;
    ot_dev_fail(dev, s == dnnl_out_of_memory ? OT_ENOMEM : OT_EDEV, "%s: oneDNN status %d", what,
                (int)s);
    return true;
}

void *ot_plan_alloc(struct ot_dev *dev, size_t size)
{
    struct ot_err err = OT_ERR_INIT;
    void *p = ot_alloc(1, size, &err);

    if (!p && dev->latch.code == OT_OK)
        dev->latch = err;
    return p;
}

int ot_prim_make(struct ot_dev *dev, struct ot_prim *p, dnnl_primitive_desc_t pd, const int *args,
                 int n)
{
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    bool bad = false;

    memset(p, 0, sizeof *p);
    p->scratch = pad ? dnnl_memory_desc_get_size(pad) : 0;
    for (int i = 0; i < n; i++)
        p->arg[p->n++] = args[i];
    if (p->scratch)
        p->arg[p->n++] = DNNL_ARG_SCRATCHPAD;
    OT_BUG_IF(p->n > OT_PRIM_ARGS);
    for (int i = 0; i < p->n && !bad; i++) {
        const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md,
                                                                    p->arg[i]);

        bad = ot_dnn_bad(
            dev, dnnl_memory_create(&p->mem[i], md, ot_cpu_of(dev)->engine, DNNL_MEMORY_NONE),
            "memory object");
    }
    bad = bad || ot_dnn_bad(dev, dnnl_primitive_create(&p->prim, pd), "primitive");
    (void)dnnl_primitive_desc_destroy(pd);
    if (bad)
        ot_prim_free(p);
    return bad ? dev->latch.code : 0;
}

void ot_prim_free(struct ot_prim *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->mem[i])
            (void)dnnl_memory_destroy(p->mem[i]);
    if (p->prim)
        (void)dnnl_primitive_destroy(p->prim);
    memset(p, 0, sizeof *p);
}

void ot_prim_run(struct ot_dev *dev, struct ot_prim *p, void *const *ptr, void *scratch)
{
    dnnl_exec_arg_t args[OT_PRIM_ARGS];

    if (!p->prim)
        return;
    for (int i = 0; i < p->n; i++) {
        void *at = p->arg[i] == DNNL_ARG_SCRATCHPAD ? scratch : ptr[i];

        /* Setting a handle zeroes the padding: only when the pointer is new. */
        if (at != p->at[i]) {
            if (ot_dnn_bad(dev, dnnl_memory_set_data_handle(p->mem[i], at), "memory handle"))
                return;
            p->at[i] = at;
        }
        args[i].arg = p->arg[i];
        args[i].memory = p->mem[i];
    }
    (void)ot_dnn_bad(dev, dnnl_primitive_execute(p->prim, ot_cpu_of(dev)->stream, p->n, args),
                     "primitive execution");
}

int ot_prim_reorder(struct ot_dev *dev, struct ot_prim *p, const dnnl_memory_desc_t *from,
                    const dnnl_memory_desc_t *to, bool add)
{
    static const int args[] = { DNNL_ARG_FROM, DNNL_ARG_TO };
    struct ot_cpu *cpu = ot_cpu_of(dev);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t s = dnnl_primitive_attr_create(&attr);

    if (s == dnnl_success && add) {
        s = dnnl_post_ops_create(&ops);
        if (s == dnnl_success)
            s = dnnl_post_ops_append_sum(ops, 1.0f);
        if (s == dnnl_success)
            s = dnnl_primitive_attr_set_post_ops(attr, ops);
    }
    if (s == dnnl_success)
        s = dnnl_reorder_primitive_desc_create(&pd, from, cpu->engine, to, cpu->engine, attr);
    if (ops)
        (void)dnnl_post_ops_destroy(ops);
    if (attr)
        (void)dnnl_primitive_attr_destroy(attr);
    if (ot_dnn_bad(dev, s, "reorder"))
        return dev->latch.code;
    return ot_prim_make(dev, p, pd, args, 2);
}

/* ---- the device ---------------------------------------------------------------------------- */

static void *cpu_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    (void)dev;
    return ot_alloc(bytes, 1, err);
}

static void cpu_free(struct ot_dev *dev, void *p)
{
    (void)dev;
    ot_free(p);
}

static void cpu_upload(struct ot_dev *dev, void *dst, const void *host, size_t bytes)
{
    (void)dev;
    if (bytes)
        memcpy(dst, host, bytes);
}

static void cpu_download(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    (void)dev;
    if (bytes)
        memcpy(host, src, bytes);
}

static void cpu_sync(struct ot_dev *dev)
{
    (void)dev;
}

static void cpu_step(struct ot_dev *dev, const struct ot_step *step)
{
    (void)dev; /* kernels read dev->step */
    (void)step;
}

static uint64_t cpu_mark(struct ot_dev *dev)
{
    (void)dev;
    return 1;
}

static void cpu_wait(struct ot_dev *dev, uint64_t mark)
{
    (void)dev;
    (void)mark;
}

static bool cpu_replay(struct ot_dev *dev, uint64_t key)
{
    (void)dev;
    (void)key;
    return false;
}

static bool cpu_launch(struct ot_dev *dev)
{
    (void)dev;
    return false;
}

static void cpu_close(struct ot_dev *dev)
{
    struct ot_cpu *cpu = ot_cpu_of(dev);

    for (int i = 0; i < OT_REORDERS; i++)
        ot_prim_free(&cpu->reorder[i].prim);
    while (cpu->formats) {
        struct ot_cpu_format *next = cpu->formats->next;

        ot_free(cpu->formats);
        cpu->formats = next;
    }
    if (cpu->attr)
        (void)dnnl_primitive_attr_destroy(cpu->attr);
    if (cpu->stream)
        (void)dnnl_stream_destroy(cpu->stream);
    if (cpu->engine)
        (void)dnnl_engine_destroy(cpu->engine);
    ot_free(cpu);
    ot_free(dev);
}

static const struct ot_dev_ops cpu_ops = {
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_upload,
    .download = cpu_download,
    .sync = cpu_sync,
    .close = cpu_close,
    .step = cpu_step,
    .host_alloc = cpu_alloc,
    .host_free = cpu_free,
    .fetch = cpu_download,
    .mark = cpu_mark,
    .wait = cpu_wait,
    .replay = cpu_replay,
    .record = cpu_replay,
    .launch = cpu_launch,
    .forget = cpu_sync,
};

static const char *isa_name(void)
{
    switch ((int)dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse4.1";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2";
    case dnnl_cpu_isa_all:
        return "all";
    default:
        return "avx512";
    }
}

static int use_threads(int threads)
{
#ifdef _OPENMP
    if (threads <= 0)
        threads = omp_get_num_procs();
    omp_set_num_threads(threads);
    return threads;
#else
    (void)threads;
    return 1;
#endif
}

struct ot_dev *ot_cpu_open(const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct ot_dev *dev = ot_alloc(1, sizeof *dev, err);
    struct ot_cpu *cpu = dev ? ot_alloc(1, sizeof *cpu, err) : NULL;
    const dnnl_version_t *v = dnnl_version();
    dnnl_status_t s;

    if (!cpu) {
        ot_free(dev);
        return NULL;
    }
    dev->impl = cpu;
    dev->k = &ot_cpu_kernels;
    dev->ops = &cpu_ops;
    cpu->threads = use_threads(conf->threads);
    s = dnnl_engine_create(&cpu->engine, dnnl_cpu, 0);
    if (s == dnnl_success)
        s = dnnl_stream_create(&cpu->stream, cpu->engine, dnnl_stream_default_flags);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_create(&cpu->attr);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_scratchpad_mode(cpu->attr, dnnl_scratchpad_mode_user);
    if (s != dnnl_success) {
        (void)ot_fail(err, OT_EDEV, "the CPU engine of oneDNN does not start: status %d", (int)s);
        cpu_close(dev);
        return NULL;
    }
    (void)snprintf(dev->name, sizeof dev->name, "cpu");
    (void)snprintf(dev->what, sizeof dev->what, "oneDNN %d.%d.%d, %d thread%s, %s", v->major,
                   v->minor, v->patch, cpu->threads, cpu->threads == 1 ? "" : "s", isa_name());
    return dev;
}
