/*
 * doc.h - what a parsed document is made of: memory, messages, fields and their places.
 *
 * Internal to proto/.  All memory of a document is one arena, so that a half-parsed document and
 * a whole one are freed the same way, and string defaults (static memory of the generated code)
 * need no special case.
 *
 * Invariant: every message made by ot_doc_message() has a struct ot_place.
 * Ownership: the document owns everything these functions return.
 * Threads: one owner at a time.  Errors: OT_ENOMEM.
 */
#ifndef OT_PROTO_DOC_H
#define OT_PROTO_DOC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "proto/text.h"

struct ot_spot { /* one occurrence of a field */
    struct ot_loc loc;
    uint32_t field; /* index in the descriptor's fields */
    uint32_t index; /* of a repeated field; else 0 */
};

struct ot_place { /* of one message */
    struct ot_loc loc;
    const ProtobufCMessageDescriptor *type;
    struct ot_spot *spots; /* in the order of writing */
    size_t n;
};

struct ot_block;

struct ot_doc {
    struct ot_block *blocks;
    char *file;
    ProtobufCMessage *root;
    struct ot_map places; /* message pointer -> struct ot_place pointer */
};

/* Any value of a field; which member counts is the field's type. */
union ot_value {
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    float f;
    double d;
    protobuf_c_boolean b;
    int e;
    char *str;
    ProtobufCBinaryData bytes;
    ProtobufCMessage *msg;
};

struct ot_doc *ot_doc_new(const char *file, struct ot_err *err);
void *ot_doc_alloc(struct ot_doc *doc, size_t n, struct ot_err *err); /* zeroed */
ProtobufCMessage *ot_doc_message(struct ot_doc *doc, const ProtobufCMessageDescriptor *type,
                                 struct ot_loc loc, struct ot_err *err);

/* Place of a message, or NULL. */
struct ot_place *ot_doc_place(const struct ot_doc *doc, const void *msg);
/* Records where value `index` of a field stands, in place of an older record. */
int ot_doc_mark(struct ot_doc *doc, const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                size_t index, struct ot_loc loc, struct ot_err *err);
/* The record of a field's value, or NULL; the field by its name in text or in C. */
const struct ot_spot *ot_place_find(const struct ot_place *pl, const char *field, size_t index);

/* Length of the field's name in text: without the `_` that only C needs (layer_params.proto). */
int ot_field_name_len(const ProtobufCFieldDescriptor *f);
size_t ot_field_size(const ProtobufCFieldDescriptor *f); /* bytes of one value */
/* How many values are there: 0 or 1, or the count of a repeated field. */
size_t ot_field_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f);
union ot_value ot_field_get(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                            size_t index);
/* Stores a value: appends when index is the count of a repeated field, replaces else. */
int ot_field_put(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                 size_t index, const union ot_value *v, struct ot_err *err);
/* As if it had never been written: its default again, and no place. */
void ot_field_clear(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f);

/* The field of that name in C, which must be there. */
const ProtobufCFieldDescriptor *ot_field_named(const ProtobufCMessage *msg, const char *name);
/* One value and its place: appends to a repeated field, replaces else. */
int ot_field_add(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                 const union ot_value *v, struct ot_loc loc, struct ot_err *err);
/* All values with their places go from one field to another of the same type of value, as
 * ot_field_add() puts them; the source is cleared. */
int ot_field_move(struct ot_doc *doc, ProtobufCMessage *from, const ProtobufCFieldDescriptor *f,
                  ProtobufCMessage *to, const ProtobufCFieldDescriptor *g, struct ot_err *err);

#endif
