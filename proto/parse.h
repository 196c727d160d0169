/*
 * parse.h - the parser of text format, in the pieces that ot_text_set() uses too.
 *
 * Internal to proto/.  Threads: one owner at a time.  Errors: OT_EPARSE, OT_ENOMEM.
 */
#ifndef OT_PROTO_PARSE_H
#define OT_PROTO_PARSE_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "proto/doc.h"
#include "proto/lex.h"

struct ot_parser {
    struct ot_lex lx;
    struct ot_doc *doc;
    int depth;    /* of messages being open */
    int messages; /* made so far */
};

/* A field of `type` by name, or by alias when *alias becomes true; unknown: the error at `loc`. */
const ProtobufCFieldDescriptor *ot_find_field(const ProtobufCMessageDescriptor *type,
                                              const char *name, size_t n, struct ot_loc loc,
                                              bool *alias, struct ot_err *err);

/* The value or the [list] at the current token, into values `index`... of the field; their place is
 * `loc`, or their own within a list. */
int ot_parse_value(struct ot_parser *ps, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                   bool alias, size_t index, struct ot_loc loc, struct ot_err *err);

/* One value of a type without fields; strings go into the document's memory. */
int ot_parse_scalar(struct ot_parser *ps, const ProtobufCFieldDescriptor *f, struct ot_loc loc,
                    union ot_value *v, struct ot_err *err);
/* The values of the alias `round_mode`. */
int ot_parse_round_mode(struct ot_parser *ps, struct ot_loc loc, union ot_value *v,
                        struct ot_err *err);

#endif
