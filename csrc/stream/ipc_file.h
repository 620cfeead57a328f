/* The file of a Unix socket that libzmq binds: libzmq removes whatever is there before,
 * leaves its own behind, and gives it the mode that the umask says. */

#ifndef MW_IPCFILE_H
#define MW_IPCFILE_H

#include <sys/types.h>

/* The one that we bound; all 0: there is none. */
struct mw_ipcfile {
    dev_t device;
    ino_t inode;
};

/* Whether a socket may be bound at `path`: nothing is there, or what the dead left.
 * -EEXIST: no socket is; -EADDRINUSE: somebody listens. */
int mw_ipcfile_look(const char *path);

/* It has been bound: it is ours, and for nobody else (mode 0600). -errno */
int mw_ipcfile_claim(struct mw_ipcfile *self, const char *path);

/* Remove it, unless by now it is somebody else's. */
void mw_ipcfile_remove(const struct mw_ipcfile *self, const char *path);

#endif
