/* gpu_train.c - see gpu_train.h. */
#include "tests/gpu_train.h"

#include "tests/check.h"
#include "tests/gpu_layers.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/mine_i.h"

/* clang-format off */
static const char lenet[] =
    CONV("c1", "data", "num_output: 6 kernel_size: 3") POOL("p1", "c1")
    CONV("c2", "p1", "num_output: 8 kernel_size: 3") RELU("c2")
    IP("i1", "c2", "16") RELU("i1")
    "layer { name: 'drop' type: 'Dropout' bottom: 'i1' top: 'i1' dropout_param { "
    "dropout_ratio: 0.3 } } "
    IP("i2", "i1", "4")
    "layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'i2' bottom: 'label' "
    "bottom: 'weight' top: 'loss' top: 'prob' top: 'each' } ";

/* To the regions' targets. */
#define REGIONS(param) \
    CONV("c1", "data", "num_output: 6 kernel_size: 3 pad: 1 stride: 2") RELU("c1") \
    POOL("p1", "c1") \
    CONV("c2", "p1", "num_output: 8 kernel_size: 3 pad: 1") RELU("c2") \
    RPN \
    "layer { name: 'pr' type: 'Softmax' bottom: 'two' top: 'pr' } " \
    "layer { name: 'some' type: 'Proposal' bottom: 'pr' bottom: 'delta' bottom: 'info' " \
    "top: 'some' proposal_param { pre_nms_top_n: 60 post_nms_top_n: 16 min_size: 3 } } " \
    "layer { name: 'rt' type: 'ProposalTarget' bottom: 'some' bottom: 'gt' bottom: 'info' " \
    "bottom: 'booked' top: 'roi' top: 'label' top: 'rt' top: 'ri' top: 'ro' top: 'matched' " \
    "top: 'weight' proposal_target_param { " param " } } "

/* C11 promises 4095 characters of a literal: nets come in two. */
static const char frcnn_regions[] = REGIONS("batch_size: 12 fg_fraction: 0.5");
static const char frcnn[] =
    "layer { name: 'rp' type: 'ROIPooling' bottom: 'c2' bottom: 'roi' top: 'rp' "
    "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.25 } } "
    IP("f1", "rp", "16") RELU("f1")
    "layer { name: 'drop' type: 'Dropout' bottom: 'f1' top: 'f1' } "
    IP("cls", "f1", "4") IP("box", "f1", "16")
    "layer { name: 'ohem' type: 'SoftmaxWithLossOHEM' bottom: 'cls' bottom: 'label' "
    "bottom: 'weight' top: 'lo' top: 'po' top: 'inst' loss_param { ignore_label: -1 } } "
    "layer { name: 'lr' type: 'SmoothL1Loss' bottom: 'box' bottom: 'rt' bottom: 'ri' "
    "bottom: 'ro' top: 'lr' } ";

#define PARTS(name, in, maps, dim) \
    CONV(name "_maps", in, "num_output: " maps " kernel_size: 1") \
    "layer { name: '" name "_parts' type: 'PSROIPooling' bottom: '" name "_maps' bottom: 'roi' " \
    "top: '" name "_parts' psroi_pooling_param { spatial_scale: 0.25 output_dim: " dim " " \
    "group_size: 2 } } " \
    "layer { name: '" name "' type: 'Pooling' bottom: '" name "_parts' top: '" name "' " \
    "pooling_param { pool: AVE kernel_size: 2 stride: 2 } } "
#define NO_LOSS(n) "loss_weight: [" n "] "

