/*
 * upgrade.c - one step for each format of the past, in Caffe's order.  Decides in which order the
 * old forms are recognised, what is refused, and under which place a new field is known.
 */
#include "proto/upgrade.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/upgrade_i.h"

#define V1(type) CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__##type

ProtobufCMessage *ot_upgrade_message(struct ot_doc *doc, ProtobufCMessage *msg, const char *name,
                                     struct ot_loc loc, struct ot_err *err)
{
    const ProtobufCFieldDescriptor *f = ot_field_named(msg, name);
    union ot_value v = { 0 };

    if (ot_field_count(msg, f))
        return ot_field_get(msg, f, 0).msg;
    v.msg = ot_doc_message(doc, f->descriptor, loc, err);
    return v.msg && ot_field_add(doc, msg, f, &v, loc, err) == 0 ? v.msg : NULL;
}

static int put_text(struct ot_doc *doc, ProtobufCMessage *msg, const char *name, const char *text,
                    struct ot_loc loc, struct ot_err *err)
{
    size_t n = strlen(text) + 1;
    union ot_value v = { .str = ot_doc_alloc(doc, n, err) };

    if (!v.str)
        return err->code;
    memcpy(v.str, text, n);
    return ot_field_add(doc, msg, ot_field_named(msg, name), &v, loc, err);
}

/* ---- transformation fields of data layers ---------------------------------------------------- */

/* Returns how many fields were there; they win over the same field of transform_param, as in
 * Caffe. */
static int upgrade_transform(struct ot_doc *doc, Caffe__V1LayerParameter *l, const char *param,
                             struct ot_err *err)
{
    static const char *const fields[] = { "scale", "mean_file", "crop_size", "mirror" };
    const ProtobufCFieldDescriptor *holder = ot_field_named(&l->base, param);
    ProtobufCMessage *from, *to;
    int found = 0;

    if (!ot_field_count(&l->base, holder))
        return 0;
    from = ot_field_get(&l->base, holder, 0).msg;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const ProtobufCFieldDescriptor *f = ot_field_named(from, fields[i]);

        if (!ot_field_count(from, f))
            continue;
        found++;
        to = ot_upgrade_message(doc, &l->base, "transform_param", ot_doc_loc(doc, from, fields[i]),
                                err);
        if (!to || ot_field_move(doc, from, f, to, ot_field_named(to, fields[i]), err) < 0)
            return err->code;
    }
    return found;
}

static int upgrade_transforms(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    int found = 0, rc = 0;

    for (size_t i = 0; rc >= 0 && i < net->n_layers; i++) {
        Caffe__V1LayerParameter *l = net->layers[i];

        rc = 0;
        if (l->type == V1(DATA))
            rc = upgrade_transform(doc, l, "data_param", err);
        else if (l->type == V1(IMAGE_DATA))
            rc = upgrade_transform(doc, l, "image_data_param", err);
        else if (l->type == V1(WINDOW_DATA))
            rc = upgrade_transform(doc, l, "window_data_param", err);
        found |= rc;
    }
    return rc < 0 ? rc : found ? OT_UPGRADED_TRANSFORM : 0;
}

/* ---- V1 layers ------------------------------------------------------------------------------- */

static const char *const type_of[] = {
    [V1(ABSVAL)] = "AbsVal",
    [V1(ACCURACY)] = "Accuracy",
    [V1(ARGMAX)] = "ArgMax",
    [V1(BNLL)] = "BNLL",
    [V1(CONCAT)] = "Concat",
    [V1(CONTRASTIVE_LOSS)] = "ContrastiveLoss",
    [V1(CONVOLUTION)] = "Convolution",
    [V1(DATA)] = "Data",
    [V1(DECONVOLUTION)] = "Deconvolution",
    [V1(DROPOUT)] = "Dropout",
    [V1(DUMMY_DATA)] = "DummyData",
    [V1(ELTWISE)] = "Eltwise",
    [V1(EUCLIDEAN_LOSS)] = "EuclideanLoss",
    [V1(EXP)] = "Exp",
    [V1(FLATTEN)] = "Flatten",
    [V1(HDF5_DATA)] = "HDF5Data",
    [V1(HDF5_OUTPUT)] = "HDF5Output",
    [V1(HINGE_LOSS)] = "HingeLoss",
    [V1(IM2COL)] = "Im2col",
    [V1(IMAGE_DATA)] = "ImageData",
    [V1(INFOGAIN_LOSS)] = "InfogainLoss",
    [V1(INNER_PRODUCT)] = "InnerProduct",
    [V1(LRN)] = "LRN",
    [V1(MEMORY_DATA)] = "MemoryData",
    [V1(MULTINOMIAL_LOGISTIC_LOSS)] = "MultinomialLogisticLoss",
    [V1(MVN)] = "MVN",
    [V1(POOLING)] = "Pooling",
    [V1(POWER)] = "Power",
    [V1(RELU)] = "ReLU",
    [V1(SIGMOID)] = "Sigmoid",
    [V1(SIGMOID_CROSS_ENTROPY_LOSS)] = "SigmoidCrossEntropyLoss",
    [V1(SILENCE)] = "Silence",
    [V1(SLICE)] = "Slice",
    [V1(SOFTMAX)] = "Softmax",
    [V1(SOFTMAX_LOSS)] = "SoftmaxWithLoss",
    [V1(SPLIT)] = "Split",
    [V1(TANH)] = "TanH",
    [V1(THRESHOLD)] = "Threshold",
    [V1(WINDOW_DATA)] = "WindowData",
};

