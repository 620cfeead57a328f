#include "stream/ipc_file.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int
mw_ipc_file_check(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    int err = 0;
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        return -ENAMETOOLONG;
    }
    if (lstat(path, &found) != 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(found.st_mode)) {
        return -EEXIST;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    /* Only a refused connection proves that no process listens. Other errors can mean a
     * full backlog, another user's socket or another socket type. */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
        (errno != ECONNREFUSED && errno != ENOENT)) {
        err = -EADDRINUSE;
    }
    close(fd);
    return err;
}

int
mw_ipc_file_claim(struct mw_ipc_file *self, const char *path)
{
    struct stat found;

    /* Not by umask(), which would affect all threads. */
    if (lstat(path, &found) != 0 || chmod(path, S_IRUSR | S_IWUSR) != 0) {
        return -errno;
    }
    self->device = found.st_dev;
    self->inode = found.st_ino;
    return 0;
}

void
mw_ipc_file_remove(const struct mw_ipc_file *self, const char *path)
{
    struct stat found;

    if (self->inode != 0 && lstat(path, &found) == 0 && found.st_ino == self->inode &&
        found.st_dev == self->device) {
        unlink(path);
    }
}
