#include "trainer/signals.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop, save;

static void on_stop(int sig)
{
    stop = sig;
    (void)signal(sig, SIG_DFL); /* the second one is final */
}

static void on_save(int sig)
{
    (void)sig;
    save = 1;
}

void ot_signals_install(void)
{
    static const int stops[] = { SIGINT, SIGTERM, SIGUSR1 };
    struct sigaction a;

    memset(&a, 0, sizeof a);
    (void)sigemptyset(&a.sa_mask);
    a.sa_flags = SA_RESTART;
    a.sa_handler = on_stop;
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
        (void)sigaction(stops[i], &a, NULL);
    a.sa_handler = on_save;
    (void)sigaction(SIGHUP, &a, NULL);
}

bool ot_signals_stop(void)
{
    return stop != 0;
}

bool ot_signals_save(void)
{
    bool asked = save != 0;

    save = 0;
    return asked;
}

const char *ot_signals_name(void)
{
    return stop == SIGINT ? "SIGINT" : stop == SIGTERM ? "SIGTERM" : stop ? "SIGUSR1" : "";
}
