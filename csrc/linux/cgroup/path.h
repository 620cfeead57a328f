/* Where the control group of a process is, below the folder that control groups are
 * mounted in: of version 2, of version 1, and of both at once.
 *
 *     struct mw_cgroup_path group;
 *     mw_cgroup_path_find("/proc", "/sys/fs/cgroup", 0, "memory", &group);
 *     // "/sys/fs/cgroup" + group.place + group.path + "/memory.stat" */

#ifndef MW_LINUX_CGROUP_PATH_H
#define MW_LINUX_CGROUP_PATH_H

#include <stdbool.h>
#include <sys/types.h>

enum { MW_CGROUP_PATH_ROOM = 1024 };

struct mw_cgroup_path {
    char place[MW_CGROUP_PATH_ROOM]; /* of the hierarchy, below the mount's folder:
                                      * "/memory"
                                      */
    char path[MW_CGROUP_PATH_ROOM]; /* of the group, below that: "/a/b", "" for its root
                                     */
};

/* The group of process `pid` (0: the caller's own) in the hierarchy of `controller`
 * ("memory"), or in the unified one where that is NULL. PROC_ROOT/PID/cgroup names it,
 * resolved against the mounts of PROC_ROOT/self/mountinfo. Any thread. -ENODATA: it is
 * in none, or in none that can be seen; -ENAMETOOLONG; -errno of a file that cannot be
 * read. */
int mw_cgroup_path_find(const char *proc_root, const char *mount, pid_t pid,
                        const char *controller, struct mw_cgroup_path *out);

/* All that fits into `room`; closes the descriptor. `fd` may be a -errno, which is
 * passed on. Returns the length or -errno. */
ssize_t mw_cgroup_path_read_and_close(int fd, char *text, size_t room);

/* Whether a file is not there, not for us to see, or of a group that is just going: it
 * is passed over. Any other error is told: there may be a limit that we do not know. */
bool mw_cgroup_path_is_hidden(ssize_t err);

#endif
