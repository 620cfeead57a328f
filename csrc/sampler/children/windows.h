/* Windows on the descendants of a target, and what readings add to them. Pure: the
 * caller has a lock for the list.
 *
 *     mw_children_windows_add(&newest, &watch, target, t_open_ns);
 *     mw_children_windows_add_sample(newest, watch.target, t_ns, &reading);
 *     mw_children_windows_remove(&newest, &watch);
 *     mw_children_window_compute(&watch, &reading, &result); // result.rss_peak_bytes
 */

#ifndef MW_SAMPLER_CHILDREN_WINDOWS_H
#define MW_SAMPLER_CHILDREN_WINDOWS_H

#include <stdbool.h>

#include "base/sample.h"
#include "linux/procps/process_tree.h"

struct mw_children_target; /* see children_sampler.h */

/* A window. The caller owns the storage and keeps it in place while the watch is open;
 * the fields are private. */
struct mw_children_watch {
    struct mw_children_watch *next;
    struct mw_children_watch *previous;
    bool open;
    bool no_thread; /* it could not be opened because pthread_create() failed */
    struct mw_children_target *target;
    int64_t t_open_ns;
    int64_t count_peak;
    int64_t rss_peak_bytes;
    int64_t pss_peak_bytes; /* MW_ABSENT: none was read */
    int64_t rss_with_pss;   /* highest RSS in a reading with PSS */
    int64_t tree_pss_peak_bytes;
    int64_t started;    /* mw_children_count_starts() when it opened */
    int64_t first_seen; /* as in mw_process_tree.h, when it opened */
};

/* mw_process_tree.h says which processes count. MW_ABSENT: unknown. */
struct mw_children_result {
    int64_t count;         /* descendants at the end of the window */
    int64_t pss_bytes;     /* their sum at the end */
    int64_t rss_bytes;     /* their sum at the end */
    int64_t own_pss_bytes; /* of the roots; MW_ABSENT without descendants */
    /* The highest in a reading: lower bounds. */
    int64_t count_peak;
    int64_t rss_peak_bytes;
    /* MW_ABSENT too if RSS rose more than 1/8 above what it was in readings with PSS.
     */
    int64_t pss_peak_bytes;
    int64_t
        tree_pss_peak_bytes; /* of roots and descendants; MW_ABSENT: none was read */
    /* Children started in the window that ended before a sample saw them: a lower
     * bound, because a child that was not announced cancels one that was missed.
     * MW_ABSENT if more children were seen than announced, and for other processes'
     * children, which nobody announces. */
    int64_t missed;
};

/* Open a watch and put it first in a list. The caller sets what has been started and
 * seen so far. */
void mw_children_windows_add(struct mw_children_watch **newest,
                             struct mw_children_watch *watch,
                             struct mw_children_target *target, int64_t t_open_ns);

/* Remove it and mark it closed. */
void mw_children_windows_remove(struct mw_children_watch **newest,
                                struct mw_children_watch *watch);

/* Whether a watch on that target is in the list. */
bool mw_children_windows_include(const struct mw_children_watch *newest,
                                 const struct mw_children_target *target);

/* Add a reading of the target that began at `t_ns` to the watches on it that were open
 * then. */
void
mw_children_windows_add_sample(struct mw_children_watch *newest,
                               const struct mw_children_target *target, int64_t t_ns,
                               const struct mw_process_tree_reading *reading);

/* The result without `missed`; `end` is the last reading, with PSS. */
void mw_children_window_compute(const struct mw_children_watch *watch,
                                const struct mw_process_tree_reading *end,
                                struct mw_children_result *out);

#endif
