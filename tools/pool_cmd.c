/*
 * pool_cmd.c - options and output of ohempool.
 */
#include "tools/pool_cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#define MAX_OPTIONS 24

void ot_pcmd_note(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("ohempool: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

int ot_pcmd_options(const struct ot_data_opt *own, struct ot_pout *out, int argc, char **argv,
                    const char **pos, int min, int max, struct ot_err *err)
{
    struct ot_data_opt table[MAX_OPTIONS + 1] = {
        { "--json", OT_OPT_FLAG, &out->json },
        { "--csv", OT_OPT_FLAG, &out->csv },
        { "--limit", OT_OPT_INT, &out->limit },
        { "--run", OT_OPT_U64, &out->run },
    };
    int n = 4, got;

    for (; own && own->name; own++) {
        OT_BUG_IF(n == MAX_OPTIONS);
        table[n++] = *own;
    }
    got = ot_data_options(table, argc, argv, pos, min, max, err);
    if (got >= 0 && out->json && out->csv)
        return ot_fail(err, OT_EUSAGE, "--json and --csv: one of them is wanted, got both");
    return got;
}

int ot_pcmd_no_run(const struct ot_pout *out, struct ot_err *err)
{
    return out->run ? ot_fail(err, OT_EUSAGE, "--run: means nothing here, got %llu",
                              (unsigned long long)out->run)
                    : 0;
}

int ot_pcmd_kind(const char *name, int *kind, struct ot_err *err)
{
    *kind = name ? ot_pdb_kind_of(name) : -1;
    return name && *kind < 0
               ? ot_fail(err, OT_EUSAGE,
                         "--kind: must be image, gt (or box), background or tile, got '%s'", name)
               : 0;
}

bool ot_pcmd_people(const struct ot_pout *out)
{
    return !out->json && !out->csv;
}

int ot_pcmd_print(const struct ot_table *t, const struct ot_pout *out, const char *none,
                  struct ot_err *err)
{
    struct ot_str s = { 0 };
    int rc = ot_table_ok(t, err);

    if (rc == 0 && ot_pcmd_people(out) && ot_table_rows(t) == 0) {
        ot_out("%s\n", none);
        return 0;
    }
    if (rc == 0) {
        ot_table_render(t,
                        out->json               ? OT_TABLE_JSON
                        : out->csv              ? OT_TABLE_CSV
                        : isatty(STDOUT_FILENO) ? OT_TABLE_BOX
                                                : OT_TABLE_PLAIN,
                        &s);
        rc = ot_str_ok(&s, err);
    }
    if (rc == 0 && s.len)
        ot_out("%s", s.buf);
    ot_str_release(&s);
    return rc;
}
