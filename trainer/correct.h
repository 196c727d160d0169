/*
 * correct.h - label_overlay in a run without mining: corrections as hints of the feeds.
 *
 * relabel changes the label that is trained on, mislabelled and ignore give weight 0 (where the
 * net takes weights from its data layer), hard changes nothing.  With mining the miner obeys the
 * same file (mining/pool.h).
 *
 * Ownership: ot_correct_new returns owned; free it after the feeds' last batch.
 * Threads: the trainer's.  Errors: those of mining/overlay.h, with the field's place.
 */
#ifndef OT_TRAINER_CORRECT_H
#define OT_TRAINER_CORRECT_H

#include "trainer/config.h"
#include "trainer/feed.h"

struct ot_correct;

/* Call before the net is built: gives the feeds their hints. */
struct ot_correct *ot_correct_new(struct ot_config *config, struct ot_feeds *feeds,
                                  struct ot_err *err);
/* Reads the file; the feeds are open by now. */
int ot_correct_read(struct ot_correct *c, struct ot_err *err);
/* Whether it can be read, for a run that leaves it to the miner. */
int ot_correct_check(struct ot_config *config, const struct ot_feeds *feeds, struct ot_err *err);
void ot_correct_free(struct ot_correct *c);

#endif
