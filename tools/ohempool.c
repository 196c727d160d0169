/* ohempool.c - reads, compares, corrects and tends the pool files of ohemtrain; see ohempool(1). */
#include "tools/commands.h"
#include "tools/pool_cmd.h"

/* One command a line, in the order of the help. */
static const struct ot_command commands[] = {
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

static const struct ot_program program = {
    .name = "ohempool",
    .args = "COMMAND POOL.db ...",
    .command = commands,
    .n = sizeof commands / sizeof *commands,
    .notes = "all that print a table: [--json | --csv] [--limit N] [--run N]\n"
             "exit status: 0, or from sysexits.h: 64 usage, 65 bad data, 66 no input,\n"
             "    73 cannot create, 74 input/output, 75 in use, 78 a newer pool\n",
};

int main(int argc, char **argv)
{
    return ot_commands_main(&program, argc, argv);
}
