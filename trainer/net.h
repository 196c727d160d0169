/*
 * net.h - a net: layers wired together, memory planned once, forward and backward.
 *
 * ot_net_new() filters the layers by phase, level and stage, inserts Split where a blob has
 * several readers (names as Caffe's), sets every layer up, shares parameters (by ParamSpec.name
 * inside the net, by layer name with conf.share) and decides who needs a gradient.
 * ot_net_plan() lets layers choose formats, places every tensor in one arena by its lifetime and
 * allocates.  After that nothing is allocated until a data layer's shape changes, when the net
 * is planned anew (the arena only grows); a layer whose output's size depends on values (Filter)
 * has this done for what follows it, in the middle of a forward pass.
 *
 * Ownership: the net owns layers, blobs, parameters and memory; it borrows device, message,
 *            document, door and `share`, which must outlive it.
 * Threads: one; the thread that runs it.
 * Errors: with file:line:col of the net's text and "layer 'name': ".
 */
#ifndef OT_TRAINER_NET_H
#define OT_TRAINER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "layers/layer.h"

struct ot_net;

struct ot_net_conf {
    struct ot_dev *dev;
    const Caffe__NetParameter *param; /* upgraded: proto/upgrade.h */
    const struct ot_doc *doc;         /* of param; NULL: messages carry no place */
    Caffe__Phase phase;
    int level;
    const char *const *stage;
    int nstage;
    uint64_t seed;
    struct ot_feed_door *door; /* NULL: a net with Data layers is refused */
    struct ot_net *share;      /* take parameters of equally named layers from there */
    bool keep_all;             /* every blob keeps its own memory (tests, debugging) */
    bool no_fusion;            /* every layer by itself: net_fuse.c */
    const char *const *keep;   /* blobs whose values are read after forward */
    int nkeep;
};

struct ot_net_blob {
    struct ot_blob b;          /* first: a layer's ot_blob is one of these */
    int producer;              /* node, or -1 */
    struct ot_net_blob *alias; /* shares data with this blob, or NULL */
    struct ot_net_blob *now;   /* newest physical version while planning */
    bool keep;                 /* an output or asked for */
    bool zero_grad;            /* nobody writes its gradient, but its producer reads it */
    bool read_back;            /* a backward of those who wrote it reads its data */
    float loss_weight;
    int data_item, grad_item;    /* in the plan; -1: none */
    size_t data_peak, grad_peak; /* largest sizes planned, in a dynamic net */
};

struct ot_node { /* a layer and what only the net knows of it */
    struct ot_layer l;
    const char **bottom, **top; /* names after Split insertion */
    struct ot_net_blob *in[OT_MAX_IO], *out[OT_MAX_IO];
    bool prop_down[OT_MAX_IO];
    bool inserted;       /* a Split of ours */
    unsigned loss_moved; /* bit t: top t's loss weight sits on its Split */
    bool backward;       /* takes part in backward */
    int last; /* the last node whose work this one does: itself, or those fused into it */
    bool skip_forward, skip_backward; /* another does it; both: it has no memory of its own */
    int ws_item[OT_MAX_WS];
    size_t ws_peak[OT_MAX_WS];
    double fwd_s, bwd_s; /* time spent, when timing is on */
};

struct ot_conversion { /* a tensor in two formats */
    int node, in;
    struct ot_net_blob *from, *to;
};

struct ot_net {
    const char *name;
    struct ot_net_env env;
    struct ot_net_conf conf;
    struct ot_arena arena;
    struct ot_node *node;
    int nnode;
    struct ot_net_blob **blob;
    size_t nblob, blob_cap;
    struct ot_param **param; /* all of them, owners and sharers */
    size_t nparam, param_cap;
    struct ot_param **learn; /* owners, in layer order: what a solver updates */
    size_t nlearn;
    struct ot_conversion *conv;
    size_t nconv, conv_cap;
    struct ot_plan_item *item;
    size_t nitem, item_cap;
    void *memory, *scratch;
    size_t memory_bytes, scratch_bytes, unshared_bytes; /* unshared: without lifetimes */
    size_t param_bytes;
    bool planned, timing;
    /* Called after node i's forward or backward, while what it wrote is still there; NULL: none. */
    int (*watch)(struct ot_net *net, int i, bool backward, void *arg, struct ot_err *err);
    void *watch_arg;
    bool dynamic; /* a layer's output depends on values: places are kept at their largest size */
    const struct ot_plan_before *before; /* while it is planned anew during forward */
    float *fold;                         /* owned: to add a sharer's gradient of another format */
    size_t fold_elems;
    uint64_t param_version; /* bumped when values change; sharers refresh by it */
    uint64_t seen_version;
    struct ot_replay *replay; /* what may be replayed; of this plan */
    int nreplay;
    int patience; /* passes before one is recorded; 0: as many as at first */
};

