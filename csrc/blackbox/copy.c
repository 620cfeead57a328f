#include "blackbox/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/folder.h"

/* ---- writing ---- */

static int
put(int fd, const void *memory, size_t from, size_t to)
{
    while (from < to) {
        ssize_t written =
            pwrite(fd, (const char *)memory + from, to - from, (off_t)from);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written == 0) {
            return -EIO;
        }
        from += written > 0 ? (size_t)written : 0;
    }
    return 0;
}

/* The range in which the two differ; empty if they are equal. */
static void
find_difference(const struct mw_blackbox_file *a, const struct mw_blackbox_file *b,
                size_t *from, size_t *to)
{
    const char *x = (const char *)a;
    const char *y = (const char *)b;

    for (*from = 0; *from < sizeof *a && x[*from] == y[*from]; ++*from) {
    }
    for (*to = sizeof *a; *to > *from && x[*to - 1] == y[*to - 1]; --*to) {
    }
}

static int
write_changes(struct mw_blackbox_copy *self)
{
    size_t from;
    size_t to;
    int err;

    mw_blackbox_update(&self->image, self->source);
    find_difference(&self->shown, &self->image, &from, &to);
    if (!self->is_known) {
        from = 0;
        to = sizeof self->image;
    }
    if (from >= to) {
        return 0;
    }
    self->is_known = false;
    mw_blackbox_put_torn(&self->shown, &self->image);
    err = put(self->fd, &self->shown, from, to);
    if (err == 0) {
        mw_blackbox_put_bodies(&self->shown, &self->image);
        err = put(self->fd, &self->shown, from, to);
    }
    if (err == 0) {
        memcpy(&self->shown, &self->image, sizeof self->shown);
        err = put(self->fd, &self->shown, from, to);
    }
    self->is_known = err == 0;
    return err;
}

/* ---- the file ---- */

static void
close_file(struct mw_blackbox_copy *self)
{
    if (self->fd >= 0) {
        close(self->fd);
        self->fd = -1;
    }
}

/* Whether `path` is still our file. */
static bool
is_in_place(const struct mw_blackbox_copy *self)
{
    struct stat found;

    return lstat(self->path, &found) == 0 && found.st_dev == self->device &&
           found.st_ino == self->inode;
}

static int
open_file(struct mw_blackbox_copy *self)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat found;

    unlink(self->unfinished); /* left by a process that was killed here */
    self->fd = open(self->unfinished, flags, 0600);
    if (self->fd < 0) {
        return -errno;
    }
    if (fstat(self->fd, &found) != 0) {
        return -errno;
    }
    self->device = found.st_dev;
    self->inode = found.st_ino;
    return 0;
}

/* Create the file under another name, and rename it when it is complete. */
static int
make_file(struct mw_blackbox_copy *self)
{
    int err = mw_folder_make(self->folder);

    if (err == 0) {
        err = open_file(self);
    }
    if (err == 0) {
        mw_blackbox_update(&self->image, self->source);
        memcpy(&self->shown, &self->image, sizeof self->shown);
        err = put(self->fd, &self->shown, 0, MW_BLACKBOX_BYTES);
        if (err == 0 && rename(self->unfinished, self->path) != 0) {
            err = -errno;
        }
        if (err != 0) {
            unlink(self->unfinished);
        }
    }
    self->is_known = err == 0;
    if (err != 0) {
        close_file(self);
    }
    return err;
}

int
mw_blackbox_copy_write(struct mw_blackbox_copy *self)
{
    int err;

    if (self->fd >= 0 && !is_in_place(self)) {
        close_file(self); /* another program removed it */
    }
    if (self->fd < 0) {
        return make_file(self);
    }
    err = write_changes(self);
    if (err != 0) {
        close_file(self); /* the next call tries with a new file */
    }
    return err;
}

void
mw_blackbox_copy_remove(struct mw_blackbox_copy *self)
{
    if (self->fd >= 0 && is_in_place(self) && unlink(self->path) != 0) {
        write_changes(self); /* the box has the clean end by now */
    }
    close_file(self);
}

static int
put_paths(struct mw_blackbox_copy *self, const char *path)
{
    const char *name = strrchr(path, '/');
    int length = snprintf(self->unfinished, sizeof self->unfinished, "%s.new", path);

    if (name == NULL || length < 0 || (size_t)length >= sizeof self->unfinished) {
        return name == NULL ? -EINVAL : -ENAMETOOLONG;
    }
    memcpy(self->path, path, strlen(path) + 1);
    memcpy(self->folder, path, (size_t)(name - path));
    return 0;
}

static int
map_source(struct mw_blackbox_copy *self, int fd)
{
    const struct mw_blackbox_file *memory =
        mmap(NULL, MW_BLACKBOX_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);

    if (memory == NULL || memory == MAP_FAILED) {
        return errno > 0 ? -errno : -ENOMEM;
    }
    self->source = memory;
    self->image.head = memory->head;
    return 0;
}

int
mw_blackbox_copy_init(struct mw_blackbox_copy *self, int source_fd, const char *path)
{
    int err;

    self->fd = -1;
    err = put_paths(self, path);
    return err != 0 ? err : map_source(self, source_fd);
}

void
mw_blackbox_copy_release(struct mw_blackbox_copy *self)
{
    if (self->source != NULL) {
        munmap((void *)self->source, MW_BLACKBOX_BYTES);
        self->source = NULL;
    }
}
