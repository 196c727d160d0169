/*
 * print.c - text format out: what was set, in the order of declaration (the order of the struct's
 * members), numbers with the fewest digits that read back equal.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/doc.h"
#include "proto/text.h"

/* Reads back as scalar.c reads: to double first. */
static void put_float(struct ot_str *out, double v, bool single)
{
    char buf[40];

    if (isnan(v)) {
        ot_str_puts(out, "nan");
        return;
    }
    if (isinf(v)) {
        ot_str_puts(out, v < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        double back;

        (void)snprintf(buf, sizeof buf, "%.*g", digits, v);
        back = strtod(buf, NULL);
        if (single ? (float)back == (float)v : !(back < v || back > v))
            break;
    }
    ot_str_puts(out, buf);
}

/* Bytes from 0x80 stay in strings (UTF-8) and are escaped in bytes. */
static void put_string(struct ot_str *out, const char *s, size_t n, bool bytes)
{
    static const char plain[] = "\n\r\t\"\\", letter[] = "nrt\"\\";

    ot_str_puts(out, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *known = c ? strchr(plain, c) : NULL;

        if (known)
            ot_str_printf(out, "\\%c", letter[known - plain]);
        else if (c < 0x20 || c == 0x7f || (bytes && c >= 0x80))
            ot_str_printf(out, "\\%03o", c);
        else
            ot_str_add(out, &s[i], 1);
    }
    ot_str_puts(out, "\"");
}

static void put_enum(struct ot_str *out, const ProtobufCEnumDescriptor *e, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(e, value);

    if (known)
        ot_str_puts(out, known->name);
    else
        ot_str_printf(out, "%d", value);
}

static void put_scalar(struct ot_str *out, const ProtobufCFieldDescriptor *f, union ot_value v)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
        put_float(out, (double)v.f, true);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_float(out, v.d, false);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        ot_str_puts(out, v.b ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(out, f->descriptor, v.e);
        return;
    case PROTOBUF_C_TYPE_STRING:
        put_string(out, v.str, strlen(v.str), false);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        put_string(out, (const char *)v.bytes.data, v.bytes.len, true);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        ot_str_printf(out, "%lu", (unsigned long)v.u32);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        ot_str_printf(out, "%llu", (unsigned long long)v.u64);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        ot_str_printf(out, "%lld", (long long)v.i64);
        return;
    default:
        ot_str_printf(out, "%ld", (long)v.i32);
    }
}

static void print(const ProtobufCMessage *msg, int indent, struct ot_str *out);

static void print_field(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f, int indent,
                        struct ot_str *out)
{
    size_t n = ot_field_count(msg, f);

    for (size_t i = 0; i < n; i++) {
        union ot_value v = ot_field_get(msg, f, i);

        ot_str_printf(out, "%*s%.*s", indent, "", ot_field_name_len(f), f->name);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            ot_str_puts(out, " {\n");
            print(v.msg, indent + 2, out);
            ot_str_printf(out, "%*s}\n", indent, "");
        } else {
            ot_str_puts(out, ": ");
            put_scalar(out, f, v);
            ot_str_puts(out, "\n");
        }
    }
}

/* Descriptors list fields by number; the struct has them by declaration. */
static void print(const ProtobufCMessage *msg, int indent, struct ot_str *out)
{
    const ProtobufCMessageDescriptor *type = msg->descriptor;
    unsigned last = 0;

    for (unsigned done = 0; done < type->n_fields; done++) {
        const ProtobufCFieldDescriptor *next = NULL;

        for (unsigned i = 0; i < type->n_fields; i++)
            if (type->fields[i].offset > last && (!next || type->fields[i].offset < next->offset))
                next = &type->fields[i];
        last = next->offset;
        print_field(msg, next, indent, out);
    }
}

void ot_text_print(const ProtobufCMessage *msg, struct ot_str *out)
{
    print(msg, 0, out);
}
