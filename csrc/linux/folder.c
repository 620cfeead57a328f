#include "linux/folder.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "linux/parse.h"

#ifndef XFS_SUPER_MAGIC /* headers before Linux 5.5 do not have it */
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define MOUNTS "/proc/self/mountinfo"

int
mw_folder_make(const char *folder)
{
    struct stat found;

    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return -errno;
    }
    if (lstat(folder, &found) != 0) {
        return -errno;
    }
    if (!S_ISDIR(found.st_mode)) {
        return -ENOTDIR;
    }
    if (found.st_uid != geteuid()) {
        return -EPERM;
    }
    if ((found.st_mode & 0777) != 0700 && chmod(folder, 0700) != 0) {
        return -errno;
    }
    return 0;
}

/* ---- overlays ---- */

/* The rest of `path` below the folder `mount`; NULL: it is not below it. */
static const char *
below(const char *path, const char *mount)
{
    size_t length = strcmp(mount, "/") == 0 ? 0 : strlen(mount);

    if (strncmp(path, mount, length) != 0 ||
        (path[length] != '/' && path[length] != '\0')) {
        return NULL;
    }
    return path + length;
}

/* One line of mountinfo: if it is the overlay of device `device`, where that keeps
 * `path` in its upper layer. */
static bool
find_in_upper_layer(const char *line, size_t line_length, dev_t device,
                    const char *path, char *out)
{
    struct mw_overlay_mount mount;
    const char *relative;
    int length;

    if (mw_parse_overlay_mount(line, line_length, &mount) != 0 ||
        mount.device != device) {
        return false;
    }
    relative = below(path, mount.point);
    if (relative == NULL) {
        return false;
    }
    length = snprintf(out, PATH_MAX, "%s/%s/%s", mount.upper, mount.root, relative);
    return length > 0 && length < PATH_MAX;
}

/* Whether `path` is the folder `seen`, reached without the overlay. The path may be of
 * another mount namespace, so the modification times must be equal too. */
static bool
is_same_folder(const struct stat *seen, const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode) &&
           found.st_uid == seen->st_uid &&
           found.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
           found.st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
}

/* Where the overlay keeps `folder`; `out` has PATH_MAX bytes. */
static bool
find_upper_folder(const char *folder, char *out)
{
    char path[PATH_MAX];
    struct stat seen;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool is_found = false;
    FILE *mounts;

    if (realpath(folder, path) == NULL || stat(path, &seen) != 0) {
        return false;
    }
    mounts = fopen(MOUNTS, "re");
    if (mounts == NULL) {
        return false;
    }
    while (!is_found && (length = getline(&line, &room, mounts)) > 1) {
        is_found =
            find_in_upper_layer(line, (size_t)length - 1, seen.st_dev, path, out) &&
            is_same_folder(&seen, out);
    }
    free(line);
    (void)fclose(mounts);
    return is_found;
}

/* ---- file systems ---- */

static bool
keeps_its_blocks(const struct statfs *found)
{
    return found->f_type == EXT4_SUPER_MAGIC /* ext2 and ext3, too */ ||
           found->f_type == XFS_SUPER_MAGIC || found->f_type == TMPFS_MAGIC;
}

int
mw_folder_is_mappable(const char *folder)
{
    char upper[PATH_MAX];
    struct statfs found;

    if (statfs(folder, &found) != 0) {
        return -errno;
    }
    if (found.f_type != OVERLAYFS_SUPER_MAGIC) {
        return keeps_its_blocks(&found);
    }
    return find_upper_folder(folder, upper) && statfs(upper, &found) == 0 &&
           keeps_its_blocks(&found);
}
