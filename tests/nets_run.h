/*
 * nets_run.h - what run_nets does to one file, and what it says of it.
 *
 * Ownership: the run owns its list of files and its temporary folder.
 * Threads: one.  Errors: become a FAIL or SKIP line; the run goes on.
 */
#ifndef OT_TESTS_NETS_RUN_H
#define OT_TESTS_NETS_RUN_H

#include "base/str.h"
#include "tests/nets_step.h"

struct nets_run {
    const char *dir; /* all files are below it */
    char **file;
    size_t nfile, file_cap;
    char tmp[64];
    int batch;
    bool verbose;
    struct ot_dev *dev;
    int passed, failed, skipped;
    struct ot_str json; /* one object a line said */
};

/* A net in each phase it has layers for; a solver for three iterations and one after a resume. */
void nets_run_net(struct nets_run *r, const char *file, struct ot_doc *doc);
void nets_run_solver(struct nets_run *r, const char *file, struct ot_doc *doc);

/* "OK file TRAIN: ...", from what was measured; note "" or ", what else". */
void nets_ok(struct nets_run *r, const char *file, const struct nets_phase *p, const char *note);
void nets_say(struct nets_run *r, const char *file, const char *status, const char *what);
void nets_fail(struct nets_run *r, const char *file, const char *phase, const struct ot_err *err);
/* Says SKIP and returns true when a layer's type is not supported. */
bool nets_skip_type(struct nets_run *r, const char *file, const Caffe__NetParameter *net);

const char *nets_phase_name(Caffe__Phase phase);
/* The first likely shape of data with which the net plans in that phase, with its edits; p stays
 * open for the caller, who closes it in any case. */
int nets_find_data(const struct nets_run *r, const char *file, const Caffe__NetParameter *net,
                   Caffe__Phase phase, struct ot_net *share, struct nets_phase *p,
                   struct nets_record *found, struct ot_err *err);

#endif
