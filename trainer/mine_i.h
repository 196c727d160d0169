/* mine_i.h - what a mine holds; shared by mine.c and the mine_*.c files only. */
#ifndef OT_TRAINER_MINE_I_H
#define OT_TRAINER_MINE_I_H

#include "mining/looklog.h"
#include "trainer/fetch.h"
#include "trainer/mine.h"

struct ot_looks { /* the losses of one iteration */
    struct ot_look *look;
    size_t n, cap;
    int64_t iter;
    bool reinjected, waiting; /* waiting: not yet given to the miner */
};

struct ot_given {                  /* what the data set says of a batch, after it was given back */
    int n, rows, classes;          /* images; rows and columns of the loss's probabilities */
    struct ot_sample_info *sample; /* n */
    float *label;                  /* images: n */
    float *gt;                     /* RoIs: (n, max boxes, 6) */
    size_t sample_cap, label_cap, gt_cap;
};

enum { OT_MINE_LABEL, OT_MINE_PROB, OT_MINE_INST, OT_MINE_ROIS, OT_MINE_MATCHED, OT_MINE_SLOTS };

struct ot_speaker { /* the RoI that overlaps an object most */
    double overlap;
    size_t look;
};

struct ot_mine {
    struct ot_config *config;
    const Caffe__MiningParameter *param;
    struct ot_feeds *feeds;
    struct ot_net *net;
    struct ot_mine_facts facts;
    struct ot_miner_conf conf;
    struct ot_miner *miner;
    struct ot_pool *pool;
    struct ot_looklog *log; /* NULL: none is asked for */
    bool log_warned;
    enum ot_kind kind;
    struct ot_node *loss;
    struct ot_blob *label, *prob, *inst, *rois, *matched; /* rois, matched: RoI kind only */
    bool weighted;                    /* the loss weighs its instances as the data layer says */
    const struct ot_node *other_loss; /* that learns from the labels too, or NULL */
    bool restored;                    /* from a snapshot, with the verdicts that held then */
    bool as_given;       /* this pass is fed what the data set says: given labels, weights 1 */
    const char *overlay; /* path of label_overlay, or NULL */

    struct ot_fetch slot[OT_MINE_SLOTS]; /* of the last pass, or of the sentinel set */
    struct ot_given given;               /* the last pass's */
    uint64_t mark;                       /* not 0: slots of the last pass are not yet looks */
    struct ot_looks lag;                 /* of the last pass */
    struct ot_speaker *speaker;          /* per object of the batch */
    size_t speaker_cap;
    uint32_t *sample; /* of the re-injection; room for conf.batch */

    struct { /* always the same records */
        uint32_t *sample;
        float *loss;
        int n, batch;
    } sentinel;
};

/* mine_conf.c: the loss layer and its blobs, and the configuration with its ranges checked. */
int ot_mine_blame(const struct ot_mine *m, const char *field, struct ot_err *err);
int ot_mine_find(struct ot_mine *m, struct ot_net *net, struct ot_err *err);
int ot_mine_conf(struct ot_mine *m, struct ot_err *err);
void ot_mine_say_limits(const struct ot_mine *m); /* of this net, in the log */

/* mine_sentinel.c: room for the set, chosen by hash. */
int ot_mine_choose_sentinel(struct ot_mine *m, struct ot_err *err);

/* mine_log.c: the loss log, where one is asked for. */
int ot_mine_open_log(struct ot_mine *m, struct ot_err *err);
void ot_mine_check_log(struct ot_mine *m); /* warns once when it is broken */
int ot_mine_close_log(struct ot_mine *m, bool ended, struct ot_err *err);

/* mine_looks.c: asks for the values of the pass just asked for, and for what is known of its
 * batch; later, the looks of it into m->lag (waits; nothing when they are there). */
int ot_mine_ask(struct ot_mine *m, struct ot_err *err);
int ot_mine_settle(struct ot_mine *m, struct ot_err *err);
/* The values in slots 0 to `last` of those the net has. */
int ot_mine_fetch(struct ot_mine *m, int last, struct ot_err *err);
bool ot_mine_ignored(const struct ot_mine *m, float label);

#endif
