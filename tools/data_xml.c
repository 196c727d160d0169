/*
 * data_xml.c - expat events to objects.
 *
 * The path of open elements decides what a text belongs to, so that the bndbox of a `part`
 * inside an object is not taken for the object's own.
 */
#include "tools/data_xml.h"

#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

enum { MAX_FILE = 16 << 20, MAX_DEPTH = 64 };

struct reader {
    XML_Parser parser;
    struct ot_voc *v;
    const char *file;
    struct ot_str path;    /* "/annotation/object/name" */
    size_t cut[MAX_DEPTH]; /* length of path before each open element */
    int depth;
    struct ot_str text; /* of the innermost element */
    struct ot_err *err; /* filled by the first failure */
    bool failed;
};

static int line_of(const struct reader *r)
{
    return (int)XML_GetCurrentLineNumber(r->parser);
}

static void stop(struct reader *r)
{
    r->failed = true;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void stop_with(struct reader *r, const char *what, const char *got)
{
    struct ot_loc at = { r->file, line_of(r), 0 };

    (void)ot_fail_at(r->err, at, OT_EDATA, "%s, got '%.80s'", what, got);
    stop(r);
}

static bool at_path(const struct reader *r, const char *path)
{
    return strcmp(r->path.buf, path) == 0;
}

static struct ot_voc_object *last_object(const struct reader *r)
{
    return r->v->n ? &r->v->object[r->v->n - 1] : NULL;
}

static void add_object(struct reader *r)
{
    struct ot_voc *v = r->v;

    if (ot_grow(&v->object, &v->cap, v->n + 1, sizeof *v->object, r->err) < 0) {
        stop(r);
        return;
    }
    v->object[v->n++] = (struct ot_voc_object){ .line = line_of(r) };
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attr)
{
    struct reader *r = user;

    (void)attr;
    if (r->failed)
        return;
    if (r->depth == 0 && strcmp(name, "annotation") != 0) {
        stop_with(r, "the root element must be 'annotation'", name);
        return;
    }
    if (r->depth == MAX_DEPTH) {
        stop_with(r, "elements are nested too deep", name);
        return;
    }
    r->cut[r->depth++] = r->path.len;
    ot_str_printf(&r->path, "/%s", name);
    ot_str_clear(&r->text);
    if (ot_str_ok(&r->path, r->err) < 0)
        stop(r);
    else if (at_path(r, "/annotation/object"))
        add_object(r);
    else if (at_path(r, "/annotation/object/bndbox"))
        last_object(r)->box_line = line_of(r);
    else if (at_path(r, "/annotation/size")) {
        r->v->has_size = true;
        r->v->size_line = line_of(r);
    }
}

static void XMLCALL on_text(void *user, const XML_Char *s, int n)
{
    struct reader *r = user;

    if (!r->failed)
        ot_str_add(&r->text, s, (size_t)n);
}

/* The text without blanks at its ends. */
static const char *trimmed(struct reader *r)
{
    char *s = r->text.len ? r->text.buf : NULL;
    size_t n;

    if (!s)
        return "";
    s += strspn(s, " \t\r\n");
    n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* NaN when the text is not a finite number. */
static double number(const char *text)
{
    char *end;
    double v = strtod(text, &end);

    return *text && !*end && isfinite(v) ? v : (double)NAN;
}

static void set_side(struct reader *r, enum ot_voc_side side)
{
    struct ot_voc_object *o = last_object(r);
    const char *text = trimmed(r);
    double v = number(text);

    if (isnan(v)) {
        if (!o->bad) {
            o->bad = ot_arena_strdup(&r->v->arena, text, r->err);
            o->bad_line = line_of(r);
            if (!o->bad)
                stop(r);
        }
        return;
    }
    o->has[side] = true;
    o->side[side] = v;
}

static void object_end(struct reader *r, const char *leaf)
{
    static const char *const sides[] = { "bndbox/xmin", "bndbox/ymin", "bndbox/xmax",
                                         "bndbox/ymax" };
    struct ot_voc_object *o = last_object(r);

    for (int i = 0; i < OT_VOC_SIDES; i++)
        if (strcmp(leaf, sides[i]) == 0)
            set_side(r, (enum ot_voc_side)i);
    if (strcmp(leaf, "difficult") == 0) {
        o->difficult = strcmp(trimmed(r), "0") != 0;
    } else if (strcmp(leaf, "name") == 0) {
        o->name = ot_arena_strdup(&r->v->arena, trimmed(r), r->err);
        o->name_line = line_of(r);
        if (!o->name)
            stop(r);
    }
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    static const char in_object[] = "/annotation/object/";
    struct reader *r = user;

    (void)name;
    if (r->failed)
        return;
    if (ot_str_ok(&r->text, r->err) < 0)
        stop(r);
    else if (strncmp(r->path.buf, in_object, sizeof in_object - 1) == 0)
        object_end(r, r->path.buf + sizeof in_object - 1);
    else if (at_path(r, "/annotation/size/width"))
        r->v->width = number(trimmed(r));
    else if (at_path(r, "/annotation/size/height"))
        r->v->height = number(trimmed(r));
    r->path.len = r->cut[--r->depth];
    r->path.buf[r->path.len] = '\0';
    ot_str_clear(&r->text);
}

static int parse(struct reader *r, const char *text, size_t n)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    if (XML_Parse(r->parser, text, (int)n, XML_TRUE) == XML_STATUS_ERROR && !r->failed) {
        struct ot_loc at = { r->file, line_of(r), (int)XML_GetCurrentColumnNumber(r->parser) + 1 };

        (void)ot_fail_at(r->err, at, OT_EDATA, "malformed XML: %s",
                         XML_ErrorString(XML_GetErrorCode(r->parser)));
        r->failed = true;
    }
    return r->failed ? (int)r->err->code : 0;
}

int ot_voc_read(const char *path, struct ot_voc *v, struct ot_err *err)
{
    struct reader r = { .v = v, .file = path, .err = err };
    size_t n = 0;
    char *text = ot_read_file(path, MAX_FILE, &n, err);
    int rc;

    *v = (struct ot_voc){ .width = (double)NAN, .height = (double)NAN };
    if (!text)
        return err->code;
    r.parser = XML_ParserCreate(NULL);
    if (r.parser) {
        rc = parse(&r, text, n);
        XML_ParserFree(r.parser);
    } else {
        rc = ot_fail(err, OT_ENOMEM, "'%s': no memory for an XML parser", path);
    }
    ot_str_release(&r.path);
    ot_str_release(&r.text);
    ot_free(text);
    if (rc < 0)
        ot_voc_release(v);
    return rc;
}

void ot_voc_release(struct ot_voc *v)
{
    ot_free(v->object);
    ot_arena_release(&v->arena);
    *v = (struct ot_voc){ 0 };
}
