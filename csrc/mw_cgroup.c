#include "mw_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mw_parse.h"
#include "mw_proc.h"

enum {
    TEXT_ROOM = 8192,
    MOST_GROUPS = 4096, /* looked into for a process whose group's name is not told */
};

#define V2_KILLS "memory.events"
#define V1_KILLS "memory.oom_control"

/* Version 1 writes "no limit" as the largest number of whole pages. */
#define V1_UNLIMITED_BYTES (MW_UNLIMITED - 65536)

/* All that fits into `room`; closes the descriptor. `fd` may be a -errno, which is
 * passed on. Returns the length or -errno. */
static ssize_t
read_and_close(int fd, char *text, size_t room)
{
    size_t length = 0;
    ssize_t got;

    if (fd < 0) {
        return fd;
    }
    do {
        got = read(fd, text + length, room - length);
        if (got > 0) {
            length += (size_t)got;
        }
    } while ((got > 0 && length < room) || (got < 0 && errno == EINTR));
    got = got < 0 ? -errno : (ssize_t)length;
    close(fd);
    return got;
}

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
    return read_and_close(fd < 0 ? -errno : fd, text, room);
}

/* A file that is not there, not for us to see, or of a group that is just going, is
 * passed over. Any other error is told: there may be a limit that we do not know. */
static bool
is_hidden(ssize_t err)
{
    return err == -ENOENT || err == -ENOTDIR || err == -ENODEV || err == -EACCES ||
           err == -EPERM;
}

/* From "/a/b" to "/a", from "/a" to "", which is the mount itself. */
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

/* ---- files that are read line by line ---- */

struct lines {
    int fd;
    size_t start; /* of the next line in `text` */
    size_t length;
    char text[TEXT_ROOM];
};

/* The next line, without its newline; a longer one than TEXT_ROOM is passed over. 1: it
 * is in *line; 0: there is none; or -errno. */
static int
next_line(struct lines *self, const char **line, size_t *length)
{
    bool is_cut = false;

    for (;;) {
        char *at = self->text + self->start;
        char *newline = memchr(at, '\n', self->length - self->start);
        ssize_t got;

        if (newline != NULL) {
            self->start = (size_t)(newline + 1 - self->text);
            if (!is_cut) {
                *line = at;
                *length = (size_t)(newline - at);
                return 1;
            }
            is_cut = false;
            continue;
        }
        self->length -= self->start;
        memmove(self->text, at, self->length);
        self->start = 0;
        if (self->length == sizeof self->text) {
            is_cut = true;
            self->length = 0;
        }
        do {
            got = read(self->fd, self->text + self->length,
                       sizeof self->text - self->length);
        } while (got < 0 && errno == EINTR);
        if (got <= 0) {
            return got < 0 ? -errno : 0;
        }
        self->length += (size_t)got;
    }
}

/* ---- where the group is ----
 *
 * /proc/PID/cgroup names a group as the reader's cgroup namespace has it, and
 * /proc/self/mountinfo names by the same namespace what is mounted. Usually the mount
 * is the namespace's root ("/"). It can be above that, where a container sees the mount
 * of its host: "/../.." is two groups above, and the names of those two are not told.
 */

struct hierarchy {
    char root[MW_CGROUP_PATH_ROOM];
    char place[MW_CGROUP_PATH_ROOM]; /* of the mount, below `mount`: "/memory" */
};

/* From the reader's mounts; as it is by custom where they do not tell. */
static int
find_hierarchy(const char *proc_root, const char *mount, const char *controller,
               struct hierarchy *out)
{
    struct lines lines = {.fd = mw_proc_open_file(proc_root, 0, "mountinfo", O_RDONLY)};
    size_t below = strlen(mount);
    size_t least =
        SIZE_MAX; /* of two mounts the upper one counts, then the later one */
    const char *line = "";
    size_t length = 0;
    int err;

    (void)snprintf(out->root, sizeof out->root, "/");
    (void)snprintf(out->place, sizeof out->place, "%s", controller ? "/memory" : "");
    if (lines.fd < 0) {
        return is_hidden(lines.fd) ? 0 : lines.fd;
    }
    while ((err = next_line(&lines, &line, &length)) > 0) {
        struct hierarchy found;

        if (mw_parse_cgroup_mount(line, length, controller, found.root, found.place,
                                  sizeof found.root) == 0 &&
            strncmp(found.place, mount, below) == 0 &&
            (found.place[below] == '/' || found.place[below] == '\0') &&
            strlen(found.place) <= least) {
            least = strlen(found.place);
            memcpy(out->root, found.root, sizeof out->root);
            (void)snprintf(out->place, sizeof out->place, "%s", found.place + below);
        }
    }
    close(lines.fd);
    return err;
}

