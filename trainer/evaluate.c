/* evaluate.c - see evaluate.h. */
#include "trainer/evaluate.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "trainer/draw.h"
#include "trainer/fetch.h"

enum { DET_COLS = 7, MAX_OUT = 32 };

struct ot_test {
    struct ot_config *config;
    const struct ot_net_source *source;
    struct ot_feeds *feeds;
    struct ot_net *net;
    struct ot_node *detect; /* DetectionOutput, or NULL */
    struct ot_arena arena;
    struct ot_blob *out[MAX_OUT]; /* averaged outputs */
    int nout, nloss;
    struct ot_fetch *slot; /* of the averaged outputs, then of the losses */
    uint64_t mark;         /* when they will be there */
    float *host;
    size_t host_cap;
    struct ot_test_result r;
    size_t value_cap, weight_cap, name_cap;
    float *weight;
    struct ot_voc_det *det;
    size_t ndet, det_cap;
    struct ot_voc_gt *gt;
    size_t ngt, gt_cap;
    struct ot_voc_class *cls;
    unsigned char *seen; /* records scored already */
};

/* The next blob with a loss weight from place *k on, or NULL. */
static const struct ot_net_blob *next_loss(const struct ot_test *t, size_t *k)
{
    while (*k < t->net->nblob)
        if (t->net->blob[(*k)++]->loss_weight != 0.0f)
            return t->net->blob[*k - 1];
    return NULL;
}

