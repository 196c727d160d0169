/*
 * pool_replay.c - ohempool replay: a loss log's decisions made again, by its own rules or others.
 *
 * The recorded rules come first, always: only when every draw and every event is as it was is the
 * log worth a comparison.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "mining/replay.h"
#include "tools/pool_cmd.h"
#include "trainer/mine.h"

enum { MAX_SETS = 64 };

struct wish {
    const char *log, *policy, *truth;
    const char *set[MAX_SETS];
    int n_set;
    struct ot_pout out;
};

/* ---- the command line ------------------------------------------------------------------------ */

/* Takes each --set out of argv; returns how many arguments are left. */
static int take_sets(struct wish *w, int argc, char **argv, struct ot_err *err)
{
    int n = 0;

    for (int i = 0; i < argc; i++) {
        const char *value = strncmp(argv[i], "--set=", 6) == 0 ? argv[i] + 6 : NULL;

        if (strcmp(argv[i], "--set") == 0 && i + 1 < argc)
            value = argv[++i];
        if (!value) {
            argv[n++] = argv[i];
            continue;
        }
        if (w->n_set == MAX_SETS || strncmp(value, "mining.", 7) != 0 || !strchr(value, '='))
            return ot_fail(err, OT_EUSAGE,
                           "--set: must be mining.FIELD=VALUE, %d at most, got '%s'", MAX_SETS,
                           value);
        w->set[w->n_set++] = value;
    }
    return n;
}

static int take_args(struct wish *w, int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt own[] = { { "--policy", OT_OPT_TEXT, &w->policy },
                                       { "--truth", OT_OPT_TEXT, &w->truth },
                                       { NULL, OT_OPT_FLAG, NULL } };
    int n = take_sets(w, argc, argv, err);

    if (n < 0 || ot_pcmd_options(own, &w->out, n, argv, &w->log, 1, 1, err) < 0)
        return err->code;
    return ot_pcmd_no_run(&w->out, err);
}

/* ---- other rules ----------------------------------------------------------------------------- */

static int apply_set(struct ot_doc *doc, const char *set, struct ot_err *err)
{
    const char *eq = strchr(set, '=');
    struct ot_str path = { 0 };
    int rc;

    ot_str_add(&path, set, (size_t)(eq - set));
    rc = ot_str_ok(&path, err);
    if (rc == 0)
        rc = ot_text_set(doc, path.buf, eq + 1, err);
    ot_str_release(&path);
    return rc;
}

/* A config or nothing but its mining block; without a file the recorded block. */
static struct ot_doc *read_policy(const struct wish *w, const struct ot_looks_file *f,
                                  struct ot_err *err)
{
    const ProtobufCMessageDescriptor *type = &caffe__solver_parameter__descriptor;
    struct ot_str text = { 0 };
    struct ot_doc *doc = NULL;

    if (w->policy)
        return ot_text_parse_file(type, w->policy, err);
    ot_str_printf(&text, "mining {\n%s\n}\n", f->head.policy);
    if (ot_str_ok(&text, err) == 0)
        doc = ot_text_parse(type, "recorded policy", text.buf, text.len, err);
    ot_str_release(&text);
    return doc;
}

static int other_rules(const struct wish *w, const struct ot_looks_file *f,
                       struct ot_miner_conf *conf, struct ot_err *err)
{
    const struct ot_miner_conf *c = &f->head.conf;
    struct ot_mine_facts facts = { .passes = f->head.passes,
                                   .batch = f->head.batch,
                                   .roi = f->head.roi,
                                   .seed = c->seed,
                                   .n_classes = c->n_classes,
                                   .n_samples = c->n_samples };
    struct ot_doc *doc = read_policy(w, f, err);
    const Caffe__SolverParameter *s;
    int rc = doc ? 0 : err->code;

    for (int i = 0; rc == 0 && i < w->n_set; i++)
        rc = apply_set(doc, w->set[i], err);
    s = rc == 0 ? (const Caffe__SolverParameter *)(const void *)ot_doc_root(doc) : NULL;
    if (s && !s->mining)
        rc = ot_fail_at(err, ot_doc_loc(doc, s, NULL), OT_ECONFIG, "it has no mining block");
    if (rc == 0)
        rc = ot_mine_rules(s->mining, doc, &facts, conf, err);
    ot_doc_free(doc);
    return rc;
}

/* ---- the truth ------------------------------------------------------------------------------- */

