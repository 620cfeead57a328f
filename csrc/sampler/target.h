/* The process that is measured: its files, which may have to be opened anew, and what
 * its figures may claim. Not thread-safe: the caller serialises, but for reading `proc`
 * while nobody opens or closes it. */

#ifndef MW_SAMPLER_TARGET_H
#define MW_SAMPLER_TARGET_H

#include "linux/accuracy.h"

struct mw_target {
    char *root;
    pid_t pid;              /* 0: the caller's own */
    bool is_granted;        /* another's mark may be reset, and then ... */
    struct mw_accuracy own; /* ... this is what holds for the caller's own process */
    struct mw_proc proc;    /* the files, or MW_PROC_CLOSED */
    struct mw_accuracy accuracy; /* found out when they were opened ... */
    int64_t t_look_ns;           /* ... and when it was last looked at again */
};

/* Process `pid` below `root`; nothing is opened yet. `own` as in mw_sampler_new_of().
 * -ENOMEM; then there is nothing to release. */
int mw_target_init(struct mw_target *self, const char *root, pid_t pid,
                   const struct mw_accuracy *own);
void mw_target_release(struct mw_target *self);

/* Open the files and find out what the figures may claim. *hwm_bytes is the mark as it
 * stood before anybody reset it, or MW_ABSENT. -errno; they are then closed. */
int mw_target_open(struct mw_target *self, int64_t *hwm_bytes);

/* At `t_ns`, once a second at most: whether there are more processors to count on. Only
 * on a thread of memwatch's own: see mw_accuracy_look_again(). */
void mw_target_look_again(struct mw_target *self, int64_t t_ns);

/* How far the mark of a window from `start` to `end` may be off, in bytes. */
int64_t mw_target_bound(const struct mw_target *self, const struct mw_memory *start,
                        const struct mw_memory *end);

/* Whether they are open, still the files that were opened, and the probe had the memory
 * that it needs. */
bool mw_target_is_intact(const struct mw_target *self);

#endif