/* How many "/.." `path` begins with; *rest is what follows, "" for the group itself. */
static int
levels_up(const char *path, const char **rest)
{
    int levels = 0;

    while (strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0')) {
        path += 3;
        levels++;
    }
    *rest = strcmp(path, "/") == 0 ? "" : path;
    return levels;
}

/* Whether process `pid` is in the group whose folder is `path`. 1, 0 or -errno. */
static int
has_process(const char *path, pid_t pid)
{
    char file[PATH_MAX];
    struct lines lines;
    const char *line = "";
    size_t length = 0;
    int err;
    int written = snprintf(file, sizeof file, "%s/cgroup.procs", path);

    if (written < 0 || (size_t)written >= sizeof file) {
        return 0;
    }
    do {
        lines.fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (lines.fd < 0 && errno == EINTR);
    if (lines.fd < 0) {
        return is_hidden(-errno) ? 0 : -errno;
    }
    lines.start = lines.length = 0;
    while ((err = next_line(&lines, &line, &length)) > 0) {
        if (strtol(line, NULL, 10) == pid) { /* it ends at its newline */
            break;
        }
    }
    close(lines.fd);
    return err;
}

struct search {
    const char *rest; /* of the group's path, below the levels without a name */
    pid_t pid;
    size_t base; /* how much of `path` is the mount's */
    int left;    /* how many groups may still be looked into */
    char path[PATH_MAX];
};

/* The group `levels` below `self->path` in which the process is. 1: `self->path` is it;
 * 0, or -errno; the path is then as it was. As deep as the mount's root has levels. */
static int
find_process(struct search *self, int levels) /* NOLINT(misc-no-recursion) */
{
    size_t length = strlen(self->path);
    const struct dirent *each;
    DIR *folder;
    int found = 0;

    if (levels == 0) {
        int written =
            snprintf(self->path + length, sizeof self->path - length, "%s", self->rest);

        found = written >= 0 && (size_t)written < sizeof self->path - length
                    ? has_process(self->path, self->pid)
                    : 0;
    }
    else {
        folder = opendir(self->path);
        if (folder == NULL) {
            return is_hidden(-errno) ? 0 : -errno;
        }
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has the folder */
        while (found == 0 && self->left > 0 && (each = readdir(folder)) != NULL) {
            int written;

            if (each->d_type != DT_DIR || each->d_name[0] == '.') {
                continue;
            }
            self->left--;
            written = snprintf(self->path + length, sizeof self->path - length, "/%s",
                               each->d_name);
            if (written > 0 && (size_t)written < sizeof self->path - length) {
                found = find_process(self, levels - 1);
            }
        }
        closedir(folder);
    }
    if (found != 1) {
        self->path[length] = '\0';
    }
    return found;
}

/* From `group`, as /proc names it, to its path below the mount, "" for the mount
 * itself. -ENODATA: it is not below the mount. */
static int
resolve(const char *mount, const struct hierarchy *hierarchy, pid_t pid, char *group)
{
    struct search search = {.pid = pid != 0 ? pid : getpid(), .left = MOST_GROUPS};
    const char *root;
    int mount_up = levels_up(hierarchy->root, &root);
    int group_up = levels_up(group, &search.rest);
    size_t length = strlen(root);
    int written;
    int found;

    if (mount_up == group_up) {
        if (strncmp(search.rest, root, length) == 0 &&
            (search.rest[length] == '/' || search.rest[length] == '\0')) {
            memmove(group, search.rest + length, strlen(search.rest + length) + 1);
            return 0;
        }
        /* A container whose mount has another name than /proc says: its own group is
         * the mount's root, or one of the parents that are tried later. */
        return mount_up == 0 ? 0 : -ENODATA;
    }
    if (mount_up < group_up || *root != '\0') {
        return -ENODATA;
    }
    written =
        snprintf(search.path, sizeof search.path, "%s%s", mount, hierarchy->place);
    if (written < 0 || (size_t)written >= sizeof search.path) {
        return -ENAMETOOLONG;
    }
    search.base = (size_t)written;
    found = find_process(&search, mount_up - group_up);
    if (found != 1) {
        return found == 0 ? -ENODATA : found;
    }
    if (strlen(search.path + search.base) >= MW_CGROUP_PATH_ROOM) {
        return -ENAMETOOLONG;
    }
    memcpy(group, search.path + search.base, strlen(search.path + search.base) + 1);
    return 0;
}

/* The group's path below its hierarchy's mount, "" for the mount itself, and where that
 * is. -ENODATA: it is in none, or in none that can be seen. */
static int
find_group(const char *proc_root, const char *mount, pid_t pid, const char *controller,
           struct hierarchy *hierarchy, char *group)
{
    char text[TEXT_ROOM];
    const char *found;
    size_t found_length;
    ssize_t length;
    int err;

    length = read_and_close(mw_proc_open_file(proc_root, pid, "cgroup", O_RDONLY), text,
                            sizeof text);
    if (length < 0) {
        return (int)length;
    }
    err = mw_parse_cgroup_path(text, (size_t)length, controller, &found, &found_length);
    if (err != 0) {
        return err;
    }
    if (found_length >= MW_CGROUP_PATH_ROOM) {
        return -ENAMETOOLONG;
    }
    memcpy(group, found, found_length);
    group[found_length] = '\0';
    err = find_hierarchy(proc_root, mount, controller, hierarchy);
    if (err == 0) {
        err = resolve(mount, hierarchy, pid, group);
    }
    if (err == 0 && strcmp(group, "/") == 0) {
        *group = '\0';
    }
    return err;
}

static void
keep_least(struct mw_cgroup_limit *least, int64_t limit_bytes, const char *group)
{
    if (limit_bytes < least->limit_bytes) {
        least->limit_bytes = limit_bytes;
        (void)snprintf(least->group, sizeof least->group, "%s", *group ? group : "/");
    }
}

static int
limit_of_v2(const char *mount, const char *place, char *group,
            struct mw_cgroup_limit *least)
{
    char text[TEXT_ROOM];

    do {
        int64_t limit;
        ssize_t length =
            read_group_file(mount, place, group, "memory.max", text, sizeof text);

        if (length < 0 && !is_hidden(length)) {
            return (int)length;
        }
        if (length >= 0 && mw_parse_cgroup_limit(text, (size_t)length, &limit) == 0) {
            keep_least(least, limit, group);
        }
    } while (to_parent(group));
    return 0;
}

static int
limit_of_v1(const char *mount, const char *place, char *group,
            struct mw_cgroup_limit *least)
{
    char text[TEXT_ROOM];

    /* The kernel has already taken the least over the ancestors. */
    do {
        int64_t limit;
        ssize_t length =
            read_group_file(mount, place, group, "memory.stat", text, sizeof text);

        if (length < 0 && !is_hidden(length)) {
            return (int)length;
        }
        if (length >= 0 && mw_parse_keyed(text, (size_t)length,
                                          "hierarchical_memory_limit", &limit) == 0) {
            if (limit < V1_UNLIMITED_BYTES) {
                keep_least(least, limit, group);
            }
            return 0;
        }
    } while (to_parent(group));
    return 0;
}

int
mw_cgroup_read_limit(const char *proc_root, const char *mount, pid_t pid,
                     struct mw_cgroup_limit *out)
{
    struct mw_cgroup_limit least = {.limit_bytes = MW_UNLIMITED, .group = ""};
    struct hierarchy hierarchy;
    char group[MW_CGROUP_PATH_ROOM];
    int err = find_group(proc_root, mount, pid, NULL, &hierarchy, group);

    if (err == 0) {
        err = limit_of_v2(mount, hierarchy.place, group, &least);
    }
    if (err != 0 && err != -ENODATA) {
        return err;
    }
    err = find_group(proc_root, mount, pid, "memory", &hierarchy, group);
    if (err == 0) {
        err = limit_of_v1(mount, hierarchy.place, group, &least);
    }
    if (err != 0 && err != -ENODATA) {
        return err;
    }
    *out = least;
    return 0;
}

/* The count in the nearest group from `group` on upwards that shows one. */
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
        /* A group outside our own part of the tree is told as "/../NAME". */
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
    struct hierarchy hierarchy;
    char group[MW_CGROUP_PATH_ROOM];
    int err = find_group(proc_root, mount, pid, NULL, &hierarchy, group);

    if (err == 0) {
        err = find_kills(mount, hierarchy.place, group, V2_KILLS, kills, file);
    }
    if (err == -ENODATA) {
        err = find_group(proc_root, mount, pid, "memory", &hierarchy, group);
        if (err == 0) {
            err = find_kills(mount, hierarchy.place, group, V1_KILLS, kills, file);
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

/* Nothing but a count is ever opened, whatever a stranger's `file` says. */
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
        return is_hidden(length) ? -ENODATA : (int)length;
    }
    return mw_parse_keyed(text, (size_t)length, "oom_kill", kills) == 0 ? 0 : -ENODATA;
}
