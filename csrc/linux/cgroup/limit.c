#include "linux/cgroup/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "linux/cgroup/path.h"
#include "linux/parse.h"

enum { TEXT_ROOM = 8192 };

#define V2_KILLS "memory.events"
#define V1_KILLS "memory.oom_control"

/* Version 1 writes the largest number of whole pages for "no limit". */
#define V1_UNLIMITED_BYTES (MW_UNLIMITED - 65536)

/* MOUNT/HIERARCHY/GROUP/FILE. */
static ssize_t
read_group_file(const char *mount, const char *hierarchy, const char *group,
                const char *file, char *text, size_t room)
{
    char path[PATH_MAX];
    int length =
        snprintf(path, sizeof path, "%s%s%s/%s", mount, hierarchy, group, file);

    int fd;

    if (length < 0 || (size_t)length >= sizeof path) {
        return -ENAMETOOLONG;
    }
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    return mw_cgroup_path_read_and_close(fd < 0 ? -errno : fd, text, room);
}

/* "/a/b" -> "/a" -> "" (the mount itself). */
static bool
to_parent(char *group)
{
    char *slash = strrchr(group, '/');

    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}

static void
keep_least(struct mw_cgroup_limit *least, int64_t limit_bytes, const char *group)
{
    if (limit_bytes < least->limit_bytes) {
        least->limit_bytes = limit_bytes;
        (void)snprintf(least->group, sizeof least->group, "%s", *group ? group : "/");
    }
}

/* The limit in `file` of the group, or of its ancestors: with `key` (version 1) the
 * figure of the nearest one, which already is the least; without (version 2) the least.
 */
static int
find_limit(const char *mount, struct mw_cgroup_path *group, const char *file,
           const char *key, struct mw_cgroup_limit *least)
{
    char text[TEXT_ROOM];
    bool is_found = false;

    do {
        int64_t limit = MW_UNLIMITED;
        ssize_t length =
            read_group_file(mount, group->place, group->path, file, text, sizeof text);

        if (length < 0 && !mw_cgroup_path_is_hidden(length)) {
            return (int)length;
        }
        if (length >= 0 && key != NULL) {
            is_found = mw_parse_keyed(text, (size_t)length, key, &limit) == 0;
        }
        else if (length >= 0) {
            (void)mw_parse_cgroup_limit(text, (size_t)length, &limit);
        }
        if (limit < V1_UNLIMITED_BYTES) {
            keep_least(least, limit, group->path);
        }
    } while (!is_found && to_parent(group->path));
    return 0;
}

int
mw_cgroup_read_limit(const char *proc_root, const char *mount, pid_t pid,
                     struct mw_cgroup_limit *out)
{
    struct mw_cgroup_limit least = {.limit_bytes = MW_UNLIMITED, .group = ""};
    struct mw_cgroup_path group;
    int err = mw_cgroup_path_find(proc_root, mount, pid, NULL, &group);

    if (err == 0) {
        err = find_limit(mount, &group, "memory.max", NULL, &least);
    }
    if (err != 0 && err != -ENODATA) {
        return err;
    }
    err = mw_cgroup_path_find(proc_root, mount, pid, "memory", &group);
    if (err == 0) {
        err = find_limit(mount, &group, "memory.stat", "hierarchical_memory_limit",
                         &least);
    }
    if (err != 0 && err != -ENODATA) {
        return err;
    }
    *out = least;
    return 0;
}

/* The count of `group`, or of its nearest ancestor that shows one. */
static int
find_kills(const char *mount, const char *hierarchy, char *group, const char *name,
           int64_t *kills, char *file)
{
    do {
        int err = -ENAMETOOLONG;
        int length =
            snprintf(file, MW_CGROUP_PATH_ROOM, "%s%s/%s", hierarchy, group, name);

        if (length >= 0 && length < MW_CGROUP_PATH_ROOM) {
            err = mw_cgroup_reread_oom_kills(mount, file, kills);
        }
        /* A group outside our part of the tree is written as "/../NAME". */
        if (err != -ENODATA && err != -EINVAL) {
            return err;
        }
    } while (to_parent(group));
    return -ENODATA;
}

int
mw_cgroup_find_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                         int64_t *kills, char *file)
{
    struct mw_cgroup_path group;
    int err = mw_cgroup_path_find(proc_root, mount, pid, NULL, &group);

    if (err == 0) {
        err = find_kills(mount, group.place, group.path, V2_KILLS, kills, file);
    }
    if (err == -ENODATA) {
        err = mw_cgroup_path_find(proc_root, mount, pid, "memory", &group);
        if (err == 0) {
            err = find_kills(mount, group.place, group.path, V1_KILLS, kills, file);
        }
    }
    return err;
}

int
mw_cgroup_read_oom_kills(const char *proc_root, const char *mount, pid_t pid,
                         int64_t *kills)
{
    char file[MW_CGROUP_PATH_ROOM];

    return mw_cgroup_find_oom_kills(proc_root, mount, pid, kills, file);
}

/* `file` may come from another user's black box: open nothing but such a count. */
static bool
is_place_of_kills(const char *file)
{
    const char *name = strrchr(file, '/');

    return *file == '/' && strstr(file, "/../") == NULL &&
           (strcmp(name + 1, V2_KILLS) == 0 || strcmp(name + 1, V1_KILLS) == 0);
}

int
mw_cgroup_reread_oom_kills(const char *mount, const char *file, int64_t *kills)
{
    char text[TEXT_ROOM];
    ssize_t length;

    if (!is_place_of_kills(file)) {
        return -EINVAL;
    }
    length = read_group_file(mount, "", "", file + 1, text, sizeof text);
    if (length < 0) {
        return mw_cgroup_path_is_hidden(length) ? -ENODATA : (int)length;
    }
    return mw_parse_keyed(text, (size_t)length, "oom_kill", kills) == 0 ? 0 : -ENODATA;
}
