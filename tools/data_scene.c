/*
 * data_scene.c - draws a scene: gradient, stripes, blotches and grain; fragments of products
 * that carry no label; then 2 to 8 whole products.
 *
 * What makes the set a fair test of a detector: a fragment has the look of a product but less
 * than 40% of its box, so that a part must not be taken for the whole; later products cover
 * earlier ones, mostly a little and now and then a lot; contrast and tint vary; alpha follows a
 * product's own brightness, so that the background shows through its dark parts.
 */
#include "tools/data_scene.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum {
    TRIES = 24, /* places tried for one product */
    FAINT = 8,  /* product values up to this are transparent */
    SOLID = 96, /* values from here on are opaque */
    MAX_FRAGMENTS = 4,
    GRID = 20 /* pixels between nodes of the blotches */
};

static const float MIN_SCALE = 0.8f, MAX_SCALE = 2.2f;
static const float DIFFICULT_BELOW = 0.35f;

/* A stream of draws for one scene. */
struct draw {
    uint64_t seed, ordinal, n;
};

static float unit(struct draw *d)
{
    return ot_rng_unit(d->seed, OT_RNG_SCENES, d->ordinal, d->n++);
}

static float between(struct draw *d, float lo, float hi)
{
    return lo + (hi - lo) * unit(d);
}

static int below(struct draw *d, int n)
{
    return (int)ot_rng_below(d->seed, OT_RNG_SCENES, d->ordinal, d->n++, (uint32_t)n);
}

static unsigned char to_byte(float v)
{
    return (unsigned char)(v <= 0 ? 0 : v >= 255 ? 255 : v + 0.5f);
}

/* ---- background ---------------------------------------------------------------------------- */

struct backdrop {
    float from[3], to[3];        /* colours at the ends of the gradient */
    float dx, dy, offset;        /* gradient: position along (dx, dy), 0..1 */
    float sx, sy, phase;         /* stripes: turns per pixel */
    float stripe, blotch, grain; /* amplitudes */
    bool hard;                   /* stripes with edges, or soft ones */
};

static void choose_backdrop(struct backdrop *b, struct draw *d, int width, int height)
{
    float grey = between(d, 30, 190), drift = between(d, -60, 60), period = between(d, 7, 40);

    for (int c = 0; c < 3; c++) {
        b->from[c] = grey + between(d, -30, 30);
        b->to[c] = grey + drift + between(d, -30, 30);
    }
    b->dx = between(d, -1, 1) / (float)width;
    b->dy = between(d, -1, 1) / (float)height;
    b->offset = between(d, 0.2f, 0.8f);
    b->sx = between(d, -1, 1) / period;
    b->sy = between(d, -1, 1) / period;
    b->phase = unit(d);
    b->stripe = below(d, 3) ? between(d, 4, 26) : 0;
    b->hard = below(d, 2) == 0;
    b->blotch = between(d, 4, 30);
    b->grain = between(d, 1, 7);
}

/* A wave of period 1 and range -1..1: square, or triangle. */
static float wave(float t, bool hard)
{
    float f = t - (float)(int)t;

    if (f < 0)
        f += 1;
    if (hard)
        return f < 0.5f ? 1.0f : -1.0f;
    return f < 0.5f ? 4 * f - 1 : 3 - 4 * f;
}

/* Value noise: random nodes every GRID pixels, bilinear between them; -1..1. */
static float blotch_at(const struct draw *d, int x, int y)
{
    int gx = x / GRID, gy = y / GRID;
    float fx = (float)(x % GRID) / GRID, fy = (float)(y % GRID) / GRID, v[4];

    for (int k = 0; k < 4; k++) {
        uint64_t node = (uint64_t)(gy + k / 2) << 16 | (uint64_t)(gx + k % 2);

        v[k] = 2 * ot_rng_unit(d->seed, OT_RNG_SCENES, d->ordinal, (1ull << 40) | node) - 1;
    }
    return (v[0] * (1 - fx) + v[1] * fx) * (1 - fy) + (v[2] * (1 - fx) + v[3] * fx) * fy;
}

static void paint_backdrop(struct ot_image *im, const struct backdrop *b, const struct draw *d)
{
    for (int y = 0; y < im->height; y++) {
        unsigned char *p = im->pixel + (size_t)y * (size_t)im->width * 3;

        for (int x = 0; x < im->width; x++, p += 3) {
            uint64_t at = ((uint64_t)2 << 40) | (uint64_t)y << 16 | (uint64_t)x;
            struct ot_rng4 r = ot_philox(d->seed, OT_RNG_SCENES, d->ordinal, at);
            float t = b->offset + b->dx * (float)x + b->dy * (float)y;
            float light = b->stripe * wave(b->phase + b->sx * (float)x + b->sy * (float)y, b->hard);

            t = t < 0 ? 0 : t > 1 ? 1 : t;
            light += b->blotch * blotch_at(d, x, y);
            for (int c = 0; c < 3; c++) {
                float noise = (float)(r.v[c] >> 8) * (2.0f / 16777216.0f) - 1;

                p[c] = to_byte(b->from[c] + (b->to[c] - b->from[c]) * t + light + b->grain * noise);
            }
        }
    }
}

