/* The open windows of one process, and what they share: its high-water mark,
 * its samples, its lifetime maximum. Pure: no I/O, no lock; the caller
 * serialises. */

#ifndef MW_WINDOW_WINDOW_LIST_H
#define MW_WINDOW_WINDOW_LIST_H

#include <stdbool.h>

#include "base/sample.h"
#include "window/timeline.h"
#include "window/window.h"

/* One open window. The caller owns the storage and keeps it in place while the
 * watch is open; the fields are the windows's. */
struct mw_watch {
    struct mw_watch *next;
    struct mw_watch *previous;
    bool open;
    bool unfinished;   /* it was opened, and its timeline has no end yet */
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
    /* The mark as its last reset left it. Only what is above was raised since. */
    int64_t hwm_floor_bytes;
    int64_t lifetime_peak_bytes; /* MW_ABSENT: the kernel never told it */
    int64_t t_sample_ns;         /* when the last sample was taken ... */
    int64_t sample_bytes;        /* ... and what it was */
};

/* `lifetime_peak_bytes` is the mark before anybody reset it. */
void mw_window_list_init(struct mw_window_list *self, int64_t lifetime_peak_bytes);

/* Open a window; `marked`: the mark was reset for it, and `start` read then. */
void mw_window_list_open(struct mw_window_list *self, struct mw_watch *watch,
                         int64_t t_ns, const struct mw_memory *start, bool marked);

/* Take it off the list, with its timeline ended at `end`. */
void mw_window_list_close(struct mw_window_list *self, struct mw_watch *watch,
                          int64_t t_ns, const struct mw_memory *end);

/* End the timeline of one that is off the list. */
void mw_window_list_finish(struct mw_watch *watch, int64_t t_ns,
                           const struct mw_memory *end);

/* What was last seen of the process in that window: when, and its RSS in *end. */
int64_t mw_window_list_last_seen(const struct mw_window_list *self,
                                 const struct mw_watch *watch, struct mw_memory *end);

/* Take it off the list, as it is. */
void mw_window_list_forget(struct mw_window_list *self, struct mw_watch *watch);

/* The mark stands at `hwm_bytes`: for all that count on it. To be told before each
 * reset, or the open windows lose what it knew. */
void mw_window_list_add_hwm(struct mw_window_list *self, int64_t hwm_bytes);

/* The mark is about to be reset; where to is not known yet. */
void mw_window_list_drop_hwm(struct mw_window_list *self);

/* A sample, for all windows that opened before it was taken. */
void
mw_window_list_add_sample(struct mw_window_list *self, int64_t t_ns, int64_t rss_bytes);

/* An RSS that was read on another window's behalf: a peak for all, no point of a
 * timeline, whose points are to be evenly spread. */
void mw_window_list_add_reading(struct mw_window_list *self, int64_t rss_bytes);

/* A reading of the processors, for all. */
void mw_window_list_add_cpu(struct mw_window_list *self, const struct mw_cpu *cpu);

#endif
