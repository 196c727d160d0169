/*
 * fill.c - how a batch is made from record numbers and a position; nothing here knows of threads.
 */
#include "data/fill.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

int ot_hand_open(struct ot_hand *h, const struct ot_source *s, struct ot_err *err)
{
    *h = (struct ot_hand){ .cursor = s->db ? ot_db_cursor_new(s->db, err) : NULL };
    return h->cursor || !s->db ? 0 : err->code;
}

void ot_hand_close(struct ot_hand *h)
{
    for (size_t i = 0; i < h->n; i++) {
        ot_record_release(&h->image[i].record);
        ot_scratch_release(&h->image[i].scratch);
    }
    ot_free(h->image);
    ot_db_cursor_free(h->cursor);
    *h = (struct ot_hand){ 0 };
}

void ot_slot_release(struct ot_slot *slot)
{
    ot_free(slot->own);
    ot_free(slot->batch.label);
    ot_free(slot->batch.im_info);
    ot_free(slot->batch.gt);
    ot_free(slot->batch.difficult);
    ot_free(slot->batch.sample);
    *slot = (struct ot_slot){ 0 };
}

/* Old content is not kept. */
static int renew(void *array, size_t n, size_t size, struct ot_err *err)
{
    void *p = ot_alloc(n, size, err), *old;

    if (!p)
        return err->code;
    memcpy(&old, array, sizeof old);
    ot_free(old);
    memcpy(array, &p, sizeof p);
    return 0;
}

static int reserve_samples(const struct ot_source *s, struct ot_slot *slot, size_t n,
                           struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;
    size_t rows = s->transform.det->max_boxes;

    if (n <= slot->cap_n)
        return 0;
    if (renew(&b->sample, n, sizeof *b->sample, err) < 0)
        return err->code;
    if (!s->detection && renew(&b->label, n, sizeof *b->label, err) < 0)
        return err->code;
    if (s->detection && (renew(&b->im_info, n * 3, sizeof *b->im_info, err) < 0 ||
                         renew(&b->gt, n * rows * 6, sizeof *b->gt, err) < 0 ||
                         renew(&b->difficult, n * rows, 1, err) < 0))
        return err->code;
    slot->cap_n = n;
    return 0;
}

static int reserve_data(struct ot_slot *slot, int c, int h, int w, struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;
    size_t need = (size_t)b->n * (size_t)c * (size_t)h * (size_t)w;

    b->channels = c;
    b->height = h;
    b->width = w;
    b->data = slot->lent;
    if (slot->lent && need <= slot->cap_lent)
        return 0;
    if (need > slot->cap_own || !slot->own) {
        if (renew(&slot->own, need, sizeof *slot->own, err) < 0)
            return err->code;
        slot->cap_own = need;
    }
    b->data = slot->own;
    return 0;
}

static int reserve_images(struct ot_hand *h, size_t n, struct ot_err *err)
{
    if (ot_grow(&h->image, &h->cap, n, sizeof *h->image, err) < 0)
        return err->code;
    if (h->n < n)
        h->n = n;
    return 0;
}

static int renew_cursor(struct ot_hand *h, struct ot_err *err)
{
    return h->cursor ? ot_db_renew(h->cursor, err) : 0;
}

static uint32_t record_at(const struct ot_source *s, uint64_t position)
{
    uint64_t n = s->keys.n, p = position + s->skip, i = p % n;

    return (uint32_t)(s->shuffle ? ot_permute(s->seed, p / n, n, i) : i);
}

static int blame(const struct ot_source *s, uint32_t index, struct ot_err *err)
{
    char key[160];

    return ot_err_wrap(err, "%s: key '%s'", s->name,
                       ot_keys_print(&s->keys, index, key, sizeof key));
}

/* A file of a list: read, and brought to the new size where there is one. */
static int load_file(const struct ot_source *s, uint32_t index, struct ot_hand_image *im,
                     struct ot_err *err)
{
    const Caffe__ImageDataParameter *p = s->images;
    struct ot_bytes name = ot_keys_at(&s->keys, index);
    const struct ot_image *image = &im->scratch.image;
    char path[4096];
    int n = snprintf(path, sizeof path, "%s%.*s", p->root_folder ? p->root_folder : "", (int)name.n,
                     (const char *)name.data);

    if (n < 0 || (size_t)n >= sizeof path)
        return ot_fail(err, OT_EDATA, "a path must be shorter than %zu bytes, got %d", sizeof path,
                       n);
    if (ot_image_read(&im->scratch.image, path, p->is_color ? 3 : 1, err) < 0)
        return err->code;
    if (p->new_height && p->new_width) {
        if (ot_image_resize(image, (int)p->new_width, (int)p->new_height, &im->scratch.resized,
                            err) < 0)
            return err->code;
        image = &im->scratch.resized;
    }
    ot_pixels_of_image(image, &im->pixels);
    im->record.label = s->label[index];
    return 0;
}

/* Reads and decodes one record; errors name no key yet. */
static int load(const struct ot_source *s, struct ot_hand *h, uint32_t index,
                struct ot_hand_image *im, struct ot_err *err)
{
    struct ot_bytes value;
    int rc;

