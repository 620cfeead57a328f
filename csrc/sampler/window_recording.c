#include "mw_scribe.h"

void
mw_scribe_open(struct mw_recorder *recorder, struct mw_watch *watch, int64_t t_ns,
               int64_t rss_bytes, const struct mw_box_title *title)
{
    watch->cell_slot = MW_RECORDER_NO_SLOT;
    if (recorder != NULL && title != NULL) {
        watch->cell_slot = mw_recorder_open_cell(recorder, t_ns, rss_bytes, title);
    }
}

void
mw_scribe_sample(struct mw_recorder *recorder, const struct mw_roster *roster,
                 int64_t t_ns, int64_t rss_bytes)
{
    if (recorder == NULL) {
        return;
    }
    mw_recorder_add_sample(recorder, t_ns, rss_bytes);
    mw_recorder_set_lifetime_peak(recorder, roster->lifetime_peak_bytes);
    for (const struct mw_watch *watch = roster->newest; watch != NULL;
         watch = watch->next) {
        mw_recorder_set_peak(recorder, watch->cell_slot,
                             mw_window_peak(&watch->window));
    }
}

void
mw_scribe_close(struct mw_recorder *recorder, const struct mw_watch *watch,
                const struct mw_ending *ending, const struct mw_result *result)
{
    int64_t drift_bytes = MW_ABSENT;

    if (recorder == NULL) {
        return;
    }
    if (ending != NULL && ending->drift_from_bytes != MW_ABSENT && result != NULL) {
        drift_bytes = result->rss_start_bytes - ending->drift_from_bytes;
    }
    mw_recorder_close_cell(recorder, watch->cell_slot,
                           ending != NULL ? ending->status : MW_BOX_CANCELLED, result,
                           drift_bytes);
}

void
mw_scribe_forget(struct mw_roster *roster)
{
    for (struct mw_watch *watch = roster->newest; watch != NULL; watch = watch->next) {
        watch->cell_slot = MW_RECORDER_NO_SLOT;
    }
}
