/*
 * transform.c - parameters, decoding, and Caffe's arithmetic on one image.
 *
 * The inner loop is one row of one channel: a source with stride 1 (raw records) or 3 (decoded
 * colour), a mean that is a row or one number.  Each combination is its own loop, so that the
 * compiler can make vectors of it; mirroring turns the finished row round.
 */
#include "data/transform.h"

#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"

enum { DRAW_MIRROR = 0, DRAW_ROW = 1, DRAW_COLUMN = 2 };

static const Caffe__TransformationParameter default_p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
static const Caffe__DetectionDataParameter default_det = CAFFE__DETECTION_DATA_PARAMETER__INIT;

static int check_detection(const struct ot_transform *t, struct ot_err *err)
{
    const Caffe__DetectionDataParameter *d = t->det;

    if (t->p->crop_size || t->p->mirror || t->p->mean_file)
        return ot_fail(err, OT_ECONFIG,
                       "transform_param: crop_size, mirror and mean_file are not for detection "
                       "(use flip and mean_value), got crop_size %u, mirror %d, mean_file '%s'",
                       t->p->crop_size, t->p->mirror, t->p->mean_file ? t->p->mean_file : "");
    if (t->p->n_mean_value > 1 && t->p->n_mean_value != 3)
        return ot_fail(err, OT_ECONFIG, "mean_value: must be given 0, 1 or 3 times, got %zu",
                       t->p->n_mean_value);
    for (size_t i = 0; i < d->n_short_side; i++)
        if (d->short_side[i] < 1 || d->short_side[i] > OT_IMAGE_MAX_SIDE)
            return ot_fail(err, OT_ECONFIG, "short_side: must be 1 to %d, got %u",
                           OT_IMAGE_MAX_SIDE, d->short_side[i]);
    if (d->max_side < 1 || d->max_side > OT_IMAGE_MAX_SIDE)
        return ot_fail(err, OT_ECONFIG, "max_side: must be 1 to %d, got %u", OT_IMAGE_MAX_SIDE,
                       d->max_side);
    if (d->max_boxes < 1 || d->max_boxes > 1 << 16)
        return ot_fail(err, OT_ECONFIG, "max_boxes: must be 1 to 65536, got %u", d->max_boxes);
    if (d->size_multiple < 1 || d->size_multiple > 4096)
        return ot_fail(err, OT_ECONFIG, "size_multiple: must be 1 to 4096, got %u",
                       d->size_multiple);
    return 0;
}

int ot_transform_open(struct ot_transform *t, const Caffe__TransformationParameter *p,
                      const Caffe__DetectionDataParameter *det, bool detection, bool train,
                      uint64_t seed, const char *base_dir, struct ot_err *err)
{
    char path[1024];

    *t = (struct ot_transform){
        .p = p ? p : &default_p, .det = det ? det : &default_det, .train = train, .seed = seed
    };
    if (t->p->force_color && t->p->force_gray)
        return ot_fail(err, OT_ECONFIG, "force_color and force_gray: at most one, got both");
    if (t->p->mean_file && t->p->n_mean_value)
        return ot_fail(err, OT_ECONFIG,
                       "mean_file and mean_value: at most one, got '%s' and %zu values",
                       t->p->mean_file, t->p->n_mean_value);
    if (t->p->crop_size > OT_IMAGE_MAX_SIDE)
        return ot_fail(err, OT_ECONFIG, "crop_size: must be at most %d, got %u", OT_IMAGE_MAX_SIDE,
                       t->p->crop_size);
    if (detection)
        return check_detection(t, err);
    if (t->p->mean_file)
        return ot_mean_read(
            ot_path_join(path, sizeof path, base_dir ? base_dir : "", t->p->mean_file), &t->mean,
            err);
    return 0;
}

void ot_transform_close(struct ot_transform *t)
{
    ot_mean_release(&t->mean);
}

void ot_scratch_release(struct ot_scratch *s)
{
    ot_image_release(&s->image);
    ot_image_release(&s->resized);
    ot_free(s->row);
    ot_free(s->tap);
    *s = (struct ot_scratch){ 0 };
}

void ot_pixels_of_image(const struct ot_image *im, struct ot_pixels *px)
{
    *px = (struct ot_pixels){ .u8 = im->pixel,
                              .channels = im->channels,
                              .height = im->height,
                              .width = im->width,
                              .cs = 1,
                              .ys = (ptrdiff_t)im->width * im->channels,
                              .xs = im->channels };
}

static int load_encoded(const struct ot_transform *t, const struct ot_record *r, bool detection,
                        struct ot_scratch *s, struct ot_pixels *px, struct ot_err *err)
{
    int channels = detection || t->p->force_color ? 3 : t->p->force_gray ? 1 : 0;

    if (ot_image_decode(&s->image, r->data, channels, err) < 0)
        return err->code;
    ot_pixels_of_image(&s->image, px);
    return 0;
}

