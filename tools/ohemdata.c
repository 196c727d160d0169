/* ohemdata.c - makes and inspects the LMDBs that ohemtrain reads; see ohemdata(1). */
#include "tools/commands.h"
#include "tools/data_cmd.h"

static const struct ot_command commands[] = {
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

static const struct ot_program program = {
    .name = "ohemdata",
    .args = "COMMAND ...",
    .command = commands,
    .n = sizeof commands / sizeof *commands,
    .notes = "exit status: 0, or from sysexits.h: 64 usage, 65 bad data, 66 no input,\n"
             "    73 cannot create, 74 input/output\n",
};

int main(int argc, char **argv)
{
    return ot_commands_main(&program, argc, argv);
}
