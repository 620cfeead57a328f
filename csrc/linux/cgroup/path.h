/* Finds the folder of a process's cgroup: for version 2, version 1, and both at once.
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
    char place[MW_CGROUP_PATH_ROOM]; /* of the hierarchy below the mount: "/memory" */
    char path[MW_CGROUP_PATH_ROOM];  /* of the group below that: "/a/b"; "": its root */
};

/* The group of process `pid` (0: the caller's own) in the hierarchy of `controller`
 * ("memory"; NULL: the unified one), from PROC_ROOT/PID/cgroup and the mounts in
 * PROC_ROOT/self/mountinfo. Any thread. -ENODATA: it is in none, or in none that is
 * visible; -ENAMETOOLONG; -errno: a file cannot be read. */
int mw_cgroup_path_find(const char *proc_root, const char *mount, pid_t pid,
                        const char *controller, struct mw_cgroup_path *out);

/* Read what fits into `room`, and close the descriptor. `fd` may be a -errno, which is
 * returned. Returns the length or -errno. */
ssize_t mw_cgroup_path_read_and_close(int fd, char *text, size_t room);

/* Whether the file is missing, hidden from us, or of a group that is being removed:
 * then it is skipped. After any other error there may be an unknown limit. */
bool mw_cgroup_path_is_hidden(ssize_t err);

#endif
