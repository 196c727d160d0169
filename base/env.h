/* env.h - what surrounds the process: environment variables, to which this is the one door, and
 * cores.  Threads: any (the program never sets any variable). */
#ifndef OT_BASE_ENV_H
#define OT_BASE_ENV_H

#include "base/err.h"
#include "base/str.h"

const char *ot_env(const char *name, const char *fallback);

/* Appends `text` with every ${NAME} and ${NAME:-default} replaced.  A variable that is not set
 * and has no default is an error that names it (OT_ECONFIG). */
int ot_env_expand(const char *text, struct ot_str *out, struct ot_err *err);

/* Cores that this process may use, at least 1. */
int ot_env_cores(void);

/* First thing in main: how OpenMP's threads wait is read from the environment when the process is
 * loaded, so setting it means starting again.  Unless the user chose (OMP_WAIT_POLICY or
 * GOMP_SPINCOUNT), they spin only briefly; see docs/decisions/0005-threads-that-yield.md.
 * Returns when there is nothing to do. */
void ot_env_yielding_threads(char **argv);

#endif
