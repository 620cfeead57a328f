/* The open windows of one process, and what they share: its high-water mark (HWM), its
 * samples, its lifetime peak. Pure; the caller serialises.
 *
 *     mw_window_list_init(&list, hwm_bytes);
 *     mw_window_list_open(&list, &watch, t_ns, &start, true);
 *     mw_window_list_add_sample(&list, t_ns, rss_bytes);
 *     mw_window_list_close(&list, &watch, t_ns, &end);
 */

#ifndef MW_WINDOW_WINDOW_LIST_H
#define MW_WINDOW_WINDOW_LIST_H

#include <stdbool.h>

#include "base/sample.h"
#include "window/timeline.h"
#include "window/window.h"

/* One window. The caller owns the storage and keeps it in place while the watch is
 * open; the fields are private, also where a comment names the sampler. */
struct mw_watch {
    struct mw_watch *next;
    struct mw_watch *previous;
    bool open;
    bool unfinished;   /* its timeline has no end yet */
    int64_t t_real_ns; /* CLOCK_REALTIME when it opened; the sampler's */
    int cell_slot;     /* in the black box; the sampler's */
    int thread_errno;  /* why pthread_create() failed when it opened, or 0; the
                          sampler's */
    struct mw_window window;
    struct mw_timeline timeline; /* t_ns counts from the window's opening */
};

struct mw_window_list {
    struct mw_watch *newest; /* youngest first */
    int count;
    /* The HWM after its last reset. Only a higher one has been raised since. */
    int64_t hwm_floor_bytes;
    int64_t lifetime_peak_bytes; /* MW_ABSENT: unknown */
    int64_t t_sample_ns;         /* the last sample: its time ... */
    int64_t sample_bytes;        /* ... and its RSS */
};

/* `lifetime_peak_bytes` is the HWM before the first reset. */
void mw_window_list_init(struct mw_window_list *self, int64_t lifetime_peak_bytes);

/* Open a window. `marked`: the HWM was reset before `start` was read. */
void mw_window_list_open(struct mw_window_list *self, struct mw_watch *watch,
                         int64_t t_ns, const struct mw_memory *start, bool marked);

/* Remove it from the list and end its timeline at `end`. */
void mw_window_list_close(struct mw_window_list *self, struct mw_watch *watch,
                          int64_t t_ns, const struct mw_memory *end);

/* End the timeline of a window that is not in the list. */
void mw_window_list_finish(struct mw_watch *watch, int64_t t_ns,
                           const struct mw_memory *end);

/* The last sample in that window, or its start: returns the time; RSS in *end. */
int64_t mw_window_list_last_seen(const struct mw_window_list *self,
                                 const struct mw_watch *watch, struct mw_memory *end);

/* Remove it from the list, without an end. */
void mw_window_list_forget(struct mw_window_list *self, struct mw_watch *watch);

/* The HWM is `hwm_bytes`, for all windows. Call it before each reset, or they lose it.
 */
void mw_window_list_add_hwm(struct mw_window_list *self, int64_t hwm_bytes);

/* The HWM is being reset, to a value that is not known yet. */
void mw_window_list_drop_hwm(struct mw_window_list *self);

/* A sample, for all windows that opened before it was taken. */
void
mw_window_list_add_sample(struct mw_window_list *self, int64_t t_ns, int64_t rss_bytes);

/* An RSS that was read for another window: counts for the peaks, not for the timelines,
 * whose points are evenly spread. */
void mw_window_list_add_reading(struct mw_window_list *self, int64_t rss_bytes);

/* A reading of the processors, for all windows. */
void mw_window_list_add_cpu(struct mw_window_list *self, const struct mw_cpu *cpu);

#endif
