/*
 * signals.h - asking a running job to stop or to save.
 *
 * SIGINT, SIGTERM, SIGUSR1: finish the iteration, snapshot, exit 75; a second one ends the process
 * at once.  SIGHUP: snapshot and go on.  What SIGINT and SIGHUP do can be chosen, as with Caffe's
 * --sigint_effect and --sighup_effect.  Handlers only set flags. Threads: the flags may be read
 * from any thread.
 */
#ifndef OT_TRAINER_SIGNALS_H
#define OT_TRAINER_SIGNALS_H

#include <stdbool.h>

enum ot_signal_effect { OT_SIGNAL_DEFAULT, OT_SIGNAL_STOP, OT_SIGNAL_SAVE, OT_SIGNAL_NONE };

void ot_signals_install(enum ot_signal_effect on_int, enum ot_signal_effect on_hup);
bool ot_signals_stop(void);        /* somebody asked for the end */
bool ot_signals_save(void);        /* somebody asked for a snapshot; clears the flag */
const char *ot_signals_name(void); /* of the stop signal, "" before */

#endif
