/*
 * data_cmd.c - options and reports of ohemdata.
 *
 * Options are a table, so that every sub-command reads the command line in the same way and an
 * unknown option can name the nearest one.
 */
#include "tools/data_cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ot_data_report(const struct ot_err *err)
{
    char line[1200];

    (void)fprintf(stderr, "ohemdata: %s\n", ot_err_str(err, line, sizeof line));
}

void ot_data_note(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("ohemdata: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

/* strtoull() takes signs and blanks; a number here is digits only. */
static int parse_u64(const char *text, uint64_t max, uint64_t *out, const char **end)
{
    char *stop;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    *out = strtoull(text, &stop, 10);
    *end = stop;
    return errno || *out > max ? -1 : 0;
}

static int set_option(const struct ot_data_opt *o, const char *value, struct ot_err *err)
{
    const char *end = "";
    uint64_t v = 0, h = 0;
    int *size = o->out;

    switch (o->kind) {
    case OT_OPT_FLAG:
        *(bool *)o->out = true;
        return 0;
    case OT_OPT_TEXT:
        *(const char **)o->out = value;
        return 0;
    case OT_OPT_INT:
        if (parse_u64(value, INT_MAX, &v, &end) < 0 || *end)
            break;
        *(int *)o->out = (int)v;
        return 0;
    case OT_OPT_U64:
        if (parse_u64(value, UINT64_MAX, &v, &end) < 0 || *end)
            break;
        *(uint64_t *)o->out = v;
        return 0;
    case OT_OPT_SIZE:
        if (parse_u64(value, OT_IMAGE_MAX_SIDE, &v, &end) < 0 || *end != 'x' ||
            parse_u64(end + 1, OT_IMAGE_MAX_SIDE, &h, &end) < 0 || *end || !v || !h)
            return ot_fail(err, OT_EUSAGE,
                           "%s: wants WIDTHxHEIGHT with sides from 1 to %d, got '%s'", o->name,
                           OT_IMAGE_MAX_SIDE, value);
        size[0] = (int)v;
        size[1] = (int)h;
        return 0;
    }
    return ot_fail(err, OT_EUSAGE, "%s: wants a whole number that is not negative, got '%s'",
                   o->name, value);
}

static const struct ot_data_opt *find_option(const struct ot_data_opt *table, const char *arg)
{
    size_t n = strcspn(arg, "=");

    for (; table->name; table++)
        if (strlen(table->name) == n && strncmp(table->name, arg, n) == 0)
            return table;
    return NULL;
}

static int unknown_option(const struct ot_data_opt *table, const char *arg, struct ot_err *err)
{
    const char *best = NULL;
    int least = 4;

    for (; table->name; table++) {
        int d = ot_edit_distance(table->name, arg);

        if (d < least) {
            least = d;
            best = table->name;
        }
    }
    return best ? ot_fail(err, OT_EUSAGE, "unknown option '%s'; did you mean '%s'?", arg, best)
                : ot_fail(err, OT_EUSAGE, "unknown option '%s'", arg);
}

/* Takes the option at argv[*i] and, where it needs one, its value. */
static int take_option(const struct ot_data_opt *table, int argc, char **argv, int *i,
                       struct ot_err *err)
{
    const char *arg = argv[*i];
    const struct ot_data_opt *o = find_option(table, arg);
    const char *value = strchr(arg, '=');

    if (!o)
        return unknown_option(table, arg, err);
    if (o->kind == OT_OPT_FLAG && value)
        return ot_fail(err, OT_EUSAGE, "%s: takes no value, got '%s'", o->name, value + 1);
    if (value) {
        value++;
    } else if (o->kind != OT_OPT_FLAG) {
        if (*i + 1 >= argc)
            return ot_fail(err, OT_EUSAGE, "%s: wants a value, got the end of the line", o->name);
        value = argv[++*i];
    }
    return set_option(o, value, err);
}

int ot_data_options(const struct ot_data_opt *table, int argc, char **argv, const char **pos,
                    int min, int max, struct ot_err *err)
{
    bool only_pos = false;
    int n = 0;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];

        if (!only_pos && strcmp(arg, "--") == 0) {
            only_pos = true;
        } else if (!only_pos && arg[0] == '-' && arg[1]) {
            if (take_option(table, argc, argv, &i, err) < 0)
                return err->code;
        } else if (n == max) {
            return ot_fail(err, OT_EUSAGE, "at most %d arguments are wanted, one more is '%s'", max,
                           arg);
        } else {
            pos[n++] = arg;
        }
    }
    if (n < min)
        return ot_fail(err, OT_EUSAGE, "%d arguments are wanted, got %d", min, n);
    return n;
}
