/* The memory of a process's descendants, by libproc2's pids.
 *
 * libproc2 allocates 257 KiB for each thread that uses it and leaks them when the
 * thread ends: use one long-lived thread. A reading scans all processes of the machine
 * to find the children: about 2 ms of processor time per 100 processes.
 *
 *     err = mw_process_tree_new(&tree, &pid, 1);
 *     err = mw_process_tree_read(tree, false, &reading); // reading.rss_bytes
 *     mw_process_tree_free(&tree);
 */

#ifndef MW_LINUX_PROCPS_PROCESS_TREE_H
#define MW_LINUX_PROCPS_PROCESS_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sample.h"

/* Counts descendants that hold memory. Not zombies, hidden ones, and those that end
 * during the reading; not those whose parent has ended, because they are children of
 * init or a subreaper then; not those between vfork() and exec(), because they use
 * their parent's memory. */
struct mw_process_tree_reading {
    int64_t count;     /* of descendants */
    int64_t rss_bytes; /* sum of statm field 2; a shared page counts for each */
    int64_t
        first_seen; /* children, without grandchildren, seen so far in all readings */
    /* From smaps_rollup; MW_ABSENT if PSS was not requested. */
    int64_t pss_bytes;     /* sum; MW_ABSENT too if one cannot be read (setuid) */
    int64_t own_pss_bytes; /* sum of the roots'; MW_ABSENT too without descendants,
                              because reading it takes 9 ms per GiB */
    bool is_steady; /* PSS was read, and the descendants were the same before and after:
                       else pages that they share may count twice, or not at all */
};

struct mw_process_tree; /* opaque: its insides are libproc2's */

/* On the descendants of `count` roots, without the roots themselves. The caller owns
 * *out and frees it. -errno. */
int mw_process_tree_new(struct mw_process_tree **out, const pid_t *roots, size_t count);
void mw_process_tree_free(struct mw_process_tree **self);

/* Read /proc/PID/stat and statm of all processes, and `with_pss` smaps_rollup of the
 * descendants and the roots, 9 ms per GiB, and all processes again. One thread at a
 * time; see above. -errno; then *out is left alone. */
int mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                         struct mw_process_tree_reading *out);

#endif
