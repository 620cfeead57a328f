/* Windows on the descendants of the caller's own process.
 *
 * One thread takes all readings, as mw_process_tree requires, so that they never delay
 * the samples of the process itself. It reads 10 ms after a window opens and then every
 * 20 ms, or less often if a reading takes long: it sleeps at least 98 % of the time.
 * When a window closes it reads once more, PSS included, and the caller waits for that.
 * While no window is open it is parked, as long as the sampler is acquired.
 *
 * Global state with fork() handlers: in a forked child no window is open, and the next
 * one starts another thread.
 *
 *     err = mw_children_acquire(&no_thread);
 *     err = mw_children_open(&watch);
 *     ...
 *     err = mw_children_close(&watch, &result); // result.rss_peak_bytes
 *     mw_children_release();
 *
 * Any thread may call any function. Functions return 0 or -errno. */

#ifndef MW_SAMPLER_CHILDREN_SAMPLER_H
#define MW_SAMPLER_CHILDREN_SAMPLER_H

#include <stdbool.h>

#include "base/sample.h"

/* A window. The caller owns the storage and keeps it in place while the watch is open;
 * the fields are private. */
struct mw_children_watch {
    struct mw_children_watch *next;
    struct mw_children_watch *previous;
    bool open;
    bool no_thread; /* it could not be opened because pthread_create() failed */
    int64_t t_open_ns;
    int64_t rss_peak_bytes;
    int64_t started;    /* children announced or forked before it opened */
    int64_t first_seen; /* as in mw_process_tree.h, when it opened */
};

/* mw_process_tree.h says which processes count. MW_ABSENT: unknown. */
struct mw_children_result {
    int64_t count;          /* descendants at the end of the window */
    int64_t pss_bytes;      /* their sum at the end */
    int64_t rss_bytes;      /* their sum at the end */
    int64_t own_pss_bytes;  /* of the process itself; MW_ABSENT without descendants */
    int64_t rss_peak_bytes; /* highest sum in a sample: a lower bound */
    /* Children started in the window that ended before a sample saw them: a lower
     * bound, because a child that was not announced cancels one that was missed.
     * MW_ABSENT if more children were seen than announced. */
    int64_t missed;
};

/* Start the thread, and count fork() from now on. The last release stops the thread; no
 * window may be open then. Errors: no memory, no thread (then *no_thread is true), or
 * /proc cannot be read. */
int mw_children_acquire(bool *no_thread);
void mw_children_release(void);

/* Open a window. Waits for a reading if children were started since the last one.
 * Errors as mw_children_acquire(), with watch->no_thread; the watch is then closed. */
int mw_children_open(struct mw_children_watch *watch);

/* Close a window and compute its result. Waits for a reading with PSS, 10 s at most: do
 * not call it with a lock that others need. Errors: of the reading; -ETIMEDOUT;
 * -ESTALE: the watch is not open, or was opened before a fork() by the parent. The
 * watch is closed in any case. */
int mw_children_close(struct mw_children_watch *watch, struct mw_children_result *out);

/* Close a window without a result. */
void mw_children_cancel(struct mw_children_watch *watch);

/* How the calling thread is about to start a child. fork() is counted by a handler; not
 * so vfork(), which Python's subprocess uses, posix_spawn() and system(). */
enum mw_children_start {
    MW_CHILDREN_FORK,   /* by fork(): not counted until it happens */
    MW_CHILDREN_POPEN,  /* by any of them: the next start on this thread is the same */
    MW_CHILDREN_SPAWN,  /* by posix_spawn(): the same child as a POPEN just announced */
    MW_CHILDREN_SYSTEM, /* by system() */
};

/* Announce a child. Takes no lock. */
void mw_children_announce(enum mw_children_start how);

/* How long to sleep after a reading that took `cost_ns`, in nanoseconds. Pure. */
int64_t mw_children_pause_ns(int64_t cost_ns);

#endif