/* A list of V1 whose i-th value is a field of the i-th `param` today. */
static const struct {
    const char *list, *field;
} specs[] = {
    { "param", "name" },
    { "blob_share_mode", "share_mode" },
    { "blobs_lr", "lr_mult" },
    { "weight_decay", "decay_mult" },
};

static const char *spec_field(const char *list)
{
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        if (!strcmp(specs[i].list, list))
            return specs[i].field;
    return NULL;
}

/* Parameters of other types than the one whose name they have. */
static const struct {
    Caffe__V1LayerParameter__LayerType type;
    const char *param;
} borrowed[] = {
    { V1(DECONVOLUTION), "convolution_param" },
    { V1(IM2COL), "convolution_param" },
    { V1(SIGMOID_CROSS_ENTROPY_LOSS), "sigmoid_param" },
    { V1(SOFTMAX_LOSS), "softmax_param" },
};

/* Does a layer of that type read this field?  INNER_PRODUCT reads inner_product_param. */
static bool belongs(const Caffe__V1LayerParameter *l, const char *field)
{
    const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(
        &caffe__v1_layer_parameter__layer_type__descriptor, (int)l->type);
    size_t n = strlen(e->name), i = 0;

    if (strlen(field) < 6 || strcmp(field + strlen(field) - 6, "_param") != 0 ||
        !strcmp(field, "transform_param") || !strcmp(field, "loss_param"))
        return true;
    for (size_t k = 0; k < sizeof borrowed / sizeof *borrowed; k++)
        if (borrowed[k].type == l->type && !strcmp(borrowed[k].param, field))
            return true;
    while (i < n && tolower((unsigned char)e->name[i]) == field[i])
        i++;
    return i == n && !strcmp(field + n, "_param");
}

static int move_to_specs(struct ot_doc *doc, Caffe__V1LayerParameter *from,
                         const ProtobufCFieldDescriptor *f, Caffe__LayerParameter *to,
                         struct ot_err *err)
{
    const ProtobufCFieldDescriptor *param = ot_field_named(&to->base, "param");

    for (size_t i = 0; i < ot_field_count(&from->base, f); i++) {
        union ot_value v = ot_field_get(&from->base, f, i), spec = { 0 };
        struct ot_loc loc = ot_doc_loc_at(doc, from, f->name, i);

        if (i == to->n_param) {
            spec.msg = ot_doc_message(doc, param->descriptor, loc, err);
            if (!spec.msg || ot_field_add(doc, &to->base, param, &spec, loc, err) < 0)
                return err->code;
        }
        spec.msg = &to->param[i]->base;
        if (ot_field_add(doc, spec.msg, ot_field_named(spec.msg, spec_field(f->name)), &v, loc,
                         err) < 0)
            return err->code;
    }
    ot_field_clear(doc, &from->base, f);
    return 0;
}

