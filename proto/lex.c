/*
 * lex.c - decides what a token is.  Names and numbers are taken greedily and judged by the parser;
 * strings are checked for their end here and decoded on demand, into memory of the parser.
 */
#include "proto/lex.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static void skip_blank(struct ot_lex *lx)
{
    for (; lx->p < lx->end; lx->p++) {
        if (*lx->p == '#') {
            while (lx->p < lx->end && *lx->p != '\n')
                lx->p++;
            if (lx->p == lx->end)
                return;
        }
        if (*lx->p == '\n') {
            lx->here.line += lx->here.line > 0;
            lx->line_start = lx->p + 1;
        } else if (!strchr(" \t\r\f\v", *lx->p) || *lx->p == '\0') {
            return;
        }
    }
}

/* One past a number at p: letters and dots belong to it, a sign does after a decimal exponent. */
static const char *number_end(const char *p, const char *end)
{
    bool hex = end - p > 1 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');

    while (p < end && (is_name(*p) || *p == '.')) {
        bool exponent = !hex && (*p == 'e' || *p == 'E');

        p++;
        if (exponent && p < end && (*p == '-' || *p == '+'))
            p++;
    }
    return p;
}

/* One past the closing quote, or NULL when the line ends first. */
static const char *string_end(const char *p, const char *end)
{
    char quote = *p++;

    while (p < end && *p != quote && *p != '\n') {
        if (*p == '\\' && p + 1 < end && p[1] != '\n')
            p++;
        p++;
    }
    return p < end && *p == quote ? p + 1 : NULL;
}

static int unterminated(struct ot_lex *lx, struct ot_err *err)
{
    struct ot_tok *t = &lx->tok;
    char show[OT_TOK_SHOW];

    while (t->s + t->n < lx->end && t->s[t->n] != '\n')
        t->n++;
    lx->p = t->s + t->n;
    return ot_fail_at(err, t->loc, OT_EPARSE, "string has no closing %c on its line, got %s", *t->s,
                      ot_tok_show(t, show));
}

int ot_lex_next(struct ot_lex *lx, struct ot_err *err)
{
    struct ot_tok *t = &lx->tok;
    const char *p;

    skip_blank(lx);
    p = lx->p;
    *t = (struct ot_tok){ .kind = OT_TOK_END, .s = p, .loc = lx->here };
    t->loc.col = lx->here.line > 0 ? (int)(p - lx->line_start) + 1 : 0;
    if (p == lx->end)
        return 0;
    if (is_digit(*p) || (*p == '.' && p + 1 < lx->end && is_digit(p[1]))) {
        t->kind = OT_TOK_NUMBER;
        lx->p = number_end(p, lx->end);
    } else if (is_name(*p)) {
        t->kind = OT_TOK_NAME;
        while (lx->p < lx->end && is_name(*lx->p))
            lx->p++;
    } else if (*p == '"' || *p == '\'') {
        t->kind = OT_TOK_STRING;
        lx->p = string_end(p, lx->end);
        if (!lx->p)
            return unterminated(lx, err);
    } else if (strchr("{}<>[]:;,-", *p) && *p) {
        t->kind = OT_TOK_SIGN;
        lx->p++;
    } else {
        return ot_fail_at(err, t->loc, OT_EPARSE, "unexpected byte, got 0x%02x", (unsigned char)*p);
    }
    t->n = (size_t)(lx->p - p);
    return 0;
}

int ot_lex_init(struct ot_lex *lx, const char *file, int line, const char *text, size_t n,
                struct ot_err *err)
{
    *lx = (struct ot_lex){ .p = text, .end = text + n, .here = { file, line, 0 } };
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* byte order mark of some editors */
        lx->p += 3;
    lx->line_start = lx->p;
    return ot_lex_next(lx, err);
}

bool ot_tok_is(const struct ot_tok *t, char sign)
{
    return t->kind == OT_TOK_SIGN && *t->s == sign;
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Reads up to `max` digits at *p; returns how many there were. */
static int read_digits(const char **p, const char *end, int base, int max, uint32_t *value)
{
    int n = 0;

    for (*value = 0; n < max && *p < end && digit_value(**p) < base; n++)
        *value = *value * (uint32_t)base + (uint32_t)digit_value(*(*p)++);
    return n;
}

static size_t put_utf8(char *out, uint32_t c)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xC0, 0xE0, 0xF0 };

    out[0] = (char)(lead[more] | (c >> (6 * more)));
    for (int i = 1; i <= more; i++)
        out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3F));
    return (size_t)more + 1;
}

/* Decodes the escape whose letter is at *p; returns the bytes written, 0 when it is not one. */
static size_t escape(const char **p, const char *end, char *out)
{
    static const char from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *known = **p ? strchr(from, **p) : NULL;
    uint32_t c;
    char kind = *(*p)++;

    if (known) {
        *out = to[known - from];
        return 1;
    }
    if (kind == 'u' || kind == 'U') {
        int want = kind == 'u' ? 4 : 8;

        return read_digits(p, end, 16, want, &c) == want && c <= 0x10FFFF ? put_utf8(out, c) : 0;
    }
    if (kind == 'x' || kind == 'X') {
        if (!read_digits(p, end, 16, 2, &c))
            return 0;
    } else {
        (*p)--;
        if (!read_digits(p, end, 8, 3, &c) || c > 255)
            return 0;
    }
    *out = (char)(unsigned char)c;
    return 1;
}

int ot_tok_string(const struct ot_tok *t, char *out, size_t *n, struct ot_err *err)
{
    const char *p = t->s + 1, *end = t->s + t->n - 1;

    *n = 0;
    while (p < end) {
        const char *start = p;
        size_t k;

        if (*p != '\\') {
            out[(*n)++] = *p++;
            continue;
        }
        p++;
        k = escape(&p, end, out + *n);
        if (!k) {
            struct ot_tok bad = { OT_TOK_STRING, start, (size_t)(p - start), t->loc };
            char show[OT_TOK_SHOW];

            if (bad.n < 2)
                bad.n = 2;
            return ot_fail_at(err, t->loc, OT_EPARSE, "string has an unknown escape, got %s",
                              ot_tok_show(&bad, show));
        }
        *n += k;
    }
    return 0;
}

const char *ot_tok_show(const struct ot_tok *t, char buf[OT_TOK_SHOW])
{
    size_t n = 0;

    if (t->kind == OT_TOK_END)
        return "end of text";
    for (size_t i = 0; i < t->n && n < OT_TOK_SHOW - 8; i++) {
        unsigned char c = (unsigned char)t->s[i];

        if (c >= 0x20 && c != 0x7f)
            buf[n++] = (char)c;
        else
            n += (size_t)snprintf(buf + n, OT_TOK_SHOW - n, "\\%03o", c);
    }
    if (n >= OT_TOK_SHOW - 8)
        n += (size_t)snprintf(buf + n, OT_TOK_SHOW - n, "...");
    buf[n] = '\0';
    return buf;
}
