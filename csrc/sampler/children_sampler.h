/* Windows on the children of the caller's own process.
 *
 * All readings come from one thread of its own, which mw_process_tree asks for: so they
 * never delay the samples of the process itself, which another thread takes. It reads
 * 10 ms after a window has opened, then every 20 ms, or less often where a reading
 * takes long: 98 % of its time it rests. At a window's end it reads once more, PSS
 * too, and the caller waits. While no window is open it is parked, for as long as
 * there are users.
 *
 * Like mw_process_sampler it is one of a process, and knows of fork(): in a child it
 * starts anew with the next window. It knows nothing of Python. */

#ifndef MW_SAMPLER_CHILDREN_SAMPLER_H
#define MW_SAMPLER_CHILDREN_SAMPLER_H

#include <stdbool.h>

#include "base/sample.h"

/* An open window. The caller owns the storage and keeps it in place while the watch
 * is open; the fields are the family's. */
struct mw_children_watch {
    struct mw_children_watch *next;
    struct mw_children_watch *previous;
    bool open;
    bool no_thread; /* it could not be opened: pthread_create() failed */
    int64_t t_open_ns;
    int64_t rss_peak_bytes;
    int64_t started;    /* when it opened: see mw_children_announce() */
    int64_t first_seen; /* likewise: see mw_process_tree.h */
};

/* See mw_process_tree.h for who is counted. MW_ABSENT where unknown. */
struct mw_children_result {
    int64_t count;          /* at the end, as are the next three */
    int64_t pss_bytes;      /* the descendants' */
    int64_t rss_bytes;      /* the descendants' */
    int64_t own_pss_bytes;  /* the process's own; MW_ABSENT without descendants */
    int64_t rss_peak_bytes; /* the highest sum that a sample saw: a lower bound */
    /* Children that were started in the window and had ended before a sample saw them
     * hold anything. At least: one that nobody announces hides one that is missed. So
     * MW_ABSENT where more were seen than were announced. */
    int64_t missed;
};

/* From the first acquire on there may be windows, and fork() is counted; the last
 * release ends the thread, with no window open. Any thread. -errno: no memory, no
 * thread (then *no_thread is true), or /proc cannot be read. */
int mw_children_acquire(bool *no_thread);
void mw_children_release(void);

/* Open a window. Reads, and waits for it, only where children were started since the
 * last reading. -errno as mw_children_acquire(), watch->no_thread likewise; the watch
 * is then closed. */
int mw_children_open(struct mw_children_watch *watch);

/* Close it and tell. Waits for a reading with PSS, 10 s at most: not to be called
 * with a lock that others need. -errno; -ETIMEDOUT; -ESTALE: the watch is not open,
 * or was opened by the process that we were forked from. It is closed in any case. */
int mw_children_close(struct mw_children_watch *watch, struct mw_children_result *out);

/* Close it, tell nothing. */
void mw_children_cancel(struct mw_children_watch *watch);

/* How a child is about to be started by the calling thread. fork() itself is seen;
 * vfork(), which Python's subprocess uses, posix_spawn() and system() are not. */
enum mw_children_start {
    MW_CHILDREN_FORK,  /* by fork(), and then it is counted */
    MW_CHILDREN_POPEN, /* by any of them: what is seen next on this thread is the same
                        */
    MW_CHILDREN_SPAWN, /* by posix_spawn(): the same as a POPEN just announced */
    MW_CHILDREN_SYSTEM /* by system() */
};

/* Any thread; takes no lock. */
void mw_children_announce(enum mw_children_start how);

/* Pure: how long after a reading that took `cost_ns` to begin the next. */
int64_t mw_children_pause_ns(int64_t cost_ns);

#endif
