#include "linux/cgroup/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/parse.h"
#include "linux/proc.h"

enum {
    TEXT_ROOM = 8192,
    MOST_GROUPS = 4096, /* to search for a process */
};

ssize_t
mw_cgroup_path_read_and_close(int fd, char *text, size_t room)
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

bool
mw_cgroup_path_is_hidden(ssize_t err)
{
    return err == -ENOENT || err == -ENOTDIR || err == -ENODEV || err == -EACCES ||
           err == -EPERM;
}

/* ---- files that are read line by line ---- */

struct lines {
    int fd;
    size_t start; /* of the next line in `text` */
    size_t length;
    char text[TEXT_ROOM];
};

/* The next line without its newline; one longer than TEXT_ROOM is skipped. Returns 1:
 * it is in *line; 0: there is none; or -errno. */
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

/* ---- the group ----
 *
 * /proc/PID/cgroup names the group, and /proc/self/mountinfo the mount's root, both
 * relative to the reader's cgroup namespace. Usually the mount's root is "/". In a
 * container that sees the mount of its host it is above: "/../.." is two groups above,
 * whose names are unknown. */

struct hierarchy {
    char root[MW_CGROUP_PATH_ROOM];
    char place[MW_CGROUP_PATH_ROOM]; /* of the mount, below `mount`: "/memory" */
};

/* From the reader's mounts; the usual place if they cannot be read. */
static int
find_hierarchy(const char *proc_root, const char *mount, const char *controller,
               struct hierarchy *out)
{
    struct lines lines = {.fd = mw_proc_open_file(proc_root, 0, "mountinfo", O_RDONLY)};
    size_t below = strlen(mount);
    size_t least = SIZE_MAX; /* of two mounts the upper counts, then the later */
    const char *line = "";
    size_t length = 0;
    int err;

    (void)snprintf(out->root, sizeof out->root, "/");
    (void)snprintf(out->place, sizeof out->place, "%s", controller ? "/memory" : "");
    if (lines.fd < 0) {
        return mw_cgroup_path_is_hidden(lines.fd) ? 0 : lines.fd;
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

/* How many "/.." `path` begins with; *rest is the remaining path. */
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

/* Whether process `pid` is in the group with folder `path`: 1, 0 or -errno. */
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
        return mw_cgroup_path_is_hidden(-errno) ? 0 : -errno;
    }
    lines.start = lines.length = 0;
    while ((err = next_line(&lines, &line, &length)) > 0) {
        if (strtol(line, NULL, 10) == pid) {
            break;
        }
    }
    close(lines.fd);
    return err;
}

struct search {
    const char *rest; /* of the group's path, below the unnamed levels */
    pid_t pid;
    size_t base; /* length of the mount's part of `path` */
    int left;    /* groups that may still be searched */
    char path[PATH_MAX];
};

/* Find the group of the process, `levels` below `self->path`. 1: it is in `self->path`;
 * else 0 or -errno, and the path is unchanged. Recurses once a level. */
static int
find_process(struct search *self, int levels) /* NOLINT(misc-no-recursion) */
{
    size_t length = strlen(self->path);
    int found = 0;

    if (levels == 0) {
        int written =
            snprintf(self->path + length, sizeof self->path - length, "%s", self->rest);

        found = written >= 0 && (size_t)written < sizeof self->path - length
                    ? has_process(self->path, self->pid)
                    : 0;
    }
    else {
        const struct dirent *each;
        DIR *folder = opendir(self->path);

        if (folder == NULL) {
            return mw_cgroup_path_is_hidden(-errno) ? 0 : -errno;
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

/* Change `group`, as /proc names it, to its path below the mount ("": the mount
 * itself). -ENODATA: it is not below the mount. */
static int
resolve(const char *mount, const struct hierarchy *hierarchy, pid_t pid, char *group)
{
    struct search search = {.pid = pid != 0 ? pid : getpid(), .left = MOST_GROUPS};
    const char *root;
    int mount_up = levels_up(hierarchy->root, &root);
    int group_up = levels_up(group, &search.rest);
    int written;
    int found;

    if (mount_up == group_up) {
        size_t length = strlen(root);

        if (strncmp(search.rest, root, length) == 0 &&
            (search.rest[length] == '/' || search.rest[length] == '\0')) {
            memmove(group, search.rest + length, strlen(search.rest + length) + 1);
            return 0;
        }
        /* In a container, /proc may have another name than the mount: the group is the
         * mount's root, or one of the ancestors that are tried later. */
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

int
mw_cgroup_path_find(const char *proc_root, const char *mount, pid_t pid,
                    const char *controller, struct mw_cgroup_path *out)
{
    struct hierarchy hierarchy;
    char text[TEXT_ROOM];
    const char *found;
    size_t found_length;
    ssize_t length;
    int err;

    length = mw_cgroup_path_read_and_close(
        mw_proc_open_file(proc_root, pid, "cgroup", O_RDONLY), text, sizeof text);
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
    memcpy(out->path, found, found_length);
    out->path[found_length] = '\0';
    err = find_hierarchy(proc_root, mount, controller, &hierarchy);
    if (err == 0) {
        err = resolve(mount, &hierarchy, pid, out->path);
    }
    if (err == 0) {
        memcpy(out->place, hierarchy.place, sizeof out->place);
        if (strcmp(out->path, "/") == 0) {
            *out->path = '\0';
        }
    }
    return err;
}