static int index_keys(const struct ot_looks_file *f, struct ot_map *map, struct ot_err *err)
{
    for (uint32_t i = 0; i < f->head.conf.n_samples; i++)
        if (ot_map_set(map, ot_hash64(f->key[i], strlen(f->key[i])), i, err) < 0)
            return err->code;
    return 0;
}

/* "key label": the label is what follows the last blank. */
static int one_truth(const struct ot_looks_file *f, const struct ot_map *map, char *line,
                     int32_t *truth, struct ot_err *err)
{
    char *blank = strrchr(line, ' '), *end = NULL;
    uint64_t sample;
    long label;

    if (!blank)
        blank = strrchr(line, '\t');
    if (!blank)
        return ot_fail(err, OT_EDATA, "must be 'key label', got '%s'", line);
    *blank = '\0';
    errno = 0;
    label = strtol(blank + 1, &end, 10);
    if (end == blank + 1 || *end || errno || label < 0 || label >= f->head.conf.n_classes)
        return ot_fail(err, OT_EDATA, "label must be in [0, %d), got '%s'", f->head.conf.n_classes,
                       blank + 1);
    if (!ot_map_get(map, ot_hash64(line, strlen(line)), &sample) ||
        strcmp(f->key[sample], line) != 0)
        return ot_fail(err, OT_EDATA, "the log knows no sample '%s'", line);
    truth[sample] = (int32_t)label;
    return 0;
}

static int32_t *read_truth(const struct wish *w, const struct ot_looks_file *f, struct ot_err *err)
{
    size_t n = 0;
    char *text = ot_read_file(w->truth, (size_t)1 << 32, &n, err), *line = text, *end;
    int32_t *truth = text ? ot_alloc(f->head.conf.n_samples, sizeof *truth, err) : NULL;
    struct ot_map map = { 0 };
    int rc = truth ? index_keys(f, &map, err) : err->code, number = 1;

    for (uint32_t i = 0; rc == 0 && i < f->head.conf.n_samples; i++)
        truth[i] = -1;
    for (; rc == 0 && line && *line; line = end, number++) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        if (*line && one_truth(f, &map, line, truth, err) < 0)
            rc = ot_err_at(err, (struct ot_loc){ w->truth, number, 1 });
    }
    ot_map_release(&map);
    ot_free(text);
    if (rc < 0) {
        ot_free(truth);
        truth = NULL;
    }
    return truth;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void share(struct ot_table *t, int64_t part, int64_t whole)
{
    if (whole)
        ot_table_num(t, (double)part / (double)whole);
    else
        ot_table_text(t, NULL);
}

static void counts(struct ot_table *t, const char *policy, const char *label,
                   const struct ot_replay_counts *c, const struct ot_replay *all, bool truth)
{
    ot_table_text(t, policy);
    ot_table_text(t, label);
    ot_table_int(t, c->admitted);
    ot_table_int(t, c->evicted);
    ot_table_int(t, c->reinjected);
    ot_table_int(t, c->learned);
    ot_table_int(t, c->quarantined);
    ot_table_int(t, c->released);
    if (all) {
        ot_table_int(t, all->batches);
        share(t, all->rows_doubted, all->rows_reinjected);
    } else {
        ot_table_text(t, NULL);
        ot_table_text(t, NULL);
    }
    if (!truth)
        return;
    ot_table_int(t, c->wrong);
    share(t, c->hit, c->judged);
    share(t, c->hit, c->wrong);
}

static bool idle(const struct ot_replay_counts *c)
{
    return c->admitted + c->evicted + c->reinjected + c->quarantined + c->wrong == 0;
}

static void fill_table(struct ot_table *t, const struct ot_replay *as_was,
                       const struct ot_replay *other, bool truth)
{
    ot_table_columns(t, truth ? "policy class admitted evicted reinjected learned quarantined "
                                "released batches doubted wrong precision recall"
                              : "policy class admitted evicted reinjected learned quarantined "
                                "released batches doubted");
    counts(t, "recorded", "all", &as_was->all, as_was, truth);
    if (other)
        counts(t, "other", "all", &other->all, other, truth);
    for (int c = 0; c < as_was->n_classes; c++) {
        char label[16];

        if (idle(&as_was->label[c]) && (!other || idle(&other->label[c])))
            continue;
        (void)snprintf(label, sizeof label, "%d", c);
        counts(t, "recorded", label, &as_was->label[c], NULL, truth);
        if (other)
            counts(t, "other", label, &other->label[c], NULL, truth);
    }
}

