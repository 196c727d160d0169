/*
 * commands.h - a program made of sub-commands: `PROGRAM COMMAND ARGS`, --help of both.
 *
 * A command gets argc and argv from its own name on, returns 0 or the code that becomes the exit
 * status, and leaves its fault in err: that is printed here, with the command's usage when it is
 * OT_EUSAGE.
 *
 * Ownership: the tables are the caller's.  Threads: one; these are tools.
 */
#ifndef OT_TOOLS_COMMANDS_H
#define OT_TOOLS_COMMANDS_H

#include "base/err.h"

struct ot_command {
    const char *name;
    int (*run)(int argc, char **argv, struct ot_err *err);
    const char *usage; /* what follows the name */
};

struct ot_program {
    const char *name;
    const char *args; /* after `usage: name ` */
    const struct ot_command *command;
    int n;
    const char *notes; /* after the commands: lines */
};

/* main() of such a program: its exit status. */
int ot_commands_main(const struct ot_program *p, int argc, char **argv);

#endif
