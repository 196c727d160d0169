/*
 * pool_cmd.h - what the sub-commands of ohempool share: options, output.
 *
 * A sub-command is `int ot_pcmd_X(int argc, char **argv, struct ot_err *err)`; argv[0] is its own
 * name.  It prints results with ot_pcmd_print() or ot_out() and returns 0 or the code that becomes
 * the exit status.
 *
 * Ownership: strings found by ot_pcmd_options() are borrowed from argv.
 * Threads: one; these are tools.
 * Errors: OT_EUSAGE for the command line, else those of the modules below.
 */
#ifndef OT_TOOLS_POOL_CMD_H
#define OT_TOOLS_POOL_CMD_H

#include "base/err.h"
#include "tools/data_cmd.h"
#include "tools/pool_db.h"
#include "tools/pool_table.h"

/* Options of all commands that print: --json, --csv, --limit N, --run N. */
struct ot_pout {
    bool json, csv;
    int limit;    /* rows, 0: all; set it before ot_pcmd_options() for another default */
    uint64_t run; /* 0: not said */
};

/* ot_data_options() over a command's own table (may be NULL) and those of ot_pout. */
int ot_pcmd_options(const struct ot_data_opt *own, struct ot_pout *out, int argc, char **argv,
                    const char **pos, int min, int max, struct ot_err *err);
/* OT_EUSAGE when --run was given to a command that is about all of them. */
int ot_pcmd_no_run(const struct ot_pout *out, struct ot_err *err);
/* What --kind says, -1 when it was not given (name is NULL). */
int ot_pcmd_kind(const char *name, int *kind, struct ot_err *err);
/* For people? Then sentences may be printed around the table. */
bool ot_pcmd_people(const struct ot_pout *out);
/* Prints the table as was asked for; `none` is said to people when it has no rows. */
int ot_pcmd_print(const struct ot_table *t, const struct ot_pout *out, const char *none,
                  struct ot_err *err);
void ot_pcmd_note(const char *fmt, ...) OT_PRINTF(1, 2); /* a line on stderr */

/* The night of run d->run in sentences, one a line. */
int ot_psum_sentences(const struct ot_pdb *d, struct ot_str *s, struct ot_err *err);

int ot_pcmd_at(int argc, char **argv, struct ot_err *err);
int ot_pcmd_diff(int argc, char **argv, struct ot_err *err);
int ot_pcmd_prune(int argc, char **argv, struct ot_err *err);
int ot_pcmd_merge(int argc, char **argv, struct ot_err *err);
int ot_pcmd_mark(int argc, char **argv, struct ot_err *err);
int ot_pcmd_unmark(int argc, char **argv, struct ot_err *err);
int ot_pcmd_export(int argc, char **argv, struct ot_err *err);
int ot_pcmd_import(int argc, char **argv, struct ot_err *err);
int ot_pcmd_explain(int argc, char **argv, struct ot_err *err);
int ot_pcmd_summary(int argc, char **argv, struct ot_err *err);
int ot_pcmd_top(int argc, char **argv, struct ot_err *err);
int ot_pcmd_report(int argc, char **argv, struct ot_err *err);
int ot_pcmd_sheet(int argc, char **argv, struct ot_err *err);
int ot_pcmd_verify(int argc, char **argv, struct ot_err *err);
int ot_pcmd_replay(int argc, char **argv, struct ot_err *err);

#endif
