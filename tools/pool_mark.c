/*
 * pool_mark.c - ohempool mark and unmark: what a person says of a sample.
 *
 * Verdicts name key, kind and slot, not the row: rows come and go.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "tools/pool_cmd.h"
#include "tools/pool_say.h"

struct mark {
    struct ot_pdb d;
    struct ot_pdb_inst who;
    const char *kind, *label, *note, *by, *file;
    int slot;
};

/* Whom it is about.  A key that is not in the pool may still be in the data set. */
static int resolve(struct mark *m, const char *what, struct ot_err *err)
{
    int kind;

    if (ot_pcmd_kind(m->kind, &kind, err) < 0)
        return err->code;
    if (ot_pdb_find(&m->d, what, kind, m->slot, &m->who, err) == 0 && m->who.inst)
        return 0;
    if (err->code && err->code != OT_ENOINPUT)
        return err->code;
    *err = (struct ot_err)OT_ERR_INIT;
    (void)snprintf(m->who.key, sizeof m->who.key, "%s", what);
    m->who.inst = 0;
    m->who.kind = kind < 0 ? 0 : kind;
    m->who.slot = m->slot < 0 ? 0 : m->slot;
    ot_pcmd_note("no row of '%s' has the key '%s' with that kind and slot; the training will look "
                 "for it in the data set",
                 m->d.path, what);
    return 0;
}

static int check_verdict(const struct mark *m, const char *verdict, int *label, struct ot_err *err)
{
    bool relabel = strcmp(verdict, "relabel") == 0;

    if (!relabel && strcmp(verdict, "mislabelled") != 0 && strcmp(verdict, "hard") != 0 &&
        strcmp(verdict, "ignore") != 0)
        return ot_fail(err, OT_EUSAGE,
                       "a verdict must be mislabelled, hard, ignore or relabel, got '%s'", verdict);
    if (relabel != (m->label != NULL))
        return ot_fail(err, OT_EUSAGE, "--label: goes with relabel and only with it, got '%s'",
                       m->label ? m->label : "none");
    *label = m->label ? ot_say_label(&m->d, m->label) : -1;
    if (m->label && *label < 0)
        return ot_fail(err, OT_EUSAGE, "--label: must be a number or a name of a class, got '%s'",
                       m->label);
    return 0;
}

static int mark(struct mark *m, const char *what, const char *verdict, struct ot_err *err)
{
    struct ot_say_row row = { .verdict = verdict, .who = m->by, .note = m->note };
    struct ot_say say;
    int rc;

    if (check_verdict(m, verdict, &row.label, err) < 0 || resolve(m, what, err) < 0)
        return err->code;
    row.key = m->who.key;
    row.kind = m->who.kind;
    row.slot = m->who.slot;
    if (ot_say_open(&say, m->d.path, m->file, err) < 0)
        return err->code;
    rc = ot_say_put(&say, &row, err);
    rc = ot_say_close(&say, rc, err);
    if (rc < 0)
        return rc;
    ot_out("%s, %s %d: %s%s%s, in '%s'; a running training obeys within two flushes, else the next "
           "one does\n",
           row.key, ot_pdb_kind_name(row.kind), row.slot, verdict, m->label ? " " : "",
           m->label ? m->label : "", say.path);
    return 0;
}

static int unmark(struct mark *m, const char *what, struct ot_err *err)
{
    struct ot_say say;
    char path[1100];
    int n, rc;

    (void)snprintf(path, sizeof path, "%s.verdicts", m->d.path);
    if (!ot_exists(m->file ? m->file : path)) /* nothing to take back, and nothing to make */
        return ot_fail(err, OT_ENOINPUT, "'%s': no verdict is about '%s': there is no such file",
                       m->file ? m->file : path, what);
    if (resolve(m, what, err) < 0 || ot_say_open(&say, m->d.path, m->file, err) < 0)
        return err->code;
    n = ot_say_drop(&say, m->who.key, m->who.kind, m->who.slot, m->who.inst, err);
    rc = ot_say_close(&say, n, err);
    if (rc < 0)
        return rc;
    if (n == 0)
        return ot_fail(err, OT_ENOINPUT, "'%s': no verdict is about '%s', %s %d", say.path,
                       m->who.key, ot_pdb_kind_name(m->who.kind), m->who.slot);
    ot_out("%s, %s %d: %d verdict%s taken back\n", m->who.key, ot_pdb_kind_name(m->who.kind),
           m->who.slot, n, n == 1 ? "" : "s");
    return 0;
}

static int both(int argc, char **argv, int n_pos, struct ot_err *err)
{
    struct mark m = { .slot = -1, .by = ot_say_user() };
    const struct ot_data_opt marks[] = {
        { "--kind", OT_OPT_TEXT, &m.kind },
        { "--slot", OT_OPT_INT, &m.slot },
        { "--label", OT_OPT_TEXT, &m.label },
        { "--note", OT_OPT_TEXT, &m.note },
        { "--who", OT_OPT_TEXT, &m.by },
        { "--verdicts", OT_OPT_TEXT, &m.file },
        { 0 },
    };
    const struct ot_data_opt unmarks[] = {
        { "--kind", OT_OPT_TEXT, &m.kind },
        { "--slot", OT_OPT_INT, &m.slot },
        { "--verdicts", OT_OPT_TEXT, &m.file },
        { 0 },
    };
    const char *pos[3];
    int rc;

    if (ot_data_options(n_pos == 3 ? marks : unmarks, argc, argv, pos, n_pos, n_pos, err) < 0 ||
        ot_pdb_open(pos[0], &m.d, err) < 0)
        return err->code;
    rc = n_pos == 3 ? mark(&m, pos[1], pos[2], err) : unmark(&m, pos[1], err);
    ot_pdb_close(&m.d);
    return rc;
}

int ot_pcmd_mark(int argc, char **argv, struct ot_err *err)
{
    return both(argc, argv, 3, err);
}

int ot_pcmd_unmark(int argc, char **argv, struct ot_err *err)
{
    return both(argc, argv, 2, err);
}