/* ---- products ------------------------------------------------------------------------------ */

/* A product, or a fragment of one, ready to be put down. */
struct sprite {
    const unsigned char *src; /* sh x sw bytes */
    int sw, sh;
    float scale;
    bool mirror;
    float lo[3], hi[3];   /* colour of value 0 and of value 255 */
    float u1, v1, u2, v2; /* the part of the frame that is drawn, 0..1 */
    int w, h;             /* of the scaled frame */
};

/* Bilinear, pixel centres at +0.5, transparent outside. */
static float sample(const struct sprite *s, int x, int y)
{
    float fx = ((float)x + 0.5f) / s->scale - 0.5f, fy = ((float)y + 0.5f) / s->scale - 0.5f;
    int ix = (int)(fx + 1) - 1, iy = (int)(fy + 1) - 1; /* floor for values >= -1 */
    float ax = fx - (float)ix, ay = fy - (float)iy, sum = 0;

    for (int k = 0; k < 4; k++) {
        int u = ix + k % 2, v = iy + k / 2;
        float weight = (k % 2 ? ax : 1 - ax) * (k / 2 ? ay : 1 - ay);

        if (s->mirror)
            u = s->sw - 1 - u;
        if (u >= 0 && v >= 0 && u < s->sw && v < s->sh)
            sum += weight * (float)s->src[v * s->sw + u];
    }
    return sum;
}

static float alpha_of(float value)
{
    float a = (value - FAINT) / (SOLID - FAINT);

    return a < 0 ? 0 : a > 1 ? 1 : a;
}

static bool in_part(const struct sprite *s, int x, int y)
{
    float u = ((float)x + 0.5f) / (float)s->w, v = ((float)y + 0.5f) / (float)s->h;

    return u >= s->u1 && u < s->u2 && v >= s->v1 && v < s->v2;
}

/* The sprite's non-zero pixels relative to its frame; false when there are none. */
static bool tight_box(const struct sprite *s, struct ot_scene_item *box)
{
    *box = (struct ot_scene_item){ .x1 = s->w, .y1 = s->h, .x2 = -1, .y2 = -1 };
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++) {
            if (!in_part(s, x, y) || alpha_of(sample(s, x, y)) <= 0)
                continue;
            box->x1 = x < box->x1 ? x : box->x1;
            box->y1 = y < box->y1 ? y : box->y1;
            box->x2 = x > box->x2 ? x : box->x2;
            box->y2 = y > box->y2 ? y : box->y2;
        }
    return box->x2 >= 0;
}

/* Tint, contrast and pose of product `index`. */
static void choose_sprite(struct sprite *s, struct draw *d, const struct ot_idx *products,
                          int index)
{
    float top = between(d, 130, 255), bottom = between(d, 0, 0.35f) * top;

    s->sw = products->width;
    s->sh = products->height;
    s->src = products->byte + (size_t)index * (size_t)s->sw * (size_t)s->sh;
    s->scale = between(d, MIN_SCALE, MAX_SCALE);
    s->mirror = below(d, 2) == 0;
    for (int c = 0; c < 3; c++) {
        float tint = between(d, 0.78f, 1);

        s->lo[c] = bottom * tint;
        s->hi[c] = top * tint;
    }
    s->u1 = s->v1 = 0;
    s->u2 = s->v2 = 1;
    s->w = (int)((float)s->sw * s->scale + 0.5f);
    s->h = (int)((float)s->sh * s->scale + 0.5f);
}

/* Blends the sprite with its frame's corner at (left, top); pixels more than half covered
 * become `owner`'s. */
static void put_sprite(struct ot_scene *scene, const struct sprite *s, int left, int top, int owner)
{
    struct ot_image *im = &scene->image;

    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++) {
            int px = left + x, py = top + y;
            float value, a;
            size_t at;

            if (px < 0 || py < 0 || px >= im->width || py >= im->height || !in_part(s, x, y))
                continue;
            value = sample(s, x, y);
            a = alpha_of(value);
            at = (size_t)py * (size_t)im->width + (size_t)px;
            for (int c = 0; c < 3; c++) {
                float ink = s->lo[c] + (s->hi[c] - s->lo[c]) * value * (1.0f / 255.0f);
                float under = (float)im->pixel[3 * at + (size_t)c];

                im->pixel[3 * at + (size_t)c] = to_byte(under + (ink - under) * a);
            }
            if (a > 0.5f && owner >= 0) {
                scene->owner[at] = (signed char)owner;
                scene->item[owner].area++;
            }
        }
}

