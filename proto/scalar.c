/*
 * scalar.c - decides what a value may look like for each type of field, and says so when it does
 * not.  As in protobuf: integers are decimal, 0x hex or 0 octal; floats are decimal; a float field
 * takes the double nearest to the text, rounded once more.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/parse.h"

/* "an integer from ..." and so on, for messages */
static void expected(const ProtobufCFieldDescriptor *f, char *buf, size_t size)
{
    const ProtobufCEnumDescriptor *e = f->descriptor;
    int n;

    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        (void)snprintf(buf, size, "(%s) must be a number in its range",
                       f->type == PROTOBUF_C_TYPE_FLOAT ? "float" : "double");
        return;
    case PROTOBUF_C_TYPE_BOOL:
        (void)snprintf(buf, size, "(bool) must be true or false");
        return;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        (void)snprintf(buf, size, "(string) must be a string in quotes");
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        (void)snprintf(buf, size, "(uint32) must be an integer from 0 to %u", UINT32_MAX);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        (void)snprintf(buf, size, "(uint64) must be an integer from 0 to 18446744073709551615");
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        (void)snprintf(buf, size,
                       "(int64) must be an integer from -9223372036854775808 to "
                       "9223372036854775807");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        n = snprintf(buf, size, "(enum %s) must be one of", e->short_name);
        for (unsigned i = 0; i < e->n_values && n >= 0 && (size_t)n < size; i++)
            n += snprintf(buf + n, size - (size_t)n, "%s %s", i ? "," : "", e->values[i].name);
        return;
    default:
        (void)snprintf(buf, size, "(int32) must be an integer from -2147483648 to 2147483647");
    }
}

static int mismatch(const struct ot_parser *ps, const ProtobufCFieldDescriptor *f,
                    struct ot_loc loc, bool minus, struct ot_err *err)
{
    char want[384], show[OT_TOK_SHOW];

    expected(f, want, sizeof want);
    return ot_fail_at(err, loc, OT_EPARSE, "field \"%.*s\" %s, got %s%s", ot_field_name_len(f),
                      f->name, want, minus ? "-" : "", ot_tok_show(&ps->lx.tok, show));
}

static bool tok_eq(const struct ot_tok *t, const char *word)
{
    return t->kind == OT_TOK_NAME && t->n == strlen(word) && memcmp(t->s, word, t->n) == 0;
}

static bool tok_eq_nocase(const struct ot_tok *t, const char *word)
{
    if (t->kind != OT_TOK_NAME || t->n != strlen(word))
        return false;
    for (size_t i = 0; i < t->n; i++)
        if ((t->s[i] | 0x20) != word[i])
            return false;
    return true;
}

/* The token as an unsigned integer; false when it is none or has more than 64 bits. */
static bool tok_u64(const struct ot_tok *t, uint64_t *value)
{
    uint64_t base = 10;
    size_t i = 0;

    if (t->kind != OT_TOK_NUMBER)
        return false;
    if (t->n > 2 && t->s[0] == '0' && (t->s[1] | 0x20) == 'x') {
        base = 16;
        i = 2;
    } else if (t->n > 1 && t->s[0] == '0') {
        base = 8;
        i = 1;
    }
    for (*value = 0; i < t->n; i++) {
        char c = (char)(t->s[i] | 0x20);
        uint64_t digit;

        if (t->s[i] >= '0' && t->s[i] <= '9')
            digit = (uint64_t)(t->s[i] - '0');
        else
            digit = c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a') + 10 : base;
        if (digit >= base || *value > (UINT64_MAX - digit) / base)
            return false;
        *value = *value * base + digit;
    }
    return true;
}

/* Decimal floating point: digits with at most one dot, an exponent, and an f as C writes it. */
static bool tok_double(const struct ot_tok *t, double *value)
{
    char text[512], *end;
    size_t n = t->n, i = 0, digits = 0;

    if (tok_eq_nocase(t, "inf") || tok_eq_nocase(t, "infinity")) {
        *value = (double)INFINITY;
        return true;
    }
    if (tok_eq_nocase(t, "nan")) {
        *value = (double)NAN;
        return true;
    }
    if (t->kind != OT_TOK_NUMBER || n >= sizeof text)
        return false;
    memcpy(text, t->s, n);
    text[n] = '\0';
    while (i < n && ((text[i] >= '0' && text[i] <= '9') || text[i] == '.'))
        digits += text[i++] != '.';
    if (!digits || (i < n && (text[i] | 0x20) != 'e' && i + 1 != n))
        return false; /* 0x10 and the like */
    if ((text[n - 1] | 0x20) == 'f')
        text[--n] = '\0';
    errno = 0;
    *value = strtod(text, &end);
    return end == text + n && !(errno == ERANGE && isinf(*value));
}

