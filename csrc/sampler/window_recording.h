/* What the open windows see, written to the black box. The caller serialises.
 *
 * Each function takes a recorder of NULL: then there is no box, and nothing is done. */

#ifndef MW_SCRIBE_H
#define MW_SCRIBE_H

#include "mw_recorder.h"
#include "mw_roster.h"

/* How a window ends. */
struct mw_ending {
    enum mw_box_status status;
    int64_t drift_from_bytes; /* what the process held when the window before it ended;
                                 MW_ABSENT: unknown */
};

/* The watch has opened; with a `title` of NULL it is not in the box. */
void mw_scribe_open(struct mw_recorder *recorder, struct mw_watch *watch, int64_t t_ns,
                    int64_t rss_bytes, const struct mw_box_title *title);

/* A sample; with it goes what the open windows know by now. */
void mw_scribe_sample(struct mw_recorder *recorder, const struct mw_roster *roster,
                      int64_t t_ns, int64_t rss_bytes);

/* The watch has closed. `ending` NULL: nobody knows how; `result` NULL: nobody knows
 * with what. */
void mw_scribe_close(struct mw_recorder *recorder, const struct mw_watch *watch,
                     const struct mw_ending *ending, const struct mw_result *result);

/* The box is gone, or another one: no open window is in it. */
void mw_scribe_forget(struct mw_roster *roster);

#endif
