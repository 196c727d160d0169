/* draw.c - the picture is made from the batch itself: what is seen is what the net saw. */
#include "trainer/draw.h"

#include <stdio.h>
#include <string.h>

#include "data/image.h"

enum { ZOOM_BELOW = 320 }; /* small images are drawn twice as large */

static const unsigned char colour[][3] = { { 60, 60, 230 },  { 70, 190, 60 },  { 230, 140, 40 },
                                           { 40, 200, 240 }, { 220, 70, 200 }, { 200, 200, 40 },
                                           { 40, 120, 255 }, { 150, 60, 140 }, { 100, 220, 160 },
                                           { 180, 120, 100 } };

static unsigned char byte_of(float v)
{
    return v <= 0 ? 0 : v >= 255 ? 255 : (unsigned char)(v + 0.5f);
}

static int picture(const struct ot_draw_conf *c, const struct ot_batch *b, int i,
                   struct ot_image *im, struct ot_err *err)
{
    const struct ot_sample_info *s = &b->sample[i];
    const Caffe__TransformationParameter *t = c->transform;
    float scale = t && t->scale != 0.0f ? t->scale : 1.0f;

    if (ot_image_alloc(im, s->in_width, s->in_height, 3, err) < 0)
        return err->code;
    for (int k = 0; k < 3; k++) {
        const float *plane = b->data +
                             ((size_t)i * (size_t)b->channels + (size_t)(k < b->channels ? k : 0)) *
                                 (size_t)b->height * (size_t)b->width;
        float mean = t && t->n_mean_value ? t->mean_value[(size_t)k < t->n_mean_value ? k : 0]
                                          : 0.0f;

        for (int y = 0; y < s->in_height; y++)
            for (int x = 0; x < s->in_width; x++)
                im->pixel[((size_t)y * (size_t)s->in_width + (size_t)x) * 3 + (size_t)k] = byte_of(
                    plane[(size_t)y * (size_t)b->width + (size_t)x] / scale + mean);
    }
    return 0;
}

static void put_box(struct ot_image *im, const float box[4], float scale, int thick,
                    const unsigned char ink[3])
{
    ot_image_box(im, (int)(box[0] * scale), (int)(box[1] * scale), (int)(box[2] * scale),
                 (int)(box[3] * scale), thick, ink);
}

static void put_detection(const struct ot_draw_conf *c, struct ot_image *im,
                          const struct ot_voc_det *d, float scale)
{
    static const unsigned char ink[3] = { 255, 255, 255 };
    const unsigned char *paper = colour[(size_t)d->cls % (sizeof colour / sizeof colour[0])];
    char text[64], number[16];
    int y = (int)(d->box[1] * scale) - 10;

    (void)snprintf(number, sizeof number, "%d", d->cls);
    (void)snprintf(text, sizeof text, "%s %.2f",
                   (size_t)d->cls < c->n_class_name ? c->class_name[d->cls] : number,
                   (double)d->score);
    put_box(im, d->box, scale, 2, paper);
    (void)ot_image_text(im, (int)(d->box[0] * scale), y < 0 ? 0 : y, text, ink, paper);
}

static int save(const struct ot_draw_conf *c, const struct ot_loader *loader, uint32_t index,
                const struct ot_image *im, struct ot_err *err)
{
    char path[1400], key[160];

    (void)ot_loader_key(loader, index, key, sizeof key);
    for (char *p = key; *p; p++)
        if (*p == '/' || *p == ' ')
            *p = '_';
    (void)snprintf(path, sizeof path, "%s/%03d_%.128s.png", c->dir, c->number, key);
    return ot_image_write_png(im, path, err);
}

int ot_draw_detections(const struct ot_draw_conf *c, const struct ot_loader *loader,
                       const struct ot_batch *b, int i, const struct ot_voc_det *det, size_t ndet,
                       const struct ot_voc_gt *gt, size_t ngt, struct ot_err *err)
{
    static const unsigned char white[3] = { 255, 255, 255 }, grey[3] = { 128, 128, 128 };
    const struct ot_sample_info *s = &b->sample[i];
    struct ot_image im = { 0 }, big = { 0 }, *out = &im;
    float scale = s->scale;
    int rc = picture(c, b, i, &im, err);

    if (rc == 0 && s->in_width < ZOOM_BELOW) {
        rc = ot_image_resize(&im, 2 * s->in_width, 2 * s->in_height, &big, err);
        out = &big;
        scale *= 2;
    }
    for (size_t k = 0; rc == 0 && k < ngt; k++)
        if (gt[k].image == s->index)
            put_box(out, gt[k].box, scale, 1, gt[k].difficult ? grey : white);
    for (size_t k = ndet; rc == 0 && k-- > 0;) /* best last: on top */
        if (det[k].image == s->index && det[k].score >= c->threshold)
            put_detection(c, out, &det[k], scale);
    if (rc == 0)
        rc = save(c, loader, s->index, out, err);
    ot_image_release(&im);
    ot_image_release(&big);
    return rc;
}
