/* Starts and stops the black box that a sampler writes. Its files are created and
 * removed without the sampler's lock, so no window waits for a file system. Any thread.
 *
 *     err = mw_recording_start(sampler, "/run/user/1000/memwatch/7-1.box", NULL,
 * &given);
 *     ...
 *     mw_recording_stop(sampler);
 */

#ifndef MW_SAMPLER_RECORDING_H
#define MW_SAMPLER_RECORDING_H

#include <limits.h>

#include "sampler/sampler.h"

/* Also write everything measured from now on to the black box `path`, with a copy in
 * `copy`; a box that is already being written is removed. Only for the caller's own
 * process. The arguments and errors are those of mw_blackbox_writer_new(). */
int mw_recording_start(struct mw_sampler *sampler, const char *path, const char *copy,
                       const struct mw_blackbox_identity *given);

/* Stop writing and remove the box. A forked child writes no box, and does not remove
 * its parent's. */
void mw_recording_stop(struct mw_sampler *sampler);

struct mw_recording {
    int copy_errno; /* see mw_blackbox_writer_copy_errno() */
    char path[PATH_MAX];
};

/* Returns false, and leaves *out alone, if no box is being written. */
bool mw_recording_read(struct mw_sampler *sampler, struct mw_recording *out);

/* Whether a box is being written but its file was removed; about 0.3 us. */
bool mw_recording_is_lost(struct mw_sampler *sampler);

#endif
