/* Samples the memory of one process, and shares its high-water mark (HWM) between the
 * windows that are open on it.
 *
 * A process has one HWM, but windows nest and overlap, and each needs its own. So
 * before the sampler resets the HWM for a new window, it reads it for all open windows.
 * In the few microseconds between that read and the reset another thread's transient
 * can be missed; it cannot be larger than what the thread touches in that time.
 *
 * One lock guards all state. It is held for a few reads of /proc and never while
 * waiting for another thread. The first window starts the sampling thread. While no
 * window is open the thread is parked: opening a window wakes it; after the last one
 * closes it parks itself when the next sample is due.
 *
 *     struct mw_watch watch;
 *     struct mw_result result;
 *     err = mw_sampler_new(&sampler, MW_PROC_ROOT, 0);
 *     err = mw_sampler_open(sampler, &watch, NULL);
 *     ...
 *     err = mw_sampler_close(sampler, &watch, NULL, &result); // result.rss_peak_bytes
 *     mw_sampler_free(&sampler);
 *
 * Any thread may call any function. Functions return 0 or -errno. */

#ifndef MW_SAMPLER_SAMPLER_H
#define MW_SAMPLER_SAMPLER_H

#include <stdbool.h>

#include "sampler/target.h"
#include "sampler/window_recording.h"

struct mw_sampler; /* opaque */

struct mw_sampler_status {
    int64_t samples;             /* taken so far */
    int64_t missed;              /* not taken, because the thread was late */
    int64_t lifetime_peak_bytes; /* highest RSS of the process; the kernel loses it
                                    at the first reset. MW_ABSENT: no HWM */
    int open_windows;
    bool running; /* the thread exists */
    bool parked;  /* the thread waits without a timeout */
};

/* Sample process `pid` below `root`; 0 is the caller's own. The HWM of another process
 * is not reset: its peaks are sampled, and hwm_errno is EOPNOTSUPP or why the HWM could
 * not be reset in any case. The caller owns *out and frees it. Errors: no memory, or
 * /proc cannot be read. */
int mw_sampler_new(struct mw_sampler **out, const char *root, pid_t pid);

/* The same for another process, whose HWM is reset if the kernel permits it; nothing
 * else may measure by it at the same time. `own` is the accuracy of the caller's own
 * process: see mw_accuracy_of_other(). NULL: as mw_sampler_new(). */
int mw_sampler_new_with_reset(struct mw_sampler **out, const char *root, pid_t pid,
                              const struct mw_accuracy *own);

/* Stop the thread and free the sampler; no window may be open. */
void mw_sampler_free(struct mw_sampler **out);

/* The result of mw_accuracy_probe() when the files were opened. */
struct mw_accuracy mw_sampler_accuracy(struct mw_sampler *self);

/* The cell of an open window is running this line, counted from 1: for the black box.
 */
void mw_sampler_set_line(struct mw_sampler *self, const struct mw_watch *watch,
                         int64_t line);

/* Read CPU times with `reader` too, at both ends of each window and ten times a second.
 * NULL: do not. `reader->self` must stay valid until the reader is replaced or removed.
 */
void
mw_sampler_set_cpu_reader(struct mw_sampler *self, const struct mw_cpu_reader *reader);

/* Stop using `reader`; no effect if another reader has been set since. */
void mw_sampler_remove_cpu_reader(struct mw_sampler *self,
                                  const struct mw_cpu_reader *reader);

/* Write everything measured from now on to this black box too; NULL: to none. Only for
 * the caller's own process; called by recording.c. Takes ownership of `writer` and
 * returns the previous one, which the caller frees: files are not removed under the
 * lock. */
struct mw_blackbox_writer *
mw_sampler_replace_writer(struct mw_sampler *self, struct mw_blackbox_writer *writer);

/* Call visit(writer, argument) with the lock held. Returns false if there is no writer.
 */
bool mw_sampler_visit_writer(struct mw_sampler *self,
                             void (*visit)(const struct mw_blackbox_writer *, void *),
                             void *argument);

/* Open a window; about 6 us. It is recorded in the black box under `title`; NULL: not
 * recorded. Errors: /proc cannot be read; the watch is then closed. Not errors: an HWM
 * that cannot be reset (the result says so), and a thread that cannot be created
 * (watch->thread_errno says why; the window then has no samples). */
int mw_sampler_open(struct mw_sampler *self, struct mw_watch *watch,
                    const struct mw_blackbox_title *title);

/* Close a window and compute its result; about 3 us. `ending` is for the black box;
 * NULL: unknown. Errors: /proc cannot be read; -ESRCH: the process is gone; -ENODATA:
 * it is a zombie; -ESTALE: the watch is not open, or was opened before a fork() by the
 * parent. The watch is closed in any case. */
int mw_sampler_close(struct mw_sampler *self, struct mw_watch *watch,
                     const struct mw_ending *ending, struct mw_result *out);

/* Close a window with the figures of the last sample, for a process that is gone. May
 * follow a mw_sampler_close() that failed. Errors: -ESTALE as above. */
int mw_sampler_close_at_last_sample(struct mw_sampler *self, struct mw_watch *watch,
                                    struct mw_result *out);

/* Close a window without a result. */
void mw_sampler_cancel(struct mw_sampler *self, struct mw_watch *watch);

/* The process's memory now, from one read of /proc/PID/status. */
int mw_sampler_read_memory(struct mw_sampler *self, struct mw_memory *out);

void mw_sampler_read_status(struct mw_sampler *self, struct mw_sampler_status *out);

/* For pthread_atfork() handlers. The child has no thread and no open windows, and its
 * copies of the descriptors, which refer to the parent's files, are closed; its next
 * window opens its own files. */
void mw_sampler_before_fork(struct mw_sampler *self);
void mw_sampler_after_fork_in_parent(struct mw_sampler *self);
void mw_sampler_after_fork_in_child(struct mw_sampler *self);

#endif
