/* A copy of a black box in a file that can be read at any time: odd sequences are
 * written first, then the bodies, then the even sequences. The file is renamed when it
 * is complete. Calls may take as long as the file system takes; one thread at a time.
 *
 *     err = mw_blackbox_copy_init(&copy, source_fd, "/nfs/memwatch-1000/7-1.box");
 *     while (...) {
 *         err = mw_blackbox_copy_write(&copy);
 *     }
 *     mw_blackbox_copy_remove(&copy);
 *     mw_blackbox_copy_release(&copy);
 */

#ifndef MW_BLACKBOX_COPY_H
#define MW_BLACKBOX_COPY_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "blackbox/layout.h"

struct mw_blackbox_copy {
    const struct mw_blackbox_file *source; /* our own mapping */
    struct mw_blackbox_file image;         /* the next content of the file */
    struct mw_blackbox_file shown;         /* its current content, if is_known */
    bool is_known;
    int fd; /* -1: there is no file yet */
    dev_t device;
    ino_t inode;
    char folder[PATH_MAX];
    char path[PATH_MAX];
    char unfinished[PATH_MAX];
};

/* Map the black box behind `source_fd`; `path` is the copy's. `self` is zeroed. Returns
 * 0 or -errno; release it in any case. */
int
mw_blackbox_copy_init(struct mw_blackbox_copy *self, int source_fd, const char *path);

/* Write what has changed; create the file if it is missing. Returns 0 or -errno: the
 * next call tries again. */
int mw_blackbox_copy_write(struct mw_blackbox_copy *self);

/* Remove the file; if that fails, write once more, so that it says that it ended. */
void mw_blackbox_copy_remove(struct mw_blackbox_copy *self);

/* Unmap the source. */
void mw_blackbox_copy_release(struct mw_blackbox_copy *self);

#endif
