/*
 * pool_json.c - recursive descent, 64 levels deep at most.
 */
#include "tools/pool_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64 };

struct reader {
    const char *file, *at, *line_start;
    int line;
    struct ot_arena *arena;
    struct ot_err *err;
};

static int complain(struct reader *r, const char *what)
{
    char got[16] = "the end";

    if (*r->at) {
        size_t n = 0;

        while (n < sizeof got - 1 && r->at[n] > ' ')
            n++;
        memcpy(got, r->at, n);
        got[n] = '\0';
    }
    return ot_fail_at(r->err,
                      ((struct ot_loc){ r->file, r->line, (int)(r->at - r->line_start) + 1 }),
                      OT_EDATA, "%s, got '%s'", what, got);
}

static void blanks(struct reader *r)
{
    for (; *r->at && strchr(" \t\r\n", *r->at); r->at++)
        if (*r->at == '\n') {
            r->line++;
            r->line_start = r->at + 1;
        }
}

static int hex4(const char *p, unsigned *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *d = p[i] ? strchr(digits, p[i] | 0x20) : NULL;

        if (!d)
            return -1;
        *v = *v * 16 + (unsigned)(d - digits);
    }
    return 0;
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* What stands behind a backslash; NULL when it is no escape. */
static char *escape(struct reader *r, char *to)
{
    static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
    const char *e = *r->at ? strchr(from, *r->at) : NULL;
    unsigned c, low;

    if (e) {
        *to++ = is[e - from];
        r->at++;
        return to;
    }
    if (*r->at != 'u' || hex4(r->at + 1, &c) < 0 || c == 0)
        return NULL;
    r->at += 5;
    if (c >= 0xD800 && c < 0xDC00 && r->at[0] == '\\' && r->at[1] == 'u' &&
        hex4(r->at + 2, &low) == 0 && low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        r->at += 6;
    }
    return put_utf8(to, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
}

static const char *string(struct reader *r)
{
    const char *end = ++r->at;
    char *text, *to;

    while (*end && *end != '"')
        end += *end == '\\' && end[1] ? 2 : 1;
    text = to = ot_arena_alloc(r->arena, (size_t)(end - r->at) + 1, 1, r->err);
    if (!text)
        return NULL;
    while (*r->at && *r->at != '"') {
        if ((unsigned char)*r->at < ' ')
            break;
        if (*r->at != '\\') {
            *to++ = *r->at++;
            continue;
        }
        r->at++;
        to = escape(r, to);
        if (!to)
            break;
    }
    if (!to || *r->at != '"') {
        (void)complain(r, "a string must end with '\"' and have escapes of JSON only");
        return NULL;
    }
    r->at++;
    return text;
}

static int value(struct reader *r, struct ot_json **out, int depth);

static int members(struct reader *r, struct ot_json *v, int depth)
{
    bool object = v->kind == OT_JSON_OBJECT;
    struct ot_json **link = &v->child;
    char close = object ? '}' : ']';

    r->at++;
    blanks(r);
    if (*r->at == close) {
        r->at++;
        return 0;
    }
    for (;;) {
        const char *name = NULL;

        blanks(r);
        if (object) {
            if (*r->at != '"')
                return complain(r, "a member's name is wanted");
            name = string(r);
            if (!name)
                return r->err->code;
            blanks(r);
            if (*r->at != ':')
                return complain(r, "':' is wanted");
            r->at++;
        }
        if (value(r, link, depth + 1) < 0)
            return r->err->code;
        (*link)->name = name;
        link = &(*link)->next;
        blanks(r);
        if (*r->at == close)
            break;
        if (*r->at != ',')
            return complain(r, object ? "',' or '}' is wanted" : "',' or ']' is wanted");
        r->at++;
    }
    r->at++;
    return 0;
}

static int word(struct reader *r, struct ot_json *v)
{
    static const struct {
        const char *text;
        enum ot_json_kind kind;
        double num;
    } words[] = { { "null", OT_JSON_NULL, 0 },
                  { "true", OT_JSON_BOOL, 1 },
                  { "false", OT_JSON_BOOL, 0 } };

    char *end;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(r->at, words[i].text, strlen(words[i].text)) == 0) {
            v->kind = words[i].kind;
            v->num = words[i].num;
            r->at += strlen(words[i].text);
            return 0;
        }
    if (*r->at != '-' && (*r->at < '0' || *r->at > '9'))
        return complain(r, "a value is wanted");
    v->kind = OT_JSON_NUM;
    v->num = strtod(r->at, &end);
    if (end == r->at || !isfinite(v->num))
        return complain(r, "a finite number is wanted");
    r->at = end;
    return 0;
}

static int value(struct reader *r, struct ot_json **out, int depth)
{
    struct ot_json *v = ot_arena_alloc(r->arena, 1, sizeof *v, r->err);

    if (!v)
        return r->err->code;
    blanks(r);
    if (depth > DEPTH)
        return complain(r, "nesting must be at most 64 levels deep");
    *out = v;
    v->line = r->line;
    switch (*r->at) {
    case '{':
        v->kind = OT_JSON_OBJECT;
        return members(r, v, depth);
    case '[':
        v->kind = OT_JSON_ARRAY;
        return members(r, v, depth);
    case '"':
        v->kind = OT_JSON_TEXT;
        v->text = string(r);
        return v->text ? 0 : r->err->code;
    default:
        return word(r, v);
    }
}

int ot_json_parse(const char *file, const char *text, struct ot_json_doc *doc, struct ot_err *err)
{
    struct reader r = { file, text, text, 1, &doc->arena, err };
    int rc;

    *doc = (struct ot_json_doc){ 0 };
    rc = value(&r, &doc->root, 0);
    blanks(&r);
    if (rc == 0 && *r.at)
        rc = complain(&r, "the document must end here");
    if (rc < 0)
        ot_json_release(doc);
    return rc;
}

void ot_json_release(struct ot_json_doc *doc)
{
    ot_arena_release(&doc->arena);
    doc->root = NULL;
}

const struct ot_json *ot_json_get(const struct ot_json *object, const char *name)
{
    const struct ot_json *m = object && object->kind == OT_JSON_OBJECT ? object->child : NULL;

    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

const struct ot_json *ot_json_first(const struct ot_json *array)
{
    return array && array->kind == OT_JSON_ARRAY ? array->child : NULL;
}

double ot_json_num(const struct ot_json *v)
{
    return v && v->kind == OT_JSON_NUM ? v->num : (double)NAN;
}

const char *ot_json_text(const struct ot_json *v)
{
    return v && v->kind == OT_JSON_TEXT ? v->text : NULL;
}