    if (!s->db)
        return load_file(s, index, im, err);
    rc = ot_db_get(h->cursor, ot_keys_at(&s->keys, index), &value, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return ot_fail(err, OT_EDATA, "the record is gone, got none of %zu", s->keys.n);
    if (ot_record_parse(value, s->detection, &im->record, err) < 0)
        return err->code;
    return ot_pixels_load(&s->transform, &im->record, s->detection, &im->scratch, &im->pixels, err);
}

static int image_sample(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot, int i,
                        struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;
    struct ot_sample_info *info = &b->sample[i];
    struct ot_hand_image *im = h->image;
    int height, width;

    if (load(s, h, info->index, im, err) < 0 ||
        ot_transform_shape(&s->transform, &im->pixels, &height, &width, err) < 0)
        return err->code;
    if (i == 0 && reserve_data(slot, im->pixels.channels, height, width, err) < 0)
        return err->code;
    if (im->pixels.channels != b->channels || height != b->height || width != b->width)
        return ot_fail(err, OT_EDATA, "the batch's first image is %dx%dx%d, got %dx%dx%d",
                       b->channels, b->height, b->width, im->pixels.channels, height, width);
    info->flip = ot_transform_image(&s->transform, &im->pixels, info->position,
                                    b->data + (size_t)i * (size_t)b->channels * (size_t)height *
                                                  (size_t)width);
    info->scale = 1.0f;
    info->width = im->pixels.width;
    info->height = im->pixels.height;
    b->label[i] = (float)im->record.label;
    return 0;
}

static int up_to_multiple(int v, uint32_t m)
{
    return (int)(((uint32_t)v + m - 1) / m * m);
}

static int box_sample(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot, int i,
                      struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;
    struct ot_sample_info *info = &b->sample[i];
    struct ot_hand_image *im = &h->image[i];
    size_t rows = s->transform.det->max_boxes;

    if (load(s, h, info->index, im, err) < 0)
        return err->code;
    ot_view_of(&s->transform, im->pixels.width, im->pixels.height, info->position, &im->view);
    info->flip = im->view.flip;
    info->scale = im->view.scale;
    info->width = im->pixels.width;
    info->height = im->pixels.height;
    info->in_width = im->view.width;
    info->in_height = im->view.height;
    b->im_info[3 * i] = (float)im->view.height;
    b->im_info[3 * i + 1] = (float)im->view.width;
    b->im_info[3 * i + 2] = im->view.scale;
    info->n_boxes = ot_transform_boxes(&s->transform, &im->record, info->width, info->height,
                                       &im->view, b->gt + (size_t)i * rows * 6,
                                       b->difficult + (size_t)i * rows, err);
    return info->n_boxes < 0 ? info->n_boxes : 0;
}

static int blob_of_images(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot,
                          struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;
    uint32_t m = s->transform.det->size_multiple;
    int height = 1, width = 1;

    for (int i = 0; i < b->n; i++) {
        height = height < h->image[i].view.height ? h->image[i].view.height : height;
        width = width < h->image[i].view.width ? h->image[i].view.width : width;
    }
    if (reserve_data(slot, 3, up_to_multiple(height, m), up_to_multiple(width, m), err) < 0)
        return err->code;
    for (int i = 0; i < b->n; i++) {
        struct ot_hand_image *im = &h->image[i];
        float *out = b->data + (size_t)i * 3 * (size_t)b->height * (size_t)b->width;

        if (ot_transform_scaled(&s->transform, &im->pixels, &im->view, &im->scratch, b->height,
                                b->width, out, err) < 0)
            return err->code;
    }
    return 0;
}

/* Which samples the batch has. */
static int assign(const struct ot_source *s, struct ot_slot *slot, const uint32_t *index, int n,
                  uint64_t position, struct ot_err *err)
{
    struct ot_batch *b = &slot->batch;

    if (reserve_samples(s, slot, (size_t)n, err) < 0)
        return err->code;
    b->n = n;
    b->fetched = index != NULL;
    for (int i = 0; i < n; i++) {
        uint64_t p = position + (uint64_t)i;

        b->sample[i] = (struct ot_sample_info){ .index = index ? index[i] : record_at(s, p),
                                                .position = p };
    }
    return 0;
}

int ot_batch_part(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot, int from,
                  int to, struct ot_err *err)
{
    if (reserve_images(h, s->detection ? (size_t)to : 1, err) < 0 || renew_cursor(h, err) < 0)
        return err->code;
    for (int i = from; i < to; i++) {
        int rc = s->detection ? box_sample(s, h, slot, i, err) : image_sample(s, h, slot, i, err);

        if (rc < 0)
            return blame(s, slot->batch.sample[i].index, err);
    }
    return 0;
}

int ot_batch_begin(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot,
                   const uint32_t *index, int n, uint64_t position, struct ot_err *err)
{
    OT_BUG_IF(s->detection);
    if (assign(s, slot, index, n, position, err) < 0)
        return err->code;
    return ot_batch_part(s, h, slot, 0, 1, err);
}

int ot_batch_fill(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot,
                  const uint32_t *index, int n, uint64_t position, struct ot_err *err)
{
    if (assign(s, slot, index, n, position, err) < 0 || ot_batch_part(s, h, slot, 0, n, err) < 0)
        return err->code;
    return s->detection ? blob_of_images(s, h, slot, err) : 0;
}

int ot_fill_shape(const struct ot_source *s, struct ot_hand *h, uint64_t position,
                  struct ot_batch *shape, struct ot_err *err)
{
    uint32_t r = record_at(s, position), m = s->transform.det->size_multiple;
    struct ot_hand_image *im;

    if (reserve_images(h, 1, err) < 0 || renew_cursor(h, err) < 0)
        return err->code;
    im = h->image;
    if (load(s, h, r, im, err) < 0)
        return blame(s, r, err);
    shape->channels = im->pixels.channels;
    if (s->detection) {
        ot_view_of(&s->transform, im->pixels.width, im->pixels.height, position, &im->view);
        shape->height = up_to_multiple(im->view.height, m);
        shape->width = up_to_multiple(im->view.width, m);
    } else if (ot_transform_shape(&s->transform, &im->pixels, &shape->height, &shape->width, err) <
               0) {
        return blame(s, r, err);
    }
    return 0;
}
