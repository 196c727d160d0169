/*
 * wire.h - binary files of Caffe: .caffemodel, .solverstate, mean .binaryproto.
 *
 * Weights are read by walking the wire format by hand (protobuf.dev, "Encoding"): only name, type
 * and blobs of each layer are decoded and everything else is stepped over unread.  So files of
 * every fork load, also where their layer messages use the same field numbers for other things.
 * All layouts are read: `layer` (field 100), V1 `layers` (field 2) and V0 (a layer inside those);
 * shapes in BlobShape or in the legacy num/channels/height/width, values as float or double, packed
 * or not.  As in Caffe, legacy dims win over a shape, and double values over float ones.
 *
 * Invariants of what was read: every dim >= 0, the product of the dims is count, and data holds
 * count values (no dims: a scalar, count 1).
 * Memory stays within 4 times the file's size and 256 MiB for the structs of layers and blobs, and
 * for a message within OT_WIRE_GROWTH times its size and 1 MiB.
 *
 * Ownership: the caller owns what it read: ot_weights_free(), ot_wire_blob_free(),
 *            ot_wire_free_message().
 * Threads: pure functions of their arguments.
 * Errors: OT_EDATA with path, layer, blob and byte offset; those of base/fs.h:
 *   vgg.caffemodel: layer 'fc6': blob 0: shape 4096x25088 has 102760448 values, got 7
 *
 * Example:
 *     struct ot_weights w;
 *     if (ot_wire_read_net("vgg.caffemodel", &w, err) < 0)
 *         return err->code;
 *     const struct ot_wire_layer *fc6 = ot_weights_find(&w, "fc6");
 *     ot_weights_free(&w);
 */
#ifndef OT_PROTO_WIRE_H
#define OT_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Dims of a blob (Caffe's kMaxBlobAxes); more layers or blobs are taken for a broken file. */
enum {
    OT_WIRE_DIMS = 32,
    OT_WIRE_LAYERS = 1 << 16,
    OT_WIRE_BLOBS = 1 << 10,    /* of a layer */
    OT_WIRE_ALL_BLOBS = 1 << 18 /* of a net */
};

#define OT_WIRE_BYTES ((size_t)INT32_MAX) /* largest message that protobuf can read */

enum { OT_WIRE_GROWTH = 16 };

struct ot_wire_shape {
    int nd;
    int64_t dim[OT_WIRE_DIMS];
};

struct ot_wire_blob {
    struct ot_wire_shape shape; /* legacy dims give nd == 4 */
    bool legacy;                /* num, channels, height, width: axes count from the last one */
    int64_t count;
    float *data;
};

struct ot_wire_layer {
    char *name, *type; /* never NULL; type is "" in V1 and V0 layers */
    size_t nblob;
    struct ot_wire_blob *blob;
};

struct ot_weights {
    size_t n; /* all layers in the file's order, also those without blobs */
    struct ot_wire_layer *layer;
};

/* On failure *w is empty. */
int ot_wire_read_net(const char *path, struct ot_weights *w, struct ot_err *err);
int ot_wire_parse_net(const void *bytes, size_t n, struct ot_weights *w, struct ot_err *err);
void ot_weights_free(struct ot_weights *w);
/* The first layer of that name, or NULL. */
const struct ot_wire_layer *ot_weights_find(const struct ot_weights *w, const char *name);

/* A file that is one BlobProto (mean image). */
int ot_wire_read_blob(const char *path, struct ot_wire_blob *b, struct ot_err *err);
int ot_wire_parse_blob(const void *bytes, size_t n, struct ot_wire_blob *b, struct ot_err *err);
void ot_wire_blob_free(struct ot_wire_blob *b);

/* A file that is one message (SolverState, ...), strictly; files over `limit` bytes are refused. */
ProtobufCMessage *ot_wire_read_message(const ProtobufCMessageDescriptor *type, const char *path,
                                       size_t limit, struct ot_err *err);
ProtobufCMessage *ot_wire_parse_message(const ProtobufCMessageDescriptor *type, const void *bytes,
                                        size_t n, struct ot_err *err);
void ot_wire_free_message(ProtobufCMessage *msg); /* NULL is fine */
/* Whole or not at all (ot_write_file_atomic). */
int ot_wire_write_message(const char *path, const ProtobufCMessage *msg, struct ot_err *err);

#endif
