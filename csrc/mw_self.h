/* The sampler of the caller's own process.
 *
 * There is one, however many interpreters or libraries ask for it, because there
 * is one high-water mark: two keepers would take it from each other. This is the
 * only global state in the core, and the only room that knows of fork(). */

#ifndef MW_SELF_H
#define MW_SELF_H

#include "mw_sampler.h"

/* Get it, made at the first call; each successful call is matched by one of
 * mw_self_release(), and the last of those stops the thread. Any thread.
 * -errno as mw_sampler_new(). */
int mw_self_acquire(struct mw_sampler **out);
void mw_self_release(struct mw_sampler **sampler);

#endif
