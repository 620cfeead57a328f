/* What the open windows see, written to the black box. The caller serialises.
 *
 * Each function takes a writer of NULL: then there is no box, and nothing is done. */

#ifndef MW_SAMPLER_WINDOW_RECORDING_H
#define MW_SAMPLER_WINDOW_RECORDING_H

#include "blackbox/writer.h"
#include "window/window_list.h"

/* How a window ends. */
struct mw_ending {
    enum mw_blackbox_status status;
    int64_t previous_rss_end_bytes; /* of the window before; MW_ABSENT: unknown */
};

/* The watch has opened; with a `title` of NULL it is not in the box. */
void mw_window_recording_open(struct mw_blackbox_writer *writer, struct mw_watch *watch,
                              int64_t t_ns, int64_t rss_bytes,
                              const struct mw_blackbox_title *title);

/* A sample; with it goes what the open windows know by now. */
void mw_window_recording_sample(struct mw_blackbox_writer *writer,
                                const struct mw_window_list *windows, int64_t t_ns,
                                int64_t rss_bytes);

/* The watch has closed. `ending` NULL: nobody knows how; `result` NULL: nobody knows
 * with what. */
void
mw_window_recording_close(struct mw_blackbox_writer *writer,
                          const struct mw_watch *watch, const struct mw_ending *ending,
                          const struct mw_result *result);

/* The box is gone, or another one: no open window is in it. */
void mw_window_recording_forget(struct mw_window_list *windows);

#endif
