/* A copy of a black box on a file system that may be slow, or hang.
 *
 * The box itself is mapped memory, or a mapped file in a safe place
 * (mw_blackbox_writer). A thread of its own copies what has changed to the file `path`,
 * at most 10 writes a second, under no lock that anybody else takes. Nobody waits for a
 * write: not a window, not the sampler, not fork(). The end is waited for up to a
 * limit.
 *
 * The thread has a descriptor table of its own (Linux 5.9, or the right to unshare()):
 * a child that is forked while a server hangs would else wait for it at exec(), when
 * its copy of our descriptor is closed.
 *
 * Readers (mw_blackbox_reader) find no torn slot: an odd sequence is written first,
 * then the body, then the even sequence. The copy is made again where it was removed.
 *
 *     err = mw_blackbox_copier_new(&copier, fd, "/mnt/nfs/memwatch-1000/7-1.box",
 * patience_ns);
 *     ...
 *     mw_blackbox_copier_free(&copier, patience_ns);
 */

#ifndef MW_BLACKBOX_COPIER_H
#define MW_BLACKBOX_COPIER_H

#include <stdint.h>

struct mw_blackbox_copier; /* opaque; 200 KiB */

/* Copy the box behind the descriptor `source_fd`, which may be closed afterwards, to
 * `path`; its folder is made as mw_folder_make() does. Waits for the first copy for up
 * to `patience_ns`; where that is too short the thread goes on alone. The caller owns
 * *out and frees it. -errno: no memory, no thread, or the copy cannot be made. */
int mw_blackbox_copier_new(struct mw_blackbox_copier **out, int source_fd,
                           const char *path, int64_t patience_ns);

/* Remove the copy. Waits up to `patience_ns`; then the thread goes on alone, and frees
 * everything when its file system answers. Where the copy cannot be removed, what the
 * box says of its end is written to it. */
void mw_blackbox_copier_free(struct mw_blackbox_copier **out, int64_t patience_ns);

/* In a forked child: there is no such thread here. */
void mw_blackbox_copier_abandon(struct mw_blackbox_copier **out);

/* 0: the last write succeeded; EINPROGRESS: none has been finished yet; or the errno of
 * the last write. Any thread. */
int mw_blackbox_copier_errno(struct mw_blackbox_copier *self);

#endif