struct ot_net *ot_net_new(const struct ot_net_conf *conf, struct ot_err *err);
void ot_net_free(struct ot_net *net);

/* Plans and allocates; called by the first forward when it was not called before. */
int ot_net_plan(struct ot_net *net, struct ot_err *err);

/* *loss: sum of loss_weight * loss over all loss tops (may be NULL: no read back). */
int ot_net_forward(struct ot_net *net, double *loss, struct ot_err *err);
int ot_net_backward(struct ot_net *net, struct ot_err *err);
/* Forward and backward of a batch; nothing waits for a device that finds bad data late.  Values
 * of loss blobs and of those kept are there until the next pass is asked for. */
int ot_net_pass(struct ot_net *net, struct ot_err *err);
/* ot_dev_ok(), with the place of the layer that a failure found late names. */
int ot_net_ok(struct ot_net *net, struct ot_err *err);

/* Marks all parameter gradients zero (nothing is written: the next writer overwrites). */
void ot_net_zero_grads(struct ot_net *net);
/* Says that parameter values changed (solver step, loading). */
void ot_net_params_changed(struct ot_net *net);

/* A blob by its name in the prototxt (the last version of an in-place chain), or NULL. */
struct ot_blob *ot_net_blob(const struct ot_net *net, const char *name);
struct ot_node *ot_net_node(const struct ot_net *net, const char *layer);
/* Copies a blob's data to the host in plain order: ot_count(&b->data.shape) floats. */
int ot_net_read(struct ot_net *net, const struct ot_blob *b, float *host, struct ot_err *err);
int ot_net_read_grad(struct ot_net *net, const struct ot_blob *b, float *host, struct ot_err *err);

/* Gives every learnable parameter `count` zeroed history buffers. */
int ot_net_history(struct ot_net *net, int count, struct ot_err *err);

/* Parameter values, gradients or history in plain order, to and from the host. */
enum ot_param_part { OT_PARAM_DATA, OT_PARAM_GRAD, OT_PARAM_HIST0, OT_PARAM_HIST1 };

int ot_param_get(struct ot_net *net, const struct ot_param *p, enum ot_param_part part, float *host,
                 struct ot_err *err);
int ot_param_set(struct ot_net *net, struct ot_param *p, enum ot_param_part part, const float *host,
                 struct ot_err *err);

/* Outputs: blobs that nobody reads, in alphabetical order (as Caffe prints them); fills at most
 * max, returns how many there are. */
int ot_net_outputs(const struct ot_net *net, struct ot_blob **out, int max);

/* The layer table of --check: type, shapes, parameters, memory, FLOPs. */
void ot_net_table(const struct ot_net *net, struct ot_str *out);

/* ---- shared by the net_*.c files ------------------------------------------------------------- */
struct ot_plan_item {
    size_t bytes, offset;
    int first, last; /* steps: forward of node i is i, backward 2n-1-i */
    float **slot;    /* where the address goes */
    void **slot_ws;
};

/* What must survive a plan made during forward. */
struct ot_plan_before {
    const struct ot_plan_item *item;
    size_t nitem;
    int step; /* values of steps up to this one are in use */
};

/* After node i (OT_LAYER_DYNAMIC) gave its outputs another size: reshapes what follows and plans
 * anew; values computed so far stay. */
int ot_net_follow(struct ot_net *net, int i, struct ot_err *err); /* net_dynamic.c */
/* Memory of `need` bytes for the items just placed, with the values of net->before. */
int ot_net_resettle(struct ot_net *net, size_t need, struct ot_err *err);

/* net_replay.c: work that is the same in every pass of a plan is recorded by devices that can, and
 * then replayed.  What of a pass, and whether there is anything to gain. */
enum ot_replay_what { OT_REPLAY_FORWARD, OT_REPLAY_PASS, OT_REPLAY_UPDATE };

bool ot_net_replays(const struct ot_net *net);
/* Does work(arg), which may do nothing but call kernels and change which gradients are zero. */
int ot_net_replay(struct ot_net *net, enum ot_replay_what what,
                  int (*work)(void *arg, struct ot_err *err), void *arg, struct ot_err *err);
/* Before memory that a recording names moves or is freed. */
void ot_net_forget(struct ot_net *net);

/* net_fuse.c: before formats are chosen */
void ot_net_fuse(struct ot_net *net);

int ot_net_wire(struct ot_net *net, struct ot_err *err);      /* net_wire.c: layers and names */
int ot_net_wrap(const struct ot_node *n, struct ot_err *err); /* adds layer and place */
int ot_net_reshape(struct ot_node *n, struct ot_err *err);    /* and checks the tops' sizes */

#endif
