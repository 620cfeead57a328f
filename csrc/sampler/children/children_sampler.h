/* Windows on the descendants of the caller's own process, or of others.
 *
 * One thread takes all readings, as mw_process_tree requires, so that they never delay
 * the samples of the process itself. It reads 10 ms after a window opens and then every
 * 20 ms, or less often if a reading takes long: it sleeps at least 98 % of the time.
 * PSS takes longer, so it is only read where RSS has grown, and as long as that takes 2
 * % of the time, with 50 ms in advance. When a window closes the thread reads once
 * more, PSS included, and the caller waits for that. While no window is open it is
 * parked, as long as the sampler is acquired.
 *
 * Global state with fork() handlers: in a forked child no window is open, and the next
 * one starts another thread.
 *
 *     err = mw_children_acquire(&no_thread);
 *     err = mw_children_open(&watch, NULL);
 *     ...
 *     err = mw_children_close(&watch, &result); // result.rss_peak_bytes
 *     mw_children_release();
 *
 * Any thread may call any function. Functions return 0 or -errno. */

#ifndef MW_SAMPLER_CHILDREN_CHILDREN_SAMPLER_H
#define MW_SAMPLER_CHILDREN_CHILDREN_SAMPLER_H

#include <stdbool.h>
#include <sys/types.h>

#include "sampler/children/windows.h"

/* The descendants of certain processes; NULL: of the caller's own. */
struct mw_children_target;

/* Start the thread, and count fork() from now on. The last release stops the thread; no
 * window may be open then. Errors: no memory, no thread (then *no_thread is true), or
 * /proc cannot be read. */
int mw_children_acquire(bool *no_thread);
void mw_children_release(void);

/* On the descendants of `count` processes, without those processes. The caller frees
 * it, with no window on it open. -errno. */
int mw_children_target_new(struct mw_children_target **out, const pid_t *roots,
                           size_t count);
void mw_children_target_free(struct mw_children_target **self);

/* Open a window. Waits for a reading if children of the caller's process were started
 * since the last one. Errors as mw_children_acquire(), with watch->no_thread; the watch
 * is then closed. -ESTALE: the target was made before a fork(), by the parent. */
int
mw_children_open(struct mw_children_watch *watch, struct mw_children_target *target);

/* Close a window and compute its result. Waits for a reading with PSS, 10 s at most: do
 * not call it with a lock that others need. Errors: of the reading; -ETIMEDOUT;
 * -ESTALE: the watch is not open, or was opened before a fork() by the parent. The
 * watch is closed in any case. */
int mw_children_close(struct mw_children_watch *watch, struct mw_children_result *out);

/* Close a window without a result. */
void mw_children_cancel(struct mw_children_watch *watch);

#endif
