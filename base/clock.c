#include "base/clock.h"

#include <pthread.h>
#include <time.h>

static struct timespec zero;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    (void)clock_gettime(CLOCK_MONOTONIC, &zero);
}

double ot_now_s(void)
{
    struct timespec t;

    (void)pthread_once(&once, start);
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - zero.tv_sec) + 1e-9 * (double)(t.tv_nsec - zero.tv_nsec);
}

char *ot_time_utc(char buf[32])
{
    time_t t = time(NULL);
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return buf;
}
