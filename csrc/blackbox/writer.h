/* Writes a black box (blackbox/layout.h): a MAP_SHARED file that outlives the process.
 *
 * Only creating and removing the file make system calls; the other functions are a few
 * stores to memory and cannot fail. The caller serialises (the sampler's lock). A store
 * may wait for the disk while the kernel writes that page out.
 *
 * The file must be on a file system that can be mapped safely: the caller checks with
 * linux/folder.h. If there is none, the box is anonymous memory; on another file system
 * a thread writes a copy (blackbox/copier.h).
 *
 *     err = mw_blackbox_writer_new(&writer, path, NULL, &identity, peak_bytes);
 *     slot = mw_blackbox_writer_open_cell(writer, t_mono_ns, t_real_ns, rss, &title);
 *     mw_blackbox_writer_add_sample(writer, t_mono_ns, rss_bytes);
 *     mw_blackbox_writer_close_cell(writer, slot, MW_BLACKBOX_OK, &result);
 *     mw_blackbox_writer_free(&writer);
 */

#ifndef MW_BLACKBOX_WRITER_H
#define MW_BLACKBOX_WRITER_H

#include "blackbox/layout.h"

struct mw_blackbox_writer; /* opaque */

/* The cell is not recorded. */
#define MW_BLACKBOX_WRITER_NO_SLOT (-1)

/* Create the file `path`, mode 0600, atomically, with all its blocks allocated: a full
 * disk is an error here instead of a SIGBUS later. NULL: memory only. `copy`: the file
 * for a copy, or NULL; its creation and removal are waited for at most 0.25 s. `given`
 * has user, kernel_id, notebook and the limit; the rest is found out. The caller owns
 * *out and frees it. -errno: of the files, or ENOMEM. */
int mw_blackbox_writer_new(struct mw_blackbox_writer **out, const char *path,
                           const char *copy, const struct mw_blackbox_identity *given,
                           int64_t lifetime_peak_bytes);

/* Note the clean end in the box, unmap it and remove the files, unless other files have
 * replaced them. A forked child leaves its parent's files alone. */
void mw_blackbox_writer_free(struct mw_blackbox_writer **out);

/* Whether another program has removed the file: one fstat(). */
bool mw_blackbox_writer_is_lost(const struct mw_blackbox_writer *self);

/* A path by which this process can read the box; for memory, that of a descriptor. */
const char *mw_blackbox_writer_path(const struct mw_blackbox_writer *self);

/* See mw_blackbox_copier_errno(); 0: there is no copy. */
int mw_blackbox_writer_copy_errno(const struct mw_blackbox_writer *self);

/* A cell opens; `rss_bytes` is its RSS at the start. Returns its slot;
 * MW_BLACKBOX_WRITER_NO_SLOT: too many cells are open. */
int mw_blackbox_writer_open_cell(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                                 int64_t t_real_ns, int64_t rss_bytes,
                                 const struct mw_blackbox_title *title);

/* The cell has closed; `result` NULL: unknown. */
void mw_blackbox_writer_close_cell(struct mw_blackbox_writer *self, int slot,
                                   enum mw_blackbox_status status,
                                   const struct mw_result *result);

/* The highest known RSS of an open cell. */
void mw_blackbox_writer_set_peak(struct mw_blackbox_writer *self, int slot,
                                 int64_t rss_peak_bytes);

/* The line of an open cell that is running, from 1. */
void
mw_blackbox_writer_set_line(struct mw_blackbox_writer *self, int slot, int64_t line);

void mw_blackbox_writer_add_sample(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                                   int64_t rss_bytes);

void
mw_blackbox_writer_set_lifetime_peak(struct mw_blackbox_writer *self, int64_t bytes);

#endif
