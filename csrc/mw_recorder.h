/* The writer of a black box (mw_box.h): a MAP_SHARED file that outlives the process.
 *
 * Everything but making and removing the file is a few stores to memory: no system
 * call, and nothing that could fail. The caller serialises (the sampler's lock). A
 * store to a mapped file may wait for the disk while the kernel writes that page out;
 * the runtime folder is where it is cheap, for it is where Jupyter puts what changes
 * often.
 *
 * A store to a page that the file system cannot provide is a SIGBUS, the end of the
 * process that we only watch. So only files of ext2 to ext4, XFS and tmpfs are mapped,
 * and of overlays on them, where blocks that were allocated once are there for ever. On
 * others (network file systems, those that copy on write) what changes is written by
 * pwrite(), which costs a microsecond each time, and fails in silence. */

#ifndef MW_RECORDER_H
#define MW_RECORDER_H

#include "mw_box.h"

struct mw_recorder; /* opaque */

/* No slot: what is done for it is not recorded. */
#define MW_RECORDER_NO_SLOT (-1)

/* Make the file `path`, mode 0600, whole or not at all, with all its blocks on the
 * disk: a full disk is an error here and no SIGBUS later. `given` are user, kernel_id,
 * notebook and the three of the limit; the rest is found out about the own process. The
 * caller owns *out and frees it. -errno: of the file, or ENOMEM. */
int mw_recorder_new(struct mw_recorder **out, const char *path,
                    const struct mw_box_identity *given, int64_t lifetime_peak_bytes);

/* Unmap it and remove the file, unless this is a forked child: the file is its
 * parent's. */
void mw_recorder_free(struct mw_recorder **out);

/* A cell opens: the slot it has from now on, or MW_RECORDER_NO_SLOT where as many are
 * open already. The title is copied; `rss_bytes` is what is held at its start. */
int mw_recorder_open_cell(struct mw_recorder *self, int64_t t_mono_ns,
                          int64_t rss_bytes, const struct mw_box_title *title);

/* It has closed, so; `result` NULL: nothing is known of it. */
void
mw_recorder_close_cell(struct mw_recorder *self, int slot, enum mw_box_status status,
                       const struct mw_result *result, int64_t drift_bytes);

/* The highest that is known of an open cell. */
void mw_recorder_set_peak(struct mw_recorder *self, int slot, int64_t rss_peak_bytes);

void
mw_recorder_add_sample(struct mw_recorder *self, int64_t t_mono_ns, int64_t rss_bytes);

void mw_recorder_set_lifetime_peak(struct mw_recorder *self, int64_t bytes);

#endif
