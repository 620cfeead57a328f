/* The thread that watches one process, and the keeper of its high-water mark.
 *
 * The mark belongs to the whole process, windows nest and overlap, and each wants
 * the mark for itself. So before it resets the mark for a new window the sampler
 * reads it for all that are open: none loses what it has measured. Between that
 * read and the reset lie a few microseconds in which another thread's transient
 * could pass unseen, no larger than what it can fault in meanwhile.
 *
 * One lock guards all state; none of its holders waits for anything but the
 * kernel. The thread is started by the first window and parked while none is open:
 * opening one wakes it, closing the last does not, it then finds nothing to do at
 * the next sample's time. It knows nothing of Python. */

#ifndef MW_SAMPLER_SAMPLER_H
#define MW_SAMPLER_SAMPLER_H

#include <stdbool.h>

#include "sampler/target.h"
#include "sampler/window_recording.h"

struct mw_sampler; /* opaque: any thread may call any function below */

/* What the sampler knows of itself. */
struct mw_sampler_status {
    int64_t samples;             /* taken since the start */
    int64_t missed;              /* due, but the thread came too late for them */
    int64_t lifetime_peak_bytes; /* of the process: the kernel's own memory of
                                    it is lost with the first reset; MW_ABSENT:
                                    it has none */
    int open_windows;
    bool running; /* the thread exists */
    bool parked;  /* and nothing will wake it before a window opens */
};

/* For another process, `pid` below `root`. Its mark is reset where that is allowed, so
 * nothing else may measure by it at the same time. `own` is what holds for the caller's
 * own process: see mw_accuracy_of_other(). The caller owns *out and frees it, with no
 * window open. -errno: no memory, or /proc unreadable. */
int mw_sampler_new_of(struct mw_sampler **out, const char *root, pid_t pid,
                      const struct mw_accuracy *own);

/* The same for the caller's own process (`pid` 0), or for another one whose mark is
 * left alone: its peaks are sampled, hwm_errno is EOPNOTSUPP or why it could not be
 * reset anyway. */
static inline int
mw_sampler_new(struct mw_sampler **out, const char *root, pid_t pid)
{
    return mw_sampler_new_of(out, root, pid, NULL);
}

void mw_sampler_free(struct mw_sampler **out);

/* What mw_accuracy_probe() found when the files were opened. */
struct mw_accuracy mw_sampler_accuracy(struct mw_sampler *self);

/* Have the processors read too, by `reader`, at each window's ends and ten times
 * a second; NULL: no longer. What `reader->self` points to lives as long. */
void
mw_sampler_set_cpu_reader(struct mw_sampler *self, const struct mw_cpu_reader *reader);

/* No longer by `reader`; where somebody else's is set, that one stays. */
void mw_sampler_withdraw_cpu_reader(struct mw_sampler *self,
                                    const struct mw_cpu_reader *reader);

/* Write all that is measured from now on to that black box, too; NULL: to none. Only
 * for the own process; mw_recording uses it. The sampler owns `writer` from now on,
 * the caller the one before, which is returned: its files are not removed under the
 * lock. */
struct mw_blackbox_writer *
mw_sampler_replace_writer(struct mw_sampler *self, struct mw_blackbox_writer *writer);

/* Call `look` with the writer, under the lock. false: there is none. */
bool mw_sampler_visit_writer(struct mw_sampler *self,
                             void (*look)(const struct mw_blackbox_writer *, void *),
                             void *out);

/* Open a window. About 6 us. `title` is for the black box; NULL: it is not in there.
 * -errno: /proc unreadable; the watch is then closed. That the mark cannot be reset is
 * no error: the window's result says so. Nor is it that no thread can be created:
 * watch->thread_errno says why, and the window has no samples. */
int mw_sampler_open(struct mw_sampler *self, struct mw_watch *watch,
                    const struct mw_blackbox_title *title);

/* Close it and tell what it cost. About 3 us. `ending` is for the black box; NULL:
 * nobody knows how it ended. -errno: /proc unreadable; -ESRCH:
 * the process is gone; -ENODATA: it is dead and not yet waited for; -ESTALE:
 * the watch is not open, or was opened by the process that we were forked from.
 * The watch is closed in any case. */
int mw_sampler_close(struct mw_sampler *self, struct mw_watch *watch,
                     const struct mw_ending *ending, struct mw_result *out);

/* Close it with what was known when the last sample was taken: for a process that is
 * gone. Also after mw_sampler_close() has failed. -ESTALE as above. */
int mw_sampler_close_at_last_sample(struct mw_sampler *self, struct mw_watch *watch,
                                    struct mw_result *out);

/* Close it, tell nothing. */
void mw_sampler_cancel(struct mw_sampler *self, struct mw_watch *watch);

/* The process's memory now, from one read of status. -errno. */
int mw_sampler_read_memory(struct mw_sampler *self, struct mw_memory *out);

void mw_sampler_read_status(struct mw_sampler *self, struct mw_sampler_status *out);

/* Around fork(), from pthread_atfork handlers. In the child the descriptors, which
 * describe the parent, are closed, the thread is gone, and open windows are
 * forgotten; the next window opens everything anew. */
void mw_sampler_before_fork(struct mw_sampler *self);
void mw_sampler_after_fork_in_parent(struct mw_sampler *self);
void mw_sampler_after_fork_in_child(struct mw_sampler *self);

#endif
