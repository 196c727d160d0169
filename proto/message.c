/*
 * message.c - whole messages between files and the structs of protoc-c, strictly by caffe.proto.
 * protobuf-c allocates through base/mem.h, so its memory is counted and may run out in tests.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/fs.h"
#include "base/mem.h"
#include "proto/wire.h"

/* What one message may take: two bytes of a file can be a message of a hundred bytes here. */
struct budget {
    size_t left;
    bool spent;
};

static void *take(void *data, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    struct budget *b = data;

    b->spent = b->spent || n > b->left;
    if (b->spent)
        return NULL;
    b->left -= n;
    return ot_alloc(n, 1, &err);
}

static void give(void *unused, void *p)
{
    (void)unused;
    ot_free(p);
}

ProtobufCMessage *ot_wire_parse_message(const ProtobufCMessageDescriptor *type, const void *bytes,
                                        size_t n, struct ot_err *err)
{
    struct budget b = { .left = (1 << 20) + OT_WIRE_GROWTH * n };
    ProtobufCAllocator heap = { .alloc = take, .free = give, .allocator_data = &b };
    ProtobufCMessage *msg = protobuf_c_message_unpack(type, &heap, n, bytes);

    if (!msg && b.spent)
        (void)ot_fail(err, OT_EDATA, "a message of type %s takes too much memory for its %zu bytes",
                      type->name, n);
    else if (!msg)
        (void)ot_fail(err, OT_EDATA, "is not a whole message of type %s, got %zu bytes", type->name,
                      n);
    return msg;
}

ProtobufCMessage *ot_wire_read_message(const ProtobufCMessageDescriptor *type, const char *path,
                                       size_t limit, struct ot_err *err)
{
    ProtobufCMessage *msg;
    size_t n = 0;
    char *bytes = ot_read_file(path, limit, &n, err);

    if (!bytes)
        return NULL;
    msg = ot_wire_parse_message(type, bytes, n, err);
    ot_free(bytes);
    if (!msg)
        (void)ot_err_at(err, (struct ot_loc){ path, 0, 0 });
    return msg;
}

void ot_wire_free_message(ProtobufCMessage *msg)
{
    ProtobufCAllocator heap = { .free = give };

    if (msg)
        protobuf_c_message_free_unpacked(msg, &heap);
}

int ot_wire_write_message(const char *path, const ProtobufCMessage *msg, struct ot_err *err)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    struct ot_loc at = { path, 0, 0 };
    uint8_t *bytes;
    int rc;

    if (n > OT_WIRE_BYTES)
        return ot_fail_at(err, at, OT_ECREATE, "a message can have at most %zu bytes, got %zu",
                          OT_WIRE_BYTES, n);
    bytes = ot_alloc(n, 1, err);
    if (!bytes)
        return err->code;
    (void)protobuf_c_message_pack(msg, bytes);
    rc = ot_write_file_atomic(path, bytes, n, err);
    ot_free(bytes);
    return rc;
}
