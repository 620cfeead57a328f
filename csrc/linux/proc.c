#include "linux/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/parse.h"

/* statm is seven numbers. status is 1.5 KiB, but for a member of a thousand groups it
 * has a line of 10 KiB before those that we read. */
enum { STATM_ROOM = 256, STAT_ROOM = 1024, STATUS_ROOM = 16384 };

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
mw_proc_file_keep(struct mw_proc_file *file, int fd)
{
    struct stat found;

    if (fstat(fd, &found) != 0) {
        return -errno;
    }
    *file = (struct mw_proc_file){fd, found.st_dev, found.st_ino};
    return 0;
}

static int
keep_open(struct mw_proc_file *file, const char *root, pid_t pid, const char *name,
          int flags)
{
    int fd = mw_proc_open_file(root, pid, name, flags);
    int err;

    if (fd < 0) {
        return fd;
    }
    err = mw_proc_file_keep(file, fd);
    if (err != 0) {
        close(fd);
    }
    return err;
}

bool
mw_proc_file_is_ours(const struct mw_proc_file *file)
{
    struct stat found;

    return fstat(file->fd, &found) == 0 && found.st_dev == file->device &&
           found.st_ino == file->inode;
}

void
mw_proc_file_close(struct mw_proc_file *file)
{
    if (file->fd >= 0 && mw_proc_file_is_ours(file)) {
        close(file->fd);
    }
    file->fd = -1;
}

pid_t
mw_proc_own_pid(void)
{
    char text[16];
    ssize_t length = readlink(MW_PROC_ROOT "/self", text, sizeof text - 1);

    if (length <= 0) {
        return getpid();
    }
    text[length] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

int
mw_proc_open(struct mw_proc *self, const char *root, pid_t pid)
{
    int err;

    *self = MW_PROC_CLOSED;
    self->page_bytes = sysconf(_SC_PAGESIZE);

    err = keep_open(&self->statm, root, pid, "statm", O_RDONLY);
    if (err == 0) {
        err = keep_open(&self->status, root, pid, "status", O_RDONLY);
    }
    if (err == 0) {
        err = keep_open(&self->clear_refs, root, pid, "clear_refs", O_WRONLY);
        if (err != -EMFILE && err != -ENFILE && err != -ENOMEM) {
            self->hwm_errno = -err;
            err = 0;
        }
    }
    if (err != 0) {
        mw_proc_close(self);
    }
    return err;
}

void
mw_proc_close(struct mw_proc *self)
{
    int saved_errno = errno;

    mw_proc_file_close(&self->statm);
    mw_proc_file_close(&self->status);
    mw_proc_file_close(&self->clear_refs);
    errno = saved_errno;
}

bool
mw_proc_is_intact(const struct mw_proc *self)
{
    return mw_proc_file_is_ours(&self->statm) && mw_proc_file_is_ours(&self->status) &&
           (self->clear_refs.fd < 0 || mw_proc_file_is_ours(&self->clear_refs));
}

void
mw_proc_forgo_hwm(struct mw_proc *self)
{
    mw_proc_file_close(&self->clear_refs);
    if (self->hwm_errno == 0) {
        self->hwm_errno = EOPNOTSUPP;
    }
}

/* Read the file from its start. The kernel generates the text at each read at offset 0,
 * so one read is one moment. Returns its length or -errno. */
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
    ssize_t length = read_file(self->statm.fd, text, sizeof text);

    if (length < 0) {
        return (int)length;
    }
    return mw_parse_statm(text, (size_t)length, self->page_bytes, rss_bytes);
}

int
mw_proc_read_memory(const struct mw_proc *self, struct mw_memory *out)
{
    char text[STATUS_ROOM];
    ssize_t length = read_file(self->status.fd, text, sizeof text);
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
mw_proc_reset_hwm(const struct mw_proc *self)
{
    static const char reset_peak_rss[] = {'5'}; /* CLEAR_REFS_MM_HIWATER_RSS */
    ssize_t written;

    if (self->clear_refs.fd < 0) {
        return self->hwm_errno != 0 ? -self->hwm_errno : -EBADF;
    }
    if (!mw_proc_file_is_ours(&self->clear_refs)) {
        return -EBADF;
    }
    do {
        written = pwrite(self->clear_refs.fd, reset_peak_rss, 1, 0);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : 0;
}

/* One figure of ROOT/PID/NAME, which is not kept open. */
static int
read_once(const char *root, pid_t pid, const char *name,
          int (*parse)(const char *text, size_t length, int64_t *out), int64_t *out)
{
    int fd = mw_proc_open_file(root, pid, name, O_RDONLY);
    char text[STAT_ROOM];
    ssize_t length;

    if (fd < 0) {
        return fd;
    }
    length = read_file(fd, text, sizeof text);
    close(fd);
    return length < 0 ? (int)length : parse(text, (size_t)length, out);
}

static int
parse_rss(const char *text, size_t length, int64_t *rss_bytes)
{
    return mw_parse_statm(text, length, sysconf(_SC_PAGESIZE), rss_bytes);
}

int
mw_proc_read_rss_of(const char *root, pid_t pid, int64_t *rss_bytes)
{
    return read_once(root, pid, "statm", parse_rss, rss_bytes);
}

int
mw_proc_read_start_ticks(const char *root, pid_t pid, int64_t *ticks)
{
    return read_once(root, pid, "stat", mw_parse_start_ticks, ticks);
}
