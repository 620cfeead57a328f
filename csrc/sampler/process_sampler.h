/* The sampler of this process, shared by all its users, and samplers of other
 * processes. Both survive fork(): in the child their windows are closed, and the next
 * window opens the files again.
 *
 * This process has one sampler, because it has one high-water mark: two samplers would
 * reset it for each other. The sampler is global state with fork() handlers, like those
 * of children_sampler.c and stream/publisher.c.
 *
 *     err = mw_process_sampler_acquire(&sampler);
 *     err = mw_sampler_open(sampler, &watch, NULL);
 *     ...
 *     mw_process_sampler_release(&sampler);
 *
 * Any thread may call any function. Functions return 0 or -errno. */

#ifndef MW_SAMPLER_PROCESS_SAMPLER_H
#define MW_SAMPLER_PROCESS_SAMPLER_H

#include "sampler/sampler.h"

/* Get this process's sampler; the first call creates it. Match each successful call
 * with a release; the last release stops the thread. Errors as mw_sampler_new(). */
int mw_process_sampler_acquire(struct mw_sampler **out);

/* Sets *sampler to NULL; no effect if it is NULL. */
void mw_process_sampler_release(struct mw_sampler **sampler);

/* A sampler of another process. The caller owns the storage and keeps it in place while
 * it is open. */
struct mw_external_sampler {
    struct mw_external_sampler *next;
    struct mw_external_sampler *previous;
    struct mw_sampler *sampler; /* NULL: not open */
};

/* Open a sampler of process `pid`; `sampler` is this process's. Errors as
 * mw_sampler_new_with_reset(); then it is not open. */
int mw_external_sampler_open(struct mw_external_sampler *self,
                             struct mw_sampler *sampler, pid_t pid);

/* Free its sampler, also in a forked child; no effect if it is not open. */
void mw_external_sampler_close(struct mw_external_sampler *self);

#endif