static int make_slots(struct ot_test *t, struct ot_err *err)
{
    size_t k = 0;

    while (next_loss(t, &k))
        t->nloss++;
    t->slot = ot_alloc((size_t)(t->nout + t->nloss) + 1, sizeof *t->slot, err);
    return t->slot ? 0 : err->code;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int pick_outputs(struct ot_test *t, struct ot_err *err)
{
    struct ot_blob *all[MAX_OUT];
    int n = ot_net_outputs(t->net, all, MAX_OUT);

    for (int i = 0; i < t->net->nnode; i++)
        if (!strcmp(t->net->node[i].l.ops->type, "DetectionOutput"))
            t->detect = &t->net->node[i];
    for (int i = 0; i < n; i++) {
        const struct ot_net_blob *b = (const struct ot_net_blob *)(const void *)all[i];
        const struct ot_node *p = &t->net->node[b->producer];

        if (p != t->detect && !(p->l.ops->flags & OT_LAYER_DATA))
            t->out[t->nout++] = all[i];
    }
    if (t->detect) {
        t->seen = ot_alloc(ot_loader_count(ot_feeds_loader(t->feeds)) + 1, 1, err);
        return t->seen ? 0 : err->code;
    }
    if (t->source->test_iter <= 0)
        return ot_fail_at(err, ot_doc_loc(t->config->doc, t->config->solver, "test_iter"),
                          OT_ECONFIG, "test_iter: must be >= 1, got %d", t->source->test_iter);
    return 0;
}

/* Parameters are shared by layer name; one that training does not know keeps its filler. */
static void warn_untrained(const struct ot_test *t, int which, const struct ot_net *train)
{
    for (int i = 0; i < t->net->nnode; i++) {
        const struct ot_layer *l = &t->net->node[i].l;

        if (l->nparam && !ot_net_node(train, l->name))
            ot_log(OT_LOG_WARN, "test",
                   "test net %d: layer '%s' has parameters, but the training net has no layer of "
                   "that name: it stays untrained",
                   which, l->name);
    }
}

struct ot_test *ot_test_open(struct ot_config *config, int which, struct ot_net *train,
                             struct ot_dev *dev, struct ot_err *err)
{
    struct ot_test *t = ot_alloc(1, sizeof *t, err);
    struct ot_net_conf c = { .dev = dev, .share = train, .seed = config->seed };

    if (!t)
        return NULL;
    t->config = config;
    t->source = &config->test[which];
    c.param = t->source->param;
    c.doc = t->source->doc;
    c.phase = t->source->phase;
    c.level = t->source->level;
    c.stage = t->source->stage;
    c.nstage = t->source->nstage;
    t->feeds = ot_feeds_new(config, t->source, err);
    c.door = t->feeds ? ot_feeds_door(t->feeds) : NULL;
    t->net = t->feeds ? ot_net_new(&c, err) : NULL;
    if (t->net)
        warn_untrained(t, which, train);
    if (!t->net || pick_outputs(t, err) < 0 || make_slots(t, err) < 0) {
        (void)ot_err_wrap(err, "test net %d", which);
        ot_test_free(t);
        return NULL;
    }
    return t;
}

void ot_test_free(struct ot_test *t)
{
    if (!t)
        return;
    ot_net_free(t->net);
    ot_feeds_free(t->feeds);
    for (int i = 0; t->slot && i < t->nout + t->nloss; i++)
        ot_fetch_release(&t->slot[i]);
    ot_free(t->slot);
    ot_free(t->host);
    ot_free(t->r.value);
    ot_free(t->weight);
    ot_free(t->r.name);
    ot_free(t->det);
    ot_free(t->gt);
    ot_free(t->cls);
    ot_free(t->seen);
    ot_arena_release(&t->arena);
    ot_free(t);
}

struct ot_net *ot_test_net(const struct ot_test *t)
{
    return t->net;
}

/* ---- means of outputs ------------------------------------------------------------------------ */

/* Of the batch just asked for. */
static int ask_outputs(struct ot_test *t, struct ot_err *err)
{
    struct ot_fetch *slot = t->slot + t->nout;
    const struct ot_net_blob *b;

    for (int i = 0; i < t->nout; i++)
        if (ot_fetch_ask(&t->slot[i], t->net, t->out[i], err) < 0)
            return err->code;
    for (size_t k = 0; (b = next_loss(t, &k)) != NULL;)
        if (ot_fetch_ask(slot++, t->net, &b->b, err) < 0)
            return err->code;
    t->mark = t->net->env.dev->ops->mark(t->net->env.dev);
    ot_feeds_passed(t->feeds, t->mark);
    return 0;
}

static double loss_of(const struct ot_test *t)
{
    const struct ot_fetch *slot = t->slot + t->nout;
    const struct ot_net_blob *b;
    double loss = 0;

    for (size_t k = 0; (b = next_loss(t, &k)) != NULL; slot++)
        for (size_t j = 0; j < slot->n; j++)
            loss += (double)b->loss_weight * (double)slot->v[j];
    return loss;
}

static int add_outputs(struct ot_test *t, bool first, struct ot_err *err)
{
    int k = 0;

    t->net->env.dev->ops->wait(t->net->env.dev, t->mark);
    if (ot_net_ok(t->net, err) < 0)
        return err->code;
    for (int i = 0; i < t->nout; i++) {
        const struct ot_blob *b = t->out[i];
        size_t n = t->slot[i].n, need = (size_t)k + n;

        if (ot_grow(&t->r.value, &t->value_cap, need, sizeof *t->r.value, err) < 0 ||
            ot_grow(&t->weight, &t->weight_cap, need, sizeof *t->weight, err) < 0 ||
            ot_grow(&t->r.name, &t->name_cap, need, sizeof *t->r.name, err) < 0)
            return err->code;
        for (size_t j = 0; j < n; j++, k++) {
            t->r.name[k] = b->name;
            t->weight[k] = ((const struct ot_net_blob *)(const void *)b)->loss_weight;
            t->r.value[k] = (first ? 0.0 : t->r.value[k]) + (double)t->slot[i].v[j];
        }
    }
    t->r.n_values = k;
    t->r.weight = t->weight;
    t->r.loss += loss_of(t) / t->source->test_iter;
    t->r.images += ot_feeds_batch_size(t->feeds);
    return 0;
}

/* What a batch gave is added up when the next one has been asked for. */
static int run_means(struct ot_test *t, bool (*stop)(void), struct ot_err *err)
{
    int n = t->source->test_iter;

    t->r.loss = 0;
    for (int i = 0; i < n; i++) {
        if (stop && stop())
            return ot_fail(err, OT_ESTOPPED, "stopped during a test");
        if (ot_feeds_next(t->feeds, NULL, 0, 0, err) < 0 || ot_net_forward(t->net, NULL, err) < 0 ||
            (i > 0 && add_outputs(t, i == 1, err) < 0) || ask_outputs(t, err) < 0)
            return err->code;
    }
    if (add_outputs(t, n == 1, err) < 0)
        return err->code;
    for (int k = 0; k < t->r.n_values; k++)
        t->r.value[k] /= n;
    return 0;
}

/* ---- detection ------------------------------------------------------------------------------- */

static int add_truth(struct ot_test *t, const struct ot_batch *b, int i, struct ot_err *err)
{
    const struct ot_sample_info *s = &b->sample[i];
    size_t g = (size_t)ot_loader_max_boxes(ot_feeds_loader(t->feeds));

    if (ot_grow(&t->gt, &t->gt_cap, t->ngt + (size_t)s->n_boxes, sizeof *t->gt, err) < 0)
        return err->code;
    for (int j = 0; j < s->n_boxes; j++) {
        const float *row = b->gt + ((size_t)i * g + (size_t)j) * 6;
        struct ot_voc_gt *o = &t->gt[t->ngt++];

        *o = (struct ot_voc_gt){ .image = s->index,
                                 .cls = (int)row[4],
                                 .difficult = b->difficult[(size_t)i * g + (size_t)j] != 0 };
        for (int k = 0; k < 4; k++)
            o->box[k] = row[k] / s->scale;
    }
    return 0;
}

static int add_detections(struct ot_test *t, const struct ot_batch *b, const bool *fresh,
                          struct ot_err *err)
{
    const struct ot_blob *top = t->detect->l.out[0];
    size_t rows = (size_t)ot_dim(&top->data.shape, 0);

    if (ot_grow(&t->host, &t->host_cap, rows * DET_COLS, sizeof *t->host, err) < 0 ||
        ot_net_read(t->net, top, t->host, err) < 0 ||
        ot_grow(&t->det, &t->det_cap, t->ndet + rows, sizeof *t->det, err) < 0)
        return err->code;
    for (size_t r = 0; r < rows; r++) {
        const float *d = t->host + r * DET_COLS;
        int image = (int)d[0];
        struct ot_voc_det *o;

        if (image < 0 || image >= b->n || !fresh[image])
            continue;
        o = &t->det[t->ndet++];
        *o =
            (struct ot_voc_det){ .image = b->sample[image].index, .cls = (int)d[1], .score = d[2] };
        memcpy(o->box, d + 3, sizeof o->box);
    }
    return 0;
}

static int draw_new(struct ot_test *t, const struct ot_batch *b, const bool *fresh, const char *dir,
                    struct ot_err *err)
{
    const Caffe__EvalParameter *e = t->config->solver->eval;
    struct ot_draw_conf c = { .dir = dir,
                              .threshold = e ? e->draw_threshold : 0.5f,
                              .class_name = t->config->solver->class_name,
                              .n_class_name = t->config->solver->n_class_name };
    int most = e ? e->draw : 24;

    for (int i = 0; i < b->n && t->r.images < most; i++)
        if (fresh[i]) {
            c.number = t->r.images++;
            c.transform = t->net->node[0].l.conf->transform_param;
            if (ot_draw_detections(&c, ot_feeds_loader(t->feeds), b, i, t->det, t->ndet, t->gt,
                                   t->ngt, err) < 0)
                return err->code;
        }
    return 0;
}

static int detect_batch(struct ot_test *t, const char *draw_dir, size_t *left, struct ot_err *err)
{
    const struct ot_batch *b;
    bool fresh[1024] = { false };
    int before = t->r.images, added = 0;

    if (ot_feeds_next(t->feeds, NULL, 0, 0, err) < 0)
        return err->code;
    b = ot_feeds_batch(t->feeds);
    if (b->n > 1024)
        return ot_fail(err, OT_ECONFIG, "a detection test batch has at most 1024 images, got %d",
                       b->n);
    for (int i = 0; i < b->n; i++) {
        fresh[i] = !t->seen[b->sample[i].index];
        t->seen[b->sample[i].index] = 1;
        added += fresh[i];
        if (fresh[i] && add_truth(t, b, i, err) < 0)
            return err->code;
    }
    if (ot_net_forward(t->net, NULL, err) < 0 || add_detections(t, b, fresh, err) < 0)
        return err->code;
    if (draw_dir && draw_new(t, b, fresh, draw_dir, err) < 0)
        return err->code;
    t->r.images = before + added;
    *left -= (size_t)added;
    return 0;
}

static int run_detection(struct ot_test *t, const char *draw_dir, bool (*stop)(void),
                         struct ot_err *err)
{
    const Caffe__EvalParameter *e = t->config->solver->eval;
    size_t count = ot_loader_count(ot_feeds_loader(t->feeds)), left = count;
    int classes = (int)t->source->param->num_classes;

    if (classes < 2)
        return ot_fail_at(err, ot_doc_loc(t->source->doc, t->source->param, "num_classes"),
                          OT_ECONFIG, "num_classes: detection needs at least 2, got %d", classes);
    if (!t->cls)
        t->cls = ot_alloc((size_t)classes, sizeof *t->cls, err);
    if (!t->cls)
        return err->code;
    t->ndet = t->ngt = 0;
    memset(t->seen, 0, count);
    if (ot_feeds_seek(t->feeds, 0, err) < 0)
        return err->code;
    while (left) {
        if (stop && stop())
            return ot_fail(err, OT_ESTOPPED, "stopped during a test");
        if (detect_batch(t, draw_dir, &left, err) < 0)
            return err->code;
    }
    if (ot_voc_eval(t->det, t->ndet, t->gt, t->ngt, classes, e ? (double)e->iou : 0.5, t->cls,
                    &t->r.voc, err) < 0)
        return err->code;
    t->r.cls = t->cls;
    t->r.classes = classes;
    t->r.map = e && e->use_07_metric ? t->r.voc.map07 : t->r.voc.map;
    return 0;
}

int ot_test_run(struct ot_test *t, const char *draw_dir, bool (*stop)(void),
                struct ot_test_result *result, struct ot_err *err)
{
    double t0 = ot_now_s();
    int rc;

    t->r.images = 0;
    t->r.n_values = 0;
    t->r.detection = t->detect != NULL;
    if (draw_dir && t->detect && ot_mkdir_p(draw_dir, err) < 0)
        return err->code;
    rc = t->detect ? run_detection(t, draw_dir, stop, err) : run_means(t, stop, err);
    t->r.seconds = ot_now_s() - t0;
    *result = t->r;
    return rc < 0 ? ot_err_wrap(err, "test") : 0;
}

void ot_test_table(const struct ot_test *t, const struct ot_test_result *r, struct ot_str *out)
{
    const Caffe__SolverParameter *s = t->config->solver;
    const Caffe__EvalParameter *e = s->eval;
    bool m07 = e && e->use_07_metric;

    ot_str_printf(out, "%-16s %8s %8s %8s %8s %8s\n", "class", "objects", "found", "recall",
                  "precis.", "AP");
    for (int c = 1; c < r->classes; c++) {
        const struct ot_voc_class *k = &r->cls[c];
        char number[16];

        (void)snprintf(number, sizeof number, "%d", c);
        ot_str_printf(out, "%-16s %8zu %8zu %8.3f %8.3f %8.3f\n",
                      (size_t)c < s->n_class_name ? s->class_name[c] : number, k->gts, k->hits,
                      k->recall, k->precision, m07 ? k->ap07 : k->ap);
    }
    ot_str_printf(out, "mAP@%.2g = %.4f over %d classes, %d images, %.1f s\n",
                  e ? (double)e->iou : 0.5, r->map, r->voc.counted, r->images, r->seconds);
}