int ot_pixels_load(const struct ot_transform *t, const struct ot_record *r, bool detection,
                   struct ot_scratch *s, struct ot_pixels *px, struct ot_err *err)
{
    if (r->encoded)
        return load_encoded(t, r, detection, s, px, err);
    *px = (struct ot_pixels){ .channels = r->channels,
                              .height = r->height,
                              .width = r->width,
                              .cs = (ptrdiff_t)r->height * r->width,
                              .ys = r->width,
                              .xs = 1 };
    if (r->data.n) {
        px->u8 = r->data.data;
    } else {
        if (ot_grow(&s->row, &s->cap_row, r->n_floats, sizeof *s->row, err) < 0)
            return err->code;
        ot_record_floats(r, s->row);
        px->f = s->row;
    }
    if (!detection)
        return 0;
    if (!px->u8 || (px->channels != 1 && px->channels != 3))
        return ot_fail(err, OT_EDATA,
                       "a detection record must hold bytes of 1 or 3 channels, got %d channels of "
                       "%s",
                       px->channels, px->u8 ? "bytes" : "floats");
    if (px->channels == 1) { /* grey: the same plane three times */
        px->channels = 3;
        px->cs = 0;
    }
    return 0;
}

int ot_transform_shape(const struct ot_transform *t, const struct ot_pixels *px, int *height,
                       int *width, struct ot_err *err)
{
    int crop = (int)t->p->crop_size;

    if (crop > px->height || crop > px->width)
        return ot_fail(err, OT_EDATA, "crop_size %d is larger than the image, got %dx%d", crop,
                       px->width, px->height);
    if (t->mean.v && (t->mean.channels != px->channels || t->mean.height != px->height ||
                      t->mean.width != px->width))
        return ot_fail(err, OT_EDATA, "mean_file is %dx%dx%d, but the image is %dx%dx%d",
                       t->mean.channels, t->mean.height, t->mean.width, px->channels, px->height,
                       px->width);
    if (t->p->n_mean_value > 1 && t->p->n_mean_value != (size_t)px->channels)
        return ot_fail(err, OT_EDATA,
                       "mean_value: must be given once or once a channel (%d), got %zu",
                       px->channels, t->p->n_mean_value);
    *height = crop ? crop : px->height;
    *width = crop ? crop : px->width;
    return 0;
}

/* ---- one row of one channel: out[i] = (src[i] - mean) * scale ---------------------------------
 */

static void row_bytes(const unsigned char *restrict s, float mean, float scale, int n,
                      float *restrict out)
{
    for (int i = 0; i < n; i++)
        out[i] = ((float)s[i] - mean) * scale;
}

static void row_bytes3(const unsigned char *restrict s, float mean, float scale, int n,
                       float *restrict out)
{
    for (int i = 0; i < n; i++)
        out[i] = ((float)s[3 * i] - mean) * scale;
}

static void row_floats(const float *restrict s, float mean, float scale, int n, float *restrict out)
{
    for (int i = 0; i < n; i++)
        out[i] = (s[i] - mean) * scale;
}

static void sub_mean_row(const float *restrict mean, float scale, int n, float *restrict out)
{
    for (int i = 0; i < n; i++)
        out[i] = (out[i] - mean[i]) * scale;
}

static void reverse(float *v, int n)
{
    for (int i = 0, j = n - 1; i < j; i++, j--) {
        float x = v[i];

        v[i] = v[j];
        v[j] = x;
    }
}

static void row_of(const struct ot_pixels *px, ptrdiff_t at, float mean, float scale, int n,
                   float *out)
{
    if (px->f)
        row_floats(px->f + at, mean, scale, n, out);
    else if (px->xs == 1)
        row_bytes(px->u8 + at, mean, scale, n, out);
    else
        row_bytes3(px->u8 + at, mean, scale, n, out);
}

static float mean_of(const struct ot_transform *t, int channel)
{
    if (!t->p->n_mean_value)
        return 0.0f;
    return t->p->mean_value[t->p->n_mean_value == 1 ? 0 : channel];
}

static int offset(const struct ot_transform *t, uint64_t position, int draw, int room)
{
    if (!t->train)
        return room / 2;
    return (int)ot_rng_below(t->seed, OT_RNG_AUGMENT, position, (uint64_t)draw, (uint32_t)room + 1);
}

bool ot_transform_image(const struct ot_transform *t, const struct ot_pixels *px, uint64_t position,
                        float *out)
{
    int crop = (int)t->p->crop_size;
    int h = crop ? crop : px->height, w = crop ? crop : px->width;
    int y0 = crop ? offset(t, position, DRAW_ROW, px->height - h) : 0;
    int x0 = crop ? offset(t, position, DRAW_COLUMN, px->width - w) : 0;
    bool flip = t->p->mirror &&
                ot_rng_below(t->seed, OT_RNG_AUGMENT, position, DRAW_MIRROR, 2) == 1;
    bool whole = !crop && !flip && !t->mean.v && px->xs == 1;

    if (whole) { /* the rows of a channel are one long row */
        w *= h;
        h = 1;
    }
    for (int c = 0; c < px->channels; c++) {
        for (int y = 0; y < h; y++, out += w) {
            ptrdiff_t at = c * px->cs + (y0 + y) * px->ys + x0 * px->xs;

            if (t->mean.v) {
                row_of(px, at, 0.0f, 1.0f, w, out);
                sub_mean_row(t->mean.v + ((ptrdiff_t)c * px->height + y0 + y) * px->width + x0,
                             t->p->scale, w, out);
            } else {
                row_of(px, at, mean_of(t, c), t->p->scale, w, out);
            }
            if (flip)
                reverse(out, w);
        }
    }
    return flip;
}