static const char rfcn_regions[] = REGIONS("batch_size: 20 fg_fraction: 1 class_agnostic: true");
static const char rfcn[] =
    PARTS("cls", "c2", "16", "4") PARTS("box", "c2", "32", "8")
    "layer { name: 'each' type: 'SoftmaxWithLossOHEM' bottom: 'cls' bottom: 'label' "
    "bottom: 'weight' top: 'no1' top: 'po' top: 'inst' " NO_LOSS("0, 0, 0")
    "propagate_down: [false, false, false] loss_param { ignore_label: -1 } } "
    "layer { name: 'boxes' type: 'SmoothL1LossOHEM' bottom: 'box' bottom: 'rt' bottom: 'ri' "
    "top: 'no2' top: 'binst' " NO_LOSS("0, 0") "propagate_down: [false, false, false] } "
    "layer { name: 'flat' type: 'Reshape' bottom: 'inst' top: 'cinst' reshape_param { shape { "
    "dim: [0, 1, 1, 1] } } } "
    "layer { name: 'sum' type: 'Eltwise' bottom: 'cinst' bottom: 'binst' top: 'sum' } "
    "layer { name: 'hard' type: 'BoxAnnotatorOHEM' bottom: 'roi' bottom: 'sum' bottom: 'label' "
    "bottom: 'ro' top: 'hard' top: 'hw' box_annotator_ohem_param { roi_per_img: 6 } } "
    "layer { name: 'ohem' type: 'SoftmaxWithLossOHEM' bottom: 'cls' bottom: 'hard' "
    "bottom: 'weight' top: 'lo' loss_param { ignore_label: -1 } } "
    "layer { name: 'lr' type: 'SmoothL1LossOHEM' bottom: 'box' bottom: 'rt' bottom: 'hw' "
    "top: 'lr' loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 12 } } ";

/* clang-format on */

/* Made once, both. */
static const char *digits(void)
{
    static char path[400];

    if (!path[0])
        (void)snprintf(path, sizeof path, "%s", ot_tiny_digits("gpu_digits", 64, 12, 4));
    return path;
}

static const char *scenes(void)
{
    static char path[400];

    if (!path[0])
        (void)snprintf(path, sizeof path, "%s", ot_tiny_scenes("gpu_scenes", 12, 32, 4));
    return path;
}

/* Paths of nets and config in the temporary folder. */
static const char *write_lenet(void)
{
    char text[6000];

    (void)snprintf(text, sizeof text,
                   "layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight' "
                   "transform_param { scale: 0.004 } data_param { source: '%s' batch_size: %d "
                   "backend: LMDB shuffle: true } } %s",
                   digits(), OT_GPU_BATCH, lenet);
    return ot_tiny_file("gpu_lenet", text);
}

static const char *write_detector(const char *name, const char *regions, const char *net,
                                  const char *sides)
{
    char text[8000];

    (void)snprintf(
        text, sizeof text,
        "anchor_param { feat_stride: 4 base_size: 4 ratio: [0.5, 1, 2] scale: 3 } "
        "num_classes: 4 layer { name: 'data' type: 'DetectionData' top: 'data' top: 'info' "
        "top: 'gt' top: 'booked' transform_param { mean_value: [120, 120, 120] scale: 0.017 } "
        "data_param { source: '%s' batch_size: 2 backend: LMDB shuffle: true } "
        "detection_data_param { %s max_boxes: 4 } } %s%s",
        scenes(), sides, regions, net);
    return ot_tiny_file(name, text);
}

static const char *write_net(enum ot_gpu_job job)
{
    static const char one[] = "short_side: 32 max_side: 32";
    static const char three[] = "short_side: [22, 32, 41] max_side: 41";

    switch (job) {
    case OT_GPU_FRCNN:
        return write_detector("gpu_frcnn", frcnn_regions, frcnn, one);
    case OT_GPU_RFCN:
        return write_detector("gpu_rfcn", rfcn_regions, rfcn, one);
    case OT_GPU_SIZES:
        return write_detector("gpu_sizes", frcnn_regions, frcnn, three);
    case OT_GPU_LENET:
    case OT_GPU_JOBS:
        break;
    }
    return write_lenet();
}

static const char *write_config(enum ot_gpu_job job)
{
    const char *net = write_net(job);
    char text[2000];

    (void)snprintf(text, sizeof text,
                   "train_net: '%s' base_lr: %s lr_policy: 'step' gamma: 0.5 stepsize: 20 "
                   "momentum: 0.9 weight_decay: 0.001 max_iter: %d random_seed: 3 "
                   "clip_gradients: 20 mining { warmup: 0 window: 16 quantile: 0.6 cooldown: 3 "
                   "scope: POOL max_share: 0.5 min_fresh: 1 sentinel: 0 }",
                   net, job == OT_GPU_LENET ? "0.05" : "0.02", OT_GPU_ITERS);
    return ot_tiny_file("gpu_run.conf", text);
}

