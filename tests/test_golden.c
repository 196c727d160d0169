/*
 * test_golden.c - everything that Caffe and py-faster-rcnn really computed: one test a folder.
 *
 *     test_golden [DIR [SUBSTRING]]
 *
 * DIR (default ../shared/golden) is walked and each folder is run as what it holds
 * (golden/README.md has the forms): case.txt                          one layer tests/golden.h
 *   loss.txt                          a training         tests/trajectory.h
 *   net.prototxt and shapes.txt       a net              tests/golden_net.h
 *   a set of py-faster-rcnn, LMDBs    by the test program that reads it, with OT_GOLDEN=DIR
 * With SUBSTRING only folders whose path has it.  At the end: a table by layer type or set, and the
 * line "N passed, N failed, N skipped".
 */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/upgrade.h"
#include "tests/check.h"
#include "tests/golden_net.h"
#include "tests/netkit.h"
#include "tests/trajectory.h"

enum { MAX_CASES = 4096, PATH = 900, MAX_DEPTH = 4 };

enum kind { LAYER, NET, TRAINING, PROGRAM };

struct one {
    char dir[PATH], group[64]; /* the layer's type, or the set */
    enum kind kind;
    const char *program; /* of PROGRAM; NULL: nobody reads it */

    enum { FAILED, PASSED, SKIPPED } end;

    double share; /* of the tolerance; < 0: not a number that is compared */
    char at[80];
};

static struct one *cases;
static size_t n_cases;
static char root[PATH], programs[PATH];

/* ---- running --------------------------------------------------------------------------------- */

/* Who reads the region layers' sets and the databases: by these names, since they have no net that
 * would say what they are. */
static const struct {
    const char *below_root, *program;
} readers[] = {
    { "frcnn/anchor_target", "test_targets" },
    { "frcnn/anchors", "test_regions" },
    { "frcnn/bbox_transform", "test_regions" },
    { "frcnn/nms", "test_regions" },
    { "frcnn/proposal_target", "test_targets" },
    { "frcnn/proposal_test", "test_regions" },
    { "frcnn/proposal_train", "test_regions" },
    { "frcnn/smooth_l1_noweights", "test_losses" },
    { "frcnn/smooth_l1_sigma1_rcnn", "test_losses" },
    { "frcnn/smooth_l1_sigma3_rpn", "test_losses" },
    { "frcnn/voc_eval", "test_voc_eval" },
    { "lmdb-tiny", "test_db" },
};

/* The first type of the net that no layer has, into buf. */
static bool unknown_type(const char *dir, char *buf, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    char path[PATH + 16];
    struct ot_doc *doc;
    Caffe__NetParameter *p;

    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    buf[0] = '\0';
    doc = ot_text_parse_file(&caffe__net_parameter__descriptor, path, &err);
    if (!doc)
        return false; /* whoever runs it says what is wrong */
    p = (Caffe__NetParameter *)(void *)ot_doc_root(doc);
    for (size_t i = 0; ot_upgrade_net(doc, p, &err) >= 0 && i < p->n_layer && !buf[0]; i++)
        if (p->layer[i]->type && !ot_layer_find(p->layer[i]->type))
            (void)snprintf(buf, n, "%s", p->layer[i]->type);
    ot_doc_free(doc);
    return buf[0] != '\0';
}

static void run_layer_or_net(struct one *c)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_golden_result r;
    char line[1200], type[64];
    int rc;

    if (unknown_type(c->dir, type, sizeof type)) {
        c->end = SKIPPED;
        skip_because("no layer type %s", type);
    }
    rc = (c->kind == LAYER ? ot_golden_case : ot_golden_net)(ot_kit_dev(), c->dir, &r, &err);
    if (rc < 0)
        fail_msg("%s: %s", c->dir, ot_err_str(&err, line, sizeof line));
    c->share = r.share;
    (void)snprintf(c->at, sizeof c->at, "%s", r.at);
    if (r.cleared[0])
        print_message("%s: %s was cleared by the recorder: not compared\n", c->dir, r.cleared);
    if (!(r.share <= 1))
        fail_msg("%s: %s is %.3g of its tolerance off", c->dir, r.at, r.share);
}

static void run_training(struct one *c)
{
    struct ot_trajectory t;

    ot_trajectory_run(ot_kit_dev(), c->dir, ot_tmpdir(), 0, &t);
    if (t.end == OT_TRAJECTORY_SKIPPED) {
        c->end = SKIPPED;
        skip_because("%s", t.why);
    }
    c->share = t.share;
    (void)snprintf(c->at, sizeof c->at, "worst loss off by %.2g at %d", t.worst, t.at);
    if (t.end == OT_TRAJECTORY_FAILED)
        fail_msg("%s: %s", c->dir, t.why);
    print_message("%d iterations, worst loss off by %.2g (at %d), %.2f of its bound at most\n",
                  t.iterations, t.worst, t.at, t.share);
}

static void run_program(struct one *c)
{
    char command[3 * PATH];

    if (!c->program) {
        c->end = SKIPPED;
        skip_because("no test reads a set of that name");
    }
    (void)snprintf(command, sizeof command, "OT_GOLDEN='%s' '%s/%s' >/dev/null 2>&1", root,
                   programs, c->program);
    if (system(command) != 0)
        fail_msg("%s: %s fails with OT_GOLDEN=%s", c->dir, c->program, root);
}

static void run(void **state)
{
    struct one *c = *state;

    if (!c)
        skip_because("no ../shared/golden here");
    c->share = -1;
    if (c->kind == TRAINING)
        run_training(c);
    else if (c->kind == PROGRAM)
        run_program(c);
    else
        run_layer_or_net(c);
    c->end = PASSED;
}

