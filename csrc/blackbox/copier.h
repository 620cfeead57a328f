/* Keeps a copy of a black box on a file system that may be slow or hang.
 *
 * The box itself is memory or a file that is mapped safely (blackbox/writer.h). A
 * thread copies changes to the file, at most 10 writes a second, without a lock of
 * others: no window, sampler or fork() waits for a write.
 *
 * The thread has its own descriptor table (Linux 5.9, or the right to unshare()).
 * Otherwise a child that is forked while a server hangs would wait for it at exec(),
 * which closes the child's copy of the descriptor.
 *
 *     err = mw_blackbox_copier_new(&copier, fd, "/mnt/nfs/7-1.box", patience_ns);
 *     ...
 *     mw_blackbox_copier_free(&copier, patience_ns);
 */

#ifndef MW_BLACKBOX_COPIER_H
#define MW_BLACKBOX_COPIER_H

#include <stdint.h>

struct mw_blackbox_copier; /* opaque; 200 KiB */

/* Copy the box of descriptor `source_fd`, which may be closed afterwards, to `path`;
 * its folder is made by mw_folder_make(). Waits at most `patience_ns` for the first
 * copy. The caller owns *out and frees it. -errno: no memory, no thread, or the first
 * copy failed. */
int mw_blackbox_copier_new(struct mw_blackbox_copier **out, int source_fd,
                           const char *path, int64_t patience_ns);

/* Remove the copy, or if that fails note the end in it. Waits at most `patience_ns`;
 * then the thread continues alone and frees everything. */
void mw_blackbox_copier_free(struct mw_blackbox_copier **out, int64_t patience_ns);

/* In a forked child, which does not have the thread. */
void mw_blackbox_copier_abandon(struct mw_blackbox_copier **out);

/* The errno of the last write; 0: it succeeded; EINPROGRESS: none has ended. Any
 * thread.
 */
int mw_blackbox_copier_errno(struct mw_blackbox_copier *self);

#endif
