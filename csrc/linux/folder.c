#include "linux/folder.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

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

/* Spaces and the like are written as "\040"; `text` shrinks. */
static void
unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; to++) {
        int code = 0;

        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            code = (from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0');
            from += 4;
        }
        *to = code != 0 ? (char)code : *from++;
    }
    *to = '\0';
}

/* What follows the folder `mount` in `path`; NULL: `path` is not below it. */
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

/* "MAJOR:MINOR", as mountinfo has it. */
static dev_t
device_of(const char *text)
{
    char *end;
    unsigned int number = (unsigned int)strtoul(text, &end, 10);
    unsigned int minor_number = 0;

    if (*end == ':') {
        minor_number = (unsigned int)strtoul(end + 1, NULL, 10);
    }
    return makedev(number, minor_number);
}

/* One line of mountinfo: where that mount keeps `path`, of device `device`, in its
 * upper layer. The line begins with id, parent, device, root and mount point. */
static bool
find_in_upper_layer(char *line, dev_t device, const char *path, char *out, size_t size)
{
    enum { DEVICE = 2, ROOT, MOUNT, FIELDS };
    char *fields[FIELDS];
    char *rest = line;
    char *upper;
    const char *relative;
    int length;

    for (int i = 0; i < FIELDS; i++) {
        fields[i] = strtok_r(NULL, " ", &rest);
        if (fields[i] == NULL) {
            return false;
        }
    }
    upper = strstr(rest, "upperdir=");
    if (upper == NULL || device_of(fields[DEVICE]) != device) {
        return false;
    }
    upper += strlen("upperdir=");
    upper[strcspn(upper, ",\n")] = '\0';
    unescape(fields[ROOT]);
    unescape(fields[MOUNT]);
    unescape(upper);
    relative = below(path, fields[MOUNT]);
    if (relative == NULL) {
        return false;
    }
    length = snprintf(out, size, "%s/%s/%s", upper, fields[ROOT], relative);
    return length > 0 && (size_t)length < size;
}

/* Whether these are one folder, seen through the overlay and below it. A path of
 * another mount namespace may name anything here: so the times have to agree, too. */
static bool
is_same_folder(const struct stat *seen, const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode) &&
           found.st_uid == seen->st_uid &&
           found.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
           found.st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
}

/* Where the overlay keeps `folder`, in `out` of PATH_MAX. */
static bool
find_upper_folder(const char *folder, char *out)
{
    char path[PATH_MAX];
    struct stat seen;
    char *line = NULL;
    size_t room = 0;
    bool is_found = false;
    FILE *mounts;

    if (realpath(folder, path) == NULL || stat(path, &seen) != 0) {
        return false;
    }
    mounts = fopen(MOUNTS, "re");
    if (mounts == NULL) {
        return false;
    }
    while (!is_found && getline(&line, &room, mounts) > 0) {
        is_found = find_in_upper_layer(line, seen.st_dev, path, out, PATH_MAX) &&
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
