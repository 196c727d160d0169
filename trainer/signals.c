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

static void install(int sig, enum ot_signal_effect effect)
{
    struct sigaction a;

    memset(&a, 0, sizeof a);
    (void)sigemptyset(&a.sa_mask);
    a.sa_flags = SA_RESTART;
    a.sa_handler = effect == OT_SIGNAL_STOP   ? on_stop
                   : effect == OT_SIGNAL_SAVE ? on_save
                                              : SIG_IGN;
    (void)sigaction(sig, &a, NULL);
}

void ot_signals_install(enum ot_signal_effect on_int, enum ot_signal_effect on_hup)
{
    install(SIGINT, on_int == OT_SIGNAL_DEFAULT ? OT_SIGNAL_STOP : on_int);
    install(SIGHUP, on_hup == OT_SIGNAL_DEFAULT ? OT_SIGNAL_SAVE : on_hup);
    install(SIGTERM, OT_SIGNAL_STOP);
    install(SIGUSR1, OT_SIGNAL_STOP);
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
    return stop == SIGINT    ? "SIGINT"
           : stop == SIGTERM ? "SIGTERM"
           : stop == SIGHUP  ? "SIGHUP"
           : stop            ? "SIGUSR1"
                             : "";
}
