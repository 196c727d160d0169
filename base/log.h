/*
 * log.h - the program's one voice on stderr, and a copy of it in the run's log file.
 *
 * Results go to stdout, the log to stderr (git's rule); numbers for programs go to
 * metrics.jsonl (trainer/metrics.h).  The log file is for Caffe's log parsers: every line of it
 * begins as glog's do ("I1123 09:45:12.123456  1234 train.c:42] text": severity, month and day,
 * time, process, place; see parse_log.py of Caffe, which must find a time in every line).  On
 * stderr a line is "12.345s module: text", or as in the file after ot_log_glog().  A live progress
 * line is redrawn in place on a terminal and is a plain line every so often otherwise.
 *
 * Threads: any.  Errors: none; what cannot be written is dropped.
 */
#ifndef OT_BASE_LOG_H
#define OT_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

enum ot_log_level { OT_LOG_ERROR, OT_LOG_WARN, OT_LOG_INFO, OT_LOG_DEBUG };

/* One line; errors and warnings say so. */
#define ot_log(level, module, ...) ot_log_at(level, module, __FILE__, __LINE__, __VA_ARGS__)
void ot_log_at(enum ot_log_level level, const char *module, const char *src, int src_line,
               const char *fmt, ...) OT_PRINTF(5, 6);
void ot_log_err(const char *module, const struct ot_err *err); /* the error's one line */
/* Of stderr; default OT_LOG_INFO.  The log file has no less than that. */
void ot_log_set_level(enum ot_log_level level);
int ot_log_open(const char *path, struct ot_err *err); /* also append to this file from now on */
void ot_log_close(void);
/* stderr gets what the file gets, and no progress line: for those who pipe it into a parser. */
void ot_log_glog(void);
/* Text of one or more lines that parsers read and people skip: for the log file, and for stderr
 * after ot_log_glog(). */
#define ot_log_file_only(text) ot_log_lines(__FILE__, __LINE__, text)
void ot_log_lines(const char *src, int src_line, const char *text);

/* Shows `text` as the live progress line (no newline in it); `force` prints it as a line of its
 * own also when stderr is not a terminal, where it is otherwise shown every 10 s. */
void ot_progress(const char *text, bool force);
void ot_progress_end(void);

/* The one door to stdout: results the user asked for. */
void ot_out(const char *fmt, ...) OT_PRINTF(1, 2);

#endif
