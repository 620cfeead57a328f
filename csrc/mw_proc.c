#include "mw_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mw_parse.h"

/* statm is seven numbers. status is 1.5 KiB, but a member of a thousand groups
 * has a line of 10 KiB in it, before the lines we want. */
enum { STATM_ROOM = 256, STATUS_ROOM = 16384 };

int
mw_proc_open_file(const char *root, pid_t pid, const char *name, int flags)
{
    char path[PATH_MAX];
    int length;
    int fd;

    if (pid == 0) {
        length = snprintf(path, sizeof path, "%s/self/%s", root, name);
    }
    else {
        length = snprintf(path, sizeof path, "%s/%ld/%s", root, (long)pid, name);
    }
    if (length < 0 || (size_t)length >= sizeof path) {
        return -ENAMETOOLONG;
    }
    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int
mw_proc_open(struct mw_proc *self, const char *root, pid_t pid)
{
    int fd;
    int err;

    *self = MW_PROC_CLOSED;
    self->page_bytes = sysconf(_SC_PAGESIZE);

    fd = mw_proc_open_file(root, pid, "statm", O_RDONLY);
    if (fd < 0) {
        err = fd;
        goto out;
    }
    self->statm_fd = fd;

    fd = mw_proc_open_file(root, pid, "status", O_RDONLY);
    if (fd < 0) {
        err = fd;
        goto out;
    }
    self->status_fd = fd;

    fd = mw_proc_open_file(root, pid, "clear_refs", O_WRONLY);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM) {
        err = fd;
        goto out;
    }
    self->clear_refs_fd = fd < 0 ? -1 : fd;
    self->mark_errno = fd < 0 ? -fd : 0;
    err = 0;
out:
    if (err != 0) {
        mw_proc_close(self);
    }
    return err;
}

static void
close_file(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void
mw_proc_close(struct mw_proc *self)
{
    int saved_errno = errno;

    close_file(&self->statm_fd);
    close_file(&self->status_fd);
    close_file(&self->clear_refs_fd);
    errno = saved_errno;
}

void
mw_proc_forgo_mark(struct mw_proc *self)
{
    close_file(&self->clear_refs_fd);
    if (self->mark_errno == 0) {
        self->mark_errno = EOPNOTSUPP;
    }
}

/* The file from its beginning. The kernel makes the text anew for each read at
 * offset 0, whole, so one read is one moment. Returns its length or -errno. */
static ssize_t
read_file(int fd, char *text, size_t room)
{
    ssize_t length;

    if (fd < 0) {
        return -EBADF;
    }
    do {
        length = pread(fd, text, room, 0);
    } while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

int
mw_proc_read_rss(const struct mw_proc *self, int64_t *rss_bytes)
{
    char text[STATM_ROOM];
    ssize_t length = read_file(self->statm_fd, text, sizeof text);

    if (length < 0) {
        return (int)length;
    }
    return mw_parse_statm(text, (size_t)length, self->page_bytes, rss_bytes);
}

int
mw_proc_read_memory(const struct mw_proc *self, struct mw_memory *out)
{
    char text[STATUS_ROOM];
    ssize_t length = read_file(self->status_fd, text, sizeof text);
    struct mw_memory memory;
    int err;

    if (length < 0) {
        return (int)length;
    }
    err = mw_parse_status(text, (size_t)length, &memory);
    if (err == 0 && memory.rss_bytes == MW_ABSENT) {
        err = -ENODATA;
    }
    if (err == 0) {
        *out = memory;
    }
    return err;
}

int
mw_proc_reset_mark(const struct mw_proc *self)
{
    static const char reset_peak_rss[] = {'5'}; /* CLEAR_REFS_MM_HIWATER_RSS */
    ssize_t written;

    if (self->clear_refs_fd < 0) {
        return self->mark_errno != 0 ? -self->mark_errno : -EBADF;
    }
    do {
        written = pwrite(self->clear_refs_fd, reset_peak_rss, 1, 0);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : 0;
}
