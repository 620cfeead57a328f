/* The memory limit that the process's control group sets, and how often the
 * kernel has killed in it. Version 2, version 1 and both at once. */

#ifndef MW_LINUX_CGROUP_LIMIT_H
#define MW_LINUX_CGROUP_LIMIT_H

#include <sys/types.h>

#include "base/sample.h"
#include "linux/cgroup/path.h"

#define MW_CGROUP_MOUNT "/sys/fs/cgroup"

struct mw_cgroup_limit {
    int64_t limit_bytes;             /* MW_UNLIMITED: none is set */
    char group[MW_CGROUP_PATH_ROOM]; /* who set it, below the mount; "": nobody */
};

/* The least limit over the group of process `pid` (0: the caller's own) and the
 * ancestors of it that can be seen: memory.max of version 2, and memory.stat's
 * hierarchical_memory_limit of version 1. The group's path in PROC_ROOT/PID/cgroup is
 * resolved against the roots of the mounts in PROC_ROOT/self/mountinfo. A container may
 * see its own group as the mount's root under another name than /proc says, or the
 * whole mount of its host: then the group is searched for by its processes. What is not
 * there, or hidden from us, is passed over. Reads a few files, some 100 us. Any thread.
 * -errno where PROC_ROOT/PID/cgroup, the mounts or a group's file that is there cannot
 * be read. */
int mw_cgroup_read_limit(const char *proc_root, const char *mount, pid_t pid,
                         struct mw_cgroup_limit *out);

/* How many processes the kernel has killed for want of memory in the group:
 * oom_kill of memory.events (version 2) or memory.oom_control (version 1).
 * -ENODATA where neither is to be seen; -errno as above. */
int mw_cgroup_read_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                             int64_t *kills);

/* The same, and where it was read: a path below `mount`, of MW_CGROUP_PATH_ROOM. */
int mw_cgroup_find_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                             int64_t *kills, char *file);

/* The count at the place that mw_cgroup_find_oom_kills() told, for when the process is
 * gone. -ENODATA where it is not to be seen any more. `file` may be anything: -EINVAL
 * where it is no such place. */
int mw_cgroup_reread_oom_kills(const char *mount, const char *file, int64_t *kills);

#endif
