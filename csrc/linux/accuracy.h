/* How far the kernel's figures can be trusted on this machine, found out by
 * trying, never by a version number: distributions carry patches back, and
 * sandboxes answer with another kernel's name. */

#ifndef MW_LINUX_ACCURACY_H
#define MW_LINUX_ACCURACY_H

#include <stdbool.h>

#include "linux/proc.h"

struct mw_accuracy {
    bool exact;          /* statm and status count every page at once */
    bool hwm_resets;     /* the high-water mark can be reset, and follows */
    int hwm_errno;       /* 0, or why it cannot; 0 with !hwm_resets: it was
                             written to and did not follow (gVisor) */
    int64_t processors;  /* that any thread of the process may use */
    int64_t bound_bytes; /* how far an approximate counter may be off, all three
                            kinds of page together, on those processors and with
                            the threads that there were when it was tried */
};

/* Try it on the caller's own process, which `proc` must be: touches and unmaps
 * some hundred pages and resets the mark; under a millisecond. Other threads may
 * allocate meanwhile, so it tries a few times. 0, or -errno where memory could
 * not be read or mapped. */
int mw_accuracy_probe(const struct mw_proc *proc, struct mw_accuracy *out);

/* What holds for the figures of process `pid` below `root`, which `proc` is, where
 * `own` was found out for the caller's: its mark follows as ours does, if we may write
 * to it. Its processors are those of our cpuset where that is its own, else all that
 * are online. -errno where it cannot be read. */
int mw_accuracy_of_other(const struct mw_accuracy *own, const struct mw_proc *proc,
                         const char *root, pid_t pid, struct mw_accuracy *out);

/* Raise the bound where there are more processors by now: a cpuset can be changed, and
 * a processor can come online. About 2 us. Changes the affinity of the calling thread
 * for a moment, so it has to be one of memwatch's own. */
void mw_accuracy_look_again(struct mw_accuracy *self, int64_t page_bytes);

/* The bound in bytes for a window in which there were at most `threads` threads
 * (MW_ABSENT: unknown). Pure. */
int64_t
mw_accuracy_bound(const struct mw_accuracy *self, int64_t threads, int64_t page_bytes);

#endif
