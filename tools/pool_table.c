/*
 * pool_table.c - how results look.
 *
 * One table, four forms; what a command computes does not depend on who reads it.
 */
#include "tools/pool_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* ---- filling --------------------------------------------------------------------------------- */

void ot_table_columns(struct ot_table *t, const char *names)
{
    while (*names && t->n_columns < OT_TABLE_COLUMNS) {
        size_t n = strcspn(names, " ");

        (void)snprintf(t->column[t->n_columns++], sizeof t->column[0], "%.*s", (int)n, names);
        names += n + strspn(names + n, " ");
    }
}

static struct ot_cell *add(struct ot_table *t, enum ot_cell_kind kind)
{
    if (t->err.code || ot_grow(&t->cells, &t->cap, t->n_cells + 1, sizeof *t->cells, &t->err) < 0)
        return NULL;
    t->cells[t->n_cells] = (struct ot_cell){ .kind = kind };
    return &t->cells[t->n_cells++];
}

void ot_table_text(struct ot_table *t, const char *text)
{
    struct ot_cell *c = add(t, text ? OT_CELL_TEXT : OT_CELL_NULL);

    if (!c || !text)
        return;
    c->text = ot_strdup(text, &t->err);
    if (!c->text)
        c->kind = OT_CELL_NULL;
}

void ot_table_textf(struct ot_table *t, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    ot_table_text(t, buf);
}

void ot_table_int(struct ot_table *t, int64_t v)
{
    struct ot_cell *c = add(t, OT_CELL_INT);

    if (c)
        c->i = v;
}

void ot_table_num(struct ot_table *t, double v)
{
    struct ot_cell *c = add(t, isfinite(v) ? OT_CELL_NUM : OT_CELL_NULL);

    if (c)
        c->num = v;
}

size_t ot_table_rows(const struct ot_table *t)
{
    return t->n_columns ? t->n_cells / (size_t)t->n_columns : 0;
}

const struct ot_cell *ot_table_at(const struct ot_table *t, size_t row, int column)
{
    return &t->cells[row * (size_t)t->n_columns + (size_t)column];
}

int ot_table_ok(const struct ot_table *t, struct ot_err *err)
{
    if (t->err.code)
        *err = t->err;
    return t->err.code;
}

void ot_table_release(struct ot_table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        ot_free(t->cells[i].text);
    ot_free(t->cells);
    *t = (struct ot_table){ 0 };
}

/* ---- for people ------------------------------------------------------------------------------ */

/* What a person reads: three decimals, small ones with significant digits; no control characters,
 * which a key from elsewhere could send to the terminal. */
static void show(const struct ot_cell *c, struct ot_str *s)
{
    size_t from;

    switch (c->kind) {
    case OT_CELL_NULL:
        ot_str_puts(s, "-");
        return;
    case OT_CELL_INT:
        ot_str_printf(s, "%lld", (long long)c->i);
        return;
    case OT_CELL_NUM:
        ot_str_printf(s, c->num != 0 && fabs(c->num) < 0.001 ? "%.2g" : "%.3f",
                      c->num == 0 ? 0 : c->num); /* no -0.000 */
        return;
    case OT_CELL_TEXT:
        break;
    }
    from = s->len;
    ot_str_puts(s, c->text);
    for (size_t i = from; i < s->len; i++)
        if ((unsigned char)s->buf[i] < ' ' || s->buf[i] == 0x7f)
            s->buf[i] = '?';
}

/* Columns on the screen: UTF-8 bytes that do not continue a character. */
static size_t width_of(const char *text, size_t n)
{
    size_t w = 0;

    for (size_t i = 0; i < n; i++)
        w += ((unsigned char)text[i] & 0xc0) != 0x80;
    return w;
}

struct layout {
    size_t width[OT_TABLE_COLUMNS];
    bool right[OT_TABLE_COLUMNS]; /* numbers */
};

static void measure(const struct ot_table *t, struct layout *l, struct ot_str *tmp)
{
    for (int c = 0; c < t->n_columns; c++) {
        bool number = false, text = false;

        l->width[c] = width_of(t->column[c], strlen(t->column[c]));
        for (size_t r = 0; r < ot_table_rows(t); r++) {
            const struct ot_cell *cell = ot_table_at(t, r, c);
            size_t w;

            ot_str_clear(tmp);
            show(cell, tmp);
            w = tmp->buf ? width_of(tmp->buf, tmp->len) : 0;
            if (w > l->width[c])
                l->width[c] = w;
            number |= cell->kind == OT_CELL_INT || cell->kind == OT_CELL_NUM;
            text |= cell->kind == OT_CELL_TEXT;
        }
        l->right[c] = number && !text;
    }
}

