/* The writer of a black box (mw_blackbox.h): a MAP_SHARED file that outlives the
 * process.
 *
 * Everything but making and removing the file is a few stores to memory: no system
 * call, and nothing that could fail. The caller serialises (the sampler's lock). A
 * store to a mapped file may wait for the disk while the kernel writes that page out;
 * the runtime folder is where it is cheap, for it is where Jupyter puts what changes
 * often.
 *
 * The file has to lie where it can be mapped safely: the caller asks mw_folder first.
 * Where there is no such place the box is memory without a name. On any other file
 * system a thread of its own keeps a copy (mw_blackbox_copier). */

#ifndef MW_BLACKBOX_WRITER_H
#define MW_BLACKBOX_WRITER_H

#include "blackbox/layout.h"

struct mw_blackbox_writer; /* opaque */

/* No slot: what is done for it is not recorded. */
#define MW_BLACKBOX_WRITER_NO_SLOT (-1)

/* Make the file `path`, mode 0600, whole or not at all, with all its blocks on the
 * disk: a full disk is an error here and no SIGBUS later. NULL: no file, memory only.
 * `copy`, unless it is NULL, is the file that a thread keeps a copy in; making it is
 * waited for a quarter of a second at most, and so is its removal. `given` are user,
 * kernel_id, notebook and the three of the limit; the rest is found out about the own
 * process. The caller owns *out and frees it. -errno: of the files, or ENOMEM. */
int mw_blackbox_writer_new(struct mw_blackbox_writer **out, const char *path,
                           const char *copy, const struct mw_blackbox_identity *given,
                           int64_t lifetime_peak_bytes);

/* Note in the box that it ended, unmap it and remove the files; a file of that name
 * that is not ours stays. In a forked child the files are left alone: they are its
 * parent's. */
void mw_blackbox_writer_free(struct mw_blackbox_writer **out);

/* Whether the file was removed by somebody else: one fstat(), on the file system that
 * is mapped. */
bool mw_blackbox_writer_is_lost(const struct mw_blackbox_writer *self);

/* Where the box can be read in this process: its path, or that of a descriptor. */
const char *mw_blackbox_writer_path(const struct mw_blackbox_writer *self);

/* Of the copy: 0, EINPROGRESS or why it cannot be written, as
 * mw_blackbox_copier_errno(). */
int mw_blackbox_writer_copy_errno(const struct mw_blackbox_writer *self);

/* A cell opens: the slot it has from now on, or MW_BLACKBOX_WRITER_NO_SLOT where as
 * many are open already. The title is copied; `rss_bytes` is what is held at its start.
 */
int mw_blackbox_writer_open_cell(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                                 int64_t t_real_ns, int64_t rss_bytes,
                                 const struct mw_blackbox_title *title);

/* It has closed, so; `result` NULL: nothing is known of it. */
void mw_blackbox_writer_close_cell(struct mw_blackbox_writer *self, int slot,
                                   enum mw_blackbox_status status,
                                   const struct mw_result *result);

/* The highest that is known of an open cell. */
void mw_blackbox_writer_set_peak(struct mw_blackbox_writer *self, int slot,
                                 int64_t rss_peak_bytes);

void mw_blackbox_writer_add_sample(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                                   int64_t rss_bytes);

void
mw_blackbox_writer_set_lifetime_peak(struct mw_blackbox_writer *self, int64_t bytes);

#endif
