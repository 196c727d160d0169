/*
 * test_mine.c - what mining is fed with and by which rules: labels, weights and boxes while
 * reading, and what the mining block may say.
 */
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/db.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/minekit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/mine_i.h"

enum { IMAGES = 96, CLASSES = 10 };

static char digits[300], fixed[300], scenes[300];

/* ---- labels while reading -------------------------------------------------------------------- */

/* Writes `from` with right labels to `to`, and an overlay that does the same. */
static void fix_labels(const char *from, const char *to, struct ot_str *overlay)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db *db = ot_db_open(from, &err);
    struct ot_db_cursor *c = db ? ot_db_cursor_new(db, &err) : NULL;
    struct ot_db_writer *w = c ? ot_db_create(to, false, &err) : NULL;
    struct ot_bytes key, value;
    int i = 0, rc;

    assert_ok(w ? 0 : err.code, &err);
    for (rc = ot_db_first(c, &key, &value, &err); rc == 1; rc = ot_db_next(c, &key, &value, &err)) {
        Caffe__Datum *d = caffe__datum__unpack(NULL, value.n, value.data);
        uint8_t buf[2000];

        if (d->label != i % CLASSES)
            ot_str_printf(overlay, "{\"key\":\"%.*s\",\"label\":%d}\n", (int)key.n,
                          (const char *)key.data, i % CLASSES);
        d->label = i++ % CLASSES;
        assert_true(caffe__datum__get_packed_size(d) <= sizeof buf);
        assert_ok(ot_db_put(w, key, (struct ot_bytes){ buf, caffe__datum__pack(d, buf) }, &err),
                  &err);
        caffe__datum__free_unpacked(d, NULL);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(i, IMAGES);
    assert_ok(ot_db_finish(w, true, &err), &err);
    ot_db_cursor_free(c);
    ot_db_close(db);
}

static void an_overlay_trains_as_corrected_data_do(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str overlay = { 0 };
    char set[400];
    const char *more[] = { "mining.thermometer=0", set, "snapshot=17", "max_time_s=0.0000001" };
    const char *plain[] = { set };

    (void)state;
    fix_labels(digits, fixed, &overlay);
    (void)snprintf(set, sizeof set, "label_overlay=\"%s\"", ot_tiny_file("o.jsonl", overlay.buf));
    assert_ok(ot_mined_train("wrong", digits, true, NULL, 0, NULL, &err), &err);
    assert_ok(ot_mined_train("right", fixed, true, NULL, 0, NULL, &err), &err);
    assert_ok(ot_mined_train("overlaid", digits, true, plain, 1, NULL, &err), &err);
    assert_true(ot_mined_same("right", "overlaid"));
    assert_false(ot_mined_same("right", "wrong"));
    /* mined, from the first iteration on */
    assert_ok(ot_mined_train("mined", fixed, false, more, 1, NULL, &err), &err);
    assert_ok(ot_mined_train("corrected", digits, false, more, 2, NULL, &err), &err);
    assert_true(ot_mined_same("mined", "corrected"));
    assert_false(ot_mined_same("mined", "right"));
    /* and resumed */
    assert_int_equal(ot_mined_train("resumed", digits, false, more, 4, "auto", &err), OT_ESTOPPED);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ot_mined_train("resumed", digits, false, more, 4, "auto", &err),
                         OT_ESTOPPED);
    assert_ok(ot_mined_train("resumed", digits, false, more, 3, "auto", &err), &err);
    assert_true(ot_mined_same("mined", "resumed"));
    ot_str_release(&overlay);
}

