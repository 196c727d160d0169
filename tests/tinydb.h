/*
 * tinydb.h - databases and files small enough for a test: made in the temporary folder.
 *
 * Every value is a function of (seed, record), so two databases of equal arguments are equal.
 * Failures end the test.  Returned paths are static and live until 32 more were asked for.
 */
#ifndef OT_TESTS_TINYDB_H
#define OT_TESTS_TINYDB_H

/* tmpdir/name */
const char *ot_tiny_path(const char *name);
/* Writes text to tmpdir/name; returns its path. */
const char *ot_tiny_file(const char *name, const char *text);

/* n grey images of side x side whose class is a bright bar at another height; every 16th label is
 * wrong, so that mining has something to find.  Keys "00000000" and so on. */
const char *ot_tiny_digits(const char *name, int n, int side, int classes);

/* The same, but the images of odd records are `other` x `other`. */
const char *ot_tiny_mixed(const char *name, int n, int side, int other, int classes);

/* n colour scenes of side x side with 1 to 3 bright boxes of classes 1 .. classes - 1. */
const char *ot_tiny_scenes(const char *name, int n, int side, int classes);

#endif
