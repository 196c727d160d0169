/*
 * lex.h - tokens of protobuf text format, each with its place.
 *
 * Internal to proto/.  A token points into the text; nothing is copied.  Columns count bytes from
 * 1, a tab is one.  Numbers come as one token without sign, unchecked ("1abc" is one token), so
 * that messages can show what was really written.
 * Threads: one owner at a time.  Errors: OT_EPARSE at the token.
 */
#ifndef OT_PROTO_LEX_H
#define OT_PROTO_LEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum ot_tok_kind { OT_TOK_END, OT_TOK_NAME, OT_TOK_NUMBER, OT_TOK_STRING, OT_TOK_SIGN };

struct ot_tok {
    enum ot_tok_kind kind;
    const char *s; /* a string token includes its quotes */
    size_t n;
    struct ot_loc loc;
};

struct ot_lex {
    const char *p, *end, *line_start;
    struct ot_loc here; /* file, and the line of p; line 0: text without lines (--set) */
    struct ot_tok tok;  /* the current token */
};

/* Starts at the first token.  line: 1, or 0 when places are to name the file only. */
int ot_lex_init(struct ot_lex *lx, const char *file, int line, const char *text, size_t n,
                struct ot_err *err);
int ot_lex_next(struct ot_lex *lx, struct ot_err *err);
bool ot_tok_is(const struct ot_tok *t, char sign); /* is it this one-character sign? */

/* Decodes a string token into out (room for t->n bytes); *n: bytes written. */
int ot_tok_string(const struct ot_tok *t, char *out, size_t *n, struct ot_err *err);

/* What to call the token in a message: printable and short. */
enum { OT_TOK_SHOW = 72 };

const char *ot_tok_show(const struct ot_tok *t, char buf[OT_TOK_SHOW]);

#endif
