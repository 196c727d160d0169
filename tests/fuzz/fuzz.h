/*
 * fuzz.h - what must hold for any bytes at all: no crash, no leak, no memory out of proportion.
 *
 * Each function reads n bytes of anything through one door of the library, aborts when an
 * invariant of what was read does not hold, and returns 0.  libFuzzer drives them (`make fuzz`),
 * and test_corpus replays the committed corpus through them.
 *
 * Threads: any number.
 */
#ifndef OT_TESTS_FUZZ_FUZZ_H
#define OT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A net and a solver in text format; a first line "#!path=value" is given to ot_text_set(). */
int ot_fuzz_text(const uint8_t *bytes, size_t n);
/* A record of an LMDB, both kinds, decoded and transformed. */
int ot_fuzz_datum(const uint8_t *bytes, size_t n);
/* A .caffemodel, a mean image, a .solverstate. */
int ot_fuzz_wire(const uint8_t *bytes, size_t n);
/* A net in text format, upgraded and built as far as shapes go. */
int ot_fuzz_net(const uint8_t *bytes, size_t n);

#endif