static int upgrade_v1_layer(struct ot_doc *doc, Caffe__V1LayerParameter *from,
                            Caffe__LayerParameter *to, struct ot_err *err)
{
    const char *type;

    if (from->type == V1(NONE))
        return ot_fail_at(err, ot_doc_loc(doc, from, "type"), OT_ECONFIG, "the type is missing");
    type = type_of[from->type];
    if (put_text(doc, &to->base, "type", type, ot_doc_loc(doc, from, "type"), err) < 0)
        return err->code;
    for (unsigned i = 0; i < from->base.descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &from->base.descriptor->fields[i];
        int rc = 0;

        if (!ot_field_count(&from->base, f) || !strcmp(f->name, "type"))
            continue;
        if (!belongs(from, f->name))
            return ot_fail_at(err, ot_doc_loc(doc, from, f->name), OT_ECONFIG,
                              "a layer of type %s has no %s", type, f->name);
        if (spec_field(f->name))
            rc = move_to_specs(doc, from, f, to, err);
        else
            rc = ot_field_move(doc, &from->base, f, &to->base, ot_field_named(&to->base, f->name),
                               err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int upgrade_v1(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    const ProtobufCFieldDescriptor *layer = ot_field_named(&net->base, "layer");

    if (net->n_layer)
        return ot_fail_at(err, ot_doc_loc(doc, net, "layer"), OT_ECONFIG,
                          "a net has either `layer` or, in the old format, `layers`, got both "
                          "(`layers` at line %d)",
                          ot_doc_loc(doc, net, "layers").line);
    for (size_t i = 0; i < net->n_layers; i++) {
        Caffe__V1LayerParameter *from = net->layers[i];
        struct ot_loc loc = ot_doc_loc(doc, from, NULL);
        const char *name = from->name;
        union ot_value v = { 0 };

        v.msg = ot_doc_message(doc, layer->descriptor, loc, err);
        if (!v.msg || ot_field_add(doc, &net->base, layer, &v, loc, err) < 0)
            return err->code;
        if (upgrade_v1_layer(doc, from, net->layer[i], err) < 0)
            return ot_err_wrap(err, "layer '%s'", name ? name : "");
    }
    ot_field_clear(doc, &net->base, ot_field_named(&net->base, "layers"));
    return 0;
}

/* ---- input fields ---------------------------------------------------------------------------- */

/* The shape of the i-th name: an input_shape as it stands, or four input_dim. */
static ProtobufCMessage *input_shape(struct ot_doc *doc, const Caffe__NetParameter *net, size_t i,
                                     struct ot_err *err)
{
    struct ot_loc loc = ot_doc_loc_at(doc, net, "input_dim", 4 * i);
    ProtobufCMessage *shape;

    if (net->n_input_shape)
        return &net->input_shape[i]->base;
    shape = ot_doc_message(doc, &caffe__blob_shape__descriptor, loc, err);
    for (size_t k = 4 * i; shape && k < 4 * i + 4; k++) {
        union ot_value dim = { .i64 = net->input_dim[k] };

        loc = ot_doc_loc_at(doc, net, "input_dim", k);
        if (ot_field_add(doc, shape, ot_field_named(shape, "dim"), &dim, loc, err) < 0)
            return NULL;
    }
    return shape;
}

/* The last layer becomes the first. */
static void last_to_front(struct ot_doc *doc, Caffe__NetParameter *net)
{
    const struct ot_place *pl = ot_doc_place(doc, net);
    Caffe__LayerParameter *last = net->layer[net->n_layer - 1];
    uint32_t field = (uint32_t)(ot_field_named(&net->base, "layer") - pl->type->fields);

    memmove(net->layer + 1, net->layer, (net->n_layer - 1) * sizeof(void *));
    net->layer[0] = last;
    for (size_t i = 0; i < pl->n; i++)
        if (pl->spots[i].field == field)
            pl->spots[i].index = pl->spots[i].index + 1 == net->n_layer ? 0
                                                                        : pl->spots[i].index + 1;
}

static int fill_input_layer(struct ot_doc *doc, Caffe__NetParameter *net, ProtobufCMessage *layer,
                            struct ot_err *err)
{
    struct ot_loc loc = ot_doc_loc(doc, net, "input");
    ProtobufCMessage *param = ot_upgrade_message(doc, layer, "input_param", loc, err);

    if (!param || put_text(doc, layer, "name", "input", loc, err) < 0 ||
        put_text(doc, layer, "type", "Input", loc, err) < 0)
        return err->code;
    for (size_t i = 0; i < net->n_input; i++) {
        union ot_value v = { .msg = input_shape(doc, net, i, err) };

        loc = v.msg ? ot_doc_loc(doc, v.msg, NULL) : loc;
        if (!v.msg || ot_field_add(doc, param, ot_field_named(param, "shape"), &v, loc, err) < 0)
            return err->code;
    }
    return ot_field_move(doc, &net->base, ot_field_named(&net->base, "input"), layer,
                         ot_field_named(layer, "top"), err);
}

/* `input: "data"` with an input_shape or four input_dim each: one Input layer before all others. */
static int upgrade_input(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    struct ot_loc loc = ot_doc_loc(doc, net, "input");
    union ot_value v = { 0 };

    if (!net->n_input)
        return 0;
    if (net->n_input_shape ? net->n_input_shape != net->n_input
                           : net->n_input_dim != 4 * net->n_input)
        return ot_fail_at(err, loc, OT_ECONFIG,
                          "%zu input names need as many input_shape or 4 input_dim each, got %zu "
                          "and %zu",
                          net->n_input, net->n_input_shape, net->n_input_dim);
    v.msg = ot_doc_message(doc, &caffe__layer_parameter__descriptor, loc, err);
    if (!v.msg || fill_input_layer(doc, net, v.msg, err) < 0 ||
        ot_field_add(doc, &net->base, ot_field_named(&net->base, "layer"), &v, loc, err) < 0)
        return err->code;
    last_to_front(doc, net);
    ot_field_clear(doc, &net->base, ot_field_named(&net->base, "input_shape"));
    ot_field_clear(doc, &net->base, ot_field_named(&net->base, "input_dim"));
    return OT_UPGRADED_INPUT;
}

/* ---- batch normalisation -----------------------------------------------------------------------
 */

/* Three `param` were needed to keep the solver from the statistics; now they are left alone
 * anyhow, and the three say so whatever they said. */
static int upgrade_batch_norm(struct ot_doc *doc, Caffe__LayerParameter *l, struct ot_err *err)
{
    static const char *const fields[] = { "lr_mult", "decay_mult" };
    const union ot_value zero = { 0 };

    if (!l->type || strcmp(l->type, "BatchNorm") != 0 || l->n_param != 3)
        return 0;
    for (size_t i = 0; i < l->n_param; i++)
        for (size_t k = 0; k < 2; k++) {
            ProtobufCMessage *p = &l->param[i]->base;

            if (ot_field_add(doc, p, ot_field_named(p, fields[k]), &zero,
                             ot_doc_loc(doc, p, fields[k]), err) < 0)
                return err->code;
        }
    return OT_UPGRADED_BATCH_NORM;
}

int ot_upgrade_net(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    int what = 0, rc = 0;

    for (size_t i = 0; i < net->n_layers && !what; i++)
        what = net->layers[i]->layer ? OT_UPGRADED_V0 : 0;
    if (what && ot_upgrade_v0(doc, net, err) < 0)
        return err->code;
    rc = upgrade_transforms(doc, net, err);
    if (rc < 0)
        return rc;
    what |= rc | (net->n_layers ? OT_UPGRADED_V1 : 0);
    if (net->n_layers && upgrade_v1(doc, net, err) < 0)
        return err->code;
    what |= rc = upgrade_input(doc, net, err);
    for (size_t i = 0; rc >= 0 && i < net->n_layer; i++) {
        rc = upgrade_batch_norm(doc, net->layer[i], err);
        what |= rc;
    }
    return rc < 0 ? rc : what;
}

/* ---- solvers --------------------------------------------------------------------------------- */

static int upgrade_solver_type(struct ot_doc *doc, Caffe__SolverParameter *s, struct ot_err *err)
{
    static const char *const names[] = {
        "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"
    };
    struct ot_loc loc = ot_doc_loc(doc, s, "solver_type");

    if (!s->has_solver_type)
        return 0;
    if (ot_field_count(&s->base, ot_field_named(&s->base, "type")))
        return ot_fail_at(err, loc, OT_ECONFIG,
                          "solver_type is the old form of type; give one of the two, got \"%s\" "
                          "beside it",
                          s->type);
    if (put_text(doc, &s->base, "type", names[s->solver_type], loc, err) < 0)
        return err->code;
    ot_field_clear(doc, &s->base, ot_field_named(&s->base, "solver_type"));
    return OT_UPGRADED_SOLVER_TYPE;
}

int ot_upgrade_solver(struct ot_doc *doc, Caffe__SolverParameter *s, struct ot_err *err)
{
    int what = upgrade_solver_type(doc, s, err), rc = what;

    if (rc >= 0 && s->net_param)
        what |= rc = ot_upgrade_net(doc, s->net_param, err);
    if (rc >= 0 && s->train_net_param)
        what |= rc = ot_upgrade_net(doc, s->train_net_param, err);
    for (size_t i = 0; rc >= 0 && i < s->n_test_net_param; i++)
        what |= rc = ot_upgrade_net(doc, s->test_net_param[i], err);
    return rc < 0 ? rc : what;
}

const char *ot_upgrade_names(int what, char *buf, size_t n)
{
    static const char *const names[] = {
        "V0LayerParameter",           "transformation fields in the parameters of data layers",
        "V1LayerParameter",           "input fields",
        "BatchNorm with three param", "solver_type"
    };
    size_t len = 0;

    buf[0] = '\0';
    for (int i = 0; i < 6; i++)
        if (what >> i & 1 && len < n)
            len += (size_t)snprintf(buf + len, n - len, "%s%s", len ? ", " : "", names[i]);
    return buf;
}
