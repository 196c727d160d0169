/*
 * poolkit.h - what the tests of the pool file share: a configuration, rows, questions in SQL.
 */
#ifndef OT_TESTS_POOLKIT_H
#define OT_TESTS_POOLKIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mining/pool.h"

/* "<tmpdir>/<name>.db" in a static buffer */
const char *pk_path(const char *name);
struct ot_pool_conf pk_conf(const char *file); /* 1000 records, three classes, flushes of 10 ms */
struct ot_pool *pk_open(const struct ot_pool_conf *c);
void pk_close(struct ot_pool *p);
struct ot_row pk_row(uint64_t id, uint32_t sample, float loss);
void pk_put(struct ot_pool *p, uint64_t id, uint32_t sample, float loss); /* and its event */

/* First column of the first row as a number; fails the test on an SQL error. */
double pk_ask(const char *file, const char *query);
void pk_change(const char *file, const char *query);
/* Waits at most five seconds for the query to give v or more. */
void pk_await(const char *file, const char *query, double v);
void pk_nap_ms(long ms);
/* The sqlite3 shell as a process of its own; false where it is not installed. */
bool pk_shell(const char *file, const char *script);
/* A process that runs the script as soon as it succeeds and then holds its connection; forked
 * before the pool is opened.  *ready is readable from then on. */
pid_t pk_holder(const char *file, const char *script, int *ready);
void pk_await_ready(int ready);
void pk_kill(pid_t child);
int pk_count_in(const char *file, const char *part); /* how often the file contains it */

#endif
