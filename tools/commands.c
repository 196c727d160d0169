/* commands.c - see commands.h; all that is wrong goes to stderr, help that was asked for to stdout.
 */
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static void usage(const struct ot_program *p, FILE *to)
{
    (void)fprintf(to, "usage: %s %s\n", p->name, p->args);
    for (int i = 0; i < p->n; i++)
        (void)fprintf(to, "    %s %s\n", p->command[i].name, p->command[i].usage);
    (void)fputs(p->notes, to);
}

static int run(const struct ot_program *p, const struct ot_command *c, int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    char line[1200];

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            ot_out("usage: %s %s %s\n", p->name, c->name, c->usage);
            return 0;
        }
    if (c->run(argc, argv, &err) >= 0)
        return 0;
    (void)fprintf(stderr, "%s: %s\n", p->name, ot_err_str(&err, line, sizeof line));
    if (err.code == OT_EUSAGE)
        (void)fprintf(stderr, "usage: %s %s %s\n", p->name, c->name, c->usage);
    return ot_exit_code(err.code);
}

int ot_commands_main(const struct ot_program *p, int argc, char **argv)
{
    if (argc < 2) {
        usage(p, stderr);
        return ot_exit_code(OT_EUSAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(p, stdout);
        return 0;
    }
    for (int i = 0; i < p->n; i++)
        if (strcmp(argv[1], p->command[i].name) == 0)
            return run(p, &p->command[i], argc - 1, argv + 1);
    (void)fprintf(stderr, "%s: unknown command '%s'\n", p->name, argv[1]);
    usage(p, stderr);
    return ot_exit_code(OT_EUSAGE);
}