/* ---- finding --------------------------------------------------------------------------------- */

static bool has(const char *dir, const char *name)
{
    char path[PATH + 64];

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return ot_exists(path);
}

static const char *last_name(const char *dir)
{
    const char *slash = strrchr(dir, '/');

    return slash ? slash + 1 : dir;
}

static struct one *add(const char *dir, enum kind kind)
{
    struct one *c = &cases[n_cases];
    char up[PATH];

    OT_BUG_IF(n_cases == MAX_CASES);
    n_cases++;
    (void)snprintf(c->dir, sizeof c->dir, "%s", dir);
    c->kind = kind;
    (void)snprintf(up, sizeof up, "%.*s", (int)(last_name(dir) - dir - 1), dir);
    (void)snprintf(c->group, sizeof c->group, "%.63s", last_name(up));
    return c;
}

/* The group of a layer case is the type in its case.txt. */
static void add_layer(const char *dir)
{
    struct one *c = add(dir, LAYER);
    struct ot_err err = OT_ERR_INIT;
    char path[PATH + 16];
    size_t n;
    char *text;

    (void)snprintf(path, sizeof path, "%s/case.txt", dir);
    text = ot_read_file(path, 1 << 16, &n, &err);
    if (text)
        (void)sscanf(text, "type %63s", c->group);
    ot_free(text);
}

static void add_read_by_program(const char *dir)
{
    struct one *c = add(dir, PROGRAM);

    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (strlen(dir) > strlen(root) && !strcmp(dir + strlen(root) + 1, readers[i].below_root))
            c->program = readers[i].program;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void walk(const char *dir, int depth)
{
    struct dirent **e;
    int n;

    if (has(dir, "case.txt"))
        add_layer(dir);
    else if (has(dir, "loss.txt"))
        add(dir, TRAINING);
    else if (has(dir, "net.prototxt") && has(dir, "shapes.txt"))
        add(dir, NET);
    else if (has(dir, "shapes.txt") || has(dir, "imageset.txt") || has(dir, "labels.u8"))
        add_read_by_program(dir);
    else if (depth < MAX_DEPTH) {
        n = scandir(dir, &e, NULL, by_name);
        for (int i = 0; i < n; i++) {
            char sub[PATH];
            struct stat st;

            (void)snprintf(sub, sizeof sub, "%.600s/%.255s", dir, e[i]->d_name);
            if (e[i]->d_name[0] != '.' && stat(sub, &st) == 0 && S_ISDIR(st.st_mode))
                walk(sub, depth + 1);
            free(e[i]);
        }
        if (n >= 0)
            free(e);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static void row(const char *group)
{
    int count[3] = { 0 };
    const struct one *worst = NULL;

    for (size_t i = 0; i < n_cases; i++) {
        const struct one *c = &cases[i];

        if (strcmp(c->group, group) != 0)
            continue;
        count[c->end]++;
        if (c->end != SKIPPED && c->share >= 0 && (!worst || !(c->share <= worst->share)))
            worst = c;
    }
    print_message("%-28s %6d %6d %7d", group, count[PASSED], count[FAILED], count[SKIPPED]);
    if (worst)
        print_message("  %7.3f  %s %s", worst->share, last_name(worst->dir), worst->at);
    print_message("\n");
}

static int table(void)
{
    int count[3] = { 0 };

    print_message("%-28s %6s %6s %7s  %7s\n", "", "passed", "failed", "skipped",
                  "worst error, of "
                  "its tolerance");
    for (size_t i = 0; i < n_cases; i++) {
        bool first = true;

        count[cases[i].end]++;
        for (size_t k = 0; k < i; k++)
            first = first && strcmp(cases[k].group, cases[i].group) != 0;
        if (first)
            row(cases[i].group);
    }
    print_message("%d passed, %d failed, %d skipped\n", count[PASSED], count[FAILED],
                  count[SKIPPED]);
    return count[FAILED];
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MAX_CASES];
    struct ot_err err = OT_ERR_INIT;
    const char *dir = argc > 1 && argv[1][0] ? argv[1] : ot_shared("golden");
    size_t n = 0;

    ot_log_set_level(OT_LOG_ERROR);
    (void)ot_path_dir(programs, sizeof programs, argv[0]);
    cases = ot_alloc(MAX_CASES, sizeof *cases, &err);
    if (!cases)
        return 1;
    if (dir) {
        (void)snprintf(root, sizeof root, "%s", dir);
        while (strlen(root) > 1 && root[strlen(root) - 1] == '/')
            root[strlen(root) - 1] = '\0';
        walk(root, 0);
    }
    for (size_t i = 0; i < n_cases; i++)
        if (argc > 2 && !strstr(cases[i].dir, argv[2]))
            cases[i].dir[0] = '\0';
    for (size_t i = 0, k = 0; i < n_cases; i++)
        if (cases[i].dir[0])
            cases[k++] = cases[i], n = k;
    n_cases = n;
    if (dir && !n_cases) {
        print_error("%s: no golden case in it\n", dir);
        return 1;
    }
    for (size_t i = 0; i < n_cases; i++)
        tests[i] = (struct CMUnitTest){ cases[i].dir, run, NULL, NULL, &cases[i] };
    if (!n_cases)
        tests[n++] = (struct CMUnitTest){ "golden", run, NULL, NULL, NULL };
    (void)_cmocka_run_group_tests("golden", tests, n, NULL, NULL);
    n = n_cases ? (size_t)table() : 0;
    ot_free(cases);
    return n != 0;
}
