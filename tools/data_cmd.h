/*
 * data_cmd.h - what the sub-commands of ohemdata share: options, output databases, records.
 *
 * A sub-command is `int ot_data_X(int argc, char **argv, struct ot_err *err)`; argv[0] is its
 * own name.  It prints results with ot_out() and single faults with ot_data_report(), and
 * returns 0 or the code that becomes the exit status.
 *
 * Ownership: strings found by ot_data_options() are borrowed from argv.
 * Threads: one; these are tools.
 * Errors: OT_EUSAGE for the command line, else those of the modules below.
 */
#ifndef OT_TOOLS_DATA_CMD_H
#define OT_TOOLS_DATA_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "data/db.h"
#include "data/image.h"
#include "proto/caffe.pb-c.h"

enum ot_data_opt_kind {
    OT_OPT_FLAG, /* bool */
    OT_OPT_TEXT, /* const char * */
    OT_OPT_INT,  /* int, >= 0 */
    OT_OPT_U64,  /* uint64_t */
    OT_OPT_SIZE  /* int[2]: WxH */
};

struct ot_data_opt {
    const char *name; /* with the dashes; a NULL name ends a table */
    enum ot_data_opt_kind kind;
    void *out;
};

/* Reads `--name value`, `--name=value` and flags into the table's variables and the other
 * arguments, of which there must be min..max, into pos[]; returns how many, or an error. */
int ot_data_options(const struct ot_data_opt *table, int argc, char **argv, const char **pos,
                    int min, int max, struct ot_err *err);

/* One line on stderr: "ohemdata: <file:line: ><text>". */
void ot_data_report(const struct ot_err *err);
void ot_data_note(const char *fmt, ...) OT_PRINTF(1, 2);

/* Creates an LMDB.  What exists at `path` is an error, unless `force` and it is nothing but a
 * database (data.mdb, lock.mdb, classes.txt), which is then removed. */
struct ot_db_writer *ot_data_create(const char *path, bool force, struct ot_err *err);

/* Packs into *buf (its memory is reused) and puts it under the key. */
int ot_data_put(struct ot_db_writer *w, const char *key, const ProtobufCMessage *m,
                struct ot_str *buf, struct ot_err *err);

/* Ends the database: committed when rc is 0, else taken away; returns rc or the commit's error. */
int ot_data_finish(struct ot_db_writer *w, int rc, struct ot_err *err);

/* <db>/classes.txt: line n (from 0) is the name of label n; line 0 is "background". */
int ot_data_write_classes(const char *db, const char *const *name, int n, struct ot_err *err);

struct ot_data_names {
    char *text;  /* owned; lines cut by NUL */
    char **name; /* owned array into text; name[label] */
    int n;
};

/* n = 0 when the file is not there. */
int ot_data_read_classes(const char *path, struct ot_data_names *names, struct ot_err *err);
void ot_data_names_release(struct ot_data_names *names);

/* The wire form of an image: CHW bytes in `chw` (reused). */
int ot_data_chw(const struct ot_image *im, struct ot_str *chw, struct ot_err *err);

/* An LMDB record told apart: exactly one of the two is set. */
struct ot_data_record {
    Caffe__AnnotatedDatum *ann; /* owned */
    Caffe__Datum *own;          /* owned when there is no ann */
    const Caffe__Datum *datum;  /* borrowed: of ann or own */
};

int ot_data_parse(struct ot_bytes value, struct ot_data_record *r, struct ot_err *err);
void ot_data_record_release(struct ot_data_record *r);
/* Decodes what is stored as bytes; float records are refused with OT_ENOTSUP. */
int ot_data_decode(const Caffe__Datum *d, struct ot_image *im, struct ot_err *err);
/* Printable form of a key; returns buf. */
char *ot_data_key(struct ot_bytes key, char *buf, size_t n);

int ot_data_idx(int argc, char **argv, struct ot_err *err);
int ot_data_scenes(int argc, char **argv, struct ot_err *err);
int ot_data_voc(int argc, char **argv, struct ot_err *err);
int ot_data_images(int argc, char **argv, struct ot_err *err);
int ot_data_info(int argc, char **argv, struct ot_err *err);
int ot_data_mean(int argc, char **argv, struct ot_err *err);
int ot_data_check(int argc, char **argv, struct ot_err *err);
int ot_data_get(int argc, char **argv, struct ot_err *err);

#endif