/* Intersection over the smaller of the two boxes. */
static float cover(const struct ot_scene_item *a, const struct ot_scene_item *b)
{
    int w = (a->x2 < b->x2 ? a->x2 : b->x2) - (a->x1 > b->x1 ? a->x1 : b->x1) + 1;
    int h = (a->y2 < b->y2 ? a->y2 : b->y2) - (a->y1 > b->y1 ? a->y1 : b->y1) + 1;
    int sa = (a->x2 - a->x1 + 1) * (a->y2 - a->y1 + 1),
        sb = (b->x2 - b->x1 + 1) * (b->y2 - b->y1 + 1);

    return w <= 0 || h <= 0 ? 0 : (float)(w * h) / (float)(sa < sb ? sa : sb);
}

/* Finds a place where the box covers no earlier one by more than `limit`; false: there is none. */
static bool find_place(const struct ot_scene *s, struct draw *d, const struct ot_scene_item *box,
                       float limit, struct ot_scene_item *placed)
{
    int w = box->x2 - box->x1 + 1, h = box->y2 - box->y1 + 1;

    for (int t = 0; t < TRIES; t++) {
        float worst = 0;

        *placed = *box;
        placed->x1 = below(d, s->image.width - w + 1);
        placed->y1 = below(d, s->image.height - h + 1);
        placed->x2 = placed->x1 + w - 1;
        placed->y2 = placed->y1 + h - 1;
        for (int i = 0; i < s->n_items; i++) {
            float c = cover(placed, &s->item[i]);

            worst = c > worst ? c : worst;
        }
        if (worst <= limit)
            return true;
    }
    return false;
}

static void add_product(struct ot_scene *s, struct draw *d, const struct ot_idx *products,
                        const struct ot_idx *labels)
{
    int index = below(d, products->count);
    float limit = below(d, 6) ? 0.25f : 0.9f;
    struct ot_scene_item box, placed;
    struct sprite sp;

    choose_sprite(&sp, d, products, index);
    if (!tight_box(&sp, &box) || !find_place(s, d, &box, limit, &placed))
        return;
    placed.label = labels->byte[index];
    s->item[s->n_items] = placed;
    put_sprite(s, &sp, placed.x1 - box.x1, placed.y1 - box.y1, s->n_items);
    s->n_items++;
}

/* A window of at most 38% of the product's box, anywhere: it may run over the border. */
static void add_fragment(struct ot_scene *s, struct draw *d, const struct ot_idx *products)
{
    float pw = between(d, 0.3f, 0.8f), ph = between(d, 0.2f, 0.38f) / pw;
    int x = below(d, s->image.width), y = below(d, s->image.height);
    struct ot_scene_item box;
    struct sprite sp;
    float w, h;

    choose_sprite(&sp, d, products, below(d, products->count));
    if (!tight_box(&sp, &box))
        return;
    w = (float)(box.x2 - box.x1 + 1) / (float)sp.w;
    h = (float)(box.y2 - box.y1 + 1) / (float)sp.h;
    ph = ph > 0.8f ? 0.8f : ph;
    sp.u1 = (float)box.x1 / (float)sp.w + between(d, 0, 1 - pw) * w;
    sp.v1 = (float)box.y1 / (float)sp.h + between(d, 0, 1 - ph) * h;
    sp.u2 = sp.u1 + pw * w;
    sp.v2 = sp.v1 + ph * h;
    put_sprite(s, &sp, x - sp.w / 2, y - sp.h / 2, -1);
}

static void judge_visibility(struct ot_scene *s)
{
    size_t n = (size_t)s->image.width * (size_t)s->image.height;

    for (size_t i = 0; i < n; i++)
        if (s->owner[i] >= 0)
            s->item[s->owner[i]].visible++;
    for (int i = 0; i < s->n_items; i++)
        s->item[i].difficult = (float)s->item[i].visible < DIFFICULT_BELOW * (float)s->item[i].area;
}

int ot_scene_draw(struct ot_scene *s, uint64_t seed, uint64_t ordinal, int width, int height,
                  const struct ot_idx *products, const struct ot_idx *labels, struct ot_err *err)
{
    size_t n = (size_t)width * (size_t)height;
    struct draw d = { seed, ordinal, 0 };
    struct backdrop b;
    int want, fragments;

    s->n_items = 0;
    if (ot_image_alloc(&s->image, width, height, 3, err) < 0 ||
        ot_grow(&s->owner, &s->owner_cap, n, 1, err) < 0)
        return err->code;
    memset(s->owner, -1, n);
    choose_backdrop(&b, &d, width, height);
    paint_backdrop(&s->image, &b, &d);
    fragments = below(&d, MAX_FRAGMENTS + 1);
    for (int i = 0; i < fragments; i++)
        add_fragment(s, &d, products);
    want = 2 + below(&d, OT_SCENE_MAX_ITEMS - 1);
    for (int i = 0; i < 4 * want && s->n_items < want; i++)
        add_product(s, &d, products, labels);
    judge_visibility(s);
    return 0;
}

void ot_scene_release(struct ot_scene *s)
{
    ot_image_release(&s->image);
    ot_free(s->owner);
    *s = (struct ot_scene){ 0 };
}
