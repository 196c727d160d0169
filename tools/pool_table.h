/*
 * pool_table.h - a table of results, printed for people, as JSON or as CSV.
 *
 * Rows are filled cell by cell, left to right; the table grows.  For people: numbers to the right,
 * texts to the left, control characters shown as '?', a box only on a terminal.  As JSON: an array
 * of objects, one a line.  As CSV: RFC 4180, with a header.
 *
 * Ownership: ot_table_release() frees; texts are copied.
 * Threads: one owner at a time.
 * Errors: a failed addition is latched; ot_table_ok() tells.
 * Source: RFC 4180 for CSV, RFC 8259 for JSON.
 */
#ifndef OT_TOOLS_POOL_TABLE_H
#define OT_TOOLS_POOL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define OT_TABLE_COLUMNS 40

enum ot_cell_kind { OT_CELL_NULL, OT_CELL_TEXT, OT_CELL_INT, OT_CELL_NUM };

struct ot_cell {
    enum ot_cell_kind kind;
    int64_t i;
    double num;
    char *text; /* owned */
};

struct ot_table {
    char column[OT_TABLE_COLUMNS][40];
    int n_columns;
    struct ot_cell *cells; /* row after row; owned */
    size_t n_cells, cap;
    struct ot_err err; /* the first one */
};

enum ot_table_form { OT_TABLE_PLAIN, OT_TABLE_BOX, OT_TABLE_JSON, OT_TABLE_CSV };

/* Names in order, separated by blanks: "key class loss". */
void ot_table_columns(struct ot_table *t, const char *names);
void ot_table_text(struct ot_table *t, const char *text); /* NULL: no value */
void ot_table_textf(struct ot_table *t, const char *fmt, ...) OT_PRINTF(2, 3);
void ot_table_int(struct ot_table *t, int64_t v);
void ot_table_num(struct ot_table *t, double v); /* NaN: no value */
size_t ot_table_rows(const struct ot_table *t);
const struct ot_cell *ot_table_at(const struct ot_table *t, size_t row, int column);
int ot_table_ok(const struct ot_table *t, struct ot_err *err);
void ot_table_release(struct ot_table *t); /* empty, without columns, ready to be used again */

void ot_table_render(const struct ot_table *t, enum ot_table_form form, struct ot_str *out);

/* The members of the JSON array without its brackets, for arrays within something larger. */
void ot_table_json_rows(const struct ot_table *t, struct ot_str *out);
/* One field of CSV, quoted where it must be. */
void ot_csv_field(struct ot_str *out, const char *text);

#endif
