/* What may take long and cannot be interrupted, done in a thread of its own, so that
 * who wants it done waits for a while at most. */

#ifndef MW_BASE_DETACHED_H
#define MW_BASE_DETACHED_H

#include <stdint.h>

/* Call act(context), and return when it has returned, or after `patience_ns`: then it
 * goes on alone, and what it uses has to be its own. -errno: there is no thread for it,
 * and it was not called. */
int mw_detached_run(void (*act)(void *context), void *context, int64_t patience_ns);

#endif