static void an_overlay_that_is_wrong_is_named_with_its_line(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char set[400];
    const char *more[] = { set };

    (void)state;
    (void)snprintf(set, sizeof set, "label_overlay=\"%s\"",
                   ot_tiny_file("w.jsonl", "\n{\"key\":\"00000005\",\"label\":10}\n"));
    assert_int_equal(ot_mined_train("bad", digits, true, more, 1, NULL, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "w.jsonl:2: label: must be in [0, 9], got 10");
    more[0] = "label_overlay=\"not/there.jsonl\"";
    assert_int_equal(ot_mined_train("bad", digits, true, more, 1, NULL, &err), OT_ENOINPUT);
}

struct say { /* a miner that says what the test wants */
    int times;
};

static int32_t other_label(void *ctx, uint32_t sample, uint8_t kind, int32_t slot, int32_t given)
{
    struct say *s = ctx;

    s->times++;
    if (kind == OT_KIND_IMAGE)
        return (given + 1 + (int32_t)sample % 3) % CLASSES;
    return slot == 1 ? 0 : given == 1 ? 5 : given;
}

static float weight_of_even(void *ctx, uint32_t sample, bool reinjected)
{
    (void)ctx;
    return reinjected ? 7.0f : sample % 2 ? 1.0f : 0.0f;
}

static float weight_of_first(void *ctx, uint32_t sample, int index)
{
    (void)ctx;
    (void)sample;
    return index == 0 ? 0.25f : 1.0f;
}

static void hints_change_what_the_net_sees_and_not_the_batch(void **state)
{
    static const char text[] =
        "layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight'"
        "  data_param { source: '%s' batch_size: 8 backend: LMDB } }"
        "layer { name: 's' type: 'Silence' bottom: 'data' }";
    const uint32_t again[8] = { 3, 3, 14, 15, 92, 65, 35, 8 };
    struct say say = { 0 };
    const struct ot_feed_hints hints = { .ctx = &say,
                                         .label = other_label,
                                         .image_weight = weight_of_even };
    struct ot_err err = OT_ERR_INIT;
    char net[600], conf[900];
    struct ot_run r;

    (void)state;
    (void)snprintf(net, sizeof net, text, digits);
    (void)snprintf(conf, sizeof conf, "net: '%s' base_lr: 0.1 lr_policy: 'fixed' max_iter: 1",
                   ot_tiny_file("see.prototxt", net));
    ot_run_open(&r, ot_tiny_file("see.conf", conf), NULL, 0, false,
                (struct ot_net_conf){ .keep_all = true });
    ot_feeds_set_hints(r.feeds, &hints, 0);
    for (int pass = 0; pass < 20; pass++) {
        const struct ot_batch *b;
        float label[8], weight[8];

        assert_ok(ot_feeds_next(r.feeds, pass % 3 ? NULL : again, 8, 0, &err), &err);
        for (int twice = 0; twice < 2; twice++) /* asking again changes nothing */
            assert_ok(ot_net_forward(r.net, NULL, &err), &err);
        b = ot_feeds_batch(r.feeds);
        ot_mined_blob(r.net, "label", label, 8);
        ot_mined_blob(r.net, "weight", weight, 8);
        for (int i = 0; i < 8; i++) {
            int s = (int)b->sample[i].index, given = (s + (s % 16 == 15)) % CLASSES;

            assert_near(b->label[i], given, 0);
            assert_near(label[i], (given + 1 + s % 3) % CLASSES, 0);
            assert_near(weight[i], b->fetched ? 7 : s % 2, 0);
        }
    }
    assert_true(say.times >= 2 * 20 * 8);
    ot_run_close(&r);
}

static void boxes_change_class_or_go(void **state)
{
    static const char text[] =
        "layer { name: 'data' type: 'DetectionData' top: 'data' top: 'im_info' top: 'gt_boxes'"
        "  data_param { source: '%s' batch_size: 2 }"
        "  detection_data_param { short_side: 96 max_side: 96 max_boxes: 4 } }"
        "layer { name: 's' type: 'Silence' bottom: 'data' }";
    struct say say = { 0 };
    const struct ot_feed_hints hints = { .ctx = &say,
                                         .label = other_label,
                                         .box_weight = weight_of_first };
    struct ot_err err = OT_ERR_INIT;
    char net[700], conf[900];
    int gone = 0, other = 0;
    struct ot_run r;

    (void)state;
    (void)snprintf(net, sizeof net, text, scenes);
    (void)snprintf(conf, sizeof conf, "net: '%s' base_lr: 0.1 lr_policy: 'fixed' max_iter: 1",
                   ot_tiny_file("boxes.prototxt", net));
    ot_run_open(&r, ot_tiny_file("boxes.conf", conf), NULL, 0, false,
                (struct ot_net_conf){ .keep_all = true });
    ot_feeds_set_hints(r.feeds, &hints, 0);
    for (int pass = 0; pass < 8; pass++) {
        const struct ot_batch *b;
        float gt[2 * 4 * 6];

        assert_ok(ot_feeds_next(r.feeds, NULL, 0, 0, &err), &err);
        assert_ok(ot_net_forward(r.net, NULL, &err), &err);
        b = ot_feeds_batch(r.feeds);
        ot_mined_blob(r.net, "gt_boxes", gt, 48);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) {
                const float *row = gt + (i * 4 + j) * 6, *was = b->gt + (i * 4 + j) * 6;
                bool used = j < b->sample[i].n_boxes;

                assert_memory_equal(row, was, 4 * sizeof *row);
                assert_near(row[4], !used ? -1 : j == 1 ? 0 : was[4] == 1 ? 5 : was[4], 0);
                assert_near(row[5], !used ? was[5] : j == 0 ? 0.25f : 1, 0);
                assert_true(!used || (was[4] >= 1 && was[5] == 1.0f));
                gone += used && j == 1;
                other += used && j != 1 && was[4] == 1;
            }
    }
    assert_true(gone > 3 && other > 0);
    ot_run_close(&r);
}

