/*
 * fuzz_net.c - nets in text format as far as shapes go: wiring, set-up and shapes of every layer,
 * in both phases, but no memory and no arithmetic.
 */
#include "base/mem.h"
#include "proto/upgrade.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/net.h"

enum { LARGEST = 64 << 20 };

static struct ot_dev *device(void)
{
    static struct ot_dev *dev; /* reachable until the end, so no leak */
    struct ot_err err = OT_ERR_INIT;

    if (!dev)
        dev = ot_dev_open("cpu", 1, &err);
    OT_BUG_IF(!dev);
    return dev;
}

static void build(struct ot_doc *doc, Caffe__Phase phase)
{
    struct ot_net_conf conf = { .dev = device(), .doc = doc, .phase = phase, .seed = 1 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_net *net;

    conf.param = (const Caffe__NetParameter *)(const void *)ot_doc_root(doc);
    net = ot_net_new(&conf, &err);
    OT_BUG_IF(!net && err.code == OT_OK);
    for (size_t i = 0; net && i < net->nblob; i++)
        OT_BUG_IF(!ot_shape_fits(&net->blob[i]->b.data.shape));
    ot_net_free(net);
}

int ot_fuzz_net(const uint8_t *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse(&caffe__net_parameter__descriptor, "fuzz",
                                       (const char *)bytes, n, &err);

    ot_mem_fail_over(LARGEST); /* DummyData has its values from the beginning */
    if (doc && ot_upgrade_net(doc, (Caffe__NetParameter *)(void *)ot_doc_root(doc), &err) >= 0) {
        build(doc, CAFFE__PHASE__TRAIN);
        build(doc, CAFFE__PHASE__TEST);
    }
    ot_mem_fail_over(0);
    ot_doc_free(doc);
    return 0;
}
