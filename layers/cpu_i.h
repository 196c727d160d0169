/*
 * cpu_i.h - what the CPU kernels share: the device's state, formats, and oneDNN primitives with
 * their memory objects.  Included only by the sources of the CPU device.
 *
 * oneDNN is C, asynchronous in name only: a primitive has run when ot_prim_run() returns.
 * Facts: oneDNN 2.6 developer guide, https://oneapi-src.github.io/oneDNN/v2.6/.
 *
 * Ownership: formats belong to the device and live as long as it does; a plan owns its primitives.
 * Threads: the device's one thread; loops inside use OpenMP.
 * Errors: helpers that make things return 0 or latch a failure in the device and return its code.
 */
#ifndef OT_LAYERS_CPU_I_H
#define OT_LAYERS_CPU_I_H

#include <oneapi/dnnl/dnnl.h>

#include "layers/device.h"

/* Loops shorter than this run on one thread: waking the others costs more. */
enum { OT_CPU_GRAIN = 16384 };

struct ot_cpu_format {
    struct ot_format pub; /* first: a pointer to it is the format */
    char name[48];
    dnnl_memory_desc_t md;
    struct ot_cpu_format *next;
};

enum { OT_PRIM_ARGS = 6 };

/* A primitive, its arguments' memory objects, and where these point now. */
struct ot_prim {
    dnnl_primitive_t prim; /* NULL: not made */
    int n;
    int arg[OT_PRIM_ARGS];
    dnnl_memory_t mem[OT_PRIM_ARGS];
    void *at[OT_PRIM_ARGS];
    size_t scratch; /* bytes of its scratchpad */
};

enum { OT_REORDERS = 64 };

struct ot_cpu_reorder {
    dnnl_memory_desc_t from, to;
    struct ot_prim prim;
};

struct ot_cpu {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; /* scratchpad given by the caller */
    int threads;
    struct ot_cpu_format *formats;
    struct ot_cpu_reorder reorder[OT_REORDERS]; /* those last made; the oldest goes first */
    unsigned next_reorder;
};

struct ot_plan {
    void (*free)(struct ot_plan *plan);
};

static inline struct ot_cpu *ot_cpu_of(const struct ot_dev *dev)
{
    return dev->impl;
}

/* The format of md: interned, NULL for plain C order; *elems gets its physical size. */
const struct ot_format *ot_cpu_format(struct ot_dev *dev, const dnnl_memory_desc_t *md,
                                      size_t *elems);

/* md of a plain array, of `tag`, or of a format (plain when f is NULL). */
void ot_md_plain(dnnl_memory_desc_t *md, int nd, const dnnl_dim_t *dims);
void ot_md_any(dnnl_memory_desc_t *md, int nd, const dnnl_dim_t *dims);
void ot_md_of(dnnl_memory_desc_t *md, const struct ot_format *f, int nd, const dnnl_dim_t *dims);

static inline const dnnl_memory_desc_t *ot_format_md(const struct ot_format *f)
{
    return &((const struct ot_cpu_format *)(const void *)f)->md;
}

/* Makes the primitive of pd (destroyed in any case) with arguments args[n]; a scratchpad, when it
 * wants one, becomes the last argument by itself. */
int ot_prim_make(struct ot_dev *dev, struct ot_prim *p, dnnl_primitive_desc_t pd, const int *args,
                 int n);
void ot_prim_free(struct ot_prim *p);
/* ptr: one pointer for each of the args of ot_prim_make(); scratch: its scratchpad or NULL */
void ot_prim_run(struct ot_dev *dev, struct ot_prim *p, void *const *ptr, void *scratch);

/* A reorder; `add`: the destination keeps its value and gets the source added. */
int ot_prim_reorder(struct ot_dev *dev, struct ot_prim *p, const dnnl_memory_desc_t *from,
                    const dnnl_memory_desc_t *to, bool add);

/* Zeroed plan memory; NULL with the device's latch set. */
void *ot_plan_alloc(struct ot_dev *dev, size_t size);

/* Latches a oneDNN failure; returns true when there is one. */
bool ot_dnn_bad(struct ot_dev *dev, dnnl_status_t s, const char *what);

/* ---- linear plans: convolution and inner product --------------------------------------------- */

/* A tensor of the net as one primitive wants it. */
struct ot_link {
    struct ot_prim reorder; /* not made: the primitive uses the net's memory */
    struct ot_prim add;     /* the same with accumulation, for weight gradients */
    size_t offset;          /* of the converted copy in scratch */
};

struct ot_linear {
    struct ot_plan base;
    bool empty;                 /* no elements: nothing to run */
    dnnl_memory_desc_t x, y, w; /* as the net keeps them */
    size_t y_bytes, x_bytes, w_elems, b_elems;
    struct ot_prim fwd, data, filter;
    struct ot_link data_w, data_dy, data_dx, filter_x, filter_dy, filter_dw;
    size_t temp_dw, temp_db; /* offsets in scratch of gradients that are added afterwards */
    size_t pad;              /* offset in scratch of the primitives' scratchpad */
    size_t bytes;            /* of scratch, all in all */
};

/* Takes the three primitive descriptors (data and filter may be NULL) into lin and fills info. */
int ot_linear_make(struct ot_dev *dev, struct ot_linear *lin, dnnl_primitive_desc_t fwd,
                   dnnl_primitive_desc_t data, dnnl_primitive_desc_t filter, size_t b_elems,
                   struct ot_plan_info *info);
void ot_linear_free(struct ot_plan *plan);
void ot_linear_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                   const float *b, void *scratch, float *y);
void ot_linear_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                        void *scratch, float *dx);
void ot_linear_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *dy,
                          void *scratch, float beta, float *dw, float *db);

/* The descriptor of an operation, with the caller's scratchpad and, when `relu`, a ReLU after it;
 * NULL when oneDNN has none (not latched). */
dnnl_primitive_desc_t ot_try_desc(struct ot_dev *dev, const_dnnl_op_desc_t op, bool relu,
                                  dnnl_primitive_desc_t hint);
bool ot_desc_is(dnnl_primitive_desc_t pd, const char *implementation_prefix);

/* ---- local response normalisation: loops in any order of channels -------------------------- */

void ot_lrn_loops_fwd(const struct ot_lrn_geom *g, const float *x, float *scale, float *y);
void ot_lrn_loops_bwd(const struct ot_lrn_geom *g, const float *x, const float *y,
                      const float *scale, const float *dy, float *dx);

/* Fails where one of n rows of RoIs names none of `images` images (unused rows are fine). */
void ot_cpu_check_rois(struct ot_dev *dev, int images, int n, const float *rois);

/* The CPU has no format of another type. */
static inline void ot_cpu_f32(const struct ot_dev *dev, enum ot_type type)
{
    (void)dev;
    OT_BUG_IF(type != OT_F32);
}

#endif
