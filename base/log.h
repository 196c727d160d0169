/*
 * log.h - the program's one voice on stderr, and a copy of it in the run's log file.
 *
 * Results go to stdout, the log to stderr (git's rule); numbers for programs go to
 * metrics.jsonl (trainer/metrics.h); nothing ever parses this log except what Caffe's own log
 * parsers look for.  A live progress line is redrawn in place on a terminal and is a plain
 * line every so often otherwise.
 *
 * Threads: any.  Errors: none; what cannot be written is dropped.
 */
#ifndef OT_BASE_LOG_H
#define OT_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

enum ot_log_level { OT_LOG_ERROR, OT_LOG_WARN, OT_LOG_INFO, OT_LOG_DEBUG };

/* One line: "12.345s module: text"; errors and warnings say so. */
void ot_log(enum ot_log_level level, const char *module, const char *fmt, ...) OT_PRINTF(3, 4);
void ot_log_err(const char *module, const struct ot_err *err); /* the error's one line */
void ot_log_set_level(enum ot_log_level level);                /* default OT_LOG_INFO */
int ot_log_open(const char *path, struct ot_err *err); /* also append to this file from now on */
void ot_log_close(void);
/* Text of one or more lines for the log file alone: what parsers read and people skip. */
void ot_log_file_only(const char *text);

/* Shows `text` as the live progress line (no newline in it); `force` prints it as a line of its
 * own also when stderr is not a terminal, where it is otherwise shown every 10 s. */
void ot_progress(const char *text, bool force);
void ot_progress_end(void);

/* The one door to stdout: results the user asked for. */
void ot_out(const char *fmt, ...) OT_PRINTF(1, 2);

#endif
