/*
 * fuzz_wire.c - binary files: the same bytes as weights, as a blob and as a solver's state.  What
 * was read has as many values as its shape says, and all of them can be read.
 */
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "proto/caffe.pb-c.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

static void check_blob(const struct ot_wire_blob *b)
{
    bool empty = false;
    int64_t n = 1;
    unsigned sum = 0;

    OT_BUG_IF(b->shape.nd < 0 || b->shape.nd > OT_WIRE_DIMS);
    for (int i = 0; i < b->shape.nd; i++) {
        OT_BUG_IF(b->shape.dim[i] < 0);
        empty = empty || b->shape.dim[i] == 0;
    }
    for (int i = 0; i < b->shape.nd && !empty; i++)
        n *= b->shape.dim[i];
    n = empty ? 0 : n;
    OT_BUG_IF(n != b->count);
    for (int64_t i = 0; i < n; i++) {
        unsigned bits;

        memcpy(&bits, &b->data[i], sizeof bits);
        sum += bits;
    }
    OT_BUG_IF(sum && !n);
}

static void check_net(const uint8_t *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    uint64_t held = ot_mem_bytes();
    struct ot_weights w;

    if (ot_wire_parse_net(bytes, n, &w, &err) < 0) {
        OT_BUG_IF(w.n || ot_mem_bytes() != held);
        return;
    }
    for (size_t i = 0; i < w.n; i++) {
        OT_BUG_IF(!w.layer[i].name || !w.layer[i].type);
        for (size_t k = 0; k < w.layer[i].nblob; k++)
            check_blob(&w.layer[i].blob[k]);
    }
    ot_weights_free(&w);
    OT_BUG_IF(ot_mem_bytes() != held);
}

int ot_fuzz_wire(const uint8_t *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    ProtobufCMessage *msg;
    struct ot_wire_blob b;

    check_net(bytes, n);
    if (ot_wire_parse_blob(bytes, n, &b, &err) == 0) {
        check_blob(&b);
        ot_wire_blob_free(&b);
    }
    msg = ot_wire_parse_message(&caffe__solver_state__descriptor, bytes, n, &err);
    ot_wire_free_message(msg);
    return 0;
}
