/* The children of a process, theirs, and so on: what they hold, by libproc2's pids.
 *
 * libproc2 keeps 268 KiB for each thread that has read by it, and loses them when
 * the thread ends: so all readings are to come from one thread that lives long. A
 * reading looks at every process of the machine, for that is how children are found:
 * about 1.5 ms per 100 of them. */

#ifndef MW_LINUX_PROCPS_PROCESS_TREE_H
#define MW_LINUX_PROCPS_PROCESS_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sample.h"

/* Descendants that hold memory. A zombie, one that is hidden from us and one that
 * ended while we looked are not among them; nor is one whose parent has ended, which
 * then is init's child (or a subreaper's), nor one that still lives in its parent's
 * memory, between vfork() and exec(). */
struct mw_process_tree_reading {
    int64_t count;     /* descendants */
    int64_t rss_bytes; /* the sum of statm field 2: what they share counts for each */
    /* Children, not grandchildren, that were seen for the first time in this reading
     * or one before it; of those that mw_process_tree_new's process had then, too. */
    int64_t first_seen;
    /* Where PSS was asked for, else MW_ABSENT, from smaps_rollup: */
    int64_t pss_bytes;     /* the sum; MW_ABSENT too where one of them is not to be
                              read (a setuid program): part of a sum is none */
    int64_t own_pss_bytes; /* of the root itself; MW_ABSENT too where it has no
                              descendants, for it takes 9 ms per GiB */
};

struct mw_process_tree; /* opaque: its insides are libproc2's */

/* On the descendants of `root`. The caller owns *out and frees it. -errno. */
int mw_process_tree_new(struct mw_process_tree **out, pid_t root);
void mw_process_tree_free(struct mw_process_tree **self);

/* Read /proc/PID/stat and statm of all processes, and `with_pss` also smaps_rollup
 * of the descendants and of the root: 9 ms per GiB they hold. One thread at a time,
 * and see above. -errno; *out is then left alone. */
int mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                         struct mw_process_tree_reading *out);

#endif
