/* ohempool.c - reads, compares, corrects and tends the pool files of ohemtrain; see ohempool(1). */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/pool_cmd.h"

/* One command a line, in the order of the help. */
static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, struct ot_err *err);
    const char *usage;
} commands[] = {
    { "summary", ot_pcmd_summary,
      "POOL.db\n        what a person reads in the morning: losses, effect, suspects, what "
      "changed" },
    { "top", ot_pcmd_top,
      "POOL.db [--class C] [--state S] [--kind K] [--view NAME]\n        the hardest rows" },
    { "explain", ot_pcmd_explain,
      "POOL.db KEY|INST_ID [--kind K] [--slot N]\n        the life of one sample in sentences" },
    { "sheet", ot_pcmd_sheet,
      "POOL.db OUT.png [--view V] [--class C] [--confusion TRUTH,PREDICTED] [--limit 100]\n"
      "        [--columns N] [--cell 96] [--db LMDB]\n        a contact sheet with boxes" },
    { "mark", ot_pcmd_mark,
      "POOL.db KEY|INST_ID mislabelled|hard|ignore|relabel [--label L] [--kind K] [--slot N]\n"
      "        [--note TEXT] [--who NAME] [--verdicts FILE]\n        what a person says of a "
      "sample; training obeys" },
    { "unmark", ot_pcmd_unmark,
      "POOL.db KEY|INST_ID [--kind K] [--slot N] [--verdicts FILE]\n        takes it back" },
    { "export", ot_pcmd_export,
      "POOL.db OUT --labels jsonl|voc|coco [--what verdicts|suspects] [--db LMDB] [--force]\n"
      "        POOL.db OUT --rows csv|jsonl [--force]\n        what is said of labels, or the "
      "rows; OUT -: stdout" },
    { "import", ot_pcmd_import,
      "POOL.db FILE.json|FILE.jsonl|FILE.xml|FOLDER [--db LMDB] [--deleted] [--who NAME]\n"
      "        [--verdicts FILE] [--dry-run]\n        labels back from an annotation tool, as "
      "verdicts" },
    { "diff", ot_pcmd_diff,
      "A.db B.db | POOL.db --runs A B [--fail-on-regression [N]] [--margin LOSS]\n"
      "        what one night changed against another" },
    { "at", ot_pcmd_at,
      "POOL.db [--iter N] [--run R] [--state S]\n        the pool as it was, from the events" },
    { "merge", ot_pcmd_merge,
      "OUT.db A.db B.db ... [--force]\n        pools of one data set become one" },
    { "prune", ot_pcmd_prune,
      "POOL.db [--keep-runs N] [--older-than DAYS] [--vacuum] [--dry-run]\n"
      "        old numbers, events and rows leave the file" },
    { "verify", ot_pcmd_verify,
      "POOL.db\n        is the file whole, and does it hold together? exit status 65 if not" },
    { "replay", ot_pcmd_replay,
      "LOG [--policy FILE.conf] [--set mining.FIELD=VALUE ..] [--truth FILE]\n"
      "        a loss log's decisions made again, and by other rules" },
    { "report", ot_pcmd_report,
      "POOL.db OUT.html [--run N] [--db LMDB]\n        a page with charts and pictures" },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *to)
{
    (void)fputs("usage: ohempool COMMAND POOL.db ...\n", to);
    for (int i = 0; i < N_COMMANDS; i++)
        (void)fprintf(to, "    %s %s\n", commands[i].name, commands[i].usage);
    (void)fputs("all that print a table: [--json | --csv] [--limit N] [--run N]\n"
                "exit status: 0, or from sysexits.h: 64 usage, 65 bad data, 66 no input,\n"
                "    73 cannot create, 74 input/output, 75 in use, 78 a newer pool\n",
                to);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    char line[1200];

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            ot_out("usage: ohempool %s %s\n", c->name, c->usage);
            return 0;
        }
    if (c->run(argc, argv, &err) >= 0)
        return 0;
    ot_pcmd_note("%s", ot_err_str(&err, line, sizeof line));
    if (err.code == OT_EUSAGE)
        (void)fprintf(stderr, "usage: ohempool %s %s\n", c->name, c->usage);
    return ot_exit_code(err.code);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return ot_exit_code(OT_EUSAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    ot_pcmd_note("unknown command '%s'", argv[1]);
    usage(stderr);
    return ot_exit_code(OT_EUSAGE);
}
