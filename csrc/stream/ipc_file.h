/* The file of a Unix socket that libzmq binds. libzmq removes whatever is at the path
 * before, leaves its own file behind, and applies the umask.
 *
 *     err = mw_ipc_file_check(path); // then zmq_bind()
 *     err = mw_ipc_file_claim(&file, path);
 *     ...
 *     mw_ipc_file_remove(&file, path);
 *
 * Functions return 0 or -errno. */

#ifndef MW_STREAM_IPC_FILE_H
#define MW_STREAM_IPC_FILE_H

#include <sys/types.h>

/* Identifies the file that we bound; all 0: none. */
struct mw_ipc_file {
    dev_t device;
    ino_t inode;
};

/* Check that a socket may be bound at `path`: nothing is there, or a socket that no
 * process listens on. -EEXIST: a file that is not a socket; -EADDRINUSE: a socket in
 * use.
 */
int mw_ipc_file_check(const char *path);

/* After the bind: remember the file, and set its mode to 0600. */
int mw_ipc_file_claim(struct mw_ipc_file *self, const char *path);

/* Remove the file, unless another one has replaced it. */
void mw_ipc_file_remove(const struct mw_ipc_file *self, const char *path);

#endif
