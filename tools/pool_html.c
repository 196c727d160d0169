/*
 * pool_html.c - texts, tables and pictures of a page.
 *
 * What comes from a pool may be anything, also what a person typed into it: markup is escaped,
 * what is no UTF-8 becomes '?'.  Source: RFC 4648 for base64, RFC 2397 for data URIs.
 */
#include "tools/pool_html.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* Bytes of the UTF-8 character at p, 0: none is there. */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = *p < 0x80                 ? 1
               : *p >= 0xC2 && *p < 0xE0 ? 2
               : *p >= 0xE0 && *p < 0xF0 ? 3
               : *p >= 0xF0 && *p < 0xF5 ? 4
                                         : 0;

    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void ot_html_text(struct ot_str *s, const char *text)
{
    size_t n;

    for (const char *p = text; *p; p += n) {
        const char *e = entity(*p);

        n = utf8_length((const unsigned char *)p);
        if (e)
            ot_str_puts(s, e);
        else if (n == 0 || *p == 0x7f || (*p >= 0 && *p < ' ' && *p != '\n' && *p != '\t'))
            ot_str_puts(s, "?");
        else
            ot_str_add(s, p, n);
        n = n ? n : 1;
    }
}

/* ---- tables ------------------------------------------------------------------------------------
 */

enum { ONE_LINE = 24 }; /* letters that are not broken into two */

static double as_number(const struct ot_cell *c)
{
    return c->kind == OT_CELL_NUM ? c->num : c->kind == OT_CELL_INT ? (double)c->i : (double)NAN;
}

static double greatest(const struct ot_table *t, int column)
{
    double most = 0;

    for (size_t r = 0; r < ot_table_rows(t); r++)
        most = fmax(most, as_number(ot_table_at(t, r, column)));
    return most;
}

static void put_number(struct ot_str *s, const struct ot_cell *c, double most)
{
    double v = as_number(c);

    ot_str_puts(s, most > 0 ? "<td class=\"n bar\"" : "<td class=\"n\"");
    if (most > 0)
        ot_str_printf(s, " style=\"--v:%.1f%%\"", 100 * fmax(v, 0) / most);
    ot_str_puts(s, ">");
    if (c->kind == OT_CELL_INT)
        ot_str_printf(s, "%lld</td>", (long long)c->i);
    else
        ot_str_printf(s, v != 0 && fabs(v) < 0.001 ? "%.1e</td>" : "%.3f</td>", v);
}

static void put_cell(struct ot_str *s, const struct ot_cell *c, bool head, double most)
{
    if (head) {
        ot_str_puts(s, "<th scope=\"row\">");
        if (c->kind == OT_CELL_TEXT)
            ot_html_text(s, c->text);
        else if (c->kind == OT_CELL_INT)
            ot_str_printf(s, "%lld", (long long)c->i);
        ot_str_puts(s, "</th>");
    } else if (c->kind == OT_CELL_TEXT) {
        ot_str_puts(s, strlen(c->text) <= ONE_LINE ? "<td class=\"t\">" : "<td>");
        ot_html_text(s, c->text);
        ot_str_puts(s, "</td>");
    } else if (c->kind == OT_CELL_NULL) {
        ot_str_puts(s, "<td class=\"n\">&ndash;</td>");
    } else {
        put_number(s, c, most);
    }
}

static bool is_numeric(const struct ot_table *t, int column)
{
    for (size_t r = 0; r < ot_table_rows(t); r++)
        if (ot_table_at(t, r, column)->kind == OT_CELL_TEXT)
            return false;
    return true;
}

/* Names of columns are SQL's: class_name is "class name". */
static void put_heads(struct ot_str *s, const struct ot_table *t)
{
    for (int c = 0; c < t->n_columns; c++) {
        char name[sizeof t->column[0]];
        size_t i;

        for (i = 0; t->column[c][i] && i + 1 < sizeof name; i++)
            name[i] = (char)(t->column[c][i] == '_' ? ' ' : t->column[c][i]);
        name[i] = '\0';
        ot_str_puts(s, c && is_numeric(t, c) ? "<th scope=\"col\" class=\"n\">"
                                             : "<th scope=\"col\">");
        ot_html_text(s, name);
        ot_str_puts(s, "</th>");
    }
}

void ot_html_table(struct ot_str *s, const struct ot_table *t, const char *caption, const char *bar)
{
    ot_str_puts(s, "<div class=\"scroll\"><table><caption>");
    ot_html_text(s, caption);
    ot_str_puts(s, "</caption><thead><tr>");
    put_heads(s, t);
    ot_str_puts(s, "</tr></thead><tbody>\n");
    for (size_t r = 0; r < ot_table_rows(t); r++) {
        ot_str_puts(s, "<tr>");
        for (int c = 0; c < t->n_columns; c++)
            put_cell(s, ot_table_at(t, r, c), c == 0,
                     bar && strcmp(bar, t->column[c]) == 0 ? greatest(t, c) : 0);
        ot_str_puts(s, "</tr>\n");
    }
    ot_str_puts(s, "</tbody></table></div>\n");
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

static void base64(struct ot_str *s, const unsigned char *p, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char four[4];

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned)p[i + 2] : 0);

        for (int k = 0; k < 4; k++)
            four[k] = letters[v >> (18 - 6 * k) & 63];
        if (i + 1 >= n)
            four[2] = '=';
        if (i + 2 >= n)
            four[3] = '=';
        ot_str_add(s, four, sizeof four);
    }
}

int ot_html_picture(struct ot_str *s, const struct ot_image *im, const char *alt,
                    struct ot_err *err)
{
    unsigned char *png;
    size_t n;

    if (ot_image_encode_png(im, &png, &n, err) < 0)
        return err->code;
    ot_str_printf(s, "<img width=\"%d\" height=\"%d\" alt=\"", im->width, im->height);
    ot_html_text(s, alt);
    ot_str_puts(s, "\" src=\"data:image/png;base64,");
    base64(s, png, n);
    ot_str_puts(s, "\">");
    ot_free(png);
    return 0;
}
