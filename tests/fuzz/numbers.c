/*
 * numbers.c - libFuzzer's mutator for text: half of the time a number becomes another one that is
 * a limit of something, which bytes at random hardly ever make.
 */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t max, unsigned seed);

static const char *const numbers[] = {
    "0",          "-1",          "1",          "2",          "3",           "4",
    "8",          "31",          "255",        "32768",      "65536",       "16777216",
    "2147483647", "-2147483648", "4294967295", "4294967296", "-5000000000", "9223372036854775807",
    "1e38",       "-1e38",       "1e-40",      "nan",        "-inf",        "0.5"
};

static uint32_t draw(uint32_t *state, size_t below)
{
    *state = *state * 1664525 + 1013904223;
    return (uint32_t)((*state >> 8) % below);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t max, unsigned seed)
{
    uint32_t state = seed;
    size_t at = 0, end, len;
    const char *number;

    if (n == 0 || draw(&state, 2))
        return LLVMFuzzerMutate(bytes, n, max);
    for (int tries = 0; tries < 64 && !isdigit(bytes[at]); tries++)
        at = draw(&state, n);
    while (at > 0 && (isdigit(bytes[at - 1]) || bytes[at - 1] == '-' || bytes[at - 1] == '.'))
        at--;
    for (end = at; end < n && (isalnum(bytes[end]) || strchr("-+.", bytes[end]));)
        end++;
    number = numbers[draw(&state, sizeof numbers / sizeof *numbers)];
    len = strlen(number);
    if (!isdigit(bytes[end - (end > at)]) || n - (end - at) + len > max)
        return LLVMFuzzerMutate(bytes, n, max);
    memmove(bytes + at + len, bytes + end, n - end);
    memcpy(bytes + at, number, len);
    return n - (end - at) + len;
}
