/* job_i.h - what a job holds; shared by train.c, report.c and job.c only. */
#ifndef OT_TRAINER_JOB_I_H
#define OT_TRAINER_JOB_I_H

#include "trainer/correct.h"
#include "trainer/evaluate.h"
#include "trainer/fetch.h"
#include "trainer/metrics.h"
#include "trainer/mine.h"
#include "trainer/snapshot.h"
#include "trainer/solver.h"
#include "trainer/train.h"

enum { OT_MAX_LOSSES = 32 };

/* The losses of some passes: sums. */
struct ot_part {
    int n;
    double total, loss[OT_MAX_LOSSES];
};

/* The last pass that was asked for, until its losses are there. */
struct ot_asked {
    uint64_t mark; /* 0: none */
    int64_t iter;
    bool reinjected, last; /* last: of its iteration */
};

/* An iteration that was asked for, as it was then; it is reported when its losses are there. */
struct ot_done {
    int64_t iter;
    double lr, ms, wait_s;
    struct ot_miner_counts counts; /* with mining */
};

struct ot_job {
    struct ot_config *config;
    const Caffe__SolverParameter *param;
    struct ot_dev *dev;
    struct ot_feeds *feeds;
    struct ot_mine *mine;       /* NULL without mining */
    struct ot_correct *correct; /* label_overlay without mining, or NULL */
    struct ot_net *net;
    struct ot_solver *solver;
    struct ot_test *test[OT_MAX_TEST_NETS];
    struct ot_metrics *metrics;
    int lock; /* of the run folder; -1 */
    struct ot_net_blob *loss[OT_MAX_LOSSES];
    int nloss;
    double loss_sum[OT_MAX_LOSSES]; /* of the last iteration with fresh passes: means over them */
    struct ot_fetch slot[OT_MAX_LOSSES];
    struct ot_asked asked;
    struct ot_done done;
    struct ot_part part[2]; /* of asked.iter: its fresh passes, its re-injected ones */

    /* progress */
    double start_s, last_s; /* of the loop; of the last display */
    int64_t start_iter, last_iter;
    int64_t images, last_images;
    double wait_at_last;
    double *recent;  /* the last average_loss losses of iterations with fresh passes */
    int64_t nrecent; /* so many there have been */
    bool last_mined; /* the last pass was a re-injected one */
    double fresh_loss, mined_loss; /* running means; NaN before the first */
    double last_loss, last_map;
    double final_map; /* NaN without detection */
    char chosen[128]; /* the device's, as it was last said */
};

int ot_job_open(struct ot_job *j, struct ot_config *config, const struct ot_train_opts *opts,
                struct ot_err *err);
void ot_job_close(struct ot_job *j);
/* Takes the run folder: lock, log, metrics; moves an earlier run's files away unless resumed. */
int ot_job_claim(struct ot_job *j, bool resumed, struct ot_err *err);
int ot_job_weights(struct ot_job *j, const struct ot_train_opts *opts, struct ot_err *err);
int ot_job_start(struct ot_job *j, const struct ot_train_opts *opts, struct ot_err *err);

bool ot_job_fresh(const struct ot_job *j);  /* had this iteration a fresh pass? */
double ot_job_loss(const struct ot_job *j); /* mean over its fresh passes, else over all */

/* report.c: what people and programs read */
void ot_report_start(struct ot_job *j);
bool ot_report_due(const struct ot_job *j, int64_t iter); /* is this iteration displayed? */
void ot_report_iter(struct ot_job *j);                    /* j->done, by j->part */
void ot_report_test(struct ot_job *j, int which, const struct ot_test_result *r);
int ot_report_final(struct ot_job *j, const struct ot_test_result *r, int which,
                    struct ot_err *err);
void ot_report_end(struct ot_job *j);

#endif
