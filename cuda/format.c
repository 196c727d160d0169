/*
 * format.c - the orders and types in which the device keeps blobs: what follows from a shape, so
 * that equal formats are equal pointers.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "cuda/cuda_i.h"

static const char *const names[2][2] = { { "nchw", "nchw bf16" }, { "nhwc", "nhwc bf16" } };

/* Plain order is the same whatever the shape. */
static bool is_order_of(const struct ot_cuda_format *f, const struct ot_shape *shape)
{
    return f->pub.block == 1 ? f->pub.elems == ot_count(shape) : ot_shape_eq(&f->shape, shape);
}

static struct ot_cuda_format **list_of(struct ot_dev *dev, size_t elems, size_t block,
                                       enum ot_type type)
{
    const size_t key[] = { elems, block, (size_t)type };

    return ot_cuda_formats(dev) + ot_hash64(key, sizeof key) % OT_CUDA_LISTS;
}

const struct ot_format *ot_cuda_format(struct ot_dev *dev, const struct ot_shape *shape,
                                       bool channels_last, enum ot_type type)
{
    const size_t c = (size_t)ot_dim(shape, 1);
    const size_t inner = shape->nd > 2 ? ot_count_range(shape, 2, shape->nd) : 1;
    const bool last = channels_last && c > 1 && inner > 1; /* otherwise both orders are one */
    const size_t block = last ? c : 1;
    struct ot_err err = OT_ERR_INIT;
    struct ot_cuda_format **list, *f;

    if (!last && type == OT_F32)
        return NULL;
    list = list_of(dev, ot_count(shape), block, type);
    for (f = *list; f; f = f->next)
        if (f->pub.block == block && f->pub.type == type && is_order_of(f, shape))
            return &f->pub;
    f = ot_alloc(1, sizeof *f, &err);
    if (!f) {
        if (dev->latch.code == OT_OK)
            dev->latch = err;
        return NULL;
    }
    f->pub = (struct ot_format){
        .elems = ot_count(shape), .name = names[last][type], .type = type, .block = block
    };
    f->shape = *shape;
    f->next = *list;
    *list = f;
    return &f->pub;
}

void ot_cuda_format_of(struct ot_dev *dev, const struct ot_shape *shape, bool channels_last,
                       enum ot_type type, const struct ot_format **fmt)
{
    *fmt = ot_cuda_format(dev, shape, channels_last, type);
}

void ot_cuda_formats_free(struct ot_dev *dev)
{
    struct ot_cuda_format **list = ot_cuda_formats(dev);

    for (int i = 0; i < OT_CUDA_LISTS; i++)
        while (list[i]) {
            struct ot_cuda_format *next = list[i]->next;

            ot_free(list[i]);
            list[i] = next;
        }
}
