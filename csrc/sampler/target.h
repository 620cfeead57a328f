/* The measured process: its /proc files, which may have to be opened again, and the
 * accuracy of its figures.
 *
 * Not thread-safe: the caller serialises. Exception: any thread may read `proc` while
 * no other opens or closes it.
 *
 *     err = mw_target_init(&target, MW_PROC_ROOT, 0, NULL);
 *     err = mw_target_open(&target, &hwm_bytes);
 *     err = mw_proc_read_rss(&target.proc, &rss_bytes);
 *     mw_target_release(&target);
 *
 * Functions return 0 or -errno. */

#ifndef MW_SAMPLER_TARGET_H
#define MW_SAMPLER_TARGET_H

#include "linux/accuracy.h"

struct mw_target {
    char *root;
    pid_t pid;                   /* 0: the caller's own */
    bool may_reset_other;        /* the HWM of another process may be reset ... */
    struct mw_accuracy own;      /* ... and this is the accuracy of the caller's own */
    struct mw_proc proc;         /* the files, or MW_PROC_CLOSED */
    struct mw_accuracy accuracy; /* probed when the files were opened */
    int64_t t_processors_ns;     /* when the processors were last counted again */
};

/* Process `pid` below `root`; opens nothing. `own` as in mw_sampler_new_with_reset().
 * -ENOMEM: nothing to release. */
int mw_target_init(struct mw_target *self, const char *root, pid_t pid,
                   const struct mw_accuracy *own);
void mw_target_release(struct mw_target *self);

/* Open the files and probe the accuracy. *hwm_bytes is the HWM before the probe resets
 * it, or MW_ABSENT. On failure the files are closed. */
int mw_target_open(struct mw_target *self, int64_t *hwm_bytes);

/* Raise the error bound if more processors are online; at most once a second, `t_ns` is
 * now. Only on a thread of memwatch's own: see mw_accuracy_look_again(). */
void mw_target_update_processors(struct mw_target *self, int64_t t_ns);

/* The error bound of the HWM, in bytes, for a window from `start` to `end`. */
int64_t mw_target_bound(const struct mw_target *self, const struct mw_memory *start,
                        const struct mw_memory *end);

/* Whether the files are open, are still the same files, and the probe did not fail for
 * lack of memory. */
bool mw_target_is_intact(const struct mw_target *self);

#endif
