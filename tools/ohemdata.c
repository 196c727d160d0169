/* ohemdata.c - makes and inspects the LMDBs that ohemtrain reads; see ohemdata(1). */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/data_cmd.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, struct ot_err *err);
    const char *usage;
} commands[] = {
    { "idx", ot_data_idx,
      "IMAGES LABELS OUT.lmdb [--force]\n        MNIST-format files, plain or gzip" },
    { "scenes", ot_data_scenes,
      "--out OUT.lmdb --images IDX --labels IDX [--count N] [--size WxH] [--seed S]\n"
      "        [--encode none|png|jpeg] [--sheet FILE.png] [--force]\n"
      "        synthetic photographs of products with boxes" },
    { "voc", ot_data_voc,
      "--root DIR --set NAME --out OUT.lmdb [--classes A,B,..|@FILE|auto]\n"
      "        [--on-error skip|fail] [--min-size N] [--keep-empty] [--force]\n"
      "        a Pascal VOC tree" },
    { "images", ot_data_images,
      "LIST ROOT OUT.lmdb [--resize WxH] [--gray] [--shuffle] [--seed S] [--encoded]\n"
      "        [--force]\n"
      "        a list of \"path label\", as convert_imageset" },
    { "info", ot_data_info, "DB\n        counts, shapes, labels, boxes" },
    { "mean", ot_data_mean, "DB [OUT.binaryproto]\n        mean image and mean of each channel" },
    { "check", ot_data_check, "DB\n        decodes every record and names the bad ones" },
    { "get", ot_data_get, "DB KEY OUT.png\n        draws one record with its boxes" },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *to)
{
    (void)fputs("usage: ohemdata COMMAND ...\n", to);
    for (int i = 0; i < N_COMMANDS; i++)
        (void)fprintf(to, "    %s %s\n", commands[i].name, commands[i].usage);
    (void)fputs("exit status: 0, or from sysexits.h: 64 usage, 65 bad data, 66 no input,\n"
                "    73 cannot create, 74 input/output\n",
                to);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            ot_out("usage: ohemdata %s %s\n", c->name, c->usage);
            return 0;
        }
    if (c->run(argc, argv, &err) >= 0)
        return 0;
    ot_data_report(&err);
    if (err.code == OT_EUSAGE)
        (void)fprintf(stderr, "usage: ohemdata %s %s\n", c->name, c->usage);
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
    (void)fprintf(stderr, "ohemdata: unknown command '%s'\n", argv[1]);
    usage(stderr);
    return ot_exit_code(OT_EUSAGE);
}
