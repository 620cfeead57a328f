/* The samplers of this process: the one of the process itself, and those of others.
 *
 * There is one of its own, however many interpreters or libraries ask for it, because
 * there is one high-water mark: two keepers would take it from each other. This is the
 * only global state in the core, and the only file that handles fork(): every sampler
 * that a forked child may use or free is made here. */

#ifndef MW_SAMPLER_PROCESS_SAMPLER_H
#define MW_SAMPLER_PROCESS_SAMPLER_H

#include "sampler/sampler.h"

/* Get it, made at the first call; each successful call is matched by one of
 * mw_process_sampler_release(), and the last of those stops the thread. Any thread.
 * -errno as mw_sampler_new(). */
int mw_process_sampler_acquire(struct mw_sampler **out);
void mw_process_sampler_release(struct mw_sampler **sampler);

/* The sampler of another process. The caller owns the storage and keeps it in place
 * from mw_process_sampler_open_other() to mw_process_sampler_close_other(). */
struct mw_process_sampler_other {
    struct mw_process_sampler_other *next;
    struct mw_process_sampler_other *previous;
    struct mw_sampler *sampler; /* NULL: not open */
};

/* As mw_sampler_new_of(), for process `pid` below MW_PROC_ROOT; `sampler` is
 * the one that mw_process_sampler_acquire() gave. Any thread. After fork() it is usable
 * in the child, too: its windows are forgotten, and the next one opens its files anew.
 */
int mw_process_sampler_open_other(struct mw_process_sampler_other *other,
                                  struct mw_sampler *sampler, pid_t pid);

/* As mw_sampler_free(), also in a forked child. Where it is not open: nothing. */
void mw_process_sampler_close_other(struct mw_process_sampler_other *other);

#endif
