/*
 * fuzz_text.c - text format: what was read prints, the print reads back and prints the same; and
 * so after --set and after the upgrade of old formats.
 */
#include <string.h>

#include "base/str.h"
#include "proto/text.h"
#include "proto/upgrade.h"
#include "tests/fuzz/fuzz.h"

static void check_print(const struct ot_doc *doc)
{
    const ProtobufCMessageDescriptor *type = ot_doc_root(doc)->descriptor;
    struct ot_err err = OT_ERR_INIT;
    struct ot_str one = { 0 }, two = { 0 };
    struct ot_doc *again;

    ot_text_print(ot_doc_root(doc), &one);
    again = ot_text_parse(type, "again", one.buf ? one.buf : "", one.len, &err);
    OT_BUG_IF(!again);
    ot_text_print(ot_doc_root(again), &two);
    OT_BUG_IF(one.len != two.len || (one.len && memcmp(one.buf, two.buf, one.len) != 0));
    ot_doc_free(again);
    ot_str_release(&one);
    ot_str_release(&two);
}

/* "#!path=value" */
static void set(struct ot_doc *doc, const uint8_t *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    char line[256], *value;
    size_t len = 0;

    if (n < 2 || bytes[0] != '#' || bytes[1] != '!')
        return;
    for (size_t i = 2; i < n && bytes[i] != '\n' && len < sizeof line - 1; i++)
        line[len++] = (char)bytes[i];
    line[len] = '\0';
    value = strchr(line, '=');
    if (!value)
        return;
    *value = '\0';
    (void)ot_text_set(doc, line, value + 1, &err);
}

static void check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse(type, "fuzz", (const char *)bytes, n, &err);
    void *root;
    int what;

    OT_BUG_IF(!doc && err.code == OT_OK);
    if (!doc)
        return;
    check_print(doc);
    set(doc, bytes, n);
    check_print(doc);
    root = ot_doc_root(doc);
    what = type == &caffe__net_parameter__descriptor ? ot_upgrade_net(doc, root, &err)
                                                     : ot_upgrade_solver(doc, root, &err);
    if (what >= 0)
        check_print(doc);
    OT_BUG_IF(what < 0 && !ot_err_str(&err, (char[1200]){ 0 }, 1200)[0]);
    ot_doc_free(doc);
}

int ot_fuzz_text(const uint8_t *bytes, size_t n)
{
    check(&caffe__net_parameter__descriptor, bytes, n);
    check(&caffe__solver_parameter__descriptor, bytes, n);
    return 0;
}
