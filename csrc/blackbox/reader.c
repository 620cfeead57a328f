#include "mw_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_DESCRIPTORS "/proc/self/fd/"

struct mw_reader {
    int fd;
    struct mw_box_file before;
    struct mw_box_file data;
    struct mw_box_file after;
};

/* How much there is at the file's beginning, at most `room`, or -errno. */
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

/* -EBADMSG with *fault where `file` is no box. */
static int
copy_box(int fd, struct mw_box_file *file, enum mw_box_fault *fault)
{
    ssize_t length = read_beginning(fd, file, sizeof *file);
    struct stat found;

    if (length < 0) {
        return (int)length;
    }
    if (fstat(fd, &found) != 0) {
        return -errno;
    }
    *fault = mw_box_check(&file->head, (size_t)length, found.st_size);
    /* It was cut off between the two calls. */
    if (*fault == MW_BOX_FINE && (size_t)length < sizeof *file) {
        *fault = MW_BOX_TRUNCATED;
    }
    return *fault == MW_BOX_FINE ? 0 : -EBADMSG;
}

static int
open_regular(const char *path, int *fd, enum mw_box_fault *fault)
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
        *fault = MW_BOX_NO_BOX;
        err = -EBADMSG;
    }
    if (err != 0) {
        close(*fd);
    }
    return err;
}

int
mw_reader_new(struct mw_reader **out, const char *path, enum mw_box_fault *fault)
{
    struct mw_reader *self;
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
    err = mw_reader_refresh(self, fault);
    if (err != 0) {
        mw_reader_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_reader_free(struct mw_reader **out)
{
    struct mw_reader *self = *out;

    if (self == NULL) {
        return;
    }
    close(self->fd);
    free(self);
    *out = NULL;
}

int
mw_reader_refresh(struct mw_reader *self, enum mw_box_fault *fault)
{
    struct mw_box_file *const copies[] = {&self->before, &self->data, &self->after};

    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        int err = copy_box(self->fd, copies[i], fault);

        if (err != 0) {
            return err;
        }
        atomic_thread_fence(memory_order_seq_cst);
    }
    return 0;
}

static struct mw_box_copies
copies_of(const struct mw_reader *self)
{
    return (struct mw_box_copies){&self->before, &self->data, &self->after};
}

void
mw_reader_view(const struct mw_reader *self, struct mw_box_view *out)
{
    struct mw_box_copies copies = copies_of(self);

    mw_box_decode(&copies, out);
}

size_t
mw_reader_samples(const struct mw_reader *self, int64_t *next,
                  struct mw_box_sample *out, int64_t *lost)
{
    struct mw_box_copies copies = copies_of(self);

    return mw_box_decode_samples(&copies, next, out, lost);
}