/* ---- as trainer/train.c ---------------------------------------------------------------------- */

struct asked {
    struct ot_fetch slot[8];
    float weight[8];
    int n;
    uint64_t mark;
};

static void ask(struct ot_run *r, struct asked *a)
{
    struct ot_err err = OT_ERR_INIT;

    a->n = 0;
    for (size_t k = 0; k < r->net->nblob; k++) {
        const struct ot_net_blob *b = r->net->blob[k];

        if (b->loss_weight == 0.0f)
            continue;
        assert_true(a->n < 8);
        a->weight[a->n] = b->loss_weight;
        assert_ok(ot_fetch_ask(&a->slot[a->n++], r->net, &b->b, &err), &err);
    }
    a->mark = r->net->env.dev->ops->mark(r->net->env.dev);
}

static double take(struct ot_run *r, struct asked *a)
{
    struct ot_err err = OT_ERR_INIT;
    double sum = 0;

    r->net->env.dev->ops->wait(r->net->env.dev, a->mark);
    assert_ok(ot_net_ok(r->net, &err), &err);
    for (int k = 0; k < a->n; k++)
        sum += (double)a->weight[k] * (double)a->slot[k].v[0];
    return sum;
}

struct watcher {
    ot_gpu_watch *watch; /* may be NULL */
    void *ctx;
};

static void tell(const struct watcher *w, struct ot_run *r, int i, enum ot_gpu_moment when)
{
    if (w->watch)
        w->watch(w->ctx, r->net, i, when);
}

static void pass(struct ot_run *r, int i, struct asked *a, struct ot_gpu_mined *run,
                 const struct watcher *w)
{
    const uint32_t *sample = NULL;
    struct ot_err err = OT_ERR_INIT;
    int n = ot_mine_next(r->mine, i, &sample, &err);

    assert_ok(n < 0 ? n : 0, &err);
    assert_true(n <= OT_GPU_BATCH);
    run->again[i] = n;
    for (int k = 0; k < n; k++)
        run->sample[i][k] = sample[k];
    assert_ok(ot_feeds_next(r->feeds, sample, n, (uint64_t)i << 32, &err), &err);
    r->net->env.iter = (uint64_t)i;
    r->net->env.frozen_stats = n > 0;
    ot_net_zero_grads(r->net);
    tell(w, r, i, OT_GPU_BEFORE);
    assert_ok(ot_net_pass(r->net, &err), &err);
    tell(w, r, i, OT_GPU_ASKED);
    if (i > 0)
        run->loss[i - 1] = take(r, a);
    ask(r, a);
    assert_ok(ot_mine_read(r->mine, i, n > 0, &err), &err);
    assert_ok(ot_solver_update(r->solver, ot_solver_lr(r->solver), &err), &err);
    tell(w, r, i, OT_GPU_AFTER);
}

static void keep_row(void *ctx, const struct ot_row *row)
{
    struct ot_gpu_mined *run = ctx;

    assert_true(run->rows < OT_GPU_POOL);
    run->row[run->rows++] = *row;
}

void ot_gpu_mine(struct ot_dev *dev, enum ot_gpu_job job, struct ot_gpu_mined *run)
{
    ot_gpu_mine_watched(dev, job, run, NULL, NULL);
}

void ot_gpu_mine_watched(struct ot_dev *dev, enum ot_gpu_job job, struct ot_gpu_mined *run,
                         ot_gpu_watch *watch, void *ctx)
{
    const struct watcher w = { watch, ctx };
    struct asked a = { 0 };
    struct ot_run r;

    *run = (struct ot_gpu_mined){ 0 };
    ot_run_open(&r, write_config(job), NULL, 0, true, (struct ot_net_conf){ .dev = dev });
    for (int i = 0; i < OT_GPU_ITERS; i++)
        pass(&r, i, &a, run, &w);
    run->loss[OT_GPU_ITERS - 1] = take(&r, &a);
    ot_miner_each(r.mine->miner, keep_row, run);
    run->reinjected = (int)ot_miner_counts(r.mine->miner).reinj_batches;
    for (int k = 0; k < a.n; k++)
        ot_fetch_release(&a.slot[k]);
    ot_run_close(&r);
}
