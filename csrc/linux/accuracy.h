/* How exact the kernel's figures are on this machine. Found by trying, never by a
 * version number: distributions backport patches, and sandboxes report another
 * kernel's version.
 *
 *     err = mw_accuracy_probe(&proc, &accuracy);
 *     if (err == 0 && accuracy.hwm_resets) ... // peaks within accuracy.bound_bytes
 */

#ifndef MW_LINUX_ACCURACY_H
#define MW_LINUX_ACCURACY_H

#include <stdbool.h>

#include "linux/proc.h"

struct mw_accuracy {
    bool exact;          /* statm and status count every page at once */
    bool hwm_resets;     /* the high-water mark can be reset, and then rises again */
    int hwm_errno;       /* why it cannot be reset; 0 with !hwm_resets: the write
                            succeeded without effect (gVisor) */
    int64_t processors;  /* that any thread of the process may use */
    int64_t bound_bytes; /* how far the mark may be off: three approximate counters
                            on those processors, with the threads of the probe */
};

/* Probe the caller's own process, which `proc` must be: touches and unmaps some hundred
 * pages and resets the mark; less than a millisecond. Tries a few times, because other
 * threads may allocate meanwhile. -errno: memory could not be read or mapped. */
int mw_accuracy_probe(const struct mw_proc *proc, struct mw_accuracy *out);

/* The accuracy for process `pid` below `root`, which `proc` is, from `own`, that of the
 * caller's process. Its mark can be reset if ours can and we may write to it. Its
 * processors are ours if it is in our cpuset, else the online ones. -errno: it cannot
 * be read. */
int mw_accuracy_of_other(const struct mw_accuracy *own, const struct mw_proc *proc,
                         const char *root, pid_t pid, struct mw_accuracy *out);

/* Raise the bound if there are more processors now: a cpuset can change, and a
 * processor can come online. About 2 us. Changes the affinity of the calling thread for
 * a moment, so it must be memwatch's own. */
void mw_accuracy_look_again(struct mw_accuracy *self, int64_t page_bytes);

/* The bound for a window with at most `threads` threads; MW_ABSENT: unknown. Pure. */
int64_t
mw_accuracy_bound(const struct mw_accuracy *self, int64_t threads, int64_t page_bytes);

#endif
