/* gpu_net.c - see gpu_net.h. */
#include "tests/gpu_net.h"

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_layers.h"
#include "trainer/net.h"

/* clang-format off */
static const char net_text[] =
    "anchor_param { feat_stride: 4 base_size: 4 ratio: [0.5, 1, 2] scale: [3, 6] } num_classes: 3 "
    "layer { name: 'in' type: 'Input' top: 'data' top: 'gt' top: 'info' input_param { "
    "shape { dim: [2, 3, 40, 56] } shape { dim: [2, 4, 6] } shape { dim: [2, 3] } } } "
    CONV("c1", "data", "num_output: 8 kernel_size: 3 pad: 1 stride: 2") RELU("c1")
    POOL("p1", "c1")
    CONV("c2", "p1", "num_output: 12 kernel_size: 3 pad: 1") RELU("c2")
    RPN
    "layer { name: 'prob' type: 'Softmax' bottom: 'two' top: 'prob' } "
    "layer { name: 'rois' type: 'Proposal' bottom: 'prob' bottom: 'delta' bottom: 'info' "
    "top: 'some' proposal_param { pre_nms_top_n: 300 post_nms_top_n: 40 min_size: 3 } } "
    "layer { name: 'rt' type: 'ProposalTarget' bottom: 'some' bottom: 'gt' bottom: 'info' "
    "top: 'roi' top: 'label' top: 'rt' top: 'ri' top: 'ro' proposal_target_param { "
    "batch_size: 16 fg_fraction: 0.5 } } "
    "layer { name: 'rp' type: 'ROIPooling' bottom: 'c2' bottom: 'roi' top: 'rp' "
    "roi_pooling_param { pooled_h: 3 pooled_w: 3 spatial_scale: 0.25 } } "
    IP("f1", "rp", "24") RELU("f1")
    "layer { name: 'drop' type: 'Dropout' bottom: 'f1' top: 'f1' } "
    IP("cls", "f1", "3") IP("box", "f1", "12")
    "layer { name: 'ohem' type: 'SoftmaxWithLossOHEM' bottom: 'cls' bottom: 'label' top: 'lo' "
    "top: 'po' top: 'inst' loss_param { ignore_label: -1 } } "
    "layer { name: 'lr' type: 'SmoothL1Loss' bottom: 'box' bottom: 'rt' bottom: 'ri' "
    "bottom: 'ro' top: 'lr' } ";

/* clang-format on */

static void give(struct ot_dev *dev, struct ot_net *net, const char *name, const float *v, size_t n)
{
    struct ot_blob *b = ot_net_blob(net, name);

    assert_non_null(b);
    assert_int_equal(b->data.elems, n);
    dev->ops->upload(dev, b->data.data, v, n * sizeof *v);
}

static void give_scene(struct ot_dev *dev, struct ot_net *net)
{
    static const float gt[48] = { 4,  5,  20, 18, 1, 1, 24, 10, 44, 30, 2,  1,  0,  0,    0,  0,
                                  -1, 0,  0,  0,  0, 0, -1, 0,  8,  8,  30, 26, 2,  0.5f, 30, 20,
                                  50, 36, 1,  1,  0, 0, 0,  0,  -1, 0,  2,  20, 12, 34,   1,  1 };
    static const float info[6] = { 40, 56, 1, 38, 52, 1 };
    static float data[2 * 3 * 40 * 56];

    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        data[i] = 2.0f * ot_rng_unit(3, OT_RNG_TEST, 0, i) - 1.0f;
    give(dev, net, "data", data, sizeof data / sizeof data[0]);
    give(dev, net, "gt", gt, 48);
    give(dev, net, "info", info, 6);
}

static void learn(struct ot_dev *dev, struct ot_net *net)
{
    const struct ot_update_rule rule = {
        .kind = OT_UPDATE_SGD, .iter_size = 1, .clip = -1.0, .momentum = 0.9f
    };
    struct ot_step step = dev->step;
    struct ot_update_seg seg[32];

    assert_true(net->nlearn <= 32);
    for (size_t i = 0; i < net->nlearn; i++) {
        struct ot_param *p = net->learn[i];

        seg[i] = (struct ot_update_seg){ .w = p->data.data,
                                         .g = p->grad.data,
                                         .h = p->hist[0],
                                         .n = p->data.elems,
                                         .lr_mult = p->lr_mult,
                                         .decay = 1e-3f * p->decay_mult };
    }
    step.lr = 0.02f;
    ot_dev_step(dev, &step);
    dev->k->solver_update(dev, &rule, seg, (int)net->nlearn, NULL);
    ot_net_params_changed(net);
}

void ot_gpu_train(struct ot_dev *dev, struct ot_gpu_run *run)
{
    static const char *const keep[] = { "label", "inst", "data", "gt", "info" };
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse(&caffe__net_parameter__descriptor, "net.prototxt", net_text,
                                       sizeof net_text - 1, &err);
    struct ot_net_conf conf = { .dev = dev, .doc = doc, .seed = 5, .keep = keep, .nkeep = 5 };
    struct ot_net *net;

    assert_ok(doc ? 0 : err.code, &err);
    conf.param = (const Caffe__NetParameter *)(const void *)ot_doc_root(doc);
    net = ot_net_new(&conf, &err);
    assert_ok(net ? 0 : err.code, &err);
    assert_ok(ot_net_plan(net, &err), &err);
    assert_ok(ot_net_history(net, 1, &err), &err);
    give_scene(dev, net);
    for (int i = 0; i < OT_GPU_STEPS; i++) {
        net->env.iter = (uint64_t)i;
        ot_net_zero_grads(net);
        assert_ok(ot_net_forward(net, &run->loss[i], &err), &err);
        assert_int_equal(ot_count(&ot_net_blob(net, "label")->data.shape), OT_GPU_ROWS);
        assert_ok(ot_net_read(net, ot_net_blob(net, "label"), run->label[i], &err), &err);
        assert_ok(ot_net_read(net, ot_net_blob(net, "inst"), run->inst[i], &err), &err);
        assert_ok(ot_net_backward(net, &err), &err);
        learn(dev, net);
    }
    dev->ops->sync(dev);
    assert_ok(ot_dev_ok(dev, &err), &err);
    ot_net_free(net);
    ot_doc_free(doc);
}