static void say(const struct ot_looks_file *f, const struct ot_replay *r,
                const struct ot_replay *other)
{
    uint64_t decisions = r->tally.n_events + r->tally.n_draws;

    ot_out("iterations %lld to %lld", (long long)r->first_iter, (long long)r->last_iter);
    if (r->resumes)
        ot_out(", resumed %d times", r->resumes);
    if (r->gaps)
        ot_out(", %d gaps before a resume", r->gaps);
    if (r->verdicts)
        ot_out(", %d times new verdicts", r->verdicts);
    if (r->sentinels)
        ot_out(", %d tests of the sentinel set", r->sentinels);
    ot_out(": %llu decisions reproduced (%llu events, %llu batches drawn)\n",
           (unsigned long long)decisions, (unsigned long long)r->tally.n_events,
           (unsigned long long)r->tally.n_draws);
    if (r->broken_from >= 0)
        ot_out("the log is broken from iteration %lld on: the disk did not keep up\n",
               (long long)r->broken_from);
    else if (!r->ended)
        ot_out("the log has no end: the run was killed or goes on still (%zu bytes of an "
               "unfinished record)\n",
               f->torn);
    if (!other)
        return;
    ot_out("the other policy: its re-injections see each sample's next recorded look; %lld "
           "iterations without a recorded batch, %lld batches left over\n",
           (long long)other->absent, (long long)other->left);
}

static int report(const struct wish *w, const struct ot_looks_file *f, const struct ot_replay *r,
                  const struct ot_replay *other, struct ot_err *err)
{
    struct ot_table t = { 0 };
    struct ot_str rows = { 0 };
    int rc;

    fill_table(&t, r, other, w->truth != NULL);
    rc = ot_table_ok(&t, err);
    if (rc == 0 && w->out.json) {
        ot_table_json_rows(&t, &rows);
        rc = ot_str_ok(&rows, err);
        ot_out(
            "{\"first_iter\":%lld,\"last_iter\":%lld,\"resumes\":%d,\"gaps\":%d,\"ended\":%s,"
            "\"verdicts\":%d,\"sentinels\":%d,"
            "\"events\":%llu,\"batches\":%llu,\"absent\":%lld,\"left\":%lld,\"policies\":[%s]}\n",
            (long long)r->first_iter, (long long)r->last_iter, r->resumes, r->gaps,
            r->ended ? "true" : "false", r->verdicts, r->sentinels,
            (unsigned long long)r->tally.n_events, (unsigned long long)r->tally.n_draws,
            (long long)(other ? other->absent : 0), (long long)(other ? other->left : 0),
            rows.buf ? rows.buf : "");
    } else if (rc == 0) {
        if (ot_pcmd_people(&w->out))
            say(f, r, other);
        rc = ot_pcmd_print(&t, &w->out, "", err);
    }
    ot_str_release(&rows);
    ot_table_release(&t);
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int replay(const struct wish *w, const struct ot_looks_file *f, const int32_t *truth,
                  struct ot_err *err)
{
    bool wants_other = w->policy || w->n_set;
    struct ot_miner_conf conf;
    struct ot_replay r, other;
    int rc;

    if (wants_other && other_rules(w, f, &conf, err) < 0)
        return err->code;
    if (ot_replay_run(f, NULL, truth, &r, err) < 0)
        return ot_err_wrap(err, "'%s'", w->log);
    if (!r.same) {
        rc = ot_fail(err, OT_EDATA, "'%s': not reproduced: %s", w->log, r.difference);
    } else if (wants_other) {
        rc = ot_replay_run(f, &conf, truth, &other, err);
        if (rc == 0) {
            rc = report(w, f, &r, &other, err);
            ot_replay_release(&other);
        }
    } else {
        rc = report(w, f, &r, NULL, err);
    }
    ot_replay_release(&r);
    return rc;
}

int ot_pcmd_replay(int argc, char **argv, struct ot_err *err)
{
    struct wish w = { 0 };
    struct ot_looks_file *f = NULL;
    int32_t *truth = NULL;
    int rc = take_args(&w, argc, argv, err);

    if (rc >= 0) {
        f = ot_looks_open(w.log, err);
        rc = f ? 0 : err->code;
    }
    if (rc == 0 && w.truth) {
        truth = read_truth(&w, f, err);
        rc = truth ? 0 : err->code;
    }
    if (rc == 0)
        rc = replay(&w, f, truth, err);
    ot_free(truth);
    ot_looks_free(f);
    return rc;
}