/* A row of an earlier night, as a pool has it. */
static void know(struct ot_run *r, uint32_t sample, enum ot_kind kind, int32_t slot, int32_t label,
                 const float box[4])
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_row row = { .id = 1,
                          .sample = sample,
                          .kind = (uint8_t)kind,
                          .state = OT_QUARANTINED,
                          .slot = slot,
                          .label = label,
                          .label_given = label,
                          .weight = 0.2f,
                          .loss = 3,
                          .loss_ema = 3 };

    memcpy(row.box, box, sizeof row.box);
    assert_ok(ot_miner_adopt(r->mine->miner, &row, &err), &err);
}

/* Sample 2 has three boxes. */
static void a_detector_is_fed_weights_labels_and_booked_boxes(void **state)
{
    static const float far[4] = { 0.0f, 0.0f, 0.1f, 0.1f }, whole[4] = { 0, 0, 1, 1 };
    const struct ot_verdict said[] = {
        { .sample = 2, .kind = OT_KIND_GT_ROI, .slot = 1, .what = OT_VERDICT_IGNORE },
        { .sample = 2, .kind = OT_KIND_GT_ROI, .slot = 2, .what = OT_VERDICT_RELABEL },
    };
    const uint32_t batch[2] = { 2, 2 };
    char data[400];
    const char *sets[] = { data, "net.layer[data].data_param.batch_size=2",
                           "net.layer[data].detection_data_param.short_side=96", "eval.draw=0",
                           "mining.thermometer=0" };
    struct ot_err err = OT_ERR_INIT;
    float gt[2 * 64 * 6], booked[2 * 64 * 5], given;
    struct ot_run r;
    size_t boxes, rows;

    (void)state;
    (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", scenes);
    ot_run_open(&r, "configs/frcnn.conf", sets, 5, true, (struct ot_net_conf){ .keep_all = true });
    assert_true(r.mine->weighted);
    know(&r, 2, OT_KIND_GT_ROI, 0, 3, whole);
    know(&r, 2, OT_KIND_BG_ROI, 0, 0, far);
    assert_ok(ot_miner_judge(r.mine->miner, 0, said, 2, &err), &err);
    for (int plain = 0; plain < 2; plain++) {
        r.mine->as_given = plain;
        assert_ok(ot_feeds_next(r.feeds, batch, 2, 0, &err), &err);
        assert_ok(ot_net_forward(r.net, NULL, &err), &err);
        boxes = ot_count(&ot_net_blob(r.net, "gt_boxes")->data.shape) / 2;
        rows = ot_count(&ot_net_blob(r.net, "booked")->data.shape) / 2;
        ot_mined_blob(r.net, "gt_boxes", gt, sizeof gt / sizeof *gt);
        ot_mined_blob(r.net, "booked", booked, sizeof booked / sizeof *booked);
        given = ot_feeds_batch(r.feeds)->gt[2 * 6 + 4];
        for (size_t i = 0; i < 2; i++) {
            const float *g = gt + i * boxes, *b = booked + i * rows;

            assert_near(g[5], plain ? 1 : 0.2f, 0);          /* quarantined */
            assert_near(g[6 + 5], plain ? 1 : 0, 0);         /* ignored */
            assert_near(g[2 * 6 + 4], plain ? given : 0, 0); /* no object, a person says */
            assert_near(b[4], plain ? 0 : 0.2f, 0);          /* background that may be an object */
            if (!plain) /* flipped or not, the box is where it was */
                assert_near(b[2] - b[0] + 1, 0.1 * 96, 0.01);
        }
    }
    ot_run_close(&r);
}

/* ---- the mining block ------------------------------------------------------------------------ */

static struct ot_miner_conf rules(const char *block, const struct ot_mine_facts *f,
                                  struct ot_err *err)
{
    char text[400];
    struct ot_miner_conf conf = { 0 };
    struct ot_config *c;

    (void)snprintf(text, sizeof text,
                   "net: 'configs/fashion.prototxt' base_lr: 0.1 max_iter: 5 lr_policy: 'fixed' "
                   "test_iter: 1 test_interval: 0\nmining { %s }",
                   block);
    *err = (struct ot_err)OT_ERR_INIT;
    c = ot_config_load(ot_tiny_file("rules.conf", text), NULL, 0, false, err);
    assert_ok(c ? 0 : err->code, err);
    (void)ot_mine_rules(c->solver->mining, c->doc, f, &conf, err);
    ot_config_free(c);
    return conf;
}

static const struct ot_mine_facts usual = {
    .passes = 1000, .batch = 8, .seed = 1, .n_classes = 10, .n_samples = 96
};

static void fields_have_ranges_and_places(void **state)
{
    static const char *const bad[][2] = {
        { "importance_beta: 1.5", "rules.conf:2:10: mining.importance_beta: must be in [0, 1]" },
        { "scope_looks: 0", "mining.scope_looks: must be in [1" },
        { "scope_margin: -0.1", "mining.scope_margin: must be in [0, 1]" },
        { "wal_max_mb: 0", "mining.wal_max_mb: must be in [1" },
        { "backups: -1", "mining.backups: must be in [0" },
        { "control: 0.6", "mining.control: must be in [0, 0.5], got 0.6" },
        { "thermometer: 0.2", "mining.thermometer: must be in [0, 0.1], got 0.2" },
        { "sentinel: -2", "mining.sentinel: must be in [-1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ot_err err;

        (void)rules(bad[i][0], &usual, &err);
        assert_error(&err, OT_ECONFIG, bad[i][1]);
    }
}

/* The second cell of a field's line in the table of docs/mining.md. */
static void documented(const char *docs, const char *field, char *cell, size_t n)
{
    char head[64];
    const char *line, *end;

    (void)snprintf(head, sizeof head, "\n| `%s` | ", field);
    line = strstr(docs, head);
    if (!line)
        fail_msg("docs/mining.md says nothing of mining.%s", field);
    line += strlen(head);
    end = strstr(line, " |");
    assert_true(end && (size_t)(end - line) < n);
    (void)snprintf(cell, n, "%.*s", (int)(end - line), line);
}

static void every_field_is_documented_with_its_default(void **state)
{
    const ProtobufCMessageDescriptor *d = &caffe__mining_parameter__descriptor;
    Caffe__MiningParameter def;
    struct ot_err err = OT_ERR_INIT;
    size_t n;
    char *docs = ot_read_file("docs/mining.md", 1 << 20, &n, &err);

    (void)state;
    assert_ok(docs ? 0 : err.code, &err);
    caffe__mining_parameter__init(&def);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const char *at = (const char *)&def + f->offset;
        char cell[100], want[100] = "";
        int v = 0;

        documented(docs, f->name, cell, sizeof cell);
        if (f->type == PROTOBUF_C_TYPE_FLOAT) {
            float x;

            memcpy(&x, at, sizeof x);
            assert_near(strtod(cell, NULL), x, 1e-6);
            continue;
        }
        if (f->type == PROTOBUF_C_TYPE_STRING) {
            if (f->default_value)
                (void)snprintf(want, sizeof want, "`%s`", (const char *)f->default_value);
            else
                continue; /* said in words */
        } else {
            memcpy(&v, at, sizeof v);
            if (f->type == PROTOBUF_C_TYPE_ENUM)
                (void)snprintf(want, sizeof want, "%s",
                               protobuf_c_enum_descriptor_get_value(f->descriptor, v)->name);
            else if (f->type == PROTOBUF_C_TYPE_BOOL)
                (void)snprintf(want, sizeof want, "%s", v ? "true" : "false");
            else
                (void)snprintf(want, sizeof want, "%d", v);
        }
        if (strcmp(cell, want) != 0)
            fail_msg("mining.%s: the default is %s, docs/mining.md says %s", f->name, want, cell);
    }
    ot_free(docs);
}

static void the_naive_pool_has_no_guards(void **state)
{
    const char block[] = "scope: ALL control: 0.2 thermometer: 0.01 auto_share: true";
    char naive[200];
    struct ot_miner_conf c;
    struct ot_err err;

    (void)state;
    assert_near(rules("thermometer: 0.1 ema: 0.9999", &usual, &err).thermometer, 0.1f, 0);
    c = rules(block, &usual, &err);
    assert_true(c.scope_all && c.auto_share);
    assert_near(c.control, 0.2, 1e-7);
    assert_near(c.thermometer, 0.01, 1e-7);
    (void)snprintf(naive, sizeof naive, "policy: NAIVE %s", block);
    c = rules(naive, &usual, &err);
    assert_ok(err.code, &err);
    assert_true(c.naive && !c.scope_all && !c.auto_share);
    assert_near(c.control, 0, 0);
    assert_near(c.thermometer, 0, 0);
}

static void without_weights_nothing_wrong_is_planted(void **state)
{
    struct ot_mine_facts f = usual;
    struct ot_miner_conf c;
    struct ot_err err;

    (void)state;
    f.unweighted = true;
    c = rules("thermometer: 0.01", &f, &err);
    assert_ok(err.code, &err);
    assert_near(c.thermometer, 0, 0);
    (void)rules("importance: PER", &usual, &err);
    assert_error(&err, OT_ECONFIG, "importance: a uniform draw has no bias to weigh");
    (void)rules("importance: PER", &f, &err);
    assert_error(&err, OT_ECONFIG, "importance: must be NONE where the loss has no weights");
    f.unweighted = false;
    f.roi = true;
    c = rules("thermometer: 0.01", &f, &err);
    assert_int_equal(c.first_class, 1);
    assert_near(c.thermometer, 0.01, 1e-8);
    f.n_classes = 2; /* one class and the background: no other to plant */
    assert_near(rules("thermometer: 0.01", &f, &err).thermometer, 0, 0);
    (void)rules("importance: RANK", &f, &err);
    assert_error(&err, OT_ECONFIG, "importance: must be NONE where RoIs are mined, got RANK");
}

static bool weighted(const char *tops, const char *between, const char *weights)
{
    static const char text[] =
        "layer { name: 'data' type: 'Data' top: 'data' top: 'label' %s"
        "  data_param { source: '%s' batch_size: 8 backend: LMDB } } %s "
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip'"
        "  inner_product_param { num_output: 10 } }"
        "layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label' %s"
        "  top: 'loss' top: 'prob' top: 'each' }";
    char net[1200], conf[700];
    struct ot_run r;
    bool w;

    (void)snprintf(net, sizeof net, text, tops, digits, between, weights);
    (void)snprintf(conf, sizeof conf,
                   "net: '%s' base_lr: 0.01 lr_policy: 'fixed' max_iter: 3 mining { }",
                   ot_tiny_file("w.prototxt", net));
    ot_run_open(&r, ot_tiny_file("w.conf", conf), NULL, 0, true, (struct ot_net_conf){ 0 });
    w = r.mine->weighted && !r.mine->other_loss;
    assert_int_equal(w, r.mine->conf.thermometer > 0);
    ot_run_close(&r);
    return w;
}

static void weights_are_followed_from_the_data_to_the_loss(void **state)
{
    (void)state;
    assert_true(weighted("top: 'weight'", "", "bottom: 'weight'"));
    assert_true(weighted("top: 'weight'",
                         "layer { name: 'p' type: 'Power' bottom: 'weight' top: 'twice'"
                         "  power_param { scale: 2 } }",
                         "bottom: 'twice'"));
    assert_true(
        weighted("top: 'weight'",
                 "layer { name: 'f' type: 'Flatten' bottom: 'data' top: 'f' }"
                 "layer { name: 'o' type: 'EuclideanLoss' bottom: 'f' bottom: 'f' top: 'o' }",
                 "bottom: 'weight'"));
    assert_false(weighted(
        "top: 'weight'",
        "layer { name: 'aux' type: 'InnerProduct' bottom: 'data' top: 'aux'"
        "  inner_product_param { num_output: 10 } }"
        "layer { name: 'o' type: 'SoftmaxWithLoss' bottom: 'aux' bottom: 'label' top: 'o' }",
        "bottom: 'weight'"));
    assert_false(weighted("", "", "")); /* as in Caffe */
    assert_false(weighted("top: 'weight'",
                          "layer { name: 'ones' type: 'DummyData' top: 'ones' dummy_data_param {"
                          "  shape { dim: 8 } data_filler { type: 'constant' value: 1 } } }",
                          "bottom: 'ones'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_overlay_trains_as_corrected_data_do),
        cmocka_unit_test(an_overlay_that_is_wrong_is_named_with_its_line),
        cmocka_unit_test(hints_change_what_the_net_sees_and_not_the_batch),
        cmocka_unit_test(boxes_change_class_or_go),
        cmocka_unit_test(a_detector_is_fed_weights_labels_and_booked_boxes),
        cmocka_unit_test(fields_have_ranges_and_places),
        cmocka_unit_test(every_field_is_documented_with_its_default),
        cmocka_unit_test(the_naive_pool_has_no_guards),
        cmocka_unit_test(without_weights_nothing_wrong_is_planted),
        cmocka_unit_test(weights_are_followed_from_the_data_to_the_loss),
    };

    ot_log_set_level(OT_LOG_ERROR);
    (void)snprintf(digits, sizeof digits, "%s", ot_tiny_digits("digits.lmdb", IMAGES, 28, CLASSES));
    (void)snprintf(fixed, sizeof fixed, "%s", ot_tiny_path("fixed.lmdb"));
    (void)snprintf(scenes, sizeof scenes, "%s", ot_tiny_scenes("scenes.lmdb", 12, 96, 11));
    return cmocka_run_group_tests_name("mine", tests, NULL, NULL);
}
