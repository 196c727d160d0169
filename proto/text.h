/*
 * text.h - protobuf text format, with an address for every field.
 *
 * ot_text_parse() reads text into the structs that protoc-c generates, using protobuf-c's
 * descriptors, and remembers file:line:col of every field, so that a wrong VALUE can be reported
 * as precisely as wrong syntax.  Everything real Caffe files need is read: both quote kinds,
 * escapes, '#' comments, `field: {}`, `field {}`, `<>`, repeated short form `[1, 2]`, adjacent
 * strings, enums by name or number, 0/1/t/f/true/false, 5e-05, 1.f, inf, nan, hex and octal
 * integers, ',' and ';' between fields.
 *
 * PoolingParameter's `round_mode: CEIL|FLOOR` (BVLC) is an alias of `ceil_mode: true|false`.
 *
 * Ownership: ot_doc_free() frees the document, its message and every string and location of it;
 *            messages are borrowed from the document.
 * Threads: a document is read-only after parsing.
 * Errors: OT_EPARSE with file:line:col, one for the first mistake:
 *   net.prototxt:14:5: message type "caffe.PoolingParameter" has no field named "ceil_mod"; did
 *   you mean "ceil_mode"?
 * Nesting is limited to OT_TEXT_DEPTH, file size to OT_TEXT_BYTES, and the number of messages to
 * OT_TEXT_MESSAGES: `layer{}` is 7 bytes of text and a hundred times that in memory.
 */
#ifndef OT_PROTO_TEXT_H
#define OT_PROTO_TEXT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { OT_TEXT_DEPTH = 64, OT_TEXT_BYTES = 64 << 20, OT_TEXT_MESSAGES = 1 << 17 };

struct ot_doc;

/* file: the name shown in messages (copied).  text: n bytes, not kept. */
struct ot_doc *ot_text_parse(const ProtobufCMessageDescriptor *type, const char *file,
                             const char *text, size_t n, struct ot_err *err);
struct ot_doc *ot_text_parse_file(const ProtobufCMessageDescriptor *type, const char *path,
                                  struct ot_err *err);
void ot_doc_free(struct ot_doc *doc);

/* The root message; the caller casts to the type it asked for.  It may be edited by
 * ot_text_set() only. */
ProtobufCMessage *ot_doc_root(const struct ot_doc *doc);
const char *ot_doc_file(const struct ot_doc *doc);

/* Where field `field` of `msg` was written (its index-th occurrence for a repeated one);
 * field NULL: where the message itself begins.  A field that was not written gives the message's
 * own place; a message of another document gives { NULL }.  doc may be NULL. */
struct ot_loc ot_doc_loc(const struct ot_doc *doc, const void *msg, const char *field);
struct ot_loc ot_doc_loc_at(const struct ot_doc *doc, const void *msg, const char *field,
                            size_t index);

/* Sets one field by path, for --set: path "mining.quantile", "test_iter[0]", value in text form
 * ("0.95", "\"a string\"" or a bare word for a string).  A missing message on the way is made; a
 * repeated field without index is replaced by the one value.  Its place becomes
 * "--set path=value".  After a failure the document is valid, but messages on the way may have been
 * made and a repeated field emptied: report the error and give up. */
int ot_text_set(struct ot_doc *doc, const char *path, const char *value, struct ot_err *err);

/* Prints a message as text format, fields in the order of their declaration, defaults that were
 * not set left out, floats with as few digits as read back equal. */
void ot_text_print(const ProtobufCMessage *msg, struct ot_str *out);

#endif
