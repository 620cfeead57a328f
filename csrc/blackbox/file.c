#include "blackbox/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blackbox/layout.h"

int
mw_blackbox_file_make(const char *path)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags, 0600);
    int err;

    if (fd < 0 && errno == EEXIST) {
        unlink(path); /* left by a process that was killed here */
        fd = open(path, flags, 0600);
    }
    if (fd < 0) {
        return -errno;
    }
    /* A missing block would be a SIGBUS at the first store to it. */
    err = posix_fallocate(fd, 0, MW_BLACKBOX_BYTES);
    if (err != 0) {
        close(fd);
        unlink(path);
        return -err;
    }
    return fd;
}

int
mw_blackbox_memory_make(void)
{
    int fd = memfd_create("memwatch", MFD_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    if (ftruncate(fd, MW_BLACKBOX_BYTES) != 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}
