/* entry.c - libFuzzer's entry for one of fuzz.h, which the Makefile names in OT_FUZZ. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    return OT_FUZZ(bytes, n);
}