static void pad(struct ot_str *out, const char *text, size_t n, size_t width, bool right, bool last)
{
    size_t gap = width - width_of(text, n);

    if (right)
        ot_str_printf(out, "%*s", (int)gap, "");
    ot_str_add(out, text, n);
    if (!right && !last)
        ot_str_printf(out, "%*s", (int)gap, "");
}

static void rule(const struct ot_table *t, const struct layout *l, const char *left,
                 const char *cross, const char *right, struct ot_str *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        ot_str_puts(out, c ? cross : left);
        for (size_t i = 0; i < l->width[c] + 2; i++)
            ot_str_puts(out, "─");
    }
    ot_str_puts(out, right);
    ot_str_puts(out, "\n");
}

/* row: -1 is the header */
static void line(const struct ot_table *t, const struct layout *l, int64_t row, bool box,
                 struct ot_str *tmp, struct ot_str *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        ot_str_clear(tmp);
        if (row < 0)
            ot_str_puts(tmp, t->column[c]);
        else
            show(ot_table_at(t, (size_t)row, c), tmp);
        ot_str_puts(out, box ? "│ " : c ? "  " : "");
        pad(out, tmp->buf ? tmp->buf : "", tmp->len, l->width[c], l->right[c],
            !box && c + 1 == t->n_columns);
        ot_str_puts(out, box ? " " : "");
    }
    ot_str_puts(out, box ? "│\n" : "\n");
}

static void people(const struct ot_table *t, bool box, struct ot_str *out)
{
    struct layout l = { 0 };
    struct ot_str tmp = { 0 };

    measure(t, &l, &tmp);
    if (box)
        rule(t, &l, "┌", "┬", "┐", out);
    line(t, &l, -1, box, &tmp, out);
    if (box)
        rule(t, &l, "├", "┼", "┤", out);
    for (size_t r = 0; r < ot_table_rows(t); r++)
        line(t, &l, (int64_t)r, box, &tmp, out);
    if (box)
        rule(t, &l, "└", "┴", "┘", out);
    out->failed |= tmp.failed;
    ot_str_release(&tmp);
}

/* ---- for programs ---------------------------------------------------------------------------- */

void ot_csv_field(struct ot_str *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        ot_str_puts(out, text);
        return;
    }
    ot_str_puts(out, "\"");
    for (; *text; text++)
        ot_str_puts(out, *text == '"' ? "\"\"" : (char[]){ *text, 0 });
    ot_str_puts(out, "\"");
}

static void csv(const struct ot_table *t, struct ot_str *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        ot_str_puts(out, c ? "," : "");
        ot_csv_field(out, t->column[c]);
    }
    ot_str_puts(out, "\r\n");
    for (size_t r = 0; r < ot_table_rows(t); r++) {
        for (int c = 0; c < t->n_columns; c++) {
            const struct ot_cell *cell = ot_table_at(t, r, c);

            ot_str_puts(out, c ? "," : "");
            if (cell->kind == OT_CELL_TEXT)
                ot_csv_field(out, cell->text);
            else if (cell->kind == OT_CELL_INT)
                ot_str_printf(out, "%lld", (long long)cell->i);
            else if (cell->kind == OT_CELL_NUM)
                ot_str_json_num(out, cell->num);
        }
        ot_str_puts(out, "\r\n");
    }
}

static void json_cell(const struct ot_cell *cell, struct ot_str *out)
{
    switch (cell->kind) {
    case OT_CELL_NULL:
        ot_str_puts(out, "null");
        break;
    case OT_CELL_INT:
        ot_str_printf(out, "%lld", (long long)cell->i);
        break;
    case OT_CELL_NUM:
        ot_str_json_num(out, cell->num);
        break;
    case OT_CELL_TEXT:
        ot_str_puts(out, "\"");
        ot_str_json(out, cell->text);
        ot_str_puts(out, "\"");
        break;
    }
}

void ot_table_json_rows(const struct ot_table *t, struct ot_str *out)
{
    for (size_t r = 0; r < ot_table_rows(t); r++) {
        ot_str_puts(out, r ? ",\n{" : "{");
        for (int c = 0; c < t->n_columns; c++) {
            ot_str_puts(out, c ? "," : "");
            ot_str_puts(out, "\"");
            ot_str_json(out, t->column[c]);
            ot_str_puts(out, "\":");
            json_cell(ot_table_at(t, r, c), out);
        }
        ot_str_puts(out, "}");
    }
}

void ot_table_render(const struct ot_table *t, enum ot_table_form form, struct ot_str *out)
{
    switch (form) {
    case OT_TABLE_PLAIN:
    case OT_TABLE_BOX:
        people(t, form == OT_TABLE_BOX, out);
        break;
    case OT_TABLE_JSON:
        ot_str_puts(out, "[");
        ot_table_json_rows(t, out);
        ot_str_puts(out, "]\n");
        break;
    case OT_TABLE_CSV:
        csv(t, out);
        break;
    }
}
