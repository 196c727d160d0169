/* env.h - the one door to environment variables.  Threads: any (the program never sets any). */
#ifndef OT_BASE_ENV_H
#define OT_BASE_ENV_H

#include "base/err.h"
#include "base/str.h"

const char *ot_env(const char *name, const char *fallback);

/* Appends `text` with every ${NAME} and ${NAME:-default} replaced.  A variable that is not set
 * and has no default is an error that names it (OT_ECONFIG). */
int ot_env_expand(const char *text, struct ot_str *out, struct ot_err *err);

#endif
