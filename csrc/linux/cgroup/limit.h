/* The memory limit of a process's cgroup, and the OOM kills in it: for version 2,
 * version 1, and both at once.
 *
 *     err = mw_cgroup_read_limit("/proc", MW_CGROUP_MOUNT, 0, &limit);
 *     // limit.limit_bytes, MW_UNLIMITED: none
 */

#ifndef MW_LINUX_CGROUP_LIMIT_H
#define MW_LINUX_CGROUP_LIMIT_H

#include <sys/types.h>

#include "base/sample.h"
#include "linux/cgroup/path.h"

#define MW_CGROUP_MOUNT "/sys/fs/cgroup"

struct mw_cgroup_limit {
    int64_t limit_bytes;             /* MW_UNLIMITED: none is set */
    char group[MW_CGROUP_PATH_ROOM]; /* sets it; below the mount; "": none does */
};

/* The least limit of the group of process `pid` (0: the caller's own) and its visible
 * ancestors: memory.max in version 2, hierarchical_memory_limit of memory.stat in
 * version 1. The path in PROC_ROOT/PID/cgroup is resolved against the mounts in
 * PROC_ROOT/self/mountinfo. A container may see its group as the mount's root, under
 * another name than /proc has, or its host's whole mount: then the group is found by
 * its processes. Missing and hidden files are skipped. Reads a few files, some 100 us.
 * Any thread. -errno: a file that exists cannot be read. */
int mw_cgroup_read_limit(const char *proc_root, const char *mount, pid_t pid,
                         struct mw_cgroup_limit *out);

/* How many processes of the group the kernel has killed for lack of memory: oom_kill of
 * memory.events (version 2) or memory.oom_control (version 1). -ENODATA: neither is
 * visible; -errno as above. */
int mw_cgroup_read_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                             int64_t *kills);

/* The same, and the file: a path below `mount`, of MW_CGROUP_PATH_ROOM bytes. */
int mw_cgroup_find_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                             int64_t *kills, char *file);

/* The count in the file that mw_cgroup_find_oom_kills() found, after the process has
 * ended. -ENODATA: not visible any more; -EINVAL: `file`, which may be any text, is not
 * such a file. */
int mw_cgroup_reread_oom_kills(const char *mount, const char *file, int64_t *kills);

#endif