static bool get_signed(const struct ot_tok *t, bool minus, uint64_t max, int64_t *value)
{
    uint64_t u;

    if (!tok_u64(t, &u) || u > max + minus)
        return false;
    *value = minus ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

static bool get_unsigned(const struct ot_tok *t, bool minus, uint64_t max, uint64_t *value)
{
    return !minus && tok_u64(t, value) && *value <= max;
}

static bool get_float(const struct ot_tok *t, bool minus, double *d, float *f)
{
    if (!tok_double(t, d))
        return false;
    *d = minus ? -*d : *d;
    *f = (float)*d;
    return true;
}

static bool get_bool(const struct ot_tok *t, bool minus, protobuf_c_boolean *b)
{
    uint64_t u = 2;

    if (tok_eq(t, "true") || tok_eq(t, "True") || tok_eq(t, "t"))
        u = 1;
    else if (tok_eq(t, "false") || tok_eq(t, "False") || tok_eq(t, "f"))
        u = 0;
    else if (!tok_u64(t, &u))
        return false;
    *b = u == 1;
    return !minus && u <= 1;
}

static bool get_enum(const struct ot_tok *t, bool minus, const ProtobufCEnumDescriptor *e,
                     int *value)
{
    int64_t number;
    bool is_number = get_signed(t, minus, INT32_MAX, &number);

    for (unsigned i = 0; i < e->n_values; i++)
        if (is_number ? e->values[i].value == number : !minus && tok_eq(t, e->values[i].name)) {
            *value = e->values[i].value;
            return true;
        }
    return false;
}

/* One string, or several standing side by side. */
static int get_string(struct ot_parser *ps, const ProtobufCFieldDescriptor *f, struct ot_loc loc,
                      union ot_value *v, struct ot_err *err)
{
    struct ot_str all = { 0 };
    char *p;
    int rc = 0;

    while (rc == 0 && ps->lx.tok.kind == OT_TOK_STRING) {
        size_t n;

        p = ot_doc_alloc(ps->doc, ps->lx.tok.n, err);
        if (!p || ot_tok_string(&ps->lx.tok, p, &n, err) < 0) {
            rc = err->code;
            break;
        }
        ot_str_add(&all, p, n);
        rc = ot_lex_next(&ps->lx, err);
    }
    if (rc == 0)
        rc = ot_str_ok(&all, err);
    if (rc == 0 && f->type == PROTOBUF_C_TYPE_STRING && all.len && memchr(all.buf, 0, all.len))
        rc = ot_fail_at(err, loc, OT_EPARSE,
                        "field \"%s\" (string) must not contain byte 0, got "
                        "it after \"%.60s\"",
                        f->name, all.buf);
    p = rc == 0 ? ot_doc_alloc(ps->doc, all.len + 1, err) : NULL;
    if (p && all.len)
        memcpy(p, all.buf, all.len);
    if (p && f->type == PROTOBUF_C_TYPE_STRING)
        v->str = p;
    else if (p)
        v->bytes = (ProtobufCBinaryData){ all.len, (uint8_t *)p };
    ot_str_release(&all);
    return p ? 0 : err->code;
}

/* Narrows the value of the current token into v; false when it does not fit the type. */
static bool get_value(const struct ot_tok *t, bool minus, const ProtobufCFieldDescriptor *f,
                      union ot_value *v)
{
    int64_t i = 0;
    uint64_t u = 0;
    double d;
    bool ok;

    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
        return get_float(t, minus, &d, &v->f) && isinf(v->f) == isinf(d);
    case PROTOBUF_C_TYPE_DOUBLE: {
        float unused;

        return get_float(t, minus, &v->d, &unused);
    }
    case PROTOBUF_C_TYPE_BOOL:
        return get_bool(t, minus, &v->b);
    case PROTOBUF_C_TYPE_ENUM:
        return get_enum(t, minus, f->descriptor, &v->e);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        ok = get_unsigned(t, minus, UINT32_MAX, &u);
        v->u32 = (uint32_t)u;
        return ok;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return get_unsigned(t, minus, UINT64_MAX, &v->u64);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return get_signed(t, minus, INT64_MAX, &v->i64);
    default:
        ok = get_signed(t, minus, INT32_MAX, &i);
        v->i32 = (int32_t)i;
        return ok;
    }
}

int ot_parse_scalar(struct ot_parser *ps, const ProtobufCFieldDescriptor *f, struct ot_loc loc,
                    union ot_value *v, struct ot_err *err)
{
    const struct ot_tok *t = &ps->lx.tok;
    bool minus = ot_tok_is(t, '-');

    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES)
        return t->kind == OT_TOK_STRING ? get_string(ps, f, loc, v, err)
                                        : mismatch(ps, f, loc, false, err);
    if (minus && ot_lex_next(&ps->lx, err) < 0)
        return err->code;
    if (!get_value(t, minus, f, v))
        return mismatch(ps, f, loc, minus, err);
    return ot_lex_next(&ps->lx, err);
}

int ot_parse_round_mode(struct ot_parser *ps, struct ot_loc loc, union ot_value *v,
                        struct ot_err *err)
{
    const struct ot_tok *t = &ps->lx.tok;
    char show[OT_TOK_SHOW];
    uint64_t u;

    if (tok_eq(t, "CEIL") || (tok_u64(t, &u) && u == 0))
        v->b = 1;
    else if (tok_eq(t, "FLOOR") || (tok_u64(t, &u) && u == 1))
        v->b = 0;
    else
        return ot_fail_at(err, loc, OT_EPARSE,
                          "field \"round_mode\" must be one of CEIL, FLOOR, got %s",
                          ot_tok_show(t, show));
    return ot_lex_next(&ps->lx, err);
}
