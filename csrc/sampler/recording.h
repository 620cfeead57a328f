/* The black box that a sampler writes: started, looked at, stopped. Files are made and
 * removed outside the sampler's lock: no window waits for that.
 *
 *     err = mw_recording_start(sampler, "/run/user/1000/memwatch/7-1.box", NULL,
 * &given);
 *     ...
 *     mw_recording_stop(sampler);
 *
 * Any thread. */

#ifndef MW_SAMPLER_RECORDING_H
#define MW_SAMPLER_RECORDING_H

#include <limits.h>

#include "sampler/sampler.h"

/* Write all that is measured from now on to a black box, the file `path`, too, with a
 * copy in `copy`: see mw_blackbox_writer_new(), whose errors these are. A box that is
 * written already is removed. Only for the own process. */
int mw_recording_start(struct mw_sampler *sampler, const char *path, const char *copy,
                       const struct mw_blackbox_identity *given);

/* No longer; the box is removed. A forked child writes none, and leaves its parent's.
 */
void mw_recording_stop(struct mw_sampler *sampler);

struct mw_recording {
    int copy_errno; /* as mw_blackbox_writer_copy_errno() */
    char path[PATH_MAX];
};

/* false: no box is written; then *out is left alone. */
bool mw_recording_read(struct mw_sampler *sampler, struct mw_recording *out);

/* Whether a box is written whose file somebody else removed. About 0.3 us. */
bool mw_recording_is_lost(struct mw_sampler *sampler);

#endif
