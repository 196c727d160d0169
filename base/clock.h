/* clock.h - time.  Threads: any. */
#ifndef OT_BASE_CLOCK_H
#define OT_BASE_CLOCK_H

#include <stddef.h>

double ot_now_s(void);           /* seconds since the first call, monotonic */
char *ot_time_utc(char buf[32]); /* "2026-11-23T06:27:00Z" */

#endif
