/* The file of a Unix socket that libzmq binds: libzmq removes whatever is there before,
 * leaves its own behind, and gives it the mode that the umask says. */

#ifndef MW_STREAM_IPC_FILE_H
#define MW_STREAM_IPC_FILE_H

#include <sys/types.h>

/* The one that we bound; all 0: there is none. */
struct mw_ipc_file {
    dev_t device;
    ino_t inode;
};

/* Whether a socket may be bound at `path`: nothing is there, or what the dead left.
 * -EEXIST: no socket is; -EADDRINUSE: somebody listens. */
int mw_ipc_file_look(const char *path);

/* It has been bound: it is ours, and for nobody else (mode 0600). -errno */
int mw_ipc_file_claim(struct mw_ipc_file *self, const char *path);

/* Remove it, unless by now it is somebody else's. */
void mw_ipc_file_remove(const struct mw_ipc_file *self, const char *path);

#endif
