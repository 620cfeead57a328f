#include "sampler/window_recording.h"

void
mw_window_recording_open(struct mw_blackbox_writer *writer, struct mw_watch *watch,
                         int64_t t_ns, int64_t rss_bytes,
                         const struct mw_blackbox_title *title)
{
    watch->cell_slot = MW_BLACKBOX_WRITER_NO_SLOT;
    if (writer != NULL && title != NULL) {
        watch->cell_slot = mw_blackbox_writer_open_cell(writer, t_ns, watch->t_real_ns,
                                                        rss_bytes, title);
    }
}

void
mw_window_recording_sample(struct mw_blackbox_writer *writer,
                           const struct mw_window_list *windows, int64_t t_ns,
                           int64_t rss_bytes)
{
    if (writer == NULL) {
        return;
    }
    mw_blackbox_writer_add_sample(writer, t_ns, rss_bytes);
    mw_blackbox_writer_set_lifetime_peak(writer, windows->lifetime_peak_bytes);
    for (const struct mw_watch *watch = windows->newest; watch != NULL;
         watch = watch->next) {
        mw_blackbox_writer_set_peak(writer, watch->cell_slot,
                                    mw_window_peak(&watch->window));
    }
}

void
mw_window_recording_close(struct mw_blackbox_writer *writer,
                          const struct mw_watch *watch, const struct mw_ending *ending,
                          const struct mw_result *result)
{
    if (writer != NULL) {
        mw_blackbox_writer_close_cell(
            writer, watch->cell_slot,
            ending != NULL ? ending->status : MW_BLACKBOX_CANCELLED, result);
    }
}

void
mw_window_recording_forget(struct mw_window_list *windows)
{
    for (struct mw_watch *watch = windows->newest; watch != NULL; watch = watch->next) {
        watch->cell_slot = MW_BLACKBOX_WRITER_NO_SLOT;
    }
}
