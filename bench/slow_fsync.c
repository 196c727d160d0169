/*
 * slow_fsync.c - a disk whose fsync takes SLOW_FSYNC_MS milliseconds (200), for bench/mining:
 * LD_PRELOAD puts it before libc's.  Says at exit how often it was called.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int calls;

static void be_slow(void)
{
    const char *text = getenv("SLOW_FSYNC_MS");
    long ms = text ? strtol(text, NULL, 10) : 200;
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    (void)atomic_fetch_add(&calls, 1);
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

int fsync(int fd)
{
    be_slow();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    be_slow();
    return (int)syscall(SYS_fdatasync, fd);
}

__attribute__((destructor)) static void say(void)
{
    (void)fprintf(stderr, "slow_fsync: %d calls\n", atomic_load(&calls));
}
