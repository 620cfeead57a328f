#include "blackbox/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_DESCRIPTORS "/proc/self/fd/"

struct mw_blackbox_reader {
    int fd;
    struct mw_blackbox_file before;
    struct mw_blackbox_file data;
    struct mw_blackbox_file after;
};

/* Read at most `room` bytes from the file's start. Returns the length or -errno. */
static ssize_t
read_beginning(int fd, void *memory, size_t room)
{
    size_t length = 0;

    while (length < room) {
        ssize_t got = pread(fd, (char *)memory + length, room - length, (off_t)length);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
    }
    return (ssize_t)length;
}

/* -EBADMSG with *fault if it is not a box. */
static int
copy_box(int fd, struct mw_blackbox_file *file, enum mw_blackbox_fault *fault)
{
    ssize_t length = read_beginning(fd, file, sizeof *file);
    struct stat found;

    if (length < 0) {
        return (int)length;
    }
    if (fstat(fd, &found) != 0) {
        return -errno;
    }
    *fault = mw_blackbox_check(&file->head, (size_t)length, found.st_size);
    /* It was truncated between the two calls. */
    if (*fault == MW_BLACKBOX_FINE && (size_t)length < sizeof *file) {
        *fault = MW_BLACKBOX_TRUNCATED;
    }
    return *fault == MW_BLACKBOX_FINE ? 0 : -EBADMSG;
}

static int
open_regular(const char *path, int *fd, enum mw_blackbox_fault *fault)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct stat found;
    int err = 0;

    if (strncmp(path, OWN_DESCRIPTORS, strlen(OWN_DESCRIPTORS)) != 0) {
        flags |= O_NOFOLLOW;
    }
    do {
        *fd = open(path, flags);
    } while (*fd < 0 && errno == EINTR);
    if (*fd < 0) {
        return -errno;
    }
    if (fstat(*fd, &found) != 0) {
        err = -errno;
    }
    else if (!S_ISREG(found.st_mode)) {
        *fault = MW_BLACKBOX_NO_BOX;
        err = -EBADMSG;
    }
    if (err != 0) {
        close(*fd);
    }
    return err;
}

int
mw_blackbox_reader_new(struct mw_blackbox_reader **out, const char *path,
                       enum mw_blackbox_fault *fault)
{
    struct mw_blackbox_reader *self;
    int fd;
    int err = open_regular(path, &fd, fault);

    if (err != 0) {
        return err;
    }
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        close(fd);
        return -ENOMEM;
    }
    self->fd = fd;
    err = mw_blackbox_reader_refresh(self, fault);
    if (err != 0) {
        mw_blackbox_reader_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_blackbox_reader_free(struct mw_blackbox_reader **out)
{
    struct mw_blackbox_reader *self = *out;

    if (self == NULL) {
        return;
    }
    close(self->fd);
    free(self);
    *out = NULL;
}

int
mw_blackbox_reader_refresh(struct mw_blackbox_reader *self,
                           enum mw_blackbox_fault *fault)
{
    struct mw_blackbox_file *const copies[] = {&self->before, &self->data,
                                               &self->after};

    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        int err = copy_box(self->fd, copies[i], fault);

        if (err != 0) {
            return err;
        }
        atomic_thread_fence(memory_order_seq_cst);
    }
    return 0;
}

static struct mw_blackbox_copies
copies_of(const struct mw_blackbox_reader *self)
{
    return (struct mw_blackbox_copies){&self->before, &self->data, &self->after};
}

void
mw_blackbox_reader_view(const struct mw_blackbox_reader *self,
                        struct mw_blackbox_view *out)
{
    struct mw_blackbox_copies copies = copies_of(self);

    mw_blackbox_decode(&copies, out);
}

size_t
mw_blackbox_reader_samples(const struct mw_blackbox_reader *self, int64_t *next,
                           struct mw_blackbox_sample *out, int64_t *lost)
{
    struct mw_blackbox_copies copies = copies_of(self);

    return mw_blackbox_decode_samples(&copies, next, out, lost);
}
