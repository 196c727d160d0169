/* nets_net.c - one net file: which phases, which data, and what is said of them. */
#include <stdio.h>
#include <string.h>

#include "proto/upgrade.h"
#include "tests/nets_run.h"

const char *nets_phase_name(Caffe__Phase phase)
{
    return phase == CAFFE__PHASE__TRAIN ? "TRAIN" : "TEST";
}

bool nets_skip_type(struct nets_run *r, const char *file, const Caffe__NetParameter *net)
{
    const Caffe__LayerParameter *l = nets_unsupported(net);
    char text[256];

    if (!l)
        return false;
    (void)snprintf(text, sizeof text, "unsupported layer type %s (layer '%s')", l->type,
                   l->name ? l->name : "");
    nets_say(r, file, "SKIP", text);
    return true;
}

/* Batches of Input layers, where nothing else says how many there are. */
static int fewer_inputs(const Caffe__NetParameter *net, int batch, struct nets_edits *e,
                        struct ot_err *err)
{
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__InputParameter *p = net->layer[i]->input_param;

        for (size_t k = 0; p && k < p->n_shape; k++)
            if (p->shape[k]->n_dim && p->shape[k]->dim[0] > batch &&
                nets_edit(e, err, "net.layer[%zu].input_param.shape[%zu].dim[0]=%d", i, k, batch) <
                    0)
                return err->code;
    }
    return 0;
}

static int try_data(const struct nets_run *r, const char *file, const Caffe__NetParameter *net,
                    Caffe__Phase phase, struct ot_net *share, struct nets_phase *p,
                    const struct nets_record *rec, bool fewer, struct ot_err *err)
{
    struct nets_edits e = { .n = 0 };
    int rc = 0;

    if (rec)
        rc = nets_supply(net, "net", file, r->tmp, *rec, r->batch, &e, err);
    if (rc == 0 && fewer)
        rc = fewer_inputs(net, r->batch, &e, err);
    if (rc == 0)
        rc = nets_phase_open(p, r->dev, file, phase, &e, share, err);
    nets_edits_free(&e);
    return rc;
}

int nets_find_data(const struct nets_run *r, const char *file, const Caffe__NetParameter *net,
                   Caffe__Phase phase, struct ot_net *share, struct nets_phase *p,
                   struct nets_record *found, struct ot_err *err)
{
    struct nets_record rec[NETS_SHAPES];
    int n = nets_records(net, rec), rc = -1;

    *p = (struct nets_phase){ .phase = phase };
    for (int i = 0; i < (n ? n : 2) && rc != 0; i++) {
        struct ot_err one = OT_ERR_INIT;

        nets_phase_close(p);
        rc = try_data(r, file, net, phase, share, p, n ? &rec[i] : NULL, n || i == 0, &one);
        if (rc == 0 && n)
            *found = rec[i];
        if (rc != 0 && i == 0)
            *err = one; /* of the likeliest shape */
    }
    return rc == 0 ? 0 : err->code;
}

/* Layers of its own, or any at all where the net does not tell phases apart. */
static bool has_phase(const Caffe__NetParameter *net, Caffe__Phase phase)
{
    bool ruled = false, own = false;

    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *l = net->layer[i];

        for (size_t k = 0; k < l->n_include; k++) {
            ruled = ruled || l->include[k]->has_phase;
            own = own || (l->include[k]->has_phase && l->include[k]->phase == phase);
        }
    }
    return own || !ruled;
}

static void note_of(const struct nets_phase *p, char *note, size_t n)
{
    if (p->phase == CAFFE__PHASE__TRAIN || !p->net->conf.param->force_backward)
        note[0] = '\0';
    else
        (void)snprintf(note, n, "%s",
                       p->has_loss ? ", backward as well"
                                   : ", force_backward but no loss to go back from");
}

static int one_phase(struct nets_run *r, const char *file, const Caffe__NetParameter *net,
                     Caffe__Phase phase, struct ot_net *share, struct nets_phase *p)
{
    struct ot_err err = OT_ERR_INIT;
    struct nets_record rec;
    char note[80];
    int rc = nets_find_data(r, file, net, phase, share, p, &rec, &err);

    if (rc == 0 && phase == CAFFE__PHASE__TRAIN && !nets_trainable(p->net))
        return 1; /* a net to be used, not trained: its TEST phase says all */
    if (rc == 0)
        rc = nets_phase_run(p, phase == CAFFE__PHASE__TRAIN, &err);
    if (rc < 0) {
        nets_fail(r, file, nets_phase_name(phase), &err);
        return rc;
    }
    note_of(p, note, sizeof note);
    nets_ok(r, file, p, note);
    return 0;
}

void nets_run_net(struct nets_run *r, const char *file, struct ot_doc *doc)
{
    Caffe__NetParameter *net = (Caffe__NetParameter *)(void *)ot_doc_root(doc);
    struct nets_phase train = { 0 }, test = { 0 };
    struct ot_err err = OT_ERR_INIT;
    int rc = 1; /* no TRAIN phase */

    if (ot_upgrade_net(doc, net, &err) < 0) {
        nets_fail(r, file, "", &err);
        return;
    }
    if (nets_skip_type(r, file, net))
        return;
    if (has_phase(net, CAFFE__PHASE__TRAIN))
        rc = one_phase(r, file, net, CAFFE__PHASE__TRAIN, NULL, &train);
    if (rc >= 0 && has_phase(net, CAFFE__PHASE__TEST))
        (void)one_phase(r, file, net, CAFFE__PHASE__TEST, rc == 0 ? train.net : NULL, &test);
    nets_phase_close(&test);
    nets_phase_close(&train);
}
