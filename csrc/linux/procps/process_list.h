/* All processes of the machine, by libproc2's pids; for process_tree.h, which says what
 * that costs and from which thread.
 *
 *     err = mw_process_list_init(&list);
 *     err = mw_process_list_read(&list);
 *     process = mw_process_list_find(&list, pid);
 *     mw_process_list_release(&list);
 *
 * Functions return 0 or -errno. */

#ifndef MW_LINUX_PROCPS_PROCESS_LIST_H
#define MW_LINUX_PROCPS_PROCESS_LIST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mw_process {
    int pid;
    int parent;
    bool has_execed;
    unsigned long size_kib;
    int64_t rss_bytes;        /* 0: has ended, or has no memory of its own */
    unsigned long long began; /* identifies it with its pid */
    bool descends;            /* the caller's; false after a reading */
};

struct mw_process_list {
    struct pids_info *all; /* libproc2's */
    struct mw_process *processes;
    size_t count;
    size_t room;
};

int mw_process_list_init(struct mw_process_list *self);

/* Idempotent. */
void mw_process_list_release(struct mw_process_list *self);

/* Read /proc/PID/stat and statm of all processes, sorted by pid. On failure the list
 * may be of the reading before. */
int mw_process_list_read(struct mw_process_list *self);

/* NULL: there is none. */
const struct mw_process *
mw_process_list_find(const struct mw_process_list *self, int pid);

/* The error of a call of libproc2, before which errno was 0: it sets errno, but not
 * always. */
static inline int
mw_procps_error(void)
{
    return errno != 0 ? -errno : -EIO;
}

#endif
