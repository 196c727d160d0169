/*
 * upgrade_i.h - the steps of ot_upgrade_net() that have a file of their own.
 *
 * Internal to proto/.  Errors as upgrade.h says.
 */
#ifndef OT_PROTO_UPGRADE_I_H
#define OT_PROTO_UPGRADE_I_H

#include "base/err.h"
#include "proto/caffe.pb-c.h"
#include "proto/doc.h"

/* Every `layers { layer { } }` becomes a V1 layer; padding layers go into their readers. */
int ot_upgrade_v0(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err);

/* The message in field `name` of `msg`; made, with the place `loc`, where there is none. */
ProtobufCMessage *ot_upgrade_message(struct ot_doc *doc, ProtobufCMessage *msg, const char *name,
                                     struct ot_loc loc, struct ot_err *err);

#endif
