/*
 * pool_json.h - a JSON document as a tree.
 *
 * Ownership: ot_json_release() frees all; texts and values are borrowed from it.
 * Threads: one owner at a time.
 * Errors: OT_EDATA with line and column.  Nesting is limited, so that no input overruns the stack.
 * Source: RFC 8259.
 *
 * Example:
 *     const struct ot_json *images = ot_json_get(doc.root, "images");
 *     for (const struct ot_json *i = ot_json_first(images); i; i = i->next)
 */
#ifndef OT_TOOLS_POOL_JSON_H
#define OT_TOOLS_POOL_JSON_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

enum ot_json_kind {
    OT_JSON_NULL,
    OT_JSON_BOOL,
    OT_JSON_NUM,
    OT_JSON_TEXT,
    OT_JSON_ARRAY,
    OT_JSON_OBJECT
};

struct ot_json {
    enum ot_json_kind kind;
    const char *name; /* of an object's member */
    const char *text;
    double num; /* also 1 and 0 of a bool */
    struct ot_json *child, *next;
    int line;
};

struct ot_json_doc {
    struct ot_arena arena;
    struct ot_json *root;
};

/* text: NUL-terminated; file: for messages, lives as long as the error */
int ot_json_parse(const char *file, const char *text, struct ot_json_doc *doc, struct ot_err *err);
void ot_json_release(struct ot_json_doc *doc);

/* NULL is a valid value everywhere: it has no members. */
const struct ot_json *ot_json_get(const struct ot_json *object, const char *name);
const struct ot_json *ot_json_first(const struct ot_json *array);
double ot_json_num(const struct ot_json *v);       /* NaN when it is no number */
const char *ot_json_text(const struct ot_json *v); /* NULL when it is no text */

#endif
