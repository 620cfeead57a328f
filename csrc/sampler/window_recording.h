/* Writes what the sampler learns about the open windows to the black box: the only
 * place that knows both window/ and blackbox/. Internal to sampler/, except for struct
 * mw_ending.
 *
 * A watch's `cell_slot` is its slot in the box of the current writer. If `writer` is
 * NULL there is no box and the functions do nothing. The caller serialises.
 *
 *     mw_window_recording_open(writer, watch, t_ns, rss_bytes, &title);
 *     mw_window_recording_sample(writer, &windows, t_ns, rss_bytes);
 *     mw_window_recording_close(writer, watch, &ending, &result);
 */

#ifndef MW_SAMPLER_WINDOW_RECORDING_H
#define MW_SAMPLER_WINDOW_RECORDING_H

#include "blackbox/writer.h"
#include "window/window_list.h"

/* How a window ends. */
struct mw_ending {
    enum mw_blackbox_status status;
    int64_t previous_rss_end_bytes; /* of the window before; MW_ABSENT: unknown */
};

/* Record that the watch has opened. `title` NULL: it is not recorded at all. */
void mw_window_recording_open(struct mw_blackbox_writer *writer, struct mw_watch *watch,
                              int64_t t_ns, int64_t rss_bytes,
                              const struct mw_blackbox_title *title);

/* Record a sample, and the peaks of the open windows so far. */
void mw_window_recording_sample(struct mw_blackbox_writer *writer,
                                const struct mw_window_list *windows, int64_t t_ns,
                                int64_t rss_bytes);

/* Record that the watch has closed. `ending` NULL: cancelled; `result` NULL: unknown.
 */
void
mw_window_recording_close(struct mw_blackbox_writer *writer,
                          const struct mw_watch *watch, const struct mw_ending *ending,
                          const struct mw_result *result);

/* The writer was replaced: no open window has a slot in the new box. */
void mw_window_recording_forget(struct mw_window_list *windows);

#endif
